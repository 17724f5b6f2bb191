"""Where skin of two sides meets: between the lips, and between the lids. Each side is moved by itself as they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emorph.core.landmarks import (
    INNER_MOUTH_CORNERS,
    LIDS,
    LIP_GAPS,
    LOWER_LIP_POINTS,
    UPPER_LIP_POINTS,
)
from emorph.core.types import Float32, Float64
from emorph.faces.points import between_eyes

# Lips, in distances between the eyes: by how much their gap changes until they are moved apart in full; and, where they
# close, the gap up to which that is so, and from which it is not: what is between them then stays whole. Where they
# open further, teeth stay at the lip that they are seen at.
PARTING = 0.06
MEETING = (0.05, 0.1)
# Lids that close: shares of an eye's own opening, up to which they are moved apart in full, and from which not at all.
# What opens an eye shows more of it, in one piece.
CLOSING = (0.5, 0.75)
LASHES = 0.12  # of an eye's opening, by which its edges are taken for wider as it closes: points lie inside the lids
SEAM = 0.75  # crop pixels: half the width of the seam between the sides inside; beyond the corners it widens evenly
AROUND_EYE = 1.0  # widths of an eye, from its middle: where its lids' own motion has faded


@dataclass(frozen=True)
class Slit:
    """Landmarks around it. corners: left and right. gaps: pairs, the first above the second, from left to right."""

    kind: Literal["lips", "lids"]
    corners: tuple[int, int]
    gaps: tuple[tuple[int, int], ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]

    def down(self, points: Float64) -> Float64:
        """The unit vector (2,) across its line, downwards. points: (68, 2)."""
        along = points[self.corners[1]] - points[self.corners[0]]
        return np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)

    def opening(self, points: Float64) -> float:
        """The mean gap, in the points' own unit; below 0 where the sides cross. points: (68, 2)."""
        apart = np.mean([points[lower] - points[upper] for upper, lower in self.gaps], axis=0)
        return float(apart @ self.down(points))

    def left_open(self, before: Float64, after: Float64) -> float:
        """The share of its opening that it keeps between two sets of landmarks (68, 2); 1 if it was shut."""
        own = self.opening(before)
        return self.opening(after) / own if own > 0 else 1.0

    def parted(self, before: Float64, after: Float64) -> float:
        """How far its sides are moved each by itself between two sets of landmarks (68, 2), in [0, 1]."""
        if self.kind == "lids":
            return float(np.clip((CLOSING[1] - self.left_open(before, after)) / (CLOSING[1] - CLOSING[0]), 0, 1))
        was, now = (max(0.0, lips_apart(points)) for points in (before, after))
        share = float(np.clip(abs(now - was) / PARTING, 0, 1))
        return share if now > was else share * float(np.clip((MEETING[1] - now) / (MEETING[1] - MEETING[0]), 0, 1))

    def below(self, points: Float64, side_px: int) -> tuple[Float32, Float32]:
        """How far each crop pixel lies below it, and how near, (S, S) in [0, 1] each. points: (68, 2) in its pixels."""
        left, right = points[list(self.corners)]
        width = max(float(np.linalg.norm(right - left)), 1e-6)
        along = (right - left) / width
        axes = np.array([along, [-along[1], along[0]]]).T
        line = np.stack([left, *((points[upper] + points[lower]) / 2 for upper, lower in self.gaps), right])
        line_x, line_y = ((line - left) @ axes).T
        rows, columns = np.mgrid[:side_px, :side_px]
        x, y = np.moveaxis((np.stack([columns, rows], axis=-1) - left) @ axes, 2, 0)
        seam = SEAM + np.maximum(0, np.maximum(-x, x - width))
        share = np.clip(0.5 + (y - np.interp(x, np.maximum.accumulate(line_x), line_y)) / (2 * seam), 0, 1)
        below = (share * share * (3 - 2 * share)).astype(np.float32)
        if self.kind == "lips":
            return below, np.ones_like(below)
        apart = np.hypot(x - width / 2, y) / (AROUND_EYE * width)
        return below, np.exp(-(apart**4)).astype(np.float32)


MOUTH_SLIT = Slit("lips", INNER_MOUTH_CORNERS, LIP_GAPS, UPPER_LIP_POINTS, LOWER_LIP_POINTS)
EYE_SLITS = (
    Slit("lids", (36, 39), LIDS[:2], (37, 38), (41, 40)),
    Slit("lids", (42, 45), LIDS[2:], (43, 44), (47, 46)),
)
# Slits whose sides are left out together: nothing of a mouth hangs on the eyes, and of one eye little on the other
GROUPS = ((MOUTH_SLIT,), EYE_SLITS)


def lips_apart(points: Float64) -> float:
    """The gap between the inner lips in distances between the eyes; below 0 where they cross. points: (68, 2)."""
    return MOUTH_SLIT.opening(points) / max(float(np.linalg.norm(between_eyes(points))), 1e-6)


def sides(group: Sequence[Slit]) -> tuple[list[int], list[int]]:
    """The landmarks that motion above a group of slits does not know, and those that motion below does not."""
    return [n for slit in group for n in slit.lower], [n for slit in group for n in slit.upper]


def with_lashes(before: Float64, after: Float64) -> Float64:
    """A copy of ``before`` (68, 2) in which eyes that close are a little wider: all of them is to be covered."""
    wider = before.copy()
    for slit in EYE_SLITS:
        share = slit.parted(before, after)
        if share:
            for upper, lower in slit.gaps:
                by = share * LASHES * (before[lower] - before[upper])
                wider[upper] -= by
                wider[lower] += by
    return wider
