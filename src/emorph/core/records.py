"""What was done, a JSON line each, so that later stages read it from disk and never redo it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.types import Float32, Float64

RECORDS_FILE = "edits.jsonl"  # what was done lies beside the results
UNIT_RECORDS_FILE = "action_units.jsonl"  # the same of edits whose targets are no emotions that can be judged
TAIL_BYTES = 1 << 16

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face of a data set as its owners list it; what they do not tell is None.

    id: unique in its data set. path: of the picture, relative to the data set's root, with "/".
    label: the owners' code; 0 to 7 are AffectNet's emotions, 8 to 10 its None, Uncertain and Non-Face.
    valence, arousal: in [-1, 1]. box: left, top, right, bottom in picture px.
    landmarks: float32 (68, 2), x and y in picture px; not compared, because arrays have no single answer.
    split: "train", "val" or "test". source: the data set's name. attributes: the words that hold for this face.
    """

    id: str
    path: str
    label: int | None = None
    valence: float | None = None
    arousal: float | None = None
    box: Box | None = None
    landmarks: Float32 | None = field(default=None, compare=False, repr=False)
    identity: str | None = None
    split: str | None = None
    source: str = ""
    attributes: tuple[str, ...] = ()

    @property
    def emotion(self) -> Emotion | None:
        """The emotion it is labelled with; None without one of the eight."""
        return Emotion(self.label) if self.label is not None and 0 <= self.label < len(Emotion) else None


