"""Carry the change that a model made to a face crop back into the photo, at the photo's own resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.types import AlignedFace, Float32, Photo, UInt8
from emorph.faces.mask import PasteMask, face_mask, part_weights, shifted
from emorph.faces.mouth import REC601, inside_tint
from emorph.faces.warp import warped

DETAIL_LEVELS = 48.0  # a change of this many levels (of 255) keeps exp(-1) = 37 % of the photo's own detail
SMOOTH_SHARE = 0.012  # of the crop's side: sigma that smooths the size of the change
LIGHT_SHARE = 0.05  # of the crop's side: sigma that smooths a change of light
LIGHT_FEATHER = 0.8  # width of the soft edge of a change of light, in eye distances
DARKEST_LEVEL = 16.0  # added to both before they are divided: what is black says nothing of the light
MOST_GAIN = 2.0  # brighter or darker


@dataclass(frozen=True)
class MovedFace:
    """A face's part of a photo, moved as its crop is: what a change is added to.

    mask: of the face. levels: float32 (h, w, 3) in 0..255 at the mask's window.
    """

    mask: PasteMask
    levels: Float32

    def in_photo(self, photo: Photo) -> UInt8:
        """The photo's pixels (H, W, 3) with it."""
        pixels = photo.pixels.copy()
        _put(pixels[_rows(self.mask)], self.levels, self.mask)
        return pixels


def moved_face(photo: Photo, face: AlignedFace, motion: Float32) -> MovedFace:
    """One face of a photo moved at the photo's own resolution, by a ``motion_between`` (S, S, 2). Raises ShapeError."""
    _check_fields(motion, None, face.side_px)
    mask = face_mask(face, photo.pixels.shape)
    if not mask.weights.size:
        return MovedFace(mask, np.zeros((*mask.weights.shape, 3), np.float32))
    return MovedFace(mask, _moved(photo.pixels, mask, face, motion))


def paste_change(
    photo: Photo,
    face: AlignedFace,
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    motion: Float32 | None = None,
    opened: Float32 | None = None,
    keep_detail: bool = True,
    moved: MovedFace | None = None,
) -> Photo:
    """Add the change from ``before`` to ``after`` to the photo, inside the face mask.

    before, after: uint8 or float32 in 0..255, (S, S, 3), or (S, S, 1) for a change of luminance alone, which
        adds the same whole number to red, green and blue (Cb and Cr stay, except where a channel reaches 0 or 255).
    motion: (S, S, 2) of ``motion_between``, where the model redrew a crop that was moved so (``before``): the photo is
        moved alike, at its own resolution, and the change then added around the features alone.
    opened: (S, S) of ``newly_open``: there a change of luminance alone would leave the lips' colour on teeth.
    keep_detail: the photo's own detail, which the crop is too coarse to show, stays where little changes.
        Where much changes it gives way to the crop, with share 1 - exp(-(change / DETAIL_LEVELS)^2):
        else closed lips would shine through new teeth. With a motion that is so at the mouth alone: elsewhere the
        detail has moved to its new place. Without it the crop replaces the face wholly.
    moved: ``moved_face`` of the same motion, where it is known already.
    Returns a new photo of the same path, bit-identical where the mask is 0, everywhere if nothing changed.
    Raises ShapeError for arrays of another shape, type or range.
    """
    start, end = _both_levels(before, after, face.side_px)
    _check_fields(motion, opened, face.side_px)
    result = photo.pixels.copy()
    delta = end - start
    if not delta.any() and (motion is None or not motion.any()):
        return replace(photo, pixels=result)
    if motion is not None and moved is None:
        moved = moved_face(photo, face, motion)
    mask = face_mask(face, photo.pixels.shape) if moved is None else moved.mask
    if not mask.weights.size:
        return replace(photo, pixels=result)
    change, begun = (_to_window(each, face, mask) for each in (delta, start))
    lost = _detail_lost(delta) if keep_detail else np.ones(delta.shape[:2], np.float32)
    fade = _share(lost, face, mask)
    weights = mask.weights[..., None]
    window = result[_rows(mask)]
    own = window.astype(np.float32)
    if moved is not None:
        own = moved.levels
        weights = weights * part_weights(face, "features", mask)[..., None]
        fade = fade * part_weights(face, "mouth", mask)[..., None] if keep_detail else fade
    seen = own if start.shape[2] == 3 else (own @ REC601)[..., None]
    step = weights * (change - fade * (seen - begun))
    # One step for three channels is rounded once: three sums would be rounded apart, and by each processor otherwise.
    levels = own + (np.rint(step) if start.shape[2] == 1 else step)
    if opened is not None and start.shape[2] == 1:
        levels += weights * _share(opened, face, mask) * (_tinted(levels, photo, face) - levels)
    _put(window, levels, mask)
    return replace(photo, pixels=result)


