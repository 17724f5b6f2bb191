"""Move a face's landmarks, and the picture with them: a thin-plate spline (Bookstein 1989)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.landmarks import (
    BROWS,
    BROWS_TO_LIDS,
    CHIN,
    EYES,
    INNER,
    INNER_BROWS_TO_EYES,
    LEFT_EYE,
    LIDS,
    LIP_GAPS,
    LIP_MIDDLES,
    LIP_SIDES,
    LIP_SPREADS,
    LOWER_LIP,
    MOUTH,
    MOUTH_CORNERS,
    MOUTH_SIDES,
    NOSE_RIDGE,
    NOSE_SIDES,
    NOSE_WINGS,
    RIGHT_EYE,
    UPPER_LIP,
)
from emorph.core.types import Float32, Float64

STIFFNESS = 3e-4  # of the spline, over the crop's side squared; 0 meets every point exactly
ANCHORS_A_SIDE = 9  # fixed points along each side of the crop
FIELD_PX = 32  # side at which it is told how a whole picture is carried along
HAIRLINE = 0.5  # how far above the brows hair begins, in eye-to-mouth distances: brows move skin, and no hair
KERNELS_AT_ONCE = 1 << 16  # half a megabyte: the field is summed in bands that stay in the processor's cache


@dataclass(frozen=True)
class Spacing:
    """Two landmarks, one above the other, that keep their distance: at least ``share`` of it, at most ``most``.

    yields: which of them gives way where they come too close; too far apart, it is the other.
    """

    upper: int
    lower: int
    share: float
    yields: Literal["both", "upper", "lower"]
    most: float = math.inf


# Of angry faces the median is 0.79 of neutral ones', and the lowest in a hundred 0.38; lower, skin tears into a V.
LEAST_FROWN = 0.6
# Of surprised faces the median is 1.17 of neutral ones', the widest in twenty 1.56; wider, irises are drawn out.
WIDEST_EYE = 1.4
# Corners of the mouth below the middle of the lips' line, in eye distances: as of the lowest in twenty sad faces. Its
# width over its own: surprised mouths over smiles. Beyond either, the cheeks of a closing smile tear at the corners.
MOST_DROP, NARROWEST = 0.09, 0.75
WIDEST_MOUTH = 1.27  # of its own width: of people's smiles over their neutral mouths, the widest in four
# A nose is bone and gristle: in photos of one person with and without an expression its length is the same, its width
# 0.97 (surprise) to 1.1 times (smiles), in the median. Up or down, in eye distances: its ridge, its wings.
MOST_RIDGE, MOST_WING = 0.02, 0.04
WINGS = (0.95, 1.1)
LEAST_SPREAD = 0.6  # of the inner lips beside their middles, where the mouth's width is as it was: else they cross
BESIDE = 0.5  # how far lips beside the corners go with them
THICKEST = 1.1  # of a lip's own thickness: a mouth that opens parts its lips and does not swell them
# Eyes do not fall shut, lips neither cross, vanish nor swell, brows do not sink into eyes. In this order: lips before
# skin.
SPACINGS = (
    *(Spacing(upper, lower, 0.35, "both", WIDEST_EYE) for upper, lower in LIDS),
    *(Spacing(upper, lower, 0.02, "both") for upper, lower in LIP_GAPS),
    *(Spacing(upper, lower, 0.3, "both") for upper, lower in LIP_SIDES),
    *(Spacing(upper, lower, 0.5, "upper", THICKEST) for upper, lower in UPPER_LIP),
    *(Spacing(upper, lower, 0.5, "lower", THICKEST) for upper, lower in LOWER_LIP),
    *(Spacing(upper, lower, 0.55, "upper") for upper, lower in BROWS_TO_LIDS),
    *(Spacing(upper, lower, LEAST_FROWN, "upper") for upper, lower in INNER_BROWS_TO_EYES),
)


def in_order(before: Float64, after: Float64) -> Float64:
    """The moved landmarks, set right where they came too close, or too far apart, along the face's own vertical.

    before, after: (68, 2) (x, y). What touched or crossed before, as closed lips are often read, crosses no further.
    """
    down = before[list(MOUTH_CORNERS)].mean(axis=0) - before[EYES].mean(axis=0)
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    apart = _held_corners(before, after, down)
    for pair in SPACINGS:
        own, now = (float((points[pair.lower] - points[pair.upper]) @ down) for points in (before, apart))
        least, most = (pair.share * own, pair.most * own) if own > 0 else (own, math.inf)
        missing = float(np.clip(now, least, most)) - now
        up_share = {"both": 0.5, "upper": 1.0, "lower": 0.0}[pair.yields]
        if missing < 0:
            up_share = 1 - up_share
        apart[pair.upper] -= up_share * missing * down
        apart[pair.lower] += (1 - up_share) * missing * down
    return apart


def with_own_nose(before: Float64, after: Float64) -> Float64:
    """The moved landmarks of a head that does not turn, with a nose about as long and as wide as it was.

    before, after: (68, 2) (x, y). The nose is held in its place under the eyes.
    """
    apart = between_eyes(after)
    unit = max(float(np.linalg.norm(apart)), 1e-6)
    across = apart / unit
    down = np.array([-across[1], across[0]])
    held, with_eyes = after.copy(), before + after[EYES].mean(axis=0) - before[EYES].mean(axis=0)
    for part, most in ((NOSE_RIDGE, MOST_RIDGE), (NOSE_WINGS, MOST_WING)):
        went = (after[part] - with_eyes[part]) @ down
        held[part] += (np.clip(went, -most * unit, most * unit) - went)[:, None] * down
    was, now = (float((points[NOSE_SIDES[1]] - points[NOSE_SIDES[0]]) @ across) for points in (before, held))
    if was > 0 and now > 0:
        reach = (held[NOSE_WINGS] - held[NOSE_WINGS].mean(axis=0)) @ across
        held[NOSE_WINGS] += ((np.clip(now / was, *WINGS) * was / now - 1) * reach)[:, None] * across
    return held


def _held_corners(before: Float64, after: Float64, down: Float64) -> Float64:
    """A copy of the moved landmarks (68, 2), the mouth's width and the drop of its corners within their bounds.

    A corner that hung lower before may stay there.
    """
    unit = float(np.linalg.norm(between_eyes(before)))
    held = after.copy()
    for corner, inner, beside in MOUTH_SIDES:
        was, now = (float((points[corner] - _lip_line(points)) @ down) for points in (before, after))
        excess = max(0.0, now - max(was, MOST_DROP * unit))
        held[[corner, inner]] -= excess * down
        held[list(beside)] -= BESIDE * excess * down
    across = np.array([down[1], -down[0]])
    was, now = (float((points[MOUTH_CORNERS[1]] - points[MOUTH_CORNERS[0]]) @ across) for points in (before, held))
    wide = float(np.clip(now, NARROWEST * was, WIDEST_MOUTH * was))
    if now > 0 < was and wide != now:
        reach = (held[MOUTH] - _lip_line(held)) @ across
        held[MOUTH] += ((wide / now - 1) * reach)[:, None] * across
    narrower = min(1.0, max(now / max(was, 1e-6), NARROWEST))
    for left, right in LIP_SPREADS:
        was, now = (float((points[right] - points[left]) @ across) for points in (before, held))
        missing = max(0.0, LEAST_SPREAD * narrower * was - now)
        held[left] -= missing / 2 * across
        held[right] += missing / 2 * across
    return held


def between_eyes(points: Float64) -> Float64:
    """From the middle of the left eye to that of the right one, (2,); its length is the unit of a face (68, 2)."""
    apart: Float64 = points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)
    return apart


def _lip_line(points: Float64) -> Float64:
    """The middle between the lips (2,) of landmarks (68, 2)."""
    middle: Float64 = points[list(LIP_MIDDLES)].mean(axis=0)
    return middle


def motion_between(before: Float64, after: Float64, side_px: int) -> Float32:
    """Where each pixel of a crop comes from, so that its landmarks move from ``before`` to ``after``.

    before, after: (68, 2) (x, y) in crop pixels; ``after`` as ``in_order`` leaves it, or else lids and lips may cross.
    Returns (S, S, 2): pixel (x, y) of the moved picture is the old one's at (x, y) + motion. The crop's border and the
    hairline stay; the chin goes with the jaw, the rest of the face's outline follows the features. Raises ShapeError.

    >>> before = np.random.default_rng(0).uniform(20, 44, (68, 2))
    >>> motion = motion_between(before, before + [3, 0], side_px=64)  # all landmarks go to the right ...
    >>> bool(motion[40, 32, 0] < -2), bool(abs(motion[0, 0]).max() < 0.5)  # ... so pixels come from the left
    (True, True)
    """
    before, after = _checked(before), _checked(after)
    fixed = anchors(before, side_px)
    start, end = (np.concatenate([points[CHIN], points[INNER], fixed]) for points in (before, after))
    return _field(end, _spline(end, start - end, STIFFNESS * side_px**2), side_px)


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
