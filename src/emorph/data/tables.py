"""Tables of labelled faces as Hugging Face's ``datasets`` writes them, opened and checked column by column."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorph.core.assets import is_offline
from emorph.core.commands import command, install
from emorph.core.errors import DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.pretrained import FILE_SUFFIXES
from emorph.core.split_words import SPLITS, split_word
from emorph.data.index import subfolders

_TEXT, _NUMBER = "text", "a number"
# column -> what its cells may be; the picture's column has rules of its own
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "label": (_TEXT,),
    "split": (_TEXT,),
    "id": (_TEXT, _NUMBER),
    "identity": (_TEXT, _NUMBER),
    "source": (_TEXT,),
    "valence": (_NUMBER,),
    "arousal": (_NUMBER,),
}
_DATA_SUFFIXES = (".parquet", ".arrow", ".csv", ".tsv", ".jsonl", ".zip", ".toml")
_SHARD_FOLDERS = ("data", *SPLITS)
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
_SPLIT_NAME = re.compile(rf"({'|'.join(SPLITS)})(?![^\W_])", re.IGNORECASE)


@dataclass(frozen=True)
class FaceTable:
    """The rows of a data set, a face each.

    rows: a ``datasets.Dataset`` with the columns image and label. content: what tells it from others without reading
    it all, wherever it lies. folder: what the paths of pictures outside the table are relative to.
    """

    rows: Any
    content: list[Any]
    folder: Path

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.rows.column_names)

    def column(self, name: str) -> list[Any]:
        """The cells of a column, coded classes as their names. Raises KeyError."""
        cells: list[Any] = list(self.rows[name][:])  # the column itself is walked row by row
        names = getattr(self.rows.features[name], "names", None)
        if names is None:
            return cells
        return [names[cell] if cell is not None and 0 <= cell < len(names) else None for cell in cells]

    def label_codes(self, path: Path) -> list[int]:
        """AffectNet's code of each label, -1 for none. Raises DataError naming the row of a word that is no emotion."""
        return label_codes(self.column("label"), path)


def open_table(path: Path) -> FaceTable:
    """The faces of a data set in any of the forms that ``datasets`` writes.

    path: a Parquet file; a pattern such as faces/train-*.parquet, or a folder of Parquet files; a folder of
    ``save_to_disk``, with splits or without; or, where nothing of this name is here, a hub id owner/name. Splits that
    are told by names of files or folders become the column ``split``, in the words train, val and test.
    Raises DataError if it is none of these, or a column is missing or of another type than it must be.
    """
    try:
        import datasets
    except ImportError:
        raise MissingAssetError(f"reading training data needs the extra packages: `{install('train')}`.") from None
    datasets.disable_progress_bars()
    try:
        rows, content = _read(path)
    except DataError:
        raise
    except Exception as error:  # datasets and pyarrow raise many kinds; all mean the same to a user
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is neither a Parquet file nor a saved Arrow data set ({reason}). To make one of photos or of a "
            f"raw data set: `{command('data', 'prepare', path, 'PREPARED')}`, and name PREPARED."
        ) from None
    _check_columns(rows, path)
    if isinstance(rows.features["image"], datasets.Image):
        rows = rows.cast_column("image", datasets.Image(decode=False))  # the bytes as they are, decoded by us alone
    return FaceTable(rows, content, path if path.is_dir() else path.parent)


def is_table(path: Path) -> bool:
    """Whether ``path`` names what ``open_table`` reads, by names alone; a hub id does wherever nothing is there."""
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    if path.is_dir():
        return any((path / name).is_file() for name in ("state.json", "dataset_dict.json")) or bool(_shards(path))
    return is_elsewhere(path)


def is_elsewhere(path: Path) -> bool:
    """Whether ``path``, at which nothing lies, is a pattern of Parquet files or a data set on the hub."""
    return not path.exists() and (_is_pattern(path) or is_hub_id(str(path)))


