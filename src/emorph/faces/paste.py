"""Carry the change that a model made to a face crop back into the photo, at the photo's own resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.types import AlignedFace, Float32, Float64, Photo, UInt8

FEATHER = 0.30  # width of the mask's soft edge, half of it outside the outline, in distances between the eyes
FOREHEAD = 0.55  # how far above the brows the mask reaches, in eye-to-mouth distances
CHIN = 0.15  # how far below the jaw it reaches, in eye-to-mouth distances: an opening mouth lowers the chin
RIM_SHARE = 0.08  # of the crop's side: the mask falls to 0 over this width along the crop's border
MASK_SIDE_PX = 256  # the mask is smooth, so it is drawn at this size and enlarged
DETAIL_LEVELS = 48.0  # a change of this many levels (of 255) keeps exp(-1) = 37 % of the photo's own detail
SMOOTH_SHARE = 0.012  # of the crop's side: sigma that smooths the size of the change

_REC601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class PasteMask:
    """How much of the change each photo pixel takes.

    weights: float32 (h, w) in [0, 1], for photo rows from ``top`` and columns from ``left``; 0 elsewhere.
    """

    top: int
    left: int
    weights: Float32


def face_mask(face: AlignedFace, photo_shape: tuple[int, ...], *, feather: float = FEATHER) -> PasteMask:
    """A soft mask of the face alone, from the brow wrinkles to the chin; 0 at the crop's border and beyond.

    photo_shape: (H, W) or (H, W, 3). feather: width of the soft edge, in eye distances, above 0.
    Raises ShapeError for a feather of 0 or less.
    """
    if not feather > 0:
        raise ShapeError(f"expected a feather above 0, found {feather}.")
    grid_to_photo = face.crop_to_photo @ _grid_to_crop(face.side_px)
    drawn = _draw_mask(face, np.linalg.inv(grid_to_photo).astype(np.float64), feather)
    rows, columns = np.nonzero(drawn)
    if not len(rows):
        return PasteMask(0, 0, np.zeros((0, 0), np.float32))
    low = np.array([columns.min(), rows.min()]) - 1
    high = np.array([columns.max(), rows.max()]) + 1
    corners = np.array([[low[0], high[0], high[0], low[0]], [low[1], low[1], high[1], high[1]], [1, 1, 1, 1]])
    around = (grid_to_photo @ corners)[:2]
    left, top = np.maximum(np.floor(around.min(axis=1)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(around.max(axis=1)).astype(int) + 1, [photo_shape[1], photo_shape[0]])
    if right <= left or bottom <= top:
        return PasteMask(0, 0, np.zeros((0, 0), np.float32))
    to_window = _shifted(grid_to_photo, left, top)
    weights = cv2.warpAffine(
        drawn, to_window[:2], (int(right - left), int(bottom - top)), flags=cv2.INTER_LINEAR, borderValue=0
    )
    return PasteMask(int(top), int(left), np.clip(weights, 0, 1))


def paste_change(
    photo: Photo,
    face: AlignedFace,
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    keep_detail: bool = True,
) -> Photo:
    """Add the change from ``before`` to ``after`` to the photo, inside the face mask.

    before, after: uint8 or float32 in 0..255, (S, S, 3), or (S, S, 1) for a change of luminance alone, which
        adds the same to red, green and blue (Cb and Cr stay, except where a channel reaches 0 or 255).
    keep_detail: the photo's own detail, which the crop is too coarse to show, stays where little changes.
        Where much changes it gives way to the crop, with share 1 - exp(-(change / DETAIL_LEVELS)^2):
        else closed lips would shine through new teeth. Without it the crop replaces the face wholly.
    Returns a new photo of the same path, bit-identical where the mask is 0, everywhere if nothing changed.
    Raises ShapeError for arrays of another shape, type or range.
    """
    start, end = (_as_levels(array, face.side_px) for array in (before, after))
    if start.shape != end.shape:
        raise ShapeError(f"expected before and after of one shape, found {start.shape} and {end.shape}.")
    result = photo.pixels.copy()
    delta = end - start
    if not delta.any():
        return Photo(result, photo.path)
    mask = face_mask(face, photo.pixels.shape)
    height, width = mask.weights.shape
    if not mask.weights.size:
        return Photo(result, photo.path)
    window = result[mask.top : mask.top + height, mask.left : mask.left + width]
    lost = _detail_lost(delta) if keep_detail else np.ones(delta.shape[:2], np.float32)
    window[...] = _changed(window, mask, face, start, delta, lost)
    return Photo(result, photo.path)


def _changed(window: UInt8, mask: PasteMask, face: AlignedFace, start: Float32, delta: Float32, lost: Float32) -> UInt8:
    """window + mask * (delta - lost * (window - start)), all brought to the window's resolution."""
    layers = _to_window(np.dstack([delta, lost]), face, mask)
    change, fade = layers[..., :-1], layers[..., -1:]
    own = window.astype(np.float32)
    seen = own if delta.shape[2] == 3 else (own @ _REC601)[..., None]
    change = (change - np.clip(fade, 0, 1) * (seen - _to_window(start, face, mask))) * mask.weights[..., None]
    return np.clip(own + np.rint(change), 0, 255).astype(np.uint8)


