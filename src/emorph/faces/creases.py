"""The creases that skin forms where an edit pushes it together: a frown's, those of raised brows, a wrinkled nose's.

Landmarks move skin and leave it as smooth as it was, and a model that draws a whole face is too coarse for lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import cv2
import numpy as np

from emorph.core.landmarks import INNER_BROWS_TO_EYES, NOSE_RIDGE, NOSE_SIDES, OUTER_EYE_CORNERS
from emorph.core.types import Float32, Float64, Photo
from emorph.faces.mask import PasteMask
from emorph.faces.points import between_eyes

Crease = Literal["frown", "forehead", "nose"]
KINDS: tuple[Crease, ...] = ("frown", "forehead", "nose")

INNER_ENDS, INNER_EYE_CORNERS = zip(*INNER_BROWS_TO_EYES, strict=True)
MIDDLES, OUTER_ENDS = (19, 24), (17, 26)  # of the brows

# All lengths are in distances between the eyes. How far landmarks move: no crease yet, and a whole one.
TOGETHER = (0.015, 0.06)  # inner ends of the brows, towards each other
LOWERED = (0.05, 0.11)  # the same, down
RAISED = (0.03, 0.09)  # the same, up
SIDES_RAISED = (0.03, 0.1)  # middles of the brows, up
NOSE_LOWERED = (0.02, 0.06)  # inner ends of the brows, down, where a nose wrinkles
WINGS_RAISED = (0.0, 0.02)  # the nose's, up
# Where nobody says what an edit is to show, a brow that comes back from a frown rises as well. So places count, too: no
# crease yet where most neutral faces have these landmarks, a whole one where few have them.
GAP = (0.38, 0.29)  # between the brows
LOW, HIGH = (0.25, 0.17), (0.32, 0.38)  # inner ends of the brows over the eyes' inner corners
SIDES_HIGH = (0.39, 0.45)  # middles of the brows over the eyes
NOSE_LOW = (0.27, 0.21)  # inner ends of the brows, where a nose wrinkles
FAINTEST = 0.04  # what is less is no crease

# Where lines lie: x to the right and y downwards from between the brows.
FROWN = ((0.09, -0.16, 1.0), (0.06, -0.14, 0.8))  # y of the left line's ends and of the right one's; how deep they are
FROWN_AT = 0.55  # of the way to the brow's inner end
FROWN_SPREAD, FROWN_BEND = 0.04, 0.06  # by which the lines are further apart above; by which they bend
FOREHEAD = ((-0.19, 0.8, 1.0), (-0.31, 0.9, 0.8), (-0.41, 0.6, 0.6))  # y, share of the brows' reach, how deep
FOREHEAD_SAG = 0.05  # of a line's length, by which its middle hangs
WAVES, WAVE = 3.0, 0.006  # along a line of the forehead; their height
CENTRE, SIDES = 0.15, 0.4  # |x| up to which the inner ends of the brows fold a line, and from which the middles do
FAR_SIDE = (0.25, 0.55)  # reach of the brow on a side that is turned away: no lines, and all of them
NOSE_ROOT = ((-0.06, 0.7), (0.04, 1.0))  # y from the root on, how deep
NOSE_HALF, NOSE_SAG = 0.13, -0.1  # half of a line's length; of it, by which its middle hangs

DEPTH = 0.28  # of the skin's light that a whole frown takes in its middle
FOREHEAD_DEPTH, NOSE_DEPTH = 0.6, 0.8  # of that
REDDISH = (0.85, 1.0, 1.0)  # of red, green and blue: skin in a crease is lit by skin
VALLEY, RIDGES = 0.02, 0.05  # standard deviations: of a crease, and of the light skin on both sides of it
RIDGE_SHARE = 0.6  # how strongly ridges are drawn, over the crease: less than all of its light comes back
BLOWN = (255.0, 205.0)  # levels of 255: skin that is too light to show a crease, and that shows it whole
SMALL_PX = (16.0, 24.0)  # distance between the eyes: no creases, and all of them
LEAST_PX = 0.6  # of the photo: standard deviation of the finest line that it can show

GRID_PX = 96.0  # a distance between the eyes, on the grid on which creases are drawn
LEFT, ABOVE, RIGHT, BELOW = 1.0, 0.75, 1.0, 0.75  # what the grid holds
_ORIGIN = np.array([LEFT, ABOVE]) * GRID_PX  # where it has the middle between the brows
N_POINTS = 25  # of a line
LINE_PX = 2

SURE_SKIN = ((0.0, 0.3), (0.0, 0.4), (-0.5, 0.58), (0.5, 0.58))  # x, y: ridge of the nose, and below both eyes
SURE_SKIN_REACH = 0.05
DARK = (0.72, 0.5)  # of the skin's light: skin, and hair or a frame
PALE = (0.6, 0.35)  # of the skin's redness: skin, and gray hair
LEAST_REDNESS = 0.08  # of its light: a face without it is black and white
ROUGH = (2.0, 4.0)  # times as rough as sure skin is: skin, and hair
LEAST_ROUGHNESS = 0.01  # of the skin's light
HAIR_EDGE = 0.03  # standard deviation of the soft edge around hair
WHOLE_LINE = (0.5, 0.75)  # share of a line that lies on skin: it is left out, and it is drawn


@dataclass(frozen=True)
class Creases:
    """How deep each kind is, in [0, 1]: lines of the forehead over its middle and over both its sides."""

    frown: float = 0.0
    middle: float = 0.0
    sides: float = 0.0
    nose: float = 0.0

    @property
    def are_seen(self) -> bool:
        """Whether any is deep enough."""
        return max(self.frown, self.middle, self.sides, self.nose) >= FAINTEST


class _Brows(NamedTuple):
    """The gap between the brows, and how high inner ends and middles lie over the eyes, and the nose's wings below."""

    gap: float
    inner: float
    middles: float
    wings: float

    @classmethod
    def of(cls, points: Float64) -> _Brows:
        """Of landmarks (68, 2), in distances between the eyes."""
        across = between_eyes(points)
        unit = max(float(np.linalg.norm(across)), 1e-6)
        along, up = across / unit, np.array([across[1], -across[0]]) / unit
        left, right = points[list(INNER_ENDS)]
        inner, outer = (points[list(corners)] for corners in (INNER_EYE_CORNERS, OUTER_EYE_CORNERS))
        over = ((INNER_ENDS, inner), (MIDDLES, (inner + outer) / 2), (NOSE_SIDES, inner))
        heights = [float(((points[list(ends)] - eyes) @ up).mean()) / unit for ends, eyes in over]
        return cls(float((right - left) @ along) / unit, *heights)


