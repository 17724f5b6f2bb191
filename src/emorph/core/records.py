"""What was done, a JSON line each, so that later stages read it from disk and never redo it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.types import Float32

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face of a data set as its owners list it; what they do not tell is None.

    id: unique in its data set. path: of the picture, relative to the data set's root, with "/".
    label: the owners' code; 0 to 7 are AffectNet's emotions, 8 to 10 its None, Uncertain and Non-Face.
    valence, arousal: in [-1, 1]. box: left, top, right, bottom in picture px.
    landmarks: float32 (68, 2), x and y in picture px; not compared, because arrays have no single answer.
    split: "train" or "val". source: the data set's name. attributes: the words that hold for this face.
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
    strength: 0 is unchanged. steps: network evaluations in each direction.
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


def append(path: Path, records: Iterable[EditRecord]) -> None:
    """Add records to a JSONL file, one line each. Raises DataError if it cannot be written."""
    lines = [json.dumps(dataclasses.asdict(record)) + "\n" for record in records]  # ASCII: any file name survives
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); the pictures it tells of are there.") from None


def read(path: Path) -> list[EditRecord]:
    """All records of a file; of records with one id the last counts. Raises DataError naming the bad line."""
    by_id: dict[str, EditRecord] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = EditRecord(**json.loads(line))
        except (json.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}, line {number} is not an edit record: {error}.") from None
        by_id[record.id] = record
    return list(by_id.values())