def is_hub_id(name: str) -> bool:
    """Whether ``name`` may be a data set of the Hugging Face hub, "owner/name".

    It is not if something of the name, or the folder that it would lie in, is here, or if it ends as files do.
    """
    path = Path(name)
    here = path.parent.is_dir() or path.suffix.lower() in (*FILE_SUFFIXES, *_DATA_SUFFIXES)
    return bool(_HUB_ID.fullmatch(name)) and not here


def picture_bytes(cell: object, row: int, table: FaceTable, path: Path) -> bytes:
    """The encoded picture of a cell: bytes, a path, or both as Hugging Face keeps them.

    Raises DataError if there is none, or the file that it names cannot be read.
    """
    encoded, name = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(encoded, str):
        encoded, name = None, encoded
    if isinstance(encoded, bytes) and encoded:
        return encoded
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}, row {row}: there is no picture in the column 'image'.")
    try:
        return (table.folder / name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}, row {row}: the picture {name} cannot be read ({reason}).") from None


def label_codes(words: Sequence[str | None], path: Path) -> list[int]:
    """AffectNet's code of each label, -1 for none. Raises DataError naming the row of a word that is no emotion."""
    known: dict[str | None, int] = {None: -1, "": -1}
    for row, word in enumerate(words):
        if word in known:
            continue
        try:
            known[word] = Emotion.parse(str(word)).value
        except UnknownNameError as error:
            raise DataError(f"{path}, row {row} of the column 'label': {error}") from None
    return [known[word] for word in words]


def _read(path: Path) -> tuple[Any, list[Any]]:
    import datasets

    if path.is_file():
        stat = path.stat()
        return _parquet([path]), [stat.st_size, stat.st_mtime_ns]
    if path.is_dir():
        shards = [] if (path / "state.json").is_file() else _shards(path)
        if shards and not (path / "dataset_dict.json").is_file():
            return _joined_files(shards, path)
        saved = datasets.load_from_disk(str(path))
        rows = _joined(saved) if isinstance(saved, dict) else saved
        return rows, _saved_content(saved, rows)
    if _is_pattern(path):
        folder = next(parent for parent in path.parents if parent.is_dir())  # brackets in its own name are no pattern
        found = sorted(file for file in folder.glob(str(path.relative_to(folder))) if file.is_file())
        if not found:
            raise DataError(f"{path}: no file fits this pattern; it is taken from {Path.cwd()}.")
        return _joined_files(found, folder)
    if is_hub_id(str(path)):
        found_rows = _from_hub(str(path))
        return found_rows, [found_rows._fingerprint]
    raise DataError(f"{path}: there is no such data set. Check [data] path; it is taken from {Path.cwd()}.")


def _saved_content(saved: Any, rows: Any) -> list[Any]:
    """The fingerprint that ``datasets`` keeps, which of a prepared set is its plan's, and the sizes of its files."""
    prints = [part._fingerprint for part in saved.values()] if isinstance(saved, dict) else saved._fingerprint
    files = [Path(entry["filename"]) for entry in rows.cache_files]
    return [prints, [[file.name, file.stat().st_size] for file in files]]


def _parquet(files: Sequence[Path]) -> Any:
    import datasets

    return datasets.Dataset.from_parquet([glob.escape(str(file)) for file in files])  # else "[" is a pattern


