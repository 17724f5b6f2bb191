"""The creases that skin throws where an edit pushes it together: a frown's, those of raised brows, a wrinkled nose's.

Landmarks move skin and leave it as smooth as it was, and a model that draws a whole face is too coarse for lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from emorph.core.landmarks import NOSE_RIDGE, NOSE_SIDES, OUTER_EYE_CORNERS
from emorph.core.types import Float32, Float64, Photo
from emorph.faces.mask import PasteMask
from emorph.faces.points import between_eyes

# In distances between the eyes: no crease yet, and a whole one. Skin creases if it has been moved so far, and to where
# few neutral faces have it: brows that come back from a frown rise as well. Half of the neutral faces of press photos
# have a gap of 0.36 between the brows, whose inner ends lie 0.31 over the eyes' corners, and whose middles 0.38.
TOGETHER, GAP = (0.02, 0.07), (0.38, 0.29)  # inner ends of the brows towards each other, and the gap that is left
LOWERED, LOW = (0.05, 0.11), (0.25, 0.17)  # the same ends down, and how high they lie then
RAISED, HIGH = (0.03, 0.09), (0.32, 0.38)  # up, and how high
SIDES_RAISED, SIDES_HIGH = (0.03, 0.1), (0.39, 0.45)  # middles of the brows up, and how high
WINGS_RAISED, NOSE_LOWERED, NOSE_LOW = (0.008, 0.024), (0.02, 0.06), (0.27, 0.21)  # a wrinkled nose's, with its brows

INNER_ENDS, MIDDLES, OUTER_ENDS = (21, 22), (19, 24), (17, 26)  # of the brows
INNER_EYE_CORNERS = (39, 42)
# Where creases lie, in distances between the eyes: x to the right and y downwards from between the brows.
FROWN = ((0.09, -0.16), (0.06, -0.14))  # y of the left line's ends and of the right one's: no face is its own mirror
FROWN_AT, FROWN_SPREAD = 0.55, 0.04  # of the way to the inner ends; how much further apart the lines are above
FOREHEAD = (-0.19, -0.3, -0.42)  # y of lines
FOREHEAD_REACH, FOREHEAD_SAG = 0.8, 0.05  # of the brows' reach; of a line's length, by which its middle hangs
CENTRE, SIDES = 0.15, 0.4  # |x| up to which the inner ends of the brows fold a line, and from which the middles do
NOSE_ROOT, NOSE_HALF, NOSE_SAG = (-0.06, 0.04), 0.13, -0.1  # y of lines from the root on; half their length

DEPTH = 0.28  # of the skin's light that a whole frown takes in its middle
FOREHEAD_DEPTH, NOSE_DEPTH = 0.6, 0.8  # of that
REDDISH = (0.85, 1.0, 1.0)  # of red, green and blue: skin in a crease is lit by skin
VALLEY, RIDGES = 0.02, 0.05  # standard deviations: of a crease, and of the light skin on both sides of it
RIDGE_SHARE = 0.6

GRID_PX = 96.0  # a distance between the eyes, on the grid on which creases are drawn
LEFT, ABOVE, RIGHT, BELOW = 1.0, 0.75, 1.0, 0.45  # what the grid holds
N_POINTS = 25  # of a line
LINE_PX = 2
BLOWN = (255.0, 205.0)  # levels of 255: skin that is too light to show a crease, and that shows it whole
LEAST_PX = 0.6  # of the photo: standard deviation of the finest line that it can show
LEAST_UNIT_PX = 16.0  # smaller faces show no creases
HAIR = (2.0, 4.0)  # how much darker than the skin hair and frames are, none to all, in the skin's own deviations
LEAST_DEVIATION = 0.05  # of the skin's light
ROUGH = (2.0, 4.0)  # how many times as rough as skin hair is: creases none the less, and none
LEAST_ROUGHNESS = 0.01  # of the skin's light
HAIR_EDGE = 0.03  # standard deviation of the soft edge around hair


@dataclass(frozen=True)
class Creases:
    """How much of each kind an edit throws, in [0, 1]. forehead: over the middle, and over both sides."""

    frown: float
    forehead: tuple[float, float]
    nose: float

    def __bool__(self) -> bool:
        return max(self.frown, *self.forehead, self.nose) > 0


def creases(before: Float64, after: Float64) -> Creases:
    """What an edit throws, by where it moves the brows and the nose's wings. Landmarks (68, 2) each.

    >>> points = np.random.default_rng(0).uniform(0, 9, (68, 2))
    >>> bool(creases(points, points))
    False
    """
    own, now = _places(before), _places(after)
    (together, inner, middle, wings), gap = np.array([own[0] - now[0], *(now[1:] - own[1:])]), now[0]
    lowered = min(_share(-inner, LOWERED), _share(now[1], LOW))
    return Creases(
        frown=float(max(min(_share(together, TOGETHER), _share(gap, GAP)), lowered)),
        forehead=(
            float(min(_share(inner, RAISED), _share(now[1], HIGH))),
            float(min(_share(middle, SIDES_RAISED), _share(now[2], SIDES_HIGH))),
        ),
        nose=float(min(_share(wings, WINGS_RAISED), _share(-inner, NOSE_LOWERED), _share(now[1], NOSE_LOW))),
    )


def with_creases(photo: Photo, before: Float64, after: Float64, mask: PasteMask) -> Photo:
    """The photo with the creases that an edit throws; other edits leave it as it is.

    photo: of the edit. before, after: the face's landmarks (68, 2) in photo pixels, and where the edit has them.
    mask: of the face. Skin alone is creased, neither hair nor the frames of glasses. Bit-identical outside the mask.
    """
    thrown = creases(before, after)
    unit = float(np.linalg.norm(between_eyes(after)))
    if not thrown or unit < LEAST_UNIT_PX or not mask.weights.size:
        return photo
    to_grid = _to_grid(after, unit)
    drawn = _drawn(after @ to_grid[:, :2].T + to_grid[:, 2], thrown, LEAST_PX / unit)
    window = _window(to_grid, mask)
    if window is None:
        return photo
    top, left, bottom, right = window
    weights = mask.weights[top - mask.top : bottom - mask.top, left - mask.left : right - mask.left]
    seen = photo.pixels[top:bottom, left:right].astype(np.float32)
    to_window = cv2.invertAffineTransform(to_grid)
    to_window[:, 2] -= [left, top]
    depth = cv2.warpAffine(drawn, to_window, weights.shape[::-1], flags=cv2.INTER_LINEAR)
    depth *= weights * _skin(seen, depth, unit) * _share(seen.mean(axis=2), BLOWN)
    creased = seen * (1 - DEPTH * depth[..., None] * np.array(REDDISH, np.float32))
    pixels = photo.pixels.copy()
    pixels[top:bottom, left:right] = np.clip(np.rint(creased), 0, 255)
    return replace(photo, pixels=pixels)


@dataclass(frozen=True)
class _Line:
    """A crease: points (n, 2) in eye distances from between the brows, and how deep it is at each, (n,)."""

    points: Float64
    depths: Float64


def _lines(points: Float64, thrown: Creases) -> Iterator[_Line]:
    """All creases of a face with landmarks (68, 2), in eye distances from between the brows."""
    along = np.linspace(0, 1, N_POINTS)
    tapered = np.sin(np.pi * along) ** 0.7
    if thrown.frown:
        for brow, side, (low, high) in zip(INNER_ENDS, (-1, 1), FROWN, strict=True):
            x = FROWN_AT * points[brow, 0]
            line = _bent(np.array([x, low]), np.array([x + side * FROWN_SPREAD, high]), side * 0.06)
            yield _Line(line, thrown.frown * tapered)
    if max(thrown.forehead):
        start, end = (FOREHEAD_REACH * points[outer, 0] for outer in OUTER_ENDS)
        for y in FOREHEAD:
            line = _bent(np.array([start, y]), np.array([end, y]), FOREHEAD_SAG)
            aside = np.clip((np.abs(line[:, 0]) - CENTRE) / (SIDES - CENTRE), 0, 1)
            middle, sides = thrown.forehead
            yield _Line(line, FOREHEAD_DEPTH * tapered * (middle + (sides - middle) * aside))
    if thrown.nose:
        x, root = points[NOSE_RIDGE][0]
        for y in NOSE_ROOT:
            line = _bent(np.array([x - NOSE_HALF, root + y]), np.array([x + NOSE_HALF, root + y]), NOSE_SAG)
            yield _Line(line, NOSE_DEPTH * thrown.nose * tapered)


def _bent(start: Float64, end: Float64, sag: float) -> Float64:
    """A parabola between two points whose middle lies off the straight way, by so much of its length."""
    t = np.linspace(0, 1, N_POINTS)[:, None]
    way = end - start
    bent: Float64 = start + t * way + sag * 4 * t * (1 - t) * np.array([-way[1], way[0]])
    return bent


def _drawn(on_grid: Float64, thrown: Creases, finest: float) -> Float32:
    """How deep creases are at each pixel of the grid: 1 in the middle of a whole one, below 0 on its ridges.

    on_grid: landmarks (68, 2). finest: what a photo can show, in eye distances; thinner lines become wider and fainter.
    """
    origin = np.array([LEFT, ABOVE]) * GRID_PX
    drawn = np.zeros((round((ABOVE + BELOW) * GRID_PX), round((LEFT + RIGHT) * GRID_PX)), np.float32)
    for line in _lines((on_grid - origin) / GRID_PX, thrown):
        fine = np.rint((line.points * GRID_PX + origin) * 16).astype(np.int32)
        one = np.zeros_like(drawn)
        for start, end, depth in zip(fine[:-1], fine[1:], (line.depths[:-1] + line.depths[1:]) / 2, strict=True):
            cv2.line(one, start.tolist(), end.tolist(), float(depth), LINE_PX, cv2.LINE_8, shift=4)
        drawn = np.maximum(drawn, one)
    valley, ridges = (cv2.GaussianBlur(drawn, (0, 0), max(one, finest) * GRID_PX) for one in (VALLEY, RIDGES))
    whole = VALLEY * GRID_PX * np.sqrt(2 * np.pi) / LINE_PX  # brings a long line's middle to 1
    deep: Float32 = np.asarray(np.float32(whole) * (valley - np.float32(RIDGE_SHARE) * ridges), np.float32)
    return deep


def _places(points: Float64) -> Float64:
    """Of a face with landmarks (68, 2), in distances between the eyes: the gap between the brows, how high their inner
    ends and middles lie over the corners of the eyes, and how high the nose's wings do (below 0).
    """
    across = between_eyes(points)
    unit = max(float(np.linalg.norm(across)), 1e-6)
    along, up = across / unit, np.array([across[1], -across[0]]) / unit
    left, right = points[list(INNER_ENDS)]
    inner, outer = (points[list(corners)] for corners in (INNER_EYE_CORNERS, OUTER_EYE_CORNERS))
    heights = [
        points[list(ends)] - under
        for ends, under in ((INNER_ENDS, inner), (MIDDLES, (inner + outer) / 2), (NOSE_SIDES, inner))
    ]
    return np.array([(right - left) @ along, *(float((height @ up).mean()) for height in heights)]) / unit


def _to_grid(after: Float64, unit: float) -> Float64:
    """The map (2, 3) from the photo's pixels to the grid's, which stands upright between the brows."""
    across = between_eyes(after) / unit
    turn = np.array([across, [-across[1], across[0]]]) * GRID_PX / unit
    origin = np.array([LEFT, ABOVE]) * GRID_PX - turn @ after[list(INNER_ENDS)].mean(axis=0)
    return np.column_stack([turn, origin])


def _window(to_grid: Float64, mask: PasteMask) -> tuple[int, int, int, int] | None:
    """The photo's pixels that the grid and the mask share: top, left, bottom, right; None if there are none."""
    width, height = (LEFT + RIGHT) * GRID_PX, (ABOVE + BELOW) * GRID_PX
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
    found = corners @ cv2.invertAffineTransform(to_grid).T
    low = np.maximum(np.floor(found.min(axis=0)).astype(int), [mask.left, mask.top])
    high = np.ceil(found.max(axis=0)).astype(int) + 1
    high = np.minimum(high, np.array([mask.left, mask.top]) + mask.weights.shape[::-1])
    return None if (high <= low).any() else (int(low[1]), int(low[0]), int(high[1]), int(high[0]))


