"""Anybody's own pictures: a folder for each emotion, a CSV file that labels them, or photos without labels."""

from __future__ import annotations

from pathlib import Path

from emorph.core.csv_rows import read_rows
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.records import FaceRecord
from emorph.data.index import FaceIndex, inside, is_picture, subfolders, unit_pair

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "test", "testing"), "val"),
}
TESTS = ("test", "testing")
LABELS_FILE = "labels.csv"
REQUIRED = ("path", "label")


def has_folders(root: Path) -> bool:
    """Whether ``root``, or a train or val folder in it, holds a folder with an emotion's name."""
    return any(Emotion.known(folder.name) is not None for _, parent in _parents(root) for folder in _folders(parent))


def has_csv(root: Path) -> bool:
    """Whether ``root`` is a CSV file, or holds labels.csv."""
    return _csv_path(root).is_file()


def has_photos(root: Path) -> bool:
    """Whether pictures lie in ``root`` itself."""
    return any(is_picture(path.name) and path.is_file() for path in root.iterdir())


def read_photos(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """The pictures in ``root`` itself, without labels, as of one person's album; other files are counted.

    landmarks: there are none.
    """
    index = FaceIndex(root, "photos")
    for path in sorted(root.iterdir()):
        if is_picture(path.name) and path.is_file():
            index.rows[None, None] += 1
            index.records.append(FaceRecord(path.name, path.name, source=index.layout))
        elif path.is_file() and not path.name.startswith("."):
            index.problems.add("file that is not a picture", path.name)
    return index


def read_folders(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """``[train|val]/<emotion>/**/<picture>``; other folders and files are counted.

    landmarks: there are none. Raises DataError if no picture is found.
    """
    index = FaceIndex(root, "folders")
    for split, parent in _parents(root):
        for folder in _folders(parent):
            emotion = Emotion.known(folder.name)
            if emotion is not None:
                _read_class(index, folder, emotion, split)
                if parent != root and parent.name.lower() in TESTS:
                    index.problems.add("test counted as validation", folder.relative_to(root).as_posix())
            elif not (parent == root and folder.name.lower() in SPLITS):
                index.problems.add("folder that names no emotion", folder.relative_to(root).as_posix())
    if not index.records:
        raise DataError(f"{root}: its folders {_names(root)} hold no picture.")
    return index


def _read_class(index: FaceIndex, folder: Path, emotion: Emotion, split: str | None) -> None:
    before = len(index.records)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(index.root).as_posix()
        if path.is_dir() or path.name.startswith("."):
            continue
        if not is_picture(path.name):
            index.problems.add("file that is not a picture", name)
            continue
        index.rows[split, emotion.value] += 1
        index.records.append(FaceRecord(name, name, label=emotion.value, split=split, source=index.layout))
    if len(index.records) == before:
        index.problems.add("empty class", folder.relative_to(index.root).as_posix())


def read_csv(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """A CSV file with the columns path and label (a word), and, if there, valence, arousal, identity and split.

    Paths are relative to the file's folder. landmarks: there are none.
    Raises DataError if a column is missing or no row can be used.
    """
    path = _csv_path(root)
    index = FaceIndex(path.parent, "csv")
    seen: dict[str, FaceRecord] = {}
    for row in read_rows(path, REQUIRED):
        record = _csv_record(index, row.cells, f"{path.name}, line {row.line}")
        if record is None:
            continue
        if record.path in seen:
            same = seen[record.path] == record
            index.problems.add("duplicate row" if same else "contradicting row", record.id)
        else:
            seen[record.path] = record
    index.records = list(seen.values())
    if not index.records:
        raise DataError(f"{path}: none of its {index.rows.total()} rows can be used; labels are words such as 'happy'.")
    return index


def _csv_record(index: FaceIndex, row: dict[str, str], where: str) -> FaceRecord | None:
    name = row["path"].replace("\\", "/")
    split = SPLITS.get(row.get("split", "").lower())
    emotion = Emotion.known(row["label"])
    index.rows[split, emotion] += 1
    _look_at_split(index, row.get("split", ""), where)
    if emotion is None:
        index.problems.add("unknown label", f"{where}: {row['label']!r}")
        return None
    if not inside(name):
        index.problems.add("path outside the data set", f"{where}: {name!r}")
        return None
    affect: tuple[float | None, float | None] = (None, None)
    if row.get("valence") and row.get("arousal"):
        try:
            affect = unit_pair(float(row["valence"]), float(row["arousal"]), where, index.problems)
        except ValueError:
            index.problems.add("valence/arousal out of range", f"{where}: {row['valence']!r}, {row['arousal']!r}")
    person = row.get("identity") or None
    return FaceRecord(
        name,
        name,
        label=emotion.value,
        valence=affect[0],
        arousal=affect[1],
        identity=person,
        split=split,
        source=index.layout,
    )


def _look_at_split(index: FaceIndex, word: str, where: str) -> None:
    if word and word.lower() not in SPLITS:
        index.problems.add("unknown split", f"{where}: {word!r}; known are {', '.join(SPLITS)}")
    if word.lower() in TESTS:
        index.problems.add("test counted as validation", where)


def _csv_path(root: Path) -> Path:
    return root if root.suffix.lower() == ".csv" else root / LABELS_FILE


def _parents(root: Path) -> list[tuple[str | None, Path]]:
    """``root`` itself, and its folders that name a split."""
    if not root.is_dir():
        return []
    named: list[tuple[str | None, Path]] = [
        (SPLITS[f.name.lower()], f) for f in _folders(root) if f.name.lower() in SPLITS
    ]
    return [(None, root), *named]


def _folders(parent: Path) -> list[Path]:
    return [folder for folder in subfolders(parent) if not folder.name.startswith(".")]


def _names(root: Path) -> str:
    return ", ".join(folder.name for folder in _folders(root)[:8])
