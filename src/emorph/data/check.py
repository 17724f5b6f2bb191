"""Whether the pictures that a data set lists are there and whole, without decoding those that look so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from emorph.core.decode import check_size, decode, opened
from emorph.core.errors import DataError, ImageError
from emorph.core.records import FaceRecord
from emorph.data.index import FaceIndex

THREADS = 8  # files are waited for, not computed
TAIL_BYTES = 64
MISSING = "missing"
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # first two bytes of JPEG, PNG -> last bytes when whole


def check_files(index: FaceIndex, on_step: Callable[[int, int], None] | None = None) -> None:
    """Leave out the records of ``index`` whose pictures are missing or cut short, and count them as problems.

    A JPEG or PNG with a sound head and its end mark counts as whole; any other is decoded. Boxes that lie outside their
    picture are dropped. on_step: called with files done and files in all.
    Raises DataError if not one file is there: then the photos are elsewhere, not missing.
    """
    index.checked = True
    if index.encoded is not None:
        return
    groups = [(path, list(records)) for path, records in groupby(index.records, lambda record: record.path)]
    kept: list[FaceRecord] = []
    n_missing = 0
    for done, ((path, records), found) in enumerate(zip(groups, _look_at(index.root, groups), strict=True), 1):
        if isinstance(found, str):
            kind = "missing file" if found == MISSING else "unreadable file"
            n_missing += found == MISSING
            index.problems.add(kind, path if found == MISSING else f"{path}: {found}", len(records))
        else:
            kept += [_with_sound_box(record, found, index) for record in records]
        if on_step is not None and (done % 256 == 0 or done == len(groups)):
            on_step(done, len(groups))
    if groups and n_missing == len(groups):
        raise DataError(
            f"{index.root}: none of the {len(groups):,} listed pictures is there, the first would be {groups[0][0]}; "
            "unpack them beside the lists, or scan with --no-files."
        )
    index.records = kept


def _look_at(root: Path, groups: Iterable[tuple[str, object]]) -> Iterator[tuple[int, int] | str]:
    """Width and height of each picture, or MISSING, or what is wrong with it, in order."""
    with ThreadPoolExecutor(THREADS) as threads:
        yield from threads.map(lambda group: _size(root / group[0]), groups)


def _size(path: Path) -> tuple[int, int] | str:
    try:
        if not path.is_file():
            return MISSING
        with opened(path) as image:
            check_size(image.size, path.name)
            if not _ends_well(path):
                decode(image, path.name)
            return image.size[0], image.size[1]
    except ImageError as error:
        return str(error)
    except OSError as error:  # a folder without permission, a disk that fails
        return f"cannot be read ({error.strerror})"


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        end = _ENDS.get(file.read(2))
        file.seek(max(0, path.stat().st_size - TAIL_BYTES), os.SEEK_SET)
        return end is not None and file.read().rstrip(b"\0").endswith(end)


def _with_sound_box(record: FaceRecord, size: tuple[int, int], index: FaceIndex) -> FaceRecord:
    if record.box is None:
        return record
    left, top, right, bottom = record.box
    if left < size[0] and top < size[1] and right > 0 and bottom > 0:
        return record
    index.problems.add("box outside the picture", f"{record.id}: {record.box} in {size[0]}x{size[1]}")
    return replace(record, box=None)
