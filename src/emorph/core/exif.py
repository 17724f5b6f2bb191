"""EXIF that is carried from a photo to its result: read from any file's block, and written as a block of its own.

Entries are copied as bytes, so that no text changes its encoding. Exif 2.32, 4.5 and 4.6; the blocks are TIFF's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_EXIF_BYTES = 32_768  # a JPEG holds 65,533, our own note among them
MAX_ENTRIES = 512
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_SOFTWARE, _USER_COMMENT, _MAKER_NOTE = 0x0131, 0x9286, 0x927C
_XMP, _IPTC = 0x02BC, 0x83BB  # where TIFF files have them
# Of the picture as a whole. Others tell how one file is laid out, or what orientation, size or thumbnail it had.
_KEPT = {
    *(0x010E, 0x010F, 0x0110, _SOFTWARE, 0x0132, 0x013B, 0x013C, 0x8298),  # what, made by what, when, by whom, whose
    *(0x4746, 0x4749, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # Windows' rating and texts
}
_NOT_KEPT = {_MAKER_NOTE, 0xA002, 0xA003, 0xA005}  # points into the old file; its width, height; what it must have been
_DAMAGE = (struct.error, IndexError, ValueError)


class Entry(NamedTuple):
    """A value as it stands in a file, in the block's byte order."""

    kind: int
    number: int
    value: bytes


@dataclass(frozen=True)
class Exif:
    """The entries of a picture, of how it was taken, and of where. order: "<" or ">". dropped: what is not carried."""

    order: str = "<"
    picture: dict[int, Entry] = field(default_factory=dict)
    taken: dict[int, Entry] = field(default_factory=dict)
    place: dict[int, Entry] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @classmethod
    def read(cls, block: bytes) -> Exif:
        """What a block, or a whole TIFF file, tells of its picture; of a damaged one what can be read."""
        block = block.removeprefix(b"Exif\0\0")
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
        if order is None:
            return cls(dropped=("EXIF",) if block and block[2:4] not in (b"+\0", b"\0+") else ())
        try:
            picture = _directory(block, struct.unpack_from(order + "I", block, 4)[0], order)
            taken, place = (_sub_directory(block, picture, tag, order) for tag in (_EXIF_IFD, _GPS_IFD))
        except _DAMAGE:
            return cls(dropped=("EXIF",))
        names = {"maker notes": _MAKER_NOTE in taken, "XMP": _XMP in picture, "IPTC": _IPTC in picture}
        found = cls(
            order,
            {tag: entry for tag, entry in picture.items() if tag in _KEPT},
            {tag: entry for tag, entry in taken.items() if tag not in _NOT_KEPT},
            place,
            tuple(name for name, is_there in names.items() if is_there),
        )
        if len(found.block()) <= MAX_EXIF_BYTES:
            return found
        return cls(dropped=("EXIF", *found.dropped))

    def block(self) -> bytes:
        """As one block, without the mark before it that JPEG has; b"" if there is nothing in it."""
        if not (self.picture or self.taken or self.place):
            return b""
        picture = dict(self.picture)
        for tag, entries in ((_EXIF_IFD, self.taken), (_GPS_IFD, self.place)):
            if entries:
                picture[tag] = Entry(_LONG, 1, bytes(4))
        start, parts = 8, list[bytes]()
        first = len(_written(picture, start, self.order))
        places = {}
        for tag, entries in ((_EXIF_IFD, self.taken), (_GPS_IFD, self.place)):
            if entries:
                places[tag] = start + first + len(b"".join(parts))
                parts.append(_written(entries, places[tag], self.order))
        for tag, offset in places.items():
            picture[tag] = Entry(_LONG, 1, struct.pack(self.order + "I", offset))
        head = b"II*\0" if self.order == "<" else b"MM\0*"
        return head + struct.pack(self.order + "I", start) + _written(picture, start, self.order) + b"".join(parts)

    @property
    def comment(self) -> bytes:
        """What somebody noted on the picture, with its character code; b"" for nothing."""
        entry = self.taken.get(_USER_COMMENT)
        return entry.value if entry and entry.value[8:].strip(b" \0") else b""

    def without_place(self) -> Exif:
        """The same, but for where it was taken."""
        return Exif(self.order, self.picture, self.taken, {}, self.dropped)

    def noted(self, software: str, comment: bytes) -> Exif:
        """With the program that wrote the file, and a comment in place of the one that is there; "", b"" change none.

        comment: with its character code, as Exif 2.32, 4.6.5 wants it.
        """
        picture, taken = dict(self.picture), dict(self.taken)
        if software:
            text = software.encode("ascii", "replace") + b"\0"
            picture[_SOFTWARE] = Entry(_ASCII, len(text), text)
        if comment:
            taken[_USER_COMMENT] = Entry(_UNDEFINED, len(comment), comment)
        return Exif(self.order, picture, taken, self.place, self.dropped)

    def with_dpi(self, dpi: tuple[float, float]) -> Exif:
        """With pixels an inch, for files that have no other place for them."""
        picture = dict(self.picture)
        for tag, value in zip((0x011A, 0x011B), dpi, strict=True):
            picture[tag] = Entry(5, 1, struct.pack(self.order + "2I", round(value * 1000), 1000))
        picture[0x0128] = Entry(3, 1, struct.pack(self.order + "H", 2))  # inches
        return Exif(self.order, picture, self.taken, self.place, self.dropped)


def dpi_of(found: object) -> tuple[float, float] | None:
    """Pixels an inch as Pillow tells them, if they can be true: an aspect ratio alone is told as 1 and 1."""
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 1 < across <= 30_000 and 1 < down <= 30_000 else None


def _sub_directory(block: bytes, picture: Mapping[int, Entry], tag: int, order: str) -> dict[int, Entry]:
    if tag not in picture or len(picture[tag].value) != 4:
        return {}
    return _directory(block, struct.unpack(order + "I", picture[tag].value)[0], order)


def _directory(block: bytes, start: int, order: str) -> dict[int, Entry]:
    """The entries that lie in the block whole. Raises struct.error where not even their number does."""
    (n_entries,) = struct.unpack_from(order + "H", block, start)
    entries = {}
    for i in range(min(n_entries, MAX_ENTRIES)):
        at = start + 2 + 12 * i
        if at + 12 > len(block):
            break
        tag, kind, count = struct.unpack_from(order + "HHI", block, at)
        size = _TYPE_BYTES.get(kind, 0) * count
        where = at + 8 if size <= 4 else struct.unpack_from(order + "I", block, at + 8)[0]
        value = bytes(block[where : where + size]) if size <= len(block) else b""
        if size and len(value) == size:
            entries[tag] = Entry(kind, count, value)
    return entries


def _written(entries: Mapping[int, Entry], start: int, order: str) -> bytes:
    """A directory that will stand at ``start``, and the values that do not fit into it."""
    table, values = struct.pack(order + "H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        place = entry.value.ljust(4, b"\0")
        if len(entry.value) > 4:
            place = struct.pack(order + "I", after + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
        table += struct.pack(order + "HHI", tag, entry.kind, entry.number) + place
    return table + bytes(4) + values
