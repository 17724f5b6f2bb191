"""Where landmarks may go: what lids, lips, brows and noses of people never do is set right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emorph.core.landmarks import (
    BROW_LINES,
    BROWS_TO_LIDS,
    CHIN,
    EYES,
    INNER_BROWS_TO_EYES,
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
    UPPER_LIP,
)
from emorph.core.types import Float64
from emorph.faces.points import between_eyes


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
# Of brows over their lids: of surprised people over their own neutral photos the median is 1.09, and one in seven is
# higher than this, above which a brow draws the shade of the lid along.
HIGHEST_BROW = 1.35
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
MOST_RISE = 0.5  # of the way from the chin down to the crop's edge, on which the neck is stretched
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
    apart = _held_brows(before, _held_corners(before, after, down), down)
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


def with_chin_in_crop(before: Float64, after: Float64, side_px: int) -> Float64:
    """The moved landmarks with a chin that rises no further than the crop's edge below it allows.

    before, after: (68, 2) in pixels of a crop with this side. What lies outside of a crop stays: a chin that leaves its
    edge would be seen twice.
    """
    held = after.copy()
    room = np.maximum(side_px - 1 - before[CHIN, 1], 0)
    held[CHIN, 1] = np.maximum(after[CHIN, 1], before[CHIN, 1] - MOST_RISE * room)
    return held


def _held_brows(before: Float64, after: Float64, down: Float64) -> Float64:
    """A copy of the moved landmarks (68, 2), each brow as a whole no higher over its lids than HIGHEST_BROW has it."""
    held = after.copy()
    for brow, pairs in zip(BROW_LINES, (BROWS_TO_LIDS[:2], BROWS_TO_LIDS[2:]), strict=True):
        own, now = (np.mean([(points[lid] - points[at]) @ down for at, lid in pairs]) for points in (before, after))
        held[brow] += max(0.0, float(now - HIGHEST_BROW * own)) * down
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


def _lip_line(points: Float64) -> Float64:
    """The middle between the lips (2,) of landmarks (68, 2)."""
    middle: Float64 = points[list(LIP_MIDDLES)].mean(axis=0)
    return middle