@dataclass(frozen=True)
class EditRecord:
    """One edited photo.

    id: unique in its file. source, edited: files, as given and as written. target: an emotion's word.
    strength: 0 is unchanged. steps: network evaluations in each direction. face, min_face_px: which faces were asked
    for. directions: eight digits that tell those of an autoencoder apart. detector, min_score: how faces were sought.
    n_faces, n_edited: faces that were found, and changed. score: the detector's, of the least sure that was changed.
    frame: of the source, from 1; 0 where it has but one. location_stripped: whether where the photo was taken was left
    out. kept, lost: what the edited file has of what the source's file held besides pixels, and what it has not. mask:
    polygons x, y, x, y, ... in photo pixels, outside which nothing was touched. losses: the networks that gave a loss
    while the model was trained, as its config.json names them. These four do not tell records apart. Records of older
    versions lack these from face on.
    """

    id: str
    source: str
    edited: str
    target: str
    strength: float
    editor: str
    model_id: str
    solver: str
    steps: int
    seconds: float
    face: str = ""
    min_face_px: int = 0
    directions: str = ""
    detector: str = ""
    min_score: float | None = None
    n_faces: int = 0
    n_edited: int = 0
    score: float | None = None
    frame: int = 0
    location_stripped: bool = False
    kept: tuple[str, ...] = field(default=(), compare=False)
    lost: tuple[str, ...] = field(default=(), compare=False)
    losses: tuple[dict[str, Any], ...] = field(default=(), compare=False)
    mask: tuple[tuple[int, ...], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Take JSON's lists as tuples."""
        for name in ("kept", "lost", "losses"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "mask", tuple(map(tuple, self.mask)))


def _nothing() -> Float64:
    return np.zeros(0)


@dataclass(frozen=True, eq=False, slots=True)
class SeenFace:
    """The face that was judged in one photo.

    id: of the photo's content (a source), or of its source's and its own content joined by "-" (an edit).
    trouble: why nothing can be measured, "" where all is well; the rest is empty then. size: (width, height).
    box, points, doubt: as in ``Landmarks``. descriptor: of dlib's network. gain: by which the levels of a dark photo
    were multiplied before judges looked at it, as ``emorph.core.exposure`` has it; of an edit its source's.
    points (68, 2) and descriptor (128,) are float64 arrays, which take a fifth of the memory of tuples.
    """

    id: str
    trouble: str = ""
    size: tuple[int, ...] = ()
    n_faces: int = 0
    box: tuple[int, ...] = ()
    points: Float64 = field(default_factory=_nothing)
    score: float = 0.0
    descriptor: Float64 = field(default_factory=_nothing)
    doubt: str = ""
    gain: float = 1.0

    def __post_init__(self) -> None:
        """Take lists as tuples and arrays. Raises TypeError or ValueError for what is no face."""
        for name in ("size", "box"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("points", "descriptor"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if not self.trouble and (len(self.size), len(self.box), self.points.shape) != (2, 4, (68, 2)):
            raise TypeError("neither 68 points nor a trouble")

    def __eq__(self, other: object) -> bool:
        """Whether all is equal, arrays number for number."""
        return isinstance(other, SeenFace) and _text(self) == _text(other)


@dataclass(frozen=True)
class ScoreRecord:
    """One number. id: of the face it is about, as in ``SeenFace``. judge: the judge's id, "" for plain geometry."""

    id: str
    metric: str
    value: float
    judge: str = ""

    def __post_init__(self) -> None:
        """Raises TypeError for what is no number of a face."""
        texts = (self.id, self.metric, self.judge)
        if type(self.value) not in (int, float) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"value {self.value!r} of {texts!r}")


@dataclass(frozen=True)
class Embedding:
    """What a recogniser makes of a face. id: as in ``SeenFace``. judge: the recogniser. values: of unit length."""

    id: str
    judge: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Take JSON's list as a tuple. Raises TypeError for what is no row of numbers."""
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or not all(type(value) in (int, float) for value in self.values):
            raise TypeError(f"no row of numbers of {self.id!r}")


Record = TypeVar("Record", EditRecord, SeenFace, ScoreRecord, Embedding)


def append(path: Path, records: Iterable[EditRecord | SeenFace | ScoreRecord | Embedding]) -> None:
    """Add records to a JSONL file, one line each, after its last whole one. Raises DataError if it cannot be written.

    A file that a stopped run left is mended first, see ``mend``: once, not at each call.
    """
    lines = [_text(record) + "\n" for record in records]
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        with contextlib.suppress(DataError):  # a full disk leaves half a line; the next call must not go on in it
            mend(path)
        raise DataError(f"{path} cannot be written ({error.strerror}); the pictures themselves were saved.") from None


def read(path: Path) -> list[EditRecord]:
    """All records of a file, without a last line that was cut off; of records with one id the last counts.

    Raises DataError naming the bad line, or if the file cannot be read.
    """
    return list({record.id: record for record in _records(path, EditRecord, "is not an edit record")}.values())


def read_finished(path: Path, kind: type[Record]) -> list[Record]:
    """All records of a file that a stopped run left: none if there is no file, without a last line that was cut off.

    Raises DataError naming a bad line.
    """
    return list(each_finished(path, kind))


def each_finished(path: Path, kind: type[Record]) -> Iterator[Record]:
    """As ``read_finished``, one after the other: for records that would fill the memory together."""
    if path.exists():
        yield from _records(path, kind, f"is no {kind.__name__}")


def mend(path: Path) -> None:
    """Cut off an unfinished last line, so that ``append`` starts a new one. Raises DataError."""
    if not path.exists():
        return
    last = _last_line(path)
    if not last:
        return
    try:
        with path.open("r+b") as file:
            if _is_cut(last):
                file.truncate(path.stat().st_size - len(last))
            else:
                file.seek(0, 2)
                file.write(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); check its permissions.") from None


def _records(path: Path, kind: type[Record], complaint: str) -> Iterator[Record]:
    """One record a line. Lines end where ``append`` ends them: other breaks, as U+2028, may stand in a file's name."""
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            record = kind(**json.loads(line))
            hash(record.id)
        except (ValueError, TypeError, RecursionError) as error:  # ValueError: also of bytes that are no UTF-8
            raise DataError(f"{path}, line {number} {complaint}: {error}; mend the line or take it out.") from None
        yield record


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file one by one, without a last one that was cut off. Raises DataError."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n") or not _is_cut(line):
                    yield line
    except OSError as error:
        raise _unreadable(path, error) from None


def _last_line(path: Path) -> bytes:
    """What stands after the last line's end; a file of gigabytes is not read for it. Raises DataError."""
    try:
        with path.open("rb") as file:
            start, last = file.seek(0, 2), b""
            while start and b"\n" not in last:
                size = min(TAIL_BYTES, start)
                start = file.seek(start - size)
                last = file.read(size) + last
    except OSError as error:
        raise _unreadable(path, error) from None
    return last.rpartition(b"\n")[2]


def _is_cut(last: bytes) -> bool:
    """Whether what stands after the last line's end is nothing, or the start of a line."""
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return True
    return False


def _text(record: EditRecord | SeenFace | ScoreRecord | Embedding) -> str:
    """A record's line, in ASCII: any file name survives."""
    return json.dumps(dataclasses.asdict(record), default=np.ndarray.tolist)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}); check its name and permissions.")
