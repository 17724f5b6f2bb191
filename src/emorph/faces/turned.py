"""Motion learnt on frontal faces, as a turned head shows it: the far side of the mouth moves less across.

Nearly in profile the far side's points are guesses, and what moves with them bends the face's outline: such a face
takes a part of its edit only.
"""

from __future__ import annotations

import numpy as np

from emorph.core.landmarks import MOUTH, MOUTH_CORNERS, NOSE_RIDGE, OUTER_EYE_CORNERS
from emorph.core.types import Float64
from emorph.faces.bounds import in_order, with_own_nose
from emorph.faces.gape import AS_THEY_COME, Openings, held_gape
from emorph.faces.lids import held_lids
from emorph.faces.points import between_eyes

# Far half of the span between the outer eye corners, over the near half. From here down a head counts as turned: that
# of a frontal one is off 1 by the points' own error and by faces' asymmetry.
FRONTAL = 0.75
LEAST = 0.35  # of the motion across that is left on the far side, where a head is turned so far or further
# A face is in profile from here down, and takes LEAST_TAKEN of an edit; from LEAST to here ever less.
PROFILE, LEAST_TAKEN = 0.22, 0.3
MIDLINE = 0.25  # of the mouth's width: over which near becomes far
CHEEK = 0.75  # of the cheek between the far corner and the face's outline that is left, at least
CHEEKS = (1, 2, 3, 4, 5, 6, 7), (15, 14, 13, 12, 11, 10, 9)  # points of the outline, left and right, downwards


def shown_shares(points: Float64) -> tuple[float, float]:
    """How much of a frontal face's motion across each side shows, (left, right) of the picture, in [LEAST, 1].

    points: (68, 2) in crop pixels. On a cylinder that turns, the eyes' halves shorten as motion at the mouth does.
    """
    left, right = _eye_halves(points)
    return float(np.clip(left, LEAST, 1)), float(np.clip(right, LEAST, 1))


def taken_share(points: Float64) -> float:
    """How much of an edit a face takes, in [LEAST_TAKEN, 1]: all of it, unless it is nearly in profile.

    points: (68, 2) in pixels of a crop or a photo.
    """
    beyond = (LEAST - min(_eye_halves(points))) / (LEAST - PROFILE)
    return 1 - (1 - LEAST_TAKEN) * float(np.clip(beyond, 0, 1))


def expressed(before: Float64, after: Float64, asked: Openings = AS_THEY_COME) -> Float64:
    """Where an expression has landmarks (68, 2): from where those of a frontal face would go, as people's can.

    before, after: (x, y) in crop pixels. asked: of lips and lids. Nearly in profile they go a part of the way.
    """
    possible = in_order(before, foreshortened(before, with_own_nose(before, after)))
    goal = held_lids(before, held_gape(before, possible, asked.lips), asked.lids)
    share = taken_share(before)
    return goal if share == 1 else before + share * (goal - before)


def foreshortened(before: Float64, after: Float64) -> Float64:
    """Landmarks (68, 2) that moved as a frontal face's do, as they move on the head that ``before`` shows.

    Of a turned head the mouth's far side moves less across, and its far corner keeps off the face's outline. Nothing
    changes on a frontal one.
    """
    shares = shown_shares(before)
    if min(shares) == 1:
        return after
    across = _across(before)
    left, right = before[list(MOUTH_CORNERS)] @ across
    width = max(float(right - left), 1e-6)
    lips = before[MOUTH] @ across
    # the midline lies in the lips' own middle, which turns with the head
    to_right = np.clip((lips - (before[51] @ across + before[62] @ across) / 2) / (MIDLINE * width) + 0.5, 0, 1)
    share = shares[0] * (1 - to_right) + shares[1] * to_right
    along = (after - before)[MOUTH] @ across
    shown = after.copy()
    shown[MOUTH] += ((share - 1) * along)[:, None] * across
    return _off_the_outline(before, shown, across, shares)


def _off_the_outline(before: Float64, shown: Float64, across: Float64, shares: tuple[float, float]) -> Float64:
    """The same with a corner that comes too near to the face's outline drawn back, and all lips with it in proportion.

    A corner of a side that is not foreshortened stays free; in between, little by little.
    """
    down = np.array([-across[1], across[0]])
    for side, sign in ((0, -1), (1, 1)):
        turned = (1 - shares[side]) / (1 - LEAST)
        corner = MOUTH_CORNERS[side]
        cheek = before[list(CHEEKS[side])]
        heights = np.maximum.accumulate(cheek @ down)
        edge = float(np.interp(before[corner] @ down, heights, sign * (cheek @ across)))
        own, now = (sign * float(points[corner] @ across) for points in (before, shown))
        excess = now - own - (1 - CHEEK * turned) * max(edge - own, 0)
        if turned <= 0 or excess <= 0:
            continue
        middle = float(shown[MOUTH].mean(axis=0) @ across)
        reach = sign * (shown[MOUTH] @ across - middle) / max(now - sign * middle, 1e-6)
        shown[MOUTH] -= (sign * excess * np.clip(reach, 0, 1))[:, None] * across
    return shown


def _eye_halves(points: Float64) -> tuple[float, float]:
    """The halves of the span between the outer eye corners, (left, right), as shares of a turned head's longer one.

    Over FRONTAL: the longer one is above 1. A far eye that lies behind the nose has one below 0.
    """
    across = _across(points)
    nose = float((points[NOSE_RIDGE] @ across).mean())
    left, right = (points[list(OUTER_EYE_CORNERS)] @ across - nose) * [-1, 1]
    longer = max(left, right, 1e-6)
    return left / longer / FRONTAL, right / longer / FRONTAL


def _across(points: Float64) -> Float64:
    """The unit vector from the left eye to the right."""
    line = between_eyes(points)
    found: Float64 = line / max(float(np.linalg.norm(line)), 1e-6)
    return found
