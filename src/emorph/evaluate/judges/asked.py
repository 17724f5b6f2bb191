"""What a run asks about faces: judges of emotions, encoders that turn a face into numbers, comparers of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.expressions import Emotion
from emorph.core.images import to_pixels
from emorph.core.records import Embedding, ScoreRecord
from emorph.core.types import CropSpec, Float32, Float64, Landmarks, Photo, UInt8
from emorph.evaluate.judges.crops import arcface_crop, box_crop, emonet_crop
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.takes import Takes
from emorph.faces.align import align
from emorph.models.deca import crop_face

PROBABILITY = "probability_"  # + an emotion's word
AFFECT = ("valence", "arousal")
DIGITS = 6  # of what is written down
COMPARED_PX = 256  # side of the pictures that networks compare
POINTS_PX = 384  # side of the square that landmarks are written in
POINTS_MARGIN = 1.8  # of that square over the landmarks' box

Crop = NDArray[Any]
Role = Literal["recogniser", "face model", "features"]


@dataclass(frozen=True)
class CropPlan:
    """How a judge wants its face cut out; plain enough to be handed to another process."""

    kind: Literal["ffhq", "box", "emonet", "arcface", "deca", "points"]
    side_px: int
    spec: CropSpec = field(default_factory=CropSpec)

    def cut(self, photo: Photo, landmarks: Landmarks) -> Crop:
        """The face, uint8 (S, S, 3) RGB; of "points" the landmarks, float32 (68, 2), in pixels of a square around them.

        Raises NoFaceError or ShapeError for a face that cannot be cut out.
        """
        if self.kind == "ffhq":
            return align(photo, landmarks, self.side_px, self.spec).pixels
        if self.kind == "box":
            return box_crop(photo, landmarks, self.side_px)
        if self.kind == "arcface":
            return arcface_crop(photo, landmarks)
        if self.kind == "deca":
            picture: UInt8 = to_pixels(crop_face(photo, landmarks.points)[0])[0]
            return picture
        if self.kind == "points":
            return _in_square(landmarks.points, self.side_px)
        return emonet_crop(photo, landmarks)


def _in_square(points: Float32, side_px: int) -> Float32:
    low, high = points.min(axis=0), points.max(axis=0)
    step = max(float((high - low).max()) * POINTS_MARGIN, 1.0) / side_px
    found: Float32 = ((points - (low + high) / 2) / step + (side_px - 1) / 2).astype(np.float32)
    return found


@dataclass(frozen=True)
class PanelJudge:
    """A judge of emotions. id: its name and the first digits of its file's SHA-256.

    emotions: it tells apart. plan: how it wants its face cut out. answer: from what the plan cuts out, n faces stacked
    (crops uint8 (n, S, S, 3), or landmarks), to the numbers (n, len(outputs)).
    trained_on: data sets with their splits, as far as its card says. has_va: it tells valence and arousal, too.
    card: for people. fingerprint: of its weights, "" where it is not known.
    """

    id: str
    emotions: tuple[Emotion, ...]
    plan: CropPlan
    answer: Callable[[Any], Float64]
    trained_on: tuple[str, ...] = ()
    has_va: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it answers: a probability of each emotion, then perhaps valence and arousal."""
        return (*(PROBABILITY + emotion.word for emotion in self.emotions), *(AFFECT if self.has_va else ()))

    def judge(self, ids: Sequence[str], crops: Crop) -> list[ScoreRecord]:
        """Its answers for the crops of these faces. Raises ShapeError if they are not as its emotions say."""
        answers = self.answer(crops)
        if np.shape(answers) != (len(ids), len(self.outputs)):
            raise ShapeError(
                f"the judge {self.id} must answer ({len(ids)}, {len(self.outputs)}) numbers, of each face "
                f"{', '.join(self.outputs)}; found {np.shape(answers)}."
            )
        rows = zip(ids, answers, strict=True)
        return [
            ScoreRecord(id, name, round(float(value), DIGITS), self.id)
            for id, row in rows
            for name, value in zip(self.outputs, row, strict=True)
        ]


@dataclass(frozen=True)
class PanelEncoder:
    """What turns a face into a row of numbers; the rest as in ``PanelJudge``.

    answer: from crops to rows (n, D): of a recogniser unit vectors; of a face model 1 or 0 for whether the fit can be
    trusted, then shape, expression and pose; of a network for FID its features.
    """

    id: str
    plan: CropPlan
    answer: Callable[[Any], Float32]
    trained_on: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "recogniser"
    fingerprint: str = ""

    def encode(self, ids: Sequence[str], crops: Crop) -> list[Embedding]:
        """Its rows for the crops of these faces."""
        rows = zip(ids, self.answer(crops), strict=True)
        return [Embedding(id, self.id, tuple(round(float(v), DIGITS) for v in row)) for id, row in rows]


@dataclass(frozen=True)
class PanelComparer:
    """A distance of two pictures that needs a network's weights.

    name: as ``emorph.evaluate.metrics.table.by_network`` has it; metrics: those that are answered by it.
    answer: from pictures uint8 (n, S, S, 3), twice, to distances (n,).
    """

    id: str
    name: str
    answer: Callable[[UInt8, UInt8], Float64]
    metrics: tuple[Metric, ...]
    card: Mapping[str, Any] = field(default_factory=dict)

    def compare(self, ids: Sequence[str], takes: Takes, a: UInt8, b: UInt8) -> list[ScoreRecord]:
        """Distances of the edits ``ids`` from their sources, of equal pictures without asking the network."""
        rows = [row for row in self.metrics if row.takes == takes]
        if not rows:
            return []
        asked = np.array([not np.array_equal(x, y) for x, y in zip(a, b, strict=True)])
        asked |= any(row.of_itself is None for row in rows)
        values = np.full(len(ids), np.nan)
        if asked.any():
            values[asked] = self.answer(a[asked], b[asked])
        return [
            ScoreRecord(
                id,
                row.name,
                round(float(row.of_itself if np.isnan(v) and row.of_itself is not None else v), DIGITS),
                self.id,
            )
            for row in rows
            for id, v in zip(ids, values, strict=True)
        ]


@dataclass(frozen=True)
class NotMeasured:
    """A judge or metric that is not there. why: "needs X, get it with Y"."""

    name: str
    why: str
