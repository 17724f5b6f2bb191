"""Whether the pictures that a data set lists are there and whole, and, if asked, which of them look the same."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from emorph.core.decode import check_size, decode, opened
from emorph.core.errors import DataError, ImageError
from emorph.core.files import said_of
from emorph.core.records import FaceRecord
from emorph.core.types import OnStep
from emorph.data.duplicates import copies, draft
from emorph.data.index import FaceIndex
from emorph.data.splits import picture_hash

THREADS = 8  # files are waited for, not computed
GIVEN_OUT = 512
TAIL_BYTES = 64
MISSING = "missing"
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # first two bytes of JPEG, PNG -> last bytes when whole

T = TypeVar("T")
Seen = TypeVar("Seen")


def check_files(index: FaceIndex, on_step: OnStep | None = None, *, look_alikes: bool = False) -> None:
    """Leave out the records of ``index`` whose pictures are missing or cut short, and count them as problems.

    A JPEG or PNG with a sound head and its end mark counts as whole; any other, and all of a prepared set, is decoded.
    Boxes that lie outside their picture are dropped. look_alikes: decode all of them, as small as may be, and count
    those that look like another.
    on_step: called with files done and files in all.
    Raises DataError if not one file is there: then the photos are elsewhere, not missing.
    """
    index.checked = True
    if index.encoded is not None:
        _check_encoded(index, on_step, look_alikes=look_alikes)
        return
    by_path: dict[str, list[FaceRecord]] = {}  # the faces of one file need not be neighbours
    for record in index.records:
        by_path.setdefault(record.path, []).append(record)
    groups = list(by_path.items())
    sizes: dict[str, tuple[int, int]] = {}
    looks: list[bytes | None] = []
    seen: list[list[FaceRecord]] = []
    n_missing = 0
    for done, ((path, records), seen_file) in enumerate(
        zip(groups, _look_at(index.root, groups, look_alikes), strict=True), 1
    ):
        if isinstance(seen_file, str):
            kind = "missing file" if seen_file == MISSING else "unreadable file"
            n_missing += seen_file == MISSING
            index.problems.add(kind, path if seen_file == MISSING else said_of(path, seen_file), len(records))
        else:
            sizes[path] = seen_file.size
            looks.append(seen_file.look)
            seen.append(records)
        if on_step is not None and (done % 256 == 0 or done == len(groups)):
            on_step(done, len(groups))
    if groups and n_missing == len(groups):
        raise DataError(
            f"{index.root}: none of the {len(groups):,} listed pictures is there, the first would be {groups[0][0]}; "
            "unpack them beside the lists, or scan with --no-files."
        )
    index.records = [_with_sound_box(r, sizes[r.path], index) for r in index.records if r.path in sizes]
    if look_alikes:
        count_look_alikes(index, seen, looks)


def count_look_alikes(
    index: FaceIndex, pictures: Sequence[Sequence[FaceRecord]], looks: Sequence[bytes | None]
) -> None:
    """Count as problems the pictures that look like another, and those of them that are on both sides of the division.

    pictures: the records of each; looks: its hash, or None.
    """
    for group in copies(looks):
        first, *others = ([*pictures[i]] for i in group.members)
        for records in others:
            name = f"{_name(index, records[0])} looks like {_name(index, first[0])}"
            index.problems.add("looks like another picture", f"{name} ({group.bits} of 256 bits differ at most)")
        sides = {record.split for i in group.members for record in pictures[i]}
        if {"train", "val"} <= sides:
            for i in group.members:
                if (record := pictures[i][0]).split == "val":
                    index.problems.add("looks like a picture of the other list", _name(index, record))


def _name(index: FaceIndex, record: FaceRecord) -> str:
    return record.path if index.encoded is None else record.id


def _check_encoded(index: FaceIndex, on_step: OnStep | None, *, look_alikes: bool) -> None:
    """Decode each picture of a prepared set."""

    def look(record: FaceRecord) -> bytes | ImageError | None:
        try:
            pixels = index.pixels(record)
        except ImageError as error:
            return error
        return picture_hash(pixels) if look_alikes else None

    kept: list[FaceRecord] = []
    looks: list[bytes | None] = []
    for done, (record, answer) in enumerate(zip(index.records, _by_threads(look, index.records), strict=True), 1):
        if isinstance(answer, ImageError):
            index.problems.add("unreadable file", str(answer))
        else:
            kept.append(record)
            looks.append(answer)
        if on_step is not None and (done % 256 == 0 or done == len(index.records)):
            on_step(done, len(index.records))
    index.records = kept
    if look_alikes:
        count_look_alikes(index, [[record] for record in kept], looks)


@dataclass(frozen=True)
class _Found:
    """A picture that is there. size: width and height. look: its perceptual hash, if asked for and if it has one."""

    size: tuple[int, int]
    look: bytes | None


def _look_at(root: Path, groups: Iterable[tuple[str, object]], with_look: bool) -> Iterator[_Found | str]:
    """What each picture is, or MISSING, or what is wrong with it, in order."""
    return _by_threads(lambda group: _open(root / group[0], with_look), groups)


def _by_threads(look: Callable[[T], Seen], items: Iterable[T]) -> Iterator[Seen]:
    """What is seen of each item, in order; few are given out at once, as each takes kilobytes until it is done."""
    left = iter(items)
    with ThreadPoolExecutor(THREADS) as threads:
        while part := list(itertools.islice(left, GIVEN_OUT)):
            yield from threads.map(look, part)


def _open(path: Path, with_look: bool) -> _Found | str:
    try:
        if not path.is_file():
            return MISSING
        with opened(path) as image:
            size = image.size[0], image.size[1]
            check_size(size, path.name)
            whole = _ends_well(path)
            if with_look and whole:
                draft(image)
            pixels = decode(image, path.name)[0] if with_look or not whole else None
            return _Found(size, picture_hash(pixels) if pixels is not None and with_look else None)
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
