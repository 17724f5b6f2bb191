"""How far an edit opens a mouth that speaks, laughs or shouts: no further than mouths open."""

from __future__ import annotations

import numpy as np

from emorph.core.landmarks import CHIN, INNER_LOWER_LIP, UNDER_LIP
from emorph.core.types import Float64
from emorph.faces.mouth_crop import face_unit
from emorph.faces.points import eyes_to_mouth

MOST_OPEN = 0.42  # units of the face between the inner lips: steps open closed mouths by 0.2 to 0.3 at most
JAW = (*range(CHIN.start, CHIN.stop), *range(UNDER_LIP.start, UNDER_LIP.stop), *INNER_LOWER_LIP[1:-1])


def within_reach(points: Float64, step: Float64) -> Float64:
    """A step (68, 2) of landmarks (68, 2), its lower lip and chin held back where they would open the mouth too far.

    A step is learnt on faces at rest, and adds the same to every mouth: to one that is wide open as well. The lips part
    to MOST_OPEN, or stay as far apart as they are if that is more.
    """
    eyes, mouth = eyes_to_mouth(points)
    down = (mouth - eyes) / max(float(np.linalg.norm(mouth - eyes)), 1e-6)
    gap, opens = float((points[66] - points[62]) @ down), float((step[66] - step[62]) @ down)
    excess = gap + opens - max(gap, MOST_OPEN * face_unit(points))
    if opens <= 0 or excess <= 0:
        return step
    held = step.copy()
    held[list(JAW)] -= excess * down
    return held
