"""A mouth that an edit opens: where its inside comes to light, and in what colour."""

from __future__ import annotations

import math

import cv2
import numpy as np

from emorph.core.landmarks import (
    INNER_LIPS,
    INNER_LOWER_LIP,
    INNER_MOUTH_CORNERS,
    INNER_UPPER_LIP,
    OUTER_EYE_CORNERS,
)
from emorph.core.types import AlignedFace, Float32, Float64, Photo

TEETH_SHARE = 0.6  # of what was seen of an open mouth, left at the upper lip when it opens wide: teeth hang there
SOFT_SHARE = 0.02  # of the crop's side: width of the edge between what was seen and what is new
FINE = 8  # the mask is drawn at so many times the crop's size, then averaged
CHEEKS_AND_NOSE = ((41, 48), (46, 54), (29, 29))  # skin lies half way between these landmarks
SKIN_SHARE = 0.45  # teeth and gums take this share of the skin's tint, the rest is gray

REC601 = np.array([0.299, 0.587, 0.114], np.float32)  # as emorph.core.images.luminance weighs red, green and blue


def newly_open(before: Float64, after: Float64, side_px: int) -> Float32:
    """How much of each crop pixel is mouth that was not open before, (S, S) in [0, 1].

    before, after: landmarks (68, 2) (x, y) in crop pixels, before and after they are moved. What was seen of a mouth
    that was open stays above, where the upper teeth are.

    >>> points = np.random.default_rng(0).uniform(20, 44, (68, 2))
    >>> bool(newly_open(points, points, side_px=64).any())  # nothing opens where nothing moves
    False
    """
    left, right = after[list(INNER_MOUTH_CORNERS), 0]
    was_left, was_right = before[list(INNER_MOUTH_CORNERS), 0]
    share = np.zeros((side_px, side_px), np.float32)
    columns, rows = (_span(after[INNER_LIPS, axis], side_px) for axis in (0, 1))
    if not right > left or not len(columns) or not len(rows):
        return share
    x, y = _fine(columns), _fine(rows)[:, None]
    top, bottom = (_height(after, line, x) for line in (INNER_UPPER_LIP, INNER_LOWER_LIP))
    was_x = was_left + (x - left) / (right - left) * (was_right - was_left)
    was_open = np.maximum(_height(before, INNER_LOWER_LIP, was_x) - _height(before, INNER_UPPER_LIP, was_x), 0)
    hidden = np.clip(bottom - top - was_open, 0, (1 - TEETH_SHARE) * was_open)  # nothing unless the mouth opens
    soft = SOFT_SHARE * side_px
    below = np.clip((y - top - was_open + hidden) / soft, 0, 1) * np.clip((bottom - y) / soft, 0, 1)
    fine = np.where((x > left) & (x < right) & (y > top) & (y < bottom), below, 0).astype(np.float32)
    size = (len(columns), len(rows))
    share[rows.start : rows.stop, columns.start : columns.stop] = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    return share


def inside_tint(photo: Photo, face: AlignedFace) -> Float32:
    """Red, green and blue of teeth and gums over their luminance, (3,), in the light that falls on the face."""
    points = face.landmarks.points
    height, width = photo.pixels.shape[:2]
    left_corner, right_corner = points[list(OUTER_EYE_CORNERS)]
    reach = max(1, round(0.08 * float(np.linalg.norm(right_corner - left_corner))))
    patches = []
    for first, second in CHEEKS_AND_NOSE:
        x, y = np.rint((points[first] + points[second]) / 2).astype(int)
        x, y = int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))
        patch = photo.pixels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        patches.append(patch.reshape(-1, 3).mean(axis=0))
    skin = np.mean(patches, axis=0)
    tint = 1 + SKIN_SHARE * (skin / max(float(skin @ REC601), 1.0) - 1)
    return np.asarray(tint, np.float32)


def _height(points: Float64, line: tuple[int, ...], x: Float64) -> Float64:
    """y of a lip's outline at each x; a crop stands upright, so that x grows along it."""
    chosen = points[list(line)]
    heights: Float64 = np.interp(x, np.maximum.accumulate(chosen[:, 0]), chosen[:, 1])
    return heights


def _span(values: Float64, side_px: int) -> range:
    """The crop's pixels that points with these coordinates, (n,), lie within."""
    return range(max(0, math.floor(values.min())), min(side_px, math.ceil(values.max()) + 1))


def _fine(pixels: range) -> Float64:
    """Where FINE samples of each pixel lie, evenly over it."""
    places: Float64 = pixels.start + (np.arange(len(pixels) * FINE) + 0.5) / FINE - 0.5
    return places
