"""The mouths that an edit opens, closes or moves along a film, painted several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emorph.core.types import AlignedFace, Photo, Target, UInt8
from emorph.edit.change import CropChange
from emorph.edit.mouth_light import light_of
from emorph.edit.painted_mouth import MouthChange, UnpaintedMouth, lay_over, painted_mouths, unpainted_mouth
from emorph.faces.mouth_crop import is_shut, lip_gap
from emorph.models.painter import Painter


@dataclass(frozen=True)
class OpenMouth:
    """A mouth that is to be painted.

    moved: the pixels (H, W, 3) that the painter sees. share: in (0, 1], how much of its painting is taken.
    """

    unpainted: UnpaintedMouth
    moved: UInt8
    share: float


def open_mouth(
    painter: Painter,
    face: AlignedFace,
    change: CropChange,
    moved: UInt8,
    targets: Sequence[Target],
    whites: float,
) -> OpenMouth | None:
    """The mouth of a face that a change moves; None if its lips touch before and after.

    moved: the photo's pixels with the face moved. targets: that the face shows. whites: of ``face_whites``.
    """
    if change.landmarks is None:
        return None
    mouth = MouthChange.in_crop(face, change.landmarks)
    share = mouth.share_inside
    if share <= 0:
        return None
    light = None
    if not is_shut(lip_gap(mouth.after)):
        light = light_of(max(targets, key=lambda target: abs(target.strength)).weights)
    light = None if light is None else light * whites
    return OpenMouth(unpainted_mouth(moved, mouth, painter, light), moved, share)


def with_mouths(
    painter: Painter | None, photos: Sequence[Photo | None], mouths: Sequence[tuple[int, OpenMouth]]
) -> list[Photo | None]:
    """The photos with their mouths painted over. mouths: each with the place of its photo."""
    found = list(photos)
    if painter is None or not mouths:
        return found
    painted = painted_mouths([mouth.unpainted for _, mouth in mouths], painter)
    for (place, mouth), levels in zip(mouths, painted, strict=True):
        photo = found[place]
        if photo is not None:
            found[place] = lay_over(photo, mouth.moved, mouth.unpainted, levels, share=mouth.share)
    return found
