"""The list beside photos that were taken out of a data set: of which split each is, and whose face it shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from emorph.core.csv_rows import read_rows
from emorph.core.files import replace_file

LIST_FILE = "photos.csv"


@dataclass(frozen=True)
class ListedPhoto:
    """One photo. file: its name in the folder. split: train, val or test, "" if unknown. identity: "" if unknown.

    label: an emotion's word or "". data: the set's name and the row, for people.
    """

    file: str
    split: str = ""
    identity: str = ""
    label: str = ""
    data: str = ""


_COLUMNS = tuple(field.name for field in fields(ListedPhoto))


def write_list(folder: Path, photos: Iterable[ListedPhoto]) -> Path:
    """Write the list into the photos' folder, whole. Returns its path. Raises OSError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(photo) for photo in photos)
    replace_file(folder / LIST_FILE, text.getvalue().encode())
    return folder / LIST_FILE


def read_list(folder: Path) -> dict[str, ListedPhoto]:
    """The photos of a folder's list by name; none where the folder has no list. Raises DataError for a damaged one."""
    path = folder / LIST_FILE
    if not path.is_file():
        return {}
    rows = (row.cells for row in read_rows(path, ("file", "split")))
    listed = [ListedPhoto(**{name: cells.get(name, "") for name in _COLUMNS}) for cells in rows]
    return {photo.file: photo for photo in listed}
