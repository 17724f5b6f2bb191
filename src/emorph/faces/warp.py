"""Move a face's landmarks, and the picture with them: a thin-plate spline (Bookstein 1989)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ShapeError
from emorph.core.types import Float32, Float64

FEATURES = slice(17, 68)  # brows, nose, eyes and mouth; the jaw's outline follows them
STIFFNESS = 3e-4  # of the spline, over the crop's side squared; 0 meets every point exactly
ANCHORS_A_SIDE = 9  # fixed points along each side of the crop


@dataclass(frozen=True)
class Spacing:
    """Two landmarks, one above the other, that keep a share of their distance. ``yields``: which of them gives way."""

    upper: int
    lower: int
    share: float
    yields: Literal["both", "upper", "lower"]


# Eyes do not fall shut, lips neither cross nor vanish, brows do not sink into eyes. In this order: lips before skin.
SPACINGS = (
    *(Spacing(upper, lower, 0.35, "both") for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46))),
    *(Spacing(upper, lower, 0.02, "both") for upper, lower in ((61, 67), (62, 66), (63, 65))),
    *(Spacing(upper, lower, 0.5, "upper") for upper, lower in ((50, 61), (51, 62), (52, 63))),
    *(Spacing(upper, lower, 0.5, "lower") for upper, lower in ((67, 58), (66, 57), (65, 56))),
    *(Spacing(upper, lower, 0.55, "upper") for upper, lower in ((19, 37), (20, 38), (23, 43), (24, 44))),
)


def in_order(before: Float64, after: Float64) -> Float64:
    """The moved landmarks, set apart where they came too close along the face's own vertical.

    before, after: (68, 2) (x, y). A distance that was 0 or negative before stays free.
    """
    found = after.copy()
    down = before[[48, 54]].mean(axis=0) - before[36:48].mean(axis=0)
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    for pair in SPACINGS:
        least = pair.share * float((before[pair.lower] - before[pair.upper]) @ down)
        missing = least - float((found[pair.lower] - found[pair.upper]) @ down)
        if least <= 0 or missing <= 0:
            continue
        up_share = {"both": 0.5, "upper": 1.0, "lower": 0.0}[pair.yields]
        found[pair.upper] -= up_share * missing * down
        found[pair.lower] += (1 - up_share) * missing * down
    return found


def motion_between(before: Float64, after: Float64, side_px: int) -> Float32:
    """Where each pixel of a crop comes from, so that its landmarks move from ``before`` to ``after``.

    before, after: (68, 2) (x, y) in crop pixels. Returns (S, S, 2): pixel (x, y) of the moved picture is the old one's
    at (x, y) + motion. The crop's border stays; the jaw follows the features. Raises ShapeError.
    """
    for points in (before, after):
        if points.shape != (68, 2) or not np.isfinite(points).all():
            raise ShapeError(f"expected 68 finite landmarks (68, 2), found {points.shape}.")
    border = _border(side_px)
    start = np.concatenate([before[FEATURES], border])
    end = np.concatenate([in_order(before, after)[FEATURES], border])
    coefficients = _spline(end, start - end, STIFFNESS * side_px**2)
    y, x = np.mgrid[:side_px, :side_px]
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    terms = np.concatenate([_bending(places, end), np.ones((len(places), 1)), places], axis=1)
    return (terms @ coefficients).reshape(side_px, side_px, 2).astype(np.float32)


def warped(picture: NDArray[Any], motion: Float32) -> Float32:
    """A float picture (H, W, C), moved by a motion (H, W, 2) of its own pixels; cubic, border repeated."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(
        picture.astype(np.float32),
        x + motion[..., 0],
        y + motion[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    found: Float32 = moved.reshape(height, width, -1)
    return found


def _spline(places: Float64, values: Float64, stiffness: float) -> Float64:
    """Coefficients (n + 3, d) of the smooth function that takes ``values`` (n, d) at ``places`` (n, 2)."""
    n = len(places)
    affine = np.concatenate([np.ones((n, 1)), places], axis=1)
    system = np.block([[_bending(places, places) + stiffness * np.eye(n), affine], [affine.T, np.zeros((3, 3))]])
    return np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))


def _bending(places: Float64, centres: Float64) -> Float64:
    """The spline's kernel r^2 log r^2 between (m, 2) and (n, 2): (m, n)."""
    squared = ((places[:, None] - centres[None]) ** 2).sum(axis=2)
    kernel: Float64 = squared * np.log(np.maximum(squared, 1e-12))
    return kernel


def _border(side_px: int) -> Float64:
    along = np.linspace(0, side_px - 1, ANCHORS_A_SIDE)
    low, high = np.zeros_like(along), np.full_like(along, side_px - 1)
    inner = slice(1, -1)  # the corners once
    sides = [(along, low), (along, high), (low[inner], along[inner]), (high[inner], along[inner])]
    return np.concatenate([np.stack(side, axis=1) for side in sides])
