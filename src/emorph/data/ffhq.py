"""FFHQ: 70,000 aligned faces, numbered, flat or in folders of a thousand (Karras et al. 2018)."""

from __future__ import annotations

import re
from pathlib import Path

from emorph.core.errors import DataError
from emorph.core.records import FaceRecord
from emorph.data.index import FaceIndex

FOLDERS = ("images1024x1024", "thumbnails128x128", "images256x256", ".")
FIRST_VALIDATION = 60_000  # its README: the first 60,000 for training, the remaining 10,000 for validation
_NUMBERED = re.compile(r"(\d{5})\.(png|jpg|jpeg|webp)", re.IGNORECASE)


def fits(root: Path) -> bool:
    """Whether ``root`` holds pictures named by five digits, itself or in one of the published folders."""
    return _folder(root) is not None


def read(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """All numbered pictures, in order; numbers that are missing up to the highest are counted.

    landmarks: there are none. Raises DataError if there is no picture.
    """
    folder = _folder(root)
    if folder is None:
        raise DataError(f"{root} holds no picture named like 00000.png.")
    index = FaceIndex(root, "ffhq", aligned=True)
    by_number: dict[int, Path] = {}
    for path in sorted([*folder.iterdir(), *folder.glob("[0-9]*/*")]):
        match = _NUMBERED.fullmatch(path.name)
        if match is None:
            if path.is_file():
                index.problems.add("file that is not a picture", path.relative_to(root).as_posix())
        elif int(match[1]) in by_number:
            index.problems.add("duplicate row", path.relative_to(root).as_posix())
        else:
            by_number[int(match[1])] = path
    for number in range(max(by_number) + 1):
        split = "val" if number >= FIRST_VALIDATION else "train"
        index.rows[split, None] += 1
        if number in by_number:
            name = by_number[number].relative_to(root).as_posix()
            index.records.append(FaceRecord(f"{number:05d}", name, split=split, source=index.layout))
        else:
            index.problems.add("missing file", f"{number:05d}")
    return index


def _folder(root: Path) -> Path | None:
    for name in FOLDERS:
        folder = root / name
        if folder.is_dir() and (_has_numbered(folder) or any(_has_numbered(f) for f in _thousands(folder))):
            return folder
    return None


def _thousands(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[0-9][0-9][0-9][0-9][0-9]") if path.is_dir()]


def _has_numbered(folder: Path) -> bool:
    return any(_NUMBERED.fullmatch(path.name) for path in folder.iterdir())
