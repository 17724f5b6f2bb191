"""Anybody's own pictures: a folder for each emotion, a CSV file that labels them, or photos without labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from emorph.core.csv_rows import CsvRow, read_rows
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.records import FaceRecord
from emorph.core.split_words import SPLITS, TESTS
from emorph.data.index import FaceIndex, inside, is_picture, subfolders, unit_pair

LABELS_FILE = "labels.csv"
REQUIRED = ("path", "label")
METADATA = ("metadata.csv", "metadata.jsonl")  # of Hugging Face's image folders
METADATA_REQUIRED = ("file_name", "label")


def has_folders(root: Path) -> bool:
    """Whether ``root``, or a train or val folder in it, holds a folder with an emotion's name."""
    return any(Emotion.known(folder.name) is not None for _, parent in _parents(root) for folder in _folders(parent))


def has_csv(root: Path) -> bool:
    """Whether ``root`` is a CSV file, or holds labels.csv, or metadata as Hugging Face's image folders do."""
    return bool(_lists(root))


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

    Or metadata.csv or metadata.jsonl with file_name and label, in ``root`` or in its folders train and val. Paths are
    relative to the file's folder. landmarks: there are none.
    Raises DataError if a column is missing or no row can be used.
    """
    lists = _lists(root)
    index = FaceIndex(root.parent if root.suffix.lower() == ".csv" and root.is_file() else root, "csv")
    seen: dict[str, FaceRecord] = {}
    for split, path in lists:
        folder = path.parent.relative_to(index.root).as_posix()
        for row in _rows(path):
            cells = row.cells
            if folder != ".":
                cells = {"split": split or "", **cells, "path": f"{folder}/{cells['path']}"}
            record = _csv_record(index, cells, f"{path.relative_to(index.root).as_posix()}, line {row.line}")
            if record is None:
                continue
            if record.path in seen:
                same = seen[record.path] == record
                index.problems.add("duplicate row" if same else "contradicting row", record.id)
            else:
                seen[record.path] = record
    index.records = list(seen.values())
    if not index.records:
        named = " and ".join(str(path) for _, path in lists)
        raise DataError(f"{named}: none of {index.rows.total()} rows can be used; labels are words such as 'happy'.")
    return index


def _rows(path: Path) -> Iterator[CsvRow]:
    """The rows of a list, with the picture's place in the cell "path"."""
    if path.suffix == ".jsonl":
        yield from _jsonl_rows(path)
    elif path.name == METADATA[0]:
        for row in read_rows(path, METADATA_REQUIRED):
            yield CsvRow(row.line, {**row.cells, "path": row.cells["file_name"]})
    else:
        yield from read_rows(path, REQUIRED)


def _jsonl_rows(path: Path) -> Iterator[CsvRow]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}).") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path}, line {number}: not JSON; each line is one object.") from None
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in METADATA_REQUIRED):
            raise DataError(f"{path}, line {number}: needs the texts file_name and label.")
        cells = {str(key).lower(): "" if value is None else str(value).strip() for key, value in found.items()}
        yield CsvRow(number, {**cells, "path": cells["file_name"]})


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


def _lists(root: Path) -> list[tuple[str | None, Path]]:
    """The lists that label the pictures, each with the split that its folder names."""
    own = root if root.suffix.lower() == ".csv" else root / LABELS_FILE
    if own.is_file():
        return [(None, own)]
    each = [(split, parent / name) for split, parent in _parents(root) for name in METADATA]
    return [(split, path) for split, path in each if path.is_file() and _labels(path)]


def _labels(path: Path) -> bool:
    """Whether metadata tell labels; captions alone do not, and the folders' names count then."""
    with path.open("rb") as file:
        first = file.readline(65536).lower()
    return b"file_name" in first and b"label" in first


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
