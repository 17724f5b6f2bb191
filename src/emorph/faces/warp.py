"""Move a face's landmarks, and the picture with them: a thin-plate spline (Bookstein 1989)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.landmarks import (
    BROWS,
    CHIN,
    EYES,
    INNER,
    MOUTH_CORNERS,
)
from emorph.core.types import Float32, Float64
from emorph.faces.slits import GROUPS, sides, with_lashes

STIFFNESS = 3e-4  # of the spline, over the crop's side squared; 0 meets every point exactly
ANCHORS_A_SIDE = 9  # fixed points along each side of the crop
FIELD_PX = 32  # side at which it is told how a whole picture is carried along
HAIRLINE = 0.5  # how far above the brows hair begins, in eye-to-mouth distances: brows move skin, and no hair
KERNELS_AT_ONCE = 1 << 16  # half a megabyte: the field is summed in bands that stay in the processor's cache


def motion_between(before: Float64, after: Float64, side_px: int) -> Float32:
    """Where each pixel of a crop comes from, so that its landmarks move from ``before`` to ``after``.

    before, after: (68, 2) (x, y) in crop pixels; ``after`` as ``in_order`` leaves it, or else lids and lips may cross.
    Returns (S, S, 2): pixel (x, y) of the moved picture is the old one's at (x, y) + motion. The crop's border and the
    hairline stay; the chin goes with the jaw, the rest of the face's outline follows the features. Lips that part or
    meet, and lids that close, take their own skin along (``emorph.faces.slits``). Raises ShapeError.

    >>> before = np.random.default_rng(0).uniform(20, 44, (68, 2))
    >>> motion = motion_between(before, before + [3, 0], side_px=64)  # all landmarks go to the right ...
    >>> bool(motion[40, 32, 0] < -2), bool(abs(motion[0, 0]).max() < 0.5)  # ... so pixels come from the left
    (True, True)
    """
    before, after = _checked(before), _checked(after)
    fixed = anchors(before, side_px)
    shares = {slit: share for group in GROUPS for slit in group if (share := slit.parted(before, after))}
    start, end = (np.concatenate([p[CHIN], p[INNER], fixed]) for p in (with_lashes(before, after), after))
    steps, stiffness = start - end, STIFFNESS * side_px**2
    splines = [_spline(end, steps, stiffness)]
    groups = [group for group in GROUPS if any(slit in shares for slit in group)]
    for group in groups:
        splines += [_spline_without(lost, end, steps, stiffness) for lost in sides(group)]
    both, *parts = np.split(_field(end, np.concatenate(splines, axis=1), side_px), len(splines), axis=2)
    found: Float32 = both.copy()
    for group, upper, lower in zip(groups, parts[::2], parts[1::2], strict=True):
        for slit in group:
            below, near = (layer[..., None] for layer in slit.below(after, side_px))
            found += np.float32(shares.get(slit, 0.0)) * near * (upper + below * (lower - upper) - both)
    return found


def warped(picture: NDArray[Any], motion: Float32) -> Float32:
    """A float picture (H, W, C), moved by a motion (H, W, 2) of its own pixels; cubic, border repeated."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    resampled = cv2.remap(
        picture.astype(np.float32),
        x + motion[..., 0],
        y + motion[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    moved: Float32 = resampled.reshape(height, width, -1)
    return moved


def carried(picture: Float32, before: Float64, after: Float64) -> Float32:
    """A picture (H, W, C) in which landmarks (68, 2) lie at ``before``, moved so that they lie at ``after``, in its px.

    As ``motion_between`` moves a crop, with a field that is told at FIELD_PX, since it is smooth; the hairline that
    stays is that of ``after``. Raises ShapeError.
    """
    return carried_each([picture], [before], after)[0]


def carried_each(pictures: Sequence[Float32], befores: Sequence[Float64], after: Float64) -> list[Float32]:
    """``carried`` for several pictures of one size, whose landmarks all go to ``after``: they share most work."""
    moving = [i for i, before in enumerate(befores) if not np.array_equal(before, after)]
    results = list(pictures)
    if not moving:
        return results
    height, width = pictures[0].shape[:2]
    side = max(height, width)
    coarse = min(side, FIELD_PX)
    scale = side / coarse
    goals, *starts = ((_checked(each) + 0.5) / scale - 0.5 for each in (after, *(befores[i] for i in moving)))
    fixed = anchors(goals, coarse)
    places = np.concatenate([goals[CHIN], goals[INNER], fixed])
    apart = [np.concatenate([points[CHIN] - goals[CHIN], points[INNER] - goals[INNER], 0 * fixed]) for points in starts]
    fields = _field(places, _spline(places, np.concatenate(apart, axis=1), STIFFNESS * coarse**2), coarse)
    for n, i in enumerate(moving):
        field = np.ascontiguousarray(fields[..., 2 * n : 2 * n + 2]) * np.float32(scale)
        field = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
        results[i] = warped(pictures[i], np.ascontiguousarray(field[:height, :width]))
    return results


def _checked(points: Float64) -> Float64:
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ShapeError(f"expected 68 finite landmarks (68, 2), found {points.shape}.")
    return points


def _spline(places: Float64, values: Float64, stiffness: float) -> Float64:
    """Coefficients (n + 3, d) of the smooth function that takes ``values`` (n, d) at ``places`` (n, 2)."""
    n = len(places)
    affine = np.concatenate([np.ones((n, 1)), places], axis=1)
    squared = ((places[:, None] - places) ** 2).sum(axis=2)
    system = np.block([[_bending(squared) + stiffness * np.eye(n), affine], [affine.T, np.zeros((3, 3))]])
    return _solved(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))


