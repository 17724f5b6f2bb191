"""Soft masks of a face, drawn from its landmarks over its crop and brought to the photo's pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.landmarks import (
    BROWS,
    EYES,
    INNER,
    JAW,
    LEFT_EYE,
    LOWER_JAW,
    MOUTH,
    MOUTH_CORNERS,
    RIGHT_EYE,
    UNDER_LIP,
)
from emorph.core.types import AlignedFace, Float32, Float64, Photo

Part = Literal["face", "features", "mouth"]

FEATHER: dict[Part, float] = {"face": 0.30, "features": 0.50, "mouth": 0.30}  # width of the soft edge, half of it
#                                                          outside the outline, in distances between the eyes
FOREHEAD = 0.55  # how far above the brows face and features reach, in eye-to-mouth distances
BELOW_CHIN = 0.15  # how far below the jaw the face reaches, in eye-to-mouth distances: an opening mouth lowers the chin
BELOW_LIP = 0.15  # how far below the lower lip the features reach, in eye-to-mouth distances
AROUND_MOUTH = 0.22  # how far the mouth reaches around the lips, in distances between the eyes
RIM_SHARE = 0.08  # of the crop's side: every mask falls to 0 over this width along the crop's border
PORES = 0.008  # distances between the eyes: standard deviation of a blur that skin's pores do not survive
MASK_SIDE_PX = 256  # masks are smooth, so they are drawn at this size and enlarged


@dataclass(frozen=True)
class PasteMask:
    """How much of the change each photo pixel takes.

    weights: float32 (h, w) in [0, 1], for photo rows from ``top`` and columns from ``left``; 0 elsewhere.
    """

    top: int
    left: int
    weights: Float32


def face_mask(face: AlignedFace, photo_shape: tuple[int, ...], *, feather: float | None = None) -> PasteMask:
    """A soft mask of the face alone, from the brow wrinkles to the chin; 0 at the crop's border and beyond.

    photo_shape: (H, W) or (H, W, 3). feather: width of the soft edge, in eye distances, above 0.
    Raises ShapeError for a feather of 0 or less.
    """
    if feather is not None and not feather > 0:
        raise ShapeError(f"expected a feather above 0, found {feather}.")
    drawn = _draw(face, "face", feather)
    rows, columns = np.nonzero(drawn)
    if not len(rows):
        return PasteMask(0, 0, np.zeros((0, 0), np.float32))
    low = np.array([columns.min(), rows.min()]) - 1
    high = np.array([columns.max(), rows.max()]) + 1
    corners = np.array([[low[0], high[0], high[0], low[0]], [low[1], low[1], high[1], high[1]], [1, 1, 1, 1]])
    around = (_grid_to_photo(face) @ corners)[:2]
    left, top = np.maximum(np.floor(around.min(axis=1)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(around.max(axis=1)).astype(int) + 1, [photo_shape[1], photo_shape[0]])
    if right <= left or bottom <= top:
        return PasteMask(0, 0, np.zeros((0, 0), np.float32))
    return PasteMask(int(top), int(left), _at_photo(drawn, face, top, left, (int(bottom - top), int(right - left))))


def outline(mask: PasteMask) -> tuple[int, ...]:
    """The smallest convex polygon of photo pixels that holds all that a mask lets change: x, y, x, y, ...; () if none.

    A mask is convex itself, so the polygon is that mask's very border, to the pixel.
    """
    rows, columns = np.nonzero(mask.weights)
    if not len(rows):
        return ()
    corners = cv2.convexHull(np.stack([columns + mask.left, rows + mask.top], axis=1).astype(np.int32))
    return tuple(int(number) for number in corners.ravel())


def part_weights(face: AlignedFace, part: Part, window: PasteMask) -> Float32:
    """Soft mask of a part of the face, (h, w) in [0, 1], at the photo pixels of ``window``."""
    height, width = window.weights.shape
    return _at_photo(_draw(face, part, None), face, window.top, window.left, (height, width))


def retouched(photo: Photo, mask: PasteMask, weights: Float32, change: Callable[[Float32], Float32]) -> Photo:
    """The photo with a change of its own levels, as much of it as ``weights`` (h, w) say at the mask's window.

    change: what is added to levels (h, w, 3) of 0..255 at weight 1; it is asked of the part that has weights.
    Bit-identical where the weight is 0.
    """
    rows, columns = np.nonzero(weights)
    if not len(rows):
        return photo
    window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    pixels = photo.pixels.copy()
    seen = pixels[mask.top :, mask.left :][window]
    levels = seen.astype(np.float32)
    seen[...] = np.clip(np.rint(levels + weights[window][..., None] * change(levels)), 0, 255)
    return replace(photo, pixels=pixels)


def depth_of_lines(levels: Float32, element: NDArray[np.uint8], unit: float, soft: float) -> Float32:
    """How much darker than what is beside them dark lines are, (h, w, 3): a morphological closing of each colour.

    element: of the closing, higher or wider than a line. unit: the distance between the eyes; soft: in it, the standard
    deviation by which the light beside a line is even. Detail as fine as pores is not seen. Below 0 on what is light.
    """
    smooth = cv2.GaussianBlur(levels, (0, 0), max(PORES * unit, 0.3))
    closed = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, element)
    depth: Float32 = cv2.GaussianBlur(closed, (0, 0), max(soft * unit, 0.3)) - smooth
    return depth


def shifted(to_photo: Float64, left: int, top: int) -> Float64:
    """A (3, 3) map to photo pixels, counted from a window's corner."""
    to_window = to_photo.copy()
    to_window[:2, 2] -= [left, top]
    return to_window