def _detail_lost(delta: Float32) -> Float32:
    """Share of the photo's detail that gives way, (S, S) in [0, 1], from the smoothed size of the change."""
    size = np.sqrt(np.mean(delta**2, axis=2))
    sigma = max(0.5, SMOOTH_SHARE * delta.shape[0])
    size = cv2.GaussianBlur(size, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    lost: Float32 = 1 - np.exp(-((size / DETAIL_LEVELS) ** 2), dtype=np.float32)
    return lost


def _to_window(layers: Float32, face: AlignedFace, mask: PasteMask) -> Float32:
    """Crop layers (S, S, n) at the photo's pixels: cubic where enlarged, area-averaged where reduced."""
    height, width = mask.weights.shape
    to_window = _shifted(face.crop_to_photo, mask.left, mask.top)
    fine = max(1, math.ceil(1 / face.photo_px_per_crop_px))
    # pixel centre i of the window is centre fine * i + (fine - 1) / 2 of the finer one
    to_fine = np.diag([fine, fine, 1.0])
    to_fine[:2, 2] = (fine - 1) / 2
    warped = cv2.warpAffine(
        layers,
        (to_fine @ to_window)[:2],
        (width * fine, height * fine),
        flags=cv2.INTER_CUBIC if fine == 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if fine > 1:
        warped = cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA)
    found: Float32 = warped.reshape(height, width, layers.shape[2])
    return found


def _draw_mask(face: AlignedFace, photo_to_grid: Float64, feather: float) -> Float32:
    """The mask on a grid over the crop, (MASK_SIDE_PX, MASK_SIDE_PX); its outermost pixels are 0."""
    points = np.asarray(face.landmarks.points, dtype=np.float64)
    points = points @ photo_to_grid[:2, :2].T + photo_to_grid[:2, 2]
    eyes = points[36:48].mean(axis=0)
    down = points[[48, 54]].mean(axis=0) - eyes
    outline = np.concatenate([points[:17], points[3:14] + CHIN * down, points[17:27] - FOREHEAD * down])
    hull = cv2.convexHull(outline.astype(np.float32)).reshape(-1, 2)
    eye_distance = float(np.linalg.norm(points[42:48].mean(axis=0) - points[36:42].mean(axis=0)))
    inside = _distance_inside(hull) / max(feather * eye_distance, 1e-6)
    index = np.arange(MASK_SIDE_PX)
    rim = np.minimum(index, index[::-1]) / (RIM_SHARE * MASK_SIDE_PX)
    return (_smoothstep(inside + 0.5) * _smoothstep(rim)[:, None] * _smoothstep(rim)[None, :]).astype(np.float32)


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


def _smoothstep(value: Float64) -> Float64:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _grid_to_crop(side_px: int) -> Float64:
    """The mask's grid spans the crop from border to border: grid pixel centres to crop pixel centres."""
    scale = side_px / MASK_SIDE_PX
    return np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5], [0, 0, 1]])


def _shifted(to_photo: Float64, left: int, top: int) -> Float64:
    """The same map, counted from the window's corner."""
    shifted = to_photo.copy()
    shifted[:2, 2] -= [left, top]
    return shifted


def _as_levels(pixels: NDArray[Any], side_px: int) -> Float32:
    shape_ok = pixels.ndim == 3 and pixels.shape[:2] == (side_px, side_px) and pixels.shape[2] in (1, 3)
    if not shape_ok or pixels.dtype not in (np.uint8, np.float32):
        raise ShapeError(
            f"expected uint8 or float32 pixels ({side_px}, {side_px}, 3) or ({side_px}, {side_px}, 1), "
            f"found {pixels.dtype} {pixels.shape}."
        )
    levels = pixels.astype(np.float32)
    if not np.isfinite(levels).all():
        raise ShapeError("expected finite levels 0..255, found NaN or infinity: the model's output is broken.")
    return levels