def paste_light(photo: Photo, face: AlignedFace, before: NDArray[Any], after: NDArray[Any]) -> Photo:
    """Multiply the photo, inside the face mask, by how much brighter ``after`` is than ``before``.

    before, after: as for ``paste_change``; of one channel, the colours keep their proportions. Light changes smoothly
    over a face, so that all of the photo's own detail stays. Returns a new photo, bit-identical if nothing changed.
    Raises ShapeError.
    """
    start, end = _both_levels(before, after, face.side_px)
    result = photo.pixels.copy()
    if np.array_equal(start, end):
        return replace(photo, pixels=result)
    mask = face_mask(face, photo.pixels.shape, feather=LIGHT_FEATHER)
    if not mask.weights.size:
        return replace(photo, pixels=result)
    sigma = LIGHT_SHARE * face.side_px
    smooth = [
        cv2.GaussianBlur(each, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).reshape(each.shape) + DARKEST_LEVEL
        for each in (start, end)
    ]
    gain = np.log(np.clip(smooth[1] / smooth[0], 1 / MOST_GAIN, MOST_GAIN)).astype(np.float32)
    window = result[_rows(mask)]
    brighter = np.exp(_to_window(gain, face, mask) * mask.weights[..., None])
    _put(window, window.astype(np.float32) * brighter, mask)
    return replace(photo, pixels=result)


def _put(window: UInt8, levels: Float32, mask: PasteMask) -> None:
    """Write levels (h, w, 3) where the mask is above 0; every other pixel stays what it is, not what it comes to."""
    window[...] = np.where(mask.weights[..., None] > 0, np.clip(np.rint(levels), 0, 255), window)


def _share(layer: Float32, face: AlignedFace, mask: PasteMask) -> Float32:
    """A share (S, S) in [0, 1] of the crop at the mask's window, (h, w, 1)."""
    share: Float32 = np.clip(_to_window(layer[..., None], face, mask), 0, 1)
    return share


def _tinted(levels: Float32, photo: Photo, face: AlignedFace) -> Float32:
    """The brightness of ``levels`` (h, w, 3) in the colour of teeth and gums."""
    tinted: Float32 = (levels @ REC601)[..., None] * inside_tint(photo, face)
    return tinted


def _rows(mask: PasteMask) -> tuple[slice, slice]:
    height, width = mask.weights.shape
    return slice(mask.top, mask.top + height), slice(mask.left, mask.left + width)


def _moved(pixels: UInt8, mask: PasteMask, face: AlignedFace, motion: Float32) -> Float32:
    """The photo's pixels at the mask's window, moved as the crop was; less and less towards the mask's edge."""
    turn = face.crop_to_photo[:2, :2].astype(np.float32)
    field = (_to_window(motion, face, mask) @ turn.T) * mask.weights[..., None]
    reach = math.ceil(float(np.abs(field).max())) + 2  # cubic interpolation looks 2 pixels around
    height, width = mask.weights.shape
    top, left = max(0, mask.top - reach), max(0, mask.left - reach)
    around = pixels[top : mask.top + height + reach, left : mask.left + width + reach]
    wide = np.zeros((*around.shape[:2], 2), np.float32)
    wide[mask.top - top :, mask.left - left :][:height, :width] = field
    window: Float32 = np.clip(warped(around, wide), 0, 255)[mask.top - top :, mask.left - left :][:height, :width]
    return window


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
    to_window = shifted(face.crop_to_photo, mask.left, mask.top)
    fine = max(1, math.ceil(1 / face.photo_px_per_crop_px))
    # pixel centre i of the window is centre fine * i + (fine - 1) / 2 of the finer one
    to_fine = np.diag([fine, fine, 1.0])
    to_fine[:2, 2] = (fine - 1) / 2
    sampled = cv2.warpAffine(
        layers,
        (to_fine @ to_window)[:2],
        (width * fine, height * fine),
        flags=cv2.INTER_CUBIC if fine == 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if fine > 1:
        sampled = cv2.resize(sampled, (width, height), interpolation=cv2.INTER_AREA)
    in_window: Float32 = sampled.reshape(height, width, layers.shape[2])
    return in_window


def _both_levels(before: NDArray[Any], after: NDArray[Any], side_px: int) -> tuple[Float32, Float32]:
    start, end = _as_levels(before, side_px), _as_levels(after, side_px)
    if start.shape != end.shape:
        raise ShapeError(f"expected before and after of one shape, found {start.shape} and {end.shape}.")
    return start, end


def _check_fields(motion: Float32 | None, opened: Float32 | None, side_px: int) -> None:
    if opened is not None and opened.shape != (side_px, side_px):
        raise ShapeError(f"expected opened ({side_px}, {side_px}), found {opened.shape}.")
    if motion is not None and motion.shape != (side_px, side_px, 2):
        raise ShapeError(f"expected a motion ({side_px}, {side_px}, 2), found {motion.shape}.")


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
