"""A data set that emorph prepared, read as an index, so that it can be looked at and balanced like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emorph.core.errors import DataError
from emorph.core.records import FaceRecord
from emorph.data.index import FaceIndex

_OPTIONAL = ("id", "valence", "arousal", "identity", "split", "source")


def fits(root: Path) -> bool:
    """Whether ``root`` is a Parquet file or a folder that ``datasets`` saved."""
    return root.suffix.lower() == ".parquet" if root.is_file() else (root / "state.json").is_file()


def read(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """The rows of a prepared set, a picture each, whose bytes ``FaceIndex.pixels`` reads.

    landmarks: left where they are; FaceStore reads them. Raises DataError if it has no images or labels.
    """
    from emorph.data.store import label_codes, open_table  # brings torch, which no other reader needs

    table = open_table(root)
    missing = {"image", "label"} - set(table.column_names)
    if missing:
        raise DataError(f"{root} has no column {sorted(missing)[0]!r}; found {', '.join(table.column_names)}.")
    codes = label_codes(table["label"][:], root)
    columns = {name: table[name][:] for name in _OPTIONAL if name in table.column_names}
    pictures = table.select_columns(["image"])
    index = FaceIndex(root, "prepared", aligned=True, encoded=lambda record: _image(pictures, record))
    for number, code in enumerate(codes):
        values: dict[str, Any] = {name: column[number] for name, column in columns.items()}
        values["id"] = values.get("id") or str(number)
        values["source"] = values.get("source") or index.layout
        label = code if code >= 0 else None
        record = FaceRecord(path=str(number), label=label, **values)
        index.rows[record.split, label] += 1
        index.records.append(record)
    if not index.records:
        raise DataError(f"{root} holds no face; prepare it again.")
    return index


def _image(table: Any, record: FaceRecord) -> bytes:
    encoded: bytes = table[int(record.path)]["image"]
    return encoded