def creases_of(before: Float64, after: Float64, kinds: Collection[Crease] | None = None) -> Creases:
    """What an edit forms, by how far it moves the brows and the nose's wings. Landmarks (68, 2) each.

    kinds: those that it may form; by default all, but only where the landmarks end up as few neutral faces have them.

    >>> points = np.random.default_rng(0).uniform(0, 9, (68, 2))
    >>> creases_of(points, points).are_seen
    False
    """
    own, now = _Brows.of(before), _Brows.of(after)
    down, wings_up = own.inner - now.inner, now.wings - own.wings
    together = _part(own.gap - now.gap, TOGETHER)
    lowered, wrinkled = _part(down, LOWERED), min(_part(wings_up, WINGS_RAISED), _part(down, NOSE_LOWERED))
    middle, sides = _part(-down, RAISED), _part(now.middles - own.middles, SIDES_RAISED)
    if kinds is None:
        together, lowered = min(together, _part(now.gap, GAP)), min(lowered, _part(now.inner, LOW))
        middle, sides = min(middle, _part(now.inner, HIGH)), min(sides, _part(now.middles, SIDES_HIGH))
        wrinkled = min(wrinkled, _part(now.inner, NOSE_LOW))
    asked = KINDS if kinds is None else kinds
    forehead = "forehead" in asked
    return Creases(
        frown=max(together, lowered) if "frown" in asked else 0.0,
        middle=middle if forehead else 0.0,
        sides=sides if forehead else 0.0,
        nose=wrinkled if "nose" in asked else 0.0,
    )


