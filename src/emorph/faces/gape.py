"""How far a mouth opens: no further than people's do, nor than what is asked for has it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from emorph.core.landmarks import (
    INNER_MOUTH_CORNERS,
    LIP_GAPS,
    LOWER_JAW,
    LOWER_LIP_POINTS,
    MOUTH_CORNERS,
    UPPER_LIP_POINTS,
)
from emorph.core.types import Float64
from emorph.faces.mouth_crop import is_shut
from emorph.faces.points import between_eyes
from emorph.faces.slits import MOUTH_SLIT, lips_apart

# Gaps between the inner lips, in distances between the eyes. In press photos of surprised people the median is 0.21,
# and one mouth in ten is open wider than WIDEST.
FREE, WIDEST = 0.2, 0.38
SLACK = 0.05  # by which a gap may exceed what is asked for, where that is SLACKEST or more; in proportion below
SLACKEST = 0.1
UPPER_SHARE = 0.4  # of a gap that is left when a mouth closes, by which the upper lip comes down


class AskedGape(NamedTuple):
    """The gap that belongs to a target, in distances between the eyes, times the share of the way to it."""

    share: float
    gap: float

    def from_own(self, own: float) -> float:
        """The gap that a mouth has then whose own is this."""
        return max(0.0, own + self.gap - self.share * own)


class Openings(NamedTuple):
    """What a target asks of lips and lids.

    lips: None if it asks nothing. lids: what is left at most of the left and the right eye's own opening, in the
    picture, [0, 1].
    """

    lips: AskedGape | None = None
    lids: tuple[float, float] = (1.0, 1.0)


AS_THEY_COME = Openings()


def held_gape(before: Float64, after: Float64, asked: AskedGape | None = None) -> Float64:
    """The moved landmarks with lips that part no further than they should: the lower lip and the jaw stay higher.

    before, after: (68, 2) (x, y). asked: by default what people's mouths do; a mouth that was open wider may stay so.
    What is too far is not cut off but comes ever nearer to a bound, so that an edit's strength is still to be seen.
    Lips that should touch do so all along, and do not cross.
    """
    own, gap = lips_apart(before), lips_apart(after)
    allowed, room = max(own, FREE), WIDEST - FREE
    if asked is not None and asked.share > 0:
        wanted = asked.from_own(own)
        allowed = min(wanted, max(own, WIDEST - SLACK))
        room = SLACK * min(1.0, wanted / SLACKEST)
    unit, down = float(np.linalg.norm(between_eyes(before))), MOUTH_SLIT.down(after)
    from_above = UPPER_SHARE if gap < own else 0.0
    held, excess = after.copy(), gap - allowed
    if excess > 0:
        excess -= room * (1 - math.exp(-excess / room)) if room > 0 else 0.0
        held[list(UPPER_LIP_POINTS)] += from_above * excess * unit * down
        held[list(LOWER_LIP_POINTS)] -= (1 - from_above) * excess * unit * down
        held[[*MOUTH_CORNERS, *INNER_MOUTH_CORNERS]] -= (0.5 - from_above) * excess * unit * down  # as the lips' middle
        fell = float((after - before)[list(LOWER_LIP_POINTS)].mean(axis=0) @ down) / unit
        jaw = np.maximum((after - before)[LOWER_JAW] @ down, 0)
        held[LOWER_JAW] -= (min(1.0, excess / max(fell, 1e-6)) * jaw)[:, None] * down
    if is_shut(allowed + room):
        for upper, lower in LIP_GAPS:
            apart = float((held[lower] - held[upper]) @ down)
            beyond = apart - float(np.clip(apart, 0, (allowed + room) * unit))
            held[upper] += from_above * beyond * down
            held[lower] -= (1 - from_above) * beyond * down
    return held