def _at_photo(drawn: Float32, face: AlignedFace, top: int, left: int, shape: tuple[int, int]) -> Float32:
    to_window = shifted(_grid_to_photo(face), left, top)
    weights = cv2.warpAffine(drawn, to_window[:2], shape[::-1], flags=cv2.INTER_LINEAR, borderValue=0)
    clipped: Float32 = np.clip(weights, 0, 1)
    return clipped


def _draw(face: AlignedFace, part: Part, feather: float | None) -> Float32:
    """The mask on a grid over the crop, (MASK_SIDE_PX, MASK_SIDE_PX); its outermost pixels are 0."""
    points = (face.crop_points() + 0.5) * MASK_SIDE_PX / face.side_px - 0.5
    eye_distance = float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))
    hull = cv2.convexHull(_outline(points, part, eye_distance).astype(np.float32)).reshape(-1, 2)
    inside = _distance_inside(hull) / max((feather or FEATHER[part]) * eye_distance, 1e-6)
    index = np.arange(MASK_SIDE_PX)
    rim = np.minimum(index, index[::-1]) / (RIM_SHARE * MASK_SIDE_PX)
    return (_smoothstep(inside + 0.5) * _smoothstep(rim)[:, None] * _smoothstep(rim)[None, :]).astype(np.float32)


def _outline(points: Float64, part: Part, eye_distance: float) -> Float64:
    """Points whose hull is the part. points: (68, 2) on the mask's grid."""
    down = points[list(MOUTH_CORNERS)].mean(axis=0) - points[EYES].mean(axis=0)
    brow_wrinkles = points[BROWS] - FOREHEAD * down
    if part == "face":
        return np.concatenate([points[JAW], points[LOWER_JAW] + BELOW_CHIN * down, brow_wrinkles])
    if part == "features":
        return np.concatenate([points[INNER], points[UNDER_LIP] + BELOW_LIP * down, brow_wrinkles])
    lips = points[MOUTH]
    outwards = lips - lips.mean(axis=0)
    length = np.linalg.norm(outwards, axis=1, keepdims=True)
    around: Float64 = lips + AROUND_MOUTH * eye_distance * outwards / np.maximum(length, 1e-6)
    return around


def _distance_inside(hull: Float32) -> Float64:
    """Distance of every grid pixel to the nearest side of a convex hull, negative outside; (side, side)."""
    index = np.arange(MASK_SIDE_PX, dtype=np.float64)
    nearest = np.full((MASK_SIDE_PX, MASK_SIDE_PX), np.inf)
    middle = hull.mean(axis=0)
    for start, end in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        normal = np.array([start[1] - end[1], end[0] - start[0]], dtype=np.float64)
        length = np.linalg.norm(normal)
        if length < 1e-6:
            continue
        normal *= np.sign(normal @ (middle - start)) / length
        distance = (index - start[0])[None, :] * normal[0] + (index - start[1])[:, None] * normal[1]
        nearest = np.minimum(nearest, distance)
    return nearest


def _smoothstep(value: NDArray[Any]) -> Float64:
    value = np.clip(value, 0, 1)
    smooth: Float64 = value * value * (3 - 2 * value)
    return smooth


def _grid_to_photo(face: AlignedFace) -> Float64:
    """The mask's grid spans the crop from border to border: grid pixel centres to photo pixel centres."""
    scale = face.side_px / MASK_SIDE_PX
    to_crop = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5], [0, 0, 1]])
    to_photo: Float64 = face.crop_to_photo @ to_crop
    return to_photo