def rows_of(landmarks: Sequence[int]) -> list[int]:
    """Where the points of ``motion_between``'s spline have these landmarks, of brows, nose, eyes and mouth.

    >>> rows_of([17, 67])
    [5, 55]
    """
    return [CHIN.stop - CHIN.start + landmark - INNER.start for landmark in landmarks]


def _spline_without(landmarks: Sequence[int], places: Float64, values: Float64, stiffness: float) -> Float64:
    """``_spline`` without these landmarks, whose coefficients are 0. places: as ``motion_between`` has them."""
    n = len(places)
    kept = np.setdiff1d(np.arange(n), rows_of(landmarks))
    found = np.zeros((n + 3, values.shape[1]))
    found[[*kept, n, n + 1, n + 2]] = _spline(places[kept], values[kept], stiffness)
    return found


def _solved(system: Float64, right: Float64) -> Float64:
    """x (n, d) with ``system`` (n, n) @ x = ``right`` (n, d): Crout's elimination, with each column's largest pivot.

    Libraries do so small a system with threads, which then wait for the next one at full speed, and whose number may
    change the last bits.
    """
    n, rows = len(system), np.concatenate([system, right], axis=1)
    for k in range(n):
        rows[k:, k] -= rows[k:, :k] @ rows[:k, k]
        pivot = k + int(np.abs(rows[k:, k]).argmax())
        if pivot != k:
            rows[[k, pivot]] = rows[[pivot, k]]
        rows[k, k + 1 :] -= rows[k, :k] @ rows[:k, k + 1 :]
        rows[k, k + 1 :] /= rows[k, k]
    found = rows[:, n:]
    for k in range(n - 1, 0, -1):
        found[:k] -= rows[:k, k : k + 1] * found[k]
    return found


def _field(centres: Float64, coefficients: Float64, side_px: int) -> Float32:
    """The spline at every pixel of a crop, (S, S, d), from centres (n, 2) and coefficients (n + 3, d).

    In float64: closing lips pull close centres apart, and what float32 loses of their large coefficients is 0.01 px.
    """
    n, at = len(centres), np.arange(side_px, dtype=np.float64)
    weights, (constant, per_x, per_y) = coefficients[:n].T, coefficients[n:]
    across, down = (at - centres[:, :1]) ** 2, (at - centres[:, 1:]) ** 2  # (n, S) each: squared distances are sums
    values = at[None, :, None] * per_x + at[:, None, None] * per_y + constant
    n_rows = max(1, 2 * KERNELS_AT_ONCE // (n * side_px * max(2, values.shape[2])))
    for top in range(0, side_px, n_rows):
        band = slice(top, top + n_rows)
        kernel = _bending(down[:, band, None] + across[:, None]).reshape(n, -1)
        values[band] += (weights @ kernel).T.reshape(-1, side_px, weights.shape[0])
    field: Float32 = values.astype(np.float32)
    return field


def _bending(squared: Float64) -> Float64:
    """The spline's kernel r^2 log r^2, from r^2 of any shape."""
    kernel: Float64 = np.log(np.maximum(squared, 1e-12))
    kernel *= squared
    return kernel


def anchors(before: Float64, side_px: int) -> Float64:
    """Points (n, 2) that stay: the hairline above the brows, and the crop's border."""
    down = before[list(MOUTH_CORNERS)].mean(axis=0) - before[EYES].mean(axis=0)
    return np.concatenate([before[BROWS] - HAIRLINE * down, _border(side_px)])


def _border(side_px: int) -> Float64:
    along = np.linspace(0, side_px - 1, ANCHORS_A_SIDE)
    low, high = np.zeros_like(along), np.full_like(along, side_px - 1)
    inner = slice(1, -1)  # the corners once
    sides = [(along, low), (along, high), (low[inner], along[inner]), (high[inner], along[inner])]
    return np.concatenate([np.stack(side, axis=1) for side in sides])