def with_creases(
    photo: Photo, before: Float64, after: Float64, mask: PasteMask, kinds: Collection[Crease] | None = None
) -> Photo:
    """The photo with the creases that an edit forms; other edits leave it as it is.

    photo: of the edit. before, after: the face's landmarks (68, 2) in photo pixels, and where the edit has them.
    mask: of the face. kinds: as for ``creases_of``. Skin alone is creased, neither hair nor the frames of glasses.
    Bit-identical outside the mask.
    """
    formed = creases_of(before, after, kinds)
    unit = float(np.linalg.norm(between_eyes(after)))
    size = _part(unit, SMALL_PX)
    if not formed.are_seen or not size or not mask.weights.size:
        return photo
    to_grid = _to_grid(after, unit)
    window = _window(to_grid, mask)
    if window is None:
        return photo
    top, left, bottom, right = window
    weights = mask.weights[top - mask.top : bottom - mask.top, left - mask.left : right - mask.left]
    seen = photo.pixels[top:bottom, left:right].astype(np.float32)
    to_window = cv2.invertAffineTransform(to_grid)
    to_window[:, 2] -= [left, top]
    skin = _skin(seen, to_window, unit)
    on_grid = after @ to_grid[:, :2].T + to_grid[:, 2]
    lines = [line.where(skin, to_window) for line in _lines((on_grid - _ORIGIN) / GRID_PX, formed)]
    depth = cv2.warpAffine(_drawn(lines, LEAST_PX / unit), to_window, skin.shape[::-1], flags=cv2.INTER_LINEAR)
    depth *= np.float32(size * DEPTH) * weights * skin * _parts(seen.mean(axis=2), BLOWN)
    pixels = photo.pixels.copy()
    creased = seen * (1 - depth[..., None] * np.array(REDDISH, np.float32))
    pixels[top:bottom, left:right] = np.clip(np.rint(creased), 0, 255)
    return replace(photo, pixels=pixels)


@dataclass(frozen=True)
class _Line:
    """A crease: points (n, 2) in eye distances from between the brows, and how deep it is at each, (n,)."""

    points: Float64
    depths: Float64

    def where(self, skin: Float32, to_window: Float64) -> _Line:
        """The line as deep as enough of it lies on skin: a piece of one is worse than none."""
        height, width = skin.shape
        places = (self.points * GRID_PX + _ORIGIN) @ to_window[:, :2].T + to_window[:, 2]
        columns, rows = np.rint(np.clip(places, 0, [width - 1, height - 1])).astype(int).T
        on_skin = float((skin[rows, columns] * self.depths).sum() / max(float(self.depths.sum()), 1e-6))
        return replace(self, depths=_part(on_skin, WHOLE_LINE) * self.depths)


def _lines(points: Float64, formed: Creases) -> Iterator[_Line]:
    """All creases of a face with landmarks (68, 2), in eye distances from between the brows."""
    along = np.linspace(0, 1, N_POINTS)
    tapered = np.sin(np.pi * along) ** 0.7
    if formed.frown >= FAINTEST:
        for brow, side, (low, high, depth) in zip(INNER_ENDS, (-1, 1), FROWN, strict=True):
            x = FROWN_AT * points[brow, 0]
            line = _bent(np.array([x, low]), np.array([x + side * FROWN_SPREAD, high]), side * FROWN_BEND)
            yield _Line(line, formed.frown * depth * tapered)
    if max(formed.middle, formed.sides) >= FAINTEST:
        left, right = (points[end, 0] for end in OUTER_ENDS)
        for y, reach, depth in FOREHEAD:
            line = _bent(np.array([reach * left, y]), np.array([reach * right, y]), FOREHEAD_SAG)
            line[:, 1] += WAVE * np.sin(2 * np.pi * (WAVES * along + y))
            x = line[:, 0]
            aside = _parts(np.abs(x), (CENTRE, SIDES))
            turned = np.where(x < 0, _part(-left, FAR_SIDE), _part(right, FAR_SIDE))
            share = turned * (formed.middle + (formed.sides - formed.middle) * aside)
            yield _Line(line, FOREHEAD_DEPTH * depth * tapered * share)
    if formed.nose >= FAINTEST:
        x, root = points[NOSE_RIDGE][0]
        for y, depth in NOSE_ROOT:
            line = _bent(np.array([x - NOSE_HALF, root + y]), np.array([x + NOSE_HALF, root + y]), NOSE_SAG)
            yield _Line(line, NOSE_DEPTH * formed.nose * depth * tapered)


def _bent(start: Float64, end: Float64, sag: float) -> Float64:
    """A parabola between two points whose middle lies off the straight way, by so much of its length."""
    t = np.linspace(0, 1, N_POINTS)[:, None]
    way = end - start
    bent: Float64 = start + t * way + sag * 4 * t * (1 - t) * np.array([-way[1], way[0]])
    return bent


