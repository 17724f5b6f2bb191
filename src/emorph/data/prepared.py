"""A data set that emorph prepared, read as an index, so that it can be looked at and balanced like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emorph.core.errors import DataError, ImageError
from emorph.core.records import FaceRecord
from emorph.core.split_words import TESTS, split_word
from emorph.data.index import FaceIndex
from emorph.data.tables import FaceTable, is_table, open_table, picture_bytes

_OPTIONAL = ("id", "valence", "arousal", "identity", "split", "source")


def fits(root: Path) -> bool:
    """Whether ``root`` is in a form that ``datasets`` writes: Parquet, or a folder of its own."""
    return is_table(root)


def read(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """The rows of a prepared set, a picture each, whose bytes ``FaceIndex.pixels`` reads.

    A test set without a validation set counts as validation. landmarks: left where they are; FaceStore reads them.
    Raises DataError if it has no images or labels.
    """
    table = open_table(root)
    codes = table.label_codes(root)
    columns = {name: table.column(name) for name in _OPTIONAL if name in table.columns}
    pictures = table.rows.select_columns(["image"])
    index = FaceIndex(root, "prepared", aligned=True, encoded=lambda record: _image(pictures, record, table, root))
    has_val = "val" in map(split_word, columns.get("split", ()))
    for number, code in enumerate(codes):
        values: dict[str, Any] = {name: column[number] for name, column in columns.items()}
        for name in ("id", "identity"):
            values[name] = None if values.get(name) in (None, "") else str(values[name])
        values["id"] = values["id"] or str(number)
        values["source"] = values.get("source") or index.layout
        values["split"] = _split(values.get("split"), index, number, has_val=has_val)
        label = code if code >= 0 else None
        record = FaceRecord(path=str(number), label=label, **values)
        index.rows[record.split, label] += 1
        index.records.append(record)
    if not index.records:
        raise DataError(f"{root} holds no face; prepare it again.")
    return index


def _split(word: str | None, index: FaceIndex, row: int, *, has_val: bool) -> str | None:
    if word is not None and word.lower() in TESTS:
        if has_val:
            return "test"
        index.problems.add("test counted as validation", f"row {row}")
        return "val"
    return split_word(word)


def _image(pictures: Any, record: FaceRecord, table: FaceTable, root: Path) -> bytes:
    row = int(record.path)
    try:
        return picture_bytes(pictures[row]["image"], row, table, root)
    except DataError as error:
        raise ImageError(str(error)) from None
