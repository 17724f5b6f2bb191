"""The inside of mouths: dark in a crop whose lips part, and painted in the photo.

No photo of a closed mouth shows it, and a stretched one would show more of lips.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.landmarks import MOUTH
from emorph.core.types import AlignedFace, Float32, Float64, Photo
from emorph.edit.change import CropChange, Finish
from emorph.edit.mouth_change import MouthChange
from emorph.edit.painted_mouth import RIM, moved_pixels, paint_mouth
from emorph.edit.rig.parts import Look, RigFace
from emorph.faces.mouth_crop import around_inside, cut, face_unit, is_shut, light_inside, lip_gap, lip_masks, mouth_crop
from emorph.models.painter import Painter

SEEN_GAP = 0.06  # units of the face, from which lips show what lies between them
STILL = 0.01  # units of the face
SHADE = 0.25  # of the face's mean brightness, as LFW's open mouths have it


def darkened(pictures: Tensor, opened: Float32, after: Float64) -> Tensor:
    """Moved crops (n, C, S, S) in [-1, 1] with what has opened between the lips in the dark.

    opened: (n, S, S) of ``emorph.faces.newly_open``; after: (n, 68, 2), landmarks in crop pixels.
    """
    if not len(pictures):
        return pictures
    hulls = np.stack([_inside(points, pictures.shape[-1]) for points in after])
    share, hull = (torch.from_numpy(each)[:, None].to(pictures) for each in (opened, hulls))
    mean = ((pictures + 1) * hull).sum(dim=(1, 2, 3), keepdim=True) / (hull.sum(dim=(1, 2, 3), keepdim=True) + 1e-6)
    dark = SHADE * mean / pictures.shape[1] - 1
    return pictures + share * (dark - pictures).clamp_max(0)


def painted_by(painter: Painter | None) -> Callable[[Look], Finish] | None:
    """What a rig's editor does to each face after its change is pasted; None without a painter."""
    if painter is None:
        return None

    def finish(look: Look, source: Photo, edited: Photo, face: AlignedFace, change: CropChange) -> Photo:
        if change.motion is None or change.landmarks is None:
            return edited
        mouth = MouthChange.in_crop(face, change.landmarks)
        if not mouth.shows_inside or _stays(mouth):
            return edited
        light = None if is_shut(lip_gap(mouth.after)) else look.light_inside
        return paint_mouth(edited, moved_pixels(source, face, change.motion), mouth, painter, light=light)

    return lambda look: functools.partial(finish, look)


def _stays(mouth: MouthChange) -> bool:
    """Whether a change leaves the mouth where it is: brows, say, move alone."""
    moved = np.linalg.norm((mouth.after - mouth.before)[MOUTH], axis=1).max()
    return bool(moved < STILL * face_unit(mouth.before))


def light_of(face: RigFace, painter: Painter | None) -> float | None:
    """How light the mouth of a face is inside; None if its lips touch, or nothing is painted."""
    return light_of_mouth(face.photo, face.aligned.landmarks.points.astype(np.float64), painter)


def light_of_mouth(photo: Photo, points: Float64, painter: Painter | None) -> float | None:
    """As ``light_of``, of landmarks (68, 2) in a photo's pixels."""
    if painter is None or lip_gap(points) < SEEN_GAP:
        return None
    crop = mouth_crop(points, painter.config.size, painter.config.width_units)
    in_crop = crop.points(points)
    inner, _ = lip_masks(in_crop, crop.size)
    return light_inside(cut(photo.pixels, crop), inner, around_inside(in_crop, crop.size, RIM * crop.unit_px))


def _inside(points: Float64, side_px: int) -> Float32:
    mask = np.zeros((side_px, side_px), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.round().astype(np.int32)), 1.0)
    return mask