def _drawn(lines: list[_Line], finest: float) -> Float32:
    """How deep creases are at each pixel of the grid: 1 in the middle of a whole one, below 0 on its ridges.

    finest: what a photo can show, in eye distances; thinner lines become wider and fainter.
    """
    drawn = np.zeros((round((ABOVE + BELOW) * GRID_PX), round((LEFT + RIGHT) * GRID_PX)), np.float32)
    for line in lines:
        fine = np.rint((line.points * GRID_PX + _ORIGIN) * 16).astype(np.int32)
        alone = np.zeros_like(drawn)
        for start, end, depth in zip(fine[:-1], fine[1:], (line.depths[:-1] + line.depths[1:]) / 2, strict=True):
            cv2.line(alone, start.tolist(), end.tolist(), float(depth), LINE_PX, cv2.LINE_8, shift=4)
        drawn = np.maximum(drawn, alone)
    valley, ridges = (cv2.GaussianBlur(drawn, (0, 0), max(sigma, finest) * GRID_PX) for sigma in (VALLEY, RIDGES))
    whole = VALLEY * GRID_PX * np.sqrt(2 * np.pi) / LINE_PX  # brings a long line's middle to 1
    deep: Float32 = np.asarray(np.float32(whole) * (valley - np.float32(RIDGE_SHARE) * ridges), np.float32)
    return deep


def _to_grid(after: Float64, unit: float) -> Float64:
    """The map (2, 3) from the photo's pixels to the grid's, which stands upright between the brows."""
    across = between_eyes(after) / unit
    turn = np.array([across, [-across[1], across[0]]]) * GRID_PX / unit
    return np.column_stack([turn, _ORIGIN - turn @ after[list(INNER_ENDS)].mean(axis=0)])


def _window(to_grid: Float64, mask: PasteMask) -> tuple[int, int, int, int] | None:
    """The photo's pixels that the grid and the mask share: top, left, bottom, right; None if there are none."""
    width, height = (LEFT + RIGHT) * GRID_PX, (ABOVE + BELOW) * GRID_PX
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
    found = corners @ cv2.invertAffineTransform(to_grid).T
    low = np.maximum(np.floor(found.min(axis=0)).astype(int), [mask.left, mask.top])
    high = np.ceil(found.max(axis=0)).astype(int) + 1
    high = np.minimum(high, np.array([mask.left, mask.top]) + mask.weights.shape[::-1])
    return None if (high <= low).any() else (int(low[1]), int(low[0]), int(high[1]), int(high[0]))


def _skin(levels: Float32, to_window: Float64, unit: float) -> Float32:
    """How much of each pixel (h, w) is skin, in [0, 1]: as light, as red and as smooth as where skin is sure to be.

    levels: (h, w, 3) of 0..255. to_window: the grid's map to them.
    """
    light = levels.mean(axis=2)
    redness = (levels[..., 0] - levels[..., 2]) / np.maximum(light, 1)
    edge = max(HAIR_EDGE * unit, 0.8)
    rough = cv2.GaussianBlur(np.abs(light - cv2.GaussianBlur(light, (0, 0), edge)), (0, 0), edge)
    sure = np.zeros(light.shape, np.uint8)
    for x, y in (np.array(SURE_SKIN) * GRID_PX + _ORIGIN) @ to_window[:, :2].T + to_window[:, 2]:
        cv2.circle(sure, (round(x), round(y)), max(1, round(SURE_SKIN_REACH * unit)), 1, -1)
    within = sure > 0
    if not within.any():
        return np.ones_like(light)
    skin = max(float(np.median(light[within])), 1.0)
    usual = max(float(np.median(rough[within])), LEAST_ROUGHNESS * skin)
    found = np.minimum(_parts(light / skin, DARK[::-1]), 1 - _parts(rough / usual, ROUGH))
    red = float(np.median(redness[within]))
    if red > LEAST_REDNESS:
        found = np.minimum(found, _parts(redness / red, PALE[::-1]))
    soft: Float32 = np.minimum(found, cv2.GaussianBlur(found, (0, 0), edge))
    return soft


def _part(value: float, reach: tuple[float, float]) -> float:
    """How far a number goes from the first of two to the second, in [0, 1]."""
    none, whole = reach
    return min(max((value - none) / (whole - none), 0.0), 1.0)


def _parts(values: Float32 | Float64, reach: tuple[float, float]) -> Float32:
    """``_part`` of each value."""
    none, whole = reach
    return np.clip((values - none) / (whole - none), 0, 1).astype(np.float32)