def _skin(levels: Float32, depth: Float32, unit: float) -> Float32:
    """How much of each pixel (h, w) is skin, in [0, 1]; hair and frames are darker or rougher. levels: (h, w, 3)."""
    light = levels.mean(axis=2)
    fine = light - cv2.GaussianBlur(light, (0, 0), max(HAIR_EDGE * unit, 0.8))
    rough = cv2.GaussianBlur(np.abs(fine), (0, 0), max(HAIR_EDGE * unit, 0.8))
    within = np.abs(depth) > 0.02
    if not within.any():
        return np.ones_like(light)
    skin = max(float(np.median(light[within])), 1.0)
    deviation = max(1.4826 * float(np.median(np.abs(light[within] - skin))), LEAST_DEVIATION * skin)
    usual = max(float(np.median(rough[within])), LEAST_ROUGHNESS * skin)
    hair = np.maximum(_share((skin - light) / deviation, HAIR), _share(rough / usual, ROUGH))
    soft: Float32 = cv2.GaussianBlur((1 - hair).astype(np.float32), (0, 0), max(HAIR_EDGE * unit, 0.5))
    return soft


def _share(value: Any, reach: tuple[float, float]) -> Any:
    """How far a value or array of values goes from the first of two numbers, 0, to the second, 1."""
    none, whole = reach
    return np.clip((value - none) / (whole - none), 0, 1)
