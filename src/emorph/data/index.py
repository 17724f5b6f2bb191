"""What a reader makes of a data set: its faces, how many rows of each kind it lists, and what is wrong with them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from emorph.core.decode import decode, opened
from emorph.core.errors import DataError, ImageError
from emorph.core.expressions import Emotion
from emorph.core.images import READABLE_SUFFIXES
from emorph.core.records import FaceRecord
from emorph.core.types import UInt8

N_EXAMPLES = 5
_UPWARDS = re.compile(r"(^|/)\.\.(/|$)")
_DRIVE = re.compile(r"[A-Za-z]:")
CODE_NAMES = (*(emotion.title for emotion in Emotion), "None", "Uncertain", "Non-Face")

# kind of problem -> what is done about it
KINDS: dict[str, str] = {
    "missing file": "left out",
    "unreadable file": "left out",
    "missing annotation": "left out",
    "unreadable annotation": "left out",
    "malformed row": "left out",
    "unknown label": "left out",
    "path outside the data set": "left out",
    "duplicate row": "left out; the first counts",
    "contradicting row": "left out; the first counts",
    "in both lists": "left out of training",
    "no emotion (codes 8 to 10)": "not among the eight classes",
    "valence/arousal -2": "valence and arousal dropped",
    "valence/arousal out of range": "valence and arousal dropped",
    "negative box": "box dropped",
    "box outside the picture": "box dropped",
    "bad landmarks": "landmarks dropped",
    "several faces in one file": "each kept, with its own box",
    "looks like another picture": "kept; the first of each group is not counted",
    "looks like a picture of the other list": "kept; validation is easier than it seems",
    "folder that names no emotion": "left out",
    "unknown split": "split left open, as without one",
    "test counted as validation": "kept in val",
    "empty class": "has no face to train with",
    "file that is not a picture": "left out",
}


@dataclass
class Problem:
    """How often one kind of problem was met, and its first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Problems:
    """Problems by kind, in the order of ``KINDS``."""

    def __init__(self) -> None:
        self._by_kind: dict[str, Problem] = {}

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Count a problem. kind: a key of ``KINDS``. example: where it was met, and what was found."""
        problem = self._by_kind.setdefault(kind, Problem())
        problem.count += count
        if len(problem.examples) < N_EXAMPLES:
            problem.examples.append(example)

    def by_kind(self) -> dict[str, Problem]:
        """The problems that were met."""
        return {kind: self._by_kind[kind] for kind in KINDS if kind in self._by_kind}

    def count(self, kind: str) -> int:
        """How often a kind was met."""
        return self._by_kind[kind].count if kind in self._by_kind else 0


@dataclass
class FaceIndex:
    """The faces of one data set.

    root: what the records' paths are relative to. layout: the reader's name. rows: listed rows by (split, code)
    before anything was left out; code is None where a row has no label. records: the faces that remain, codes 8 to 10
    among them. checked: whether the files were looked at.
    aligned: whether the pictures are FFHQ squares already. encoded: the bytes of a record's picture,
    where the pictures are no files of their own.
    """

    root: Path
    layout: str
    records: list[FaceRecord] = field(default_factory=list)
    rows: Counter[tuple[str | None, int | None]] = field(default_factory=Counter)
    problems: Problems = field(default_factory=Problems)
    checked: bool = False
    aligned: bool = False
    encoded: Callable[[FaceRecord], bytes] | None = None

    def usable(self) -> list[FaceRecord]:
        """The faces to train with: those of the eight emotions, and those without any label."""
        return [record for record in self.records if record.label is None or record.emotion is not None]

    def pixels(self, record: FaceRecord) -> UInt8:
        """The picture of a record, uint8 (H, W, 3) RGB, upright. Raises ImageError."""
        if self.encoded is not None:
            return decode_bytes(self.encoded(record), record.id)
        with opened(self.root / record.path) as image:
            return decode(image, record.path)[0]


def decode_bytes(encoded: bytes, name: str) -> UInt8:
    """An encoded picture in memory as uint8 (H, W, 3) RGB. Raises ImageError."""
    import cv2  # here, because a run on faces in memory does without it

    pixels: UInt8 | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB) if encoded else None
    if pixels is None:
        raise ImageError(f"the picture of {name} cannot be decoded; prepare the data set again.")
    return pixels


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; what is a folder is told by the listing, without a look at each file."""
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def is_picture(name: str) -> bool:
    """Whether a file name has the suffix of a picture."""
    return PurePosixPath(name).suffix.lower() in READABLE_SUFFIXES


def inside(path: str) -> bool:
    """Whether a listed path stays below the folder it is relative to."""
    if not path or path[0] == "/" or "\0" in path or _DRIVE.match(path):
        return False
    return ".." not in path or not _UPWARDS.search(path)


def read_text(path: Path) -> str:
    """A list that came with the data set. Raises DataError if it cannot be read as UTF-8 text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"{path} cannot be read ({reason}); copy it again from the data set.") from None


def unit_pair(valence: float, arousal: float, name: str, problems: Problems) -> tuple[float | None, float | None]:
    """Valence and arousal if both are in [-1, 1]; AffectNet's -2, which means "none", and others are counted."""
    if -1 <= valence <= 1 and -1 <= arousal <= 1:
        return valence, arousal
    kind = "valence/arousal -2" if -2 in (valence, arousal) else "valence/arousal out of range"
    problems.add(kind, f"{name}: {valence:g}, {arousal:g}")
    return None, None
