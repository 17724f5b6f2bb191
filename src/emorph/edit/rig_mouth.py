"""The dark between lips that part: no photo of a closed mouth shows it, and a stretched one would show more of lips."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.types import Float32, Float64

UPPER_LIP, LOWER_LIP = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)  # inner outlines, from corner to corner
SHADE = 0.25  # of the face's mean brightness, as LFW's open mouths have it
TEETH_SHARE = 0.6  # of what was seen of an open mouth, left at the upper lip when it opens wide: teeth hang there
SOFT_SHARE = 0.02  # of the crop's side: width of the edge between what was seen and the dark
_FINE = 8  # parts of a pixel, to draw edges softly


def darkened(pictures: Tensor, before: Float64, after: Float64) -> Tensor:
    """Moved crops (n, C, S, S) in [-1, 1] with what has opened between the lips in the dark.

    before: (68, 2) and after: (n, 68, 2), landmarks in crop pixels. What was seen of a mouth that was open stays above.
    """
    if not len(pictures):
        return pictures
    side = pictures.shape[-1]
    shares = np.stack([opened(before, points, side) for points in after])
    hulls = np.stack([_inside(points, side) for points in after])
    share, hull = (torch.from_numpy(each)[:, None].to(pictures) for each in (shares, hulls))
    mean = ((pictures + 1) * hull).sum(dim=(1, 2, 3), keepdim=True) / (hull.sum(dim=(1, 2, 3), keepdim=True) + 1e-6)
    dark = SHADE * mean / pictures.shape[1] - 1
    return pictures + share * (dark - pictures).clamp_max(0)


def opened(before: Float64, after: Float64, side_px: int) -> Float32:
    """How much of each pixel lies where a mouth has newly opened, (S, S) in [0, 1].

    before, after: (68, 2) in pixels of the crop.
    """
    x = (np.arange(side_px * _FINE) + 0.5) / _FINE - 0.5
    top, bottom = (_height(after, line, x) for line in (UPPER_LIP, LOWER_LIP))
    left, right = after[60, 0], after[64, 0]
    if not right > left:
        return np.zeros((side_px, side_px), np.float32)
    was_x = before[60, 0] + (x - left) / (right - left) * (before[64, 0] - before[60, 0])
    was_open = np.maximum(_height(before, LOWER_LIP, was_x) - _height(before, UPPER_LIP, was_x), 0)
    hidden = np.clip(bottom - top - was_open, 0, (1 - TEETH_SHARE) * was_open)  # nothing unless the mouth opens
    y = x[:, None]
    soft = SOFT_SHARE * side_px
    below = np.clip((y - top - was_open + hidden) / soft, 0, 1) * np.clip((bottom - y) / soft, 0, 1)
    fine = np.where((x > left) & (x < right) & (y > top) & (y < bottom), below, 0).astype(np.float32)
    share: Float32 = cv2.resize(fine, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return share


def _height(points: Float64, line: tuple[int, ...], x: Float64) -> Float64:
    """y of a lip's outline at each x; a crop stands upright, so that x grows along it."""
    chosen = points[list(line)]
    found: Float64 = np.interp(x, np.maximum.accumulate(chosen[:, 0]), chosen[:, 1])
    return found


def _inside(points: Float64, side_px: int) -> Float32:
    mask = np.zeros((side_px, side_px), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.round().astype(np.int32)), 1.0)
    return mask
