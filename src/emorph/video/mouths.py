"""The mouths that an edit opens, closes or moves along a film: painted several at a time, and steadied over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.errors import NoFaceError
from emorph.core.types import AlignedFace, Float32, Float64, Photo, Target, UInt8
from emorph.edit.change import CropChange
from emorph.edit.mouth_change import CLOSED_GAP, MouthChange
from emorph.edit.mouth_light import noise_of
from emorph.edit.painted_mouth import UnpaintedMouth, lay_over, painted_mouths, unpainted_mouth
from emorph.faces.mouth_crop import lip_gap
from emorph.faces.warp import carried_each
from emorph.models.painter import Painter
from emorph.video.draw import of_sum, shares_by_time
from emorph.video.smooth import smoothed

STEPS = 5  # evaluations of the painter: what is averaged over frames gains nothing by more
GAP_ALIKE = 0.1  # units of the face: paintings of lips whose gaps differ by so much have six tenths of a say
TALK_S = 0.3  # standard deviation of the window over which it is told how far a mouth is usually open
TALKING_GAP, OPEN_GAP = 0.12, 0.18  # the same, units of the face: of its own inside nothing, and all, is kept


@dataclass(frozen=True)
class OpenMouth:
    """A mouth that is to be painted.

    moved: the pixels (H, W, 3) that the painter sees. share: in (0, 1], how much of its painting is taken.
    """

    change: MouthChange
    unpainted: UnpaintedMouth
    moved: UInt8
    share: float


@dataclass(frozen=True)
class PaintedMouth:
    """The same with what was painted, levels (h, w, 3) of its crop."""

    mouth: OpenMouth
    levels: Float32


def own_inside(points: Float64, times_s: Float64) -> Float64:
    """How much of a mouth's own inside is kept in each frame, (n,) in [0, 1], where an edit opens it further.

    points: (n, 68, 2) px of a track; times_s: (n,). A mouth that talks opens and closes several times a second. Judged
    frame by frame, as a photo is, the teeth that are painted and its own dark would take turns.
    """
    gaps = np.array([lip_gap(each) for each in points])
    usual = np.clip((smoothed(times_s, gaps, TALK_S) - TALKING_GAP) / (OPEN_GAP - TALKING_GAP), 0, 1)
    kept: Float64 = usual * np.clip(gaps / CLOSED_GAP - 1, 0, 1)
    return kept


def open_mouth(
    painter: Painter,
    face: AlignedFace,
    change: CropChange,
    moved: UInt8,
    targets: Sequence[Target],
    whites: float,
    own: float,
) -> OpenMouth | None:
    """The mouth of a face that a change moves; None if its lips touch before and after, or it has left the picture.

    moved: the photo's pixels with the face moved. targets: that the face shows. whites: of ``face_whites``. own: of
    ``own_inside``.
    """
    if change.landmarks is None:
        return None
    mouth = MouthChange.in_crop(face, change.landmarks)
    share = mouth.share_inside
    if share <= 0:
        return None
    emotions = max(targets, key=lambda target: abs(target.strength)).weights
    light = mouth.light_of(emotions)
    light = None if light is None else light * whites
    try:
        unpainted = unpainted_mouth(moved, mouth, painter, light, own, seed=noise_of(emotions))
    except NoFaceError:
        return None
    return OpenMouth(mouth, unpainted, moved, share)


def painted(painter: Painter, mouths: Sequence[OpenMouth]) -> list[PaintedMouth]:
    """The mouths, painted as one batch."""
    if not mouths:
        return []
    levels = painted_mouths([mouth.unpainted for mouth in mouths], painter, steps=STEPS)
    return [PaintedMouth(mouth, each) for mouth, each in zip(mouths, levels, strict=True)]


def with_mouth(photo: Photo, own: PaintedMouth, around: Sequence[tuple[float, PaintedMouth]]) -> Photo:
    """The photo with a mouth painted over: with the mean of what was painted in the frames around it.

    around: mouths of the same track, its own among them, and how many seconds after it each comes. The painter paints
    each frame's teeth and tongue a little otherwise; they are carried along by the lips, where these are as far open.
    """
    goals, gap = _points(own), lip_gap(own.mouth.change.after)
    shares = shares_by_time([apart_s for apart_s, _ in around])
    gaps = np.array([lip_gap(other.mouth.change.after) for _, other in around])
    shares = of_sum(shares * np.exp(-0.5 * ((gaps - gap) / GAP_ALIKE) ** 2))
    kept = [(share, other) for share, (_, other) in zip(shares, around, strict=True) if share]
    paintings = carried_each([other.levels for _, other in kept], [_points(other) for _, other in kept], goals)
    mean = np.zeros_like(own.levels)
    for (share, _), painting in zip(kept, paintings, strict=True):
        mean += np.float32(share) * painting
    return lay_over(photo, own.mouth.moved, own.mouth.unpainted, mean, share=own.mouth.share)


def _points(painting: PaintedMouth) -> np.ndarray:
    """Its landmarks (68, 2) in its crop's px."""
    return painting.mouth.unpainted.crop.points(painting.mouth.change.after)
