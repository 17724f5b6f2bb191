"""What an edit changes in the crop of a face, and the one place where such changes are pasted into the photo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emorph.core.types import AlignedFace, Float32, Float64, Photo
from emorph.faces.corner_lines import without_corner_lines
from emorph.faces.creases import Crease, with_creases
from emorph.faces.folds import without_folds
from emorph.faces.lids import without_glints
from emorph.faces.mask import face_mask, outline
from emorph.faces.mouth import REC601
from emorph.faces.paste import LIGHT_FEATHER, MovedFace, moved_face, paste_change, paste_light

GRAY_LEVELS = 3  # of 255: a photo whose red, green and blue lie no further apart is black and white
SURE = 99.0  # percent of a face's pixels that say so: what is printed over a photo may have colour

Finish = Callable[[Photo, Photo, AlignedFace, "CropChange"], Photo]


@dataclass(frozen=True)
class CropChange:
    """What an edit changes in the crop of a face, as a model drew it.

    before, after: float32 (S, S, C) in 0..255: what the model started from, and what it drew.
    motion: (S, S, 2) of ``emorph.faces.motion_between``, by which ``before`` was moved; None if the face stays.
    opened: (S, S) of ``emorph.faces.newly_open``, where the mouth's inside is new; None if nowhere.
    landmarks: (68, 2) in crop pixels, where the motion brings the face's landmarks; None without a motion.
    lit: ``after`` in another light; None if the light stays.
    keep_detail: False for a face drawn from noise that knows nothing of the photo, whose own detail then does not fit.
    creases: the kinds that its target has; None where no target says so, and the motion alone tells.
    """

    before: Float32
    after: Float32
    motion: Float32 | None = None
    opened: Float32 | None = None
    landmarks: Float64 | None = None
    lit: Float32 | None = None
    keep_detail: bool = True
    creases: Collection[Crease] | None = None

    @classmethod
    def nothing(cls, levels: Float32) -> CropChange:
        """The change that leaves a crop as it is.

        >>> import numpy as np
        >>> change = CropChange.nothing(np.zeros((64, 64, 3), np.float32))
        >>> change.drawn is change.before
        True
        """
        return cls(levels, levels)

    @property
    def drawn(self) -> Float32:
        """The crop as the edit has it, in its light."""
        return self.after if self.lit is None else self.lit


def paste(photo: Photo, face: AlignedFace, change: CropChange, moved: MovedFace | None = None) -> Photo:
    """The photo with a change of one of its faces: what moved is moved, what is new added, new light carried over.

    Where a smile ends, its folds go with it; where eyes close, nothing of them shines through; where skin is
    pushed together, it creases.
    moved: ``moved_face`` by the change's motion, where it is known already.
    A change of nothing gives the photo's own pixels, and so it is everywhere outside the face's mask.
    Raises ShapeError if the change is not of this crop's size.
    """
    if moved is None and change.motion is not None:
        moved = moved_face(photo, face, change.motion)
    result = paste_change(
        photo,
        face,
        change.before,
        change.after,
        motion=change.motion,
        opened=change.opened,
        keep_detail=change.keep_detail,
        moved=moved,
    )
    if moved is not None and change.landmarks is not None:
        before = face.landmarks.points.astype(np.float64)
        after = face.in_photo(change.landmarks)
        result = without_folds(result, before, after, moved.mask)
        result = without_corner_lines(result, before, after, moved.mask)
        result = without_glints(result, before, after, moved.mask)
        result = with_creases(result, before, after, moved.mask, change.creases)
    return result if change.lit is None else paste_light(result, face, change.after, change.lit)


def outlines(photo: Photo, faces: Sequence[AlignedFace], changes: Sequence[CropChange]) -> tuple[tuple[int, ...], ...]:
    """Where ``paste_all`` may change the photo: a polygon x, y, x, y, ... in photo pixels for each face.

    Of a face in new light the polygon of the light's mask, which reaches farther.
    """
    shape = photo.pixels.shape
    feathers = [None if change.lit is None else LIGHT_FEATHER for change in changes]
    found = (outline(face_mask(face, shape, feather=f)) for face, f in zip(faces, feathers, strict=True))
    return tuple(polygon for polygon in found if polygon)


def paste_all(
    photo: Photo, faces: Sequence[AlignedFace], changes: Sequence[CropChange], finish: Finish | None = None
) -> Photo:
    """The photo with a change of each of these faces, one after the other.

    finish(before, after, face, change) draws what a crop is too coarse for, once a face's change is pasted.
    """
    for face, change in zip(faces, changes, strict=True):
        after = paste(photo, face, change)
        photo = kept_gray(photo, finish(photo, after, face, change) if finish else after, face)
    return photo


def kept_gray(before: Photo, after: Photo, face: AlignedFace) -> Photo:
    """The edited photo, without the colours that a model gave to a face in black and white.

    before: the photo that the face was cut out of. Pixels that the edit left alone are left alone.
    """
    spread = np.ptp(face.pixels, axis=2)
    if np.percentile(spread, SURE) > GRAY_LEVELS:
        return after
    rows, columns = np.nonzero((before.pixels != after.pixels).any(axis=2))
    if not len(rows):
        return after
    pixels = after.pixels.copy()
    light = np.rint(pixels[rows, columns] @ REC601)
    pixels[rows, columns] = light[:, None].astype(np.uint8)
    return replace(after, pixels=pixels)