def _joined_files(files: Sequence[Path], folder: Path) -> tuple[Any, list[Any]]:
    """The rows of all files; the name of a file, or of a folder that it lies in, may tell its split."""
    of_split: dict[str | None, list[Path]] = {}
    for file in files:
        of_split.setdefault(_split_of(file.relative_to(folder)), []).append(file)
    rows = _joined({split: _parquet(own) for split, own in of_split.items()})
    stats = [(file.name, file.stat()) for file in files]
    return rows, [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _joined(parts: Mapping[str | None, Any]) -> Any:
    """One table of several, whose names become the column ``split``, unless it has one or no part has a name."""
    import datasets

    named = []
    for name, part in parts.items():
        if name is not None and "split" not in part.column_names:
            part = part.add_column("split", [split_word(name)] * len(part))
        named.append(part)
    return datasets.concatenate_datasets(named) if len(named) > 1 else named[0]


def _split_of(file: Path) -> str | None:
    """The split that "train-00000-of-00002.parquet" or "test/0.parquet" names."""
    found = _SPLIT_NAME.match(file.stem) or next(
        (match for part in reversed(file.parts[:-1]) if (match := _SPLIT_NAME.fullmatch(part))), None
    )
    return found[1].lower() if found else None


def _shards(folder: Path) -> list[Path]:
    """Parquet files in a folder, or in its folders as the hub has them: data/train-00000-of-00002.parquet."""
    folders = [folder, *(inner for inner in subfolders(folder) if inner.name.lower() in _SHARD_FOLDERS)]
    found = ([file for file in sorted(place.glob("*.parquet")) if file.is_file()] for place in folders)
    return next(found) or [file for files in found for file in files]


def _is_pattern(path: Path) -> bool:
    return path.suffix.lower() == ".parquet" and glob.has_magic(str(path))


def _from_hub(name: str) -> Any:
    """The rows of a data set on the hub, downloaded once into its cache. Raises DataError."""
    import datasets

    if is_offline():
        raise DataError(
            f"{name}: there is no such file or folder here (taken from {Path.cwd()}), and nothing is downloaded while "
            "offline. Check the path, or name the folder of a copy."
        )
    try:
        return _joined(datasets.load_dataset(name))
    except Exception as error:  # the hub's, the network's and the readers' errors share no base
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: there is no such file or folder here (taken from {Path.cwd()}), and the Hugging Face hub did not "
            f"give a data set of this name ({reason}). Check the path, or the name and the network."
        ) from None


def _check_columns(rows: Any, path: Path) -> None:
    """Raises DataError for a column that is missing, or whose type says that it holds something else."""
    columns = ", ".join(rows.column_names)
    for name in ("image", "label"):
        if name not in rows.column_names:
            raise DataError(f"{path} has no column {name!r}; found {columns or 'none'}.")
    if not _holds_pictures(rows.features["image"]):
        raise DataError(
            f"{path}: the column 'image' is of type {_type(rows.features['image'])}; encoded pictures are needed: "
            "the bytes of a PNG or JPEG file, its path, or Hugging Face's Image."
        )
    for name, kinds in _COLUMNS.items():
        if name in rows.column_names and not _is_one_of(rows.features[name], kinds):
            hint = "; write the words, such as 'happy', or make it a ClassLabel" if name == "label" else ""
            found = _type(rows.features[name])
            raise DataError(f"{path}: the column {name!r} must hold {' or '.join(kinds)}, found {found}{hint}.")
    if "landmarks68" in rows.column_names and "binary" not in _dtype(rows.features["landmarks68"]):
        found = _type(rows.features["landmarks68"])
        raise DataError(f"{path}: the column 'landmarks68' must hold bytes of float16, found {found}.")


def _holds_pictures(feature: Any) -> bool:
    import datasets

    if isinstance(feature, datasets.Image):
        return True
    if isinstance(feature, dict):
        return "bytes" in feature and _dtype(feature["bytes"]) in ("binary", "large_binary", "null")
    return _dtype(feature) in ("binary", "large_binary", "string", "large_string")


def _is_one_of(feature: Any, kinds: Sequence[str]) -> bool:
    dtype = _dtype(feature)
    if dtype == "null" or getattr(feature, "names", None) is not None:
        return dtype == "null" or _TEXT in kinds
    if dtype in ("string", "large_string"):
        return _TEXT in kinds
    return _NUMBER in kinds and bool(re.fullmatch(r"u?int\d+|float\d+|decimal.*", dtype))


def _dtype(feature: Any) -> str:
    return str(getattr(feature, "dtype", "") or "")


def _type(feature: Any) -> str:
    return _dtype(feature) if _dtype(feature) not in ("", "dict", "list") else re.sub(r"\s+", " ", str(feature))[:80]
