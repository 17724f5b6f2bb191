"""The dark lines that a closed mouth has at its corners, which an edit that opens it to an O leaves outside of it."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from emorph.core.landmarks import MOUTH_CORNERS
from emorph.core.types import Float32, Float64, Photo
from emorph.faces.mask import PasteMask, depth_of_lines, retouched
from emorph.faces.points import between_eyes, mouth_width
from emorph.faces.slits import lips_apart

NARROWED = (0.04, 0.16)  # of a mouth's width, by which an edit makes it narrower: nothing is done, and all of it
OPENED = (0.03, 0.1)  # distances between the eyes, by which lips come apart: the same
# What follows is in distances between the eyes.
REACH = (0.17, 0.13)  # from a corner, inwards and outwards
HALF_HEIGHT = 0.07
LINE = 0.085  # height of the thickest line
SHORTEST = 0.05  # line: what is shorter is skin or beard
TILTS = (-0.5, 0.0, 0.5)  # of lines, height by length
EDGE = 0.02  # standard deviation of soft edges
FULL = 10.0  # levels of 255: by how much darker than around it a line is filled whole


def without_corner_lines(photo: Photo, before: Float64, after: Float64, mask: PasteMask) -> Photo:
    """The photo without the lines beside a mouth that an edit opens and makes narrower; other edits leave it as it is.

    photo: of the edit. before, after: the face's landmarks (68, 2) in photo pixels, and where the edit has them.
    mask: of the face. Lying dark lines become as light as what is above and below them; what is short, as stubble
    is, stays. Bit-identical outside the mask.
    """
    unit = float(np.linalg.norm(between_eyes(after)))
    share = _share(before, after)
    if not share or unit < 1 or not mask.weights.size:
        return photo
    around = _around_corners(after - [mask.left, mask.top], unit, mask.weights.shape)
    return retouched(photo, mask, np.float32(share) * mask.weights * around, partial(_lighter, unit=unit))


def _share(before: Float64, after: Float64) -> float:
    """How far an edit opens a mouth and makes it narrower, in [0, 1]."""
    narrowed = 1 - mouth_width(after) / max(mouth_width(before), 1e-6)
    opened = lips_apart(after) - max(lips_apart(before), 0.0)
    shares = [(found - none) / (whole - none) for found, (none, whole) in ((narrowed, NARROWED), (opened, OPENED))]
    return float(np.clip(min(shares), 0, 1))


def _lighter(levels: Float32, unit: float) -> Float32:
    """By how much lighter (h, w, 3) lying dark lines become when they are filled, 0 elsewhere."""
    height, length = (max(3, int(size * unit) | 1) for size in (LINE, SHORTEST))
    depth = np.maximum(depth_of_lines(levels, np.ones((height, 1), np.uint8), unit, EDGE), 0)
    lines = np.max([cv2.morphologyEx(depth.max(axis=2), cv2.MORPH_OPEN, _line(length, tilt)) for tilt in TILTS], axis=0)
    near = cv2.GaussianBlur(cv2.dilate(lines, np.ones((3, 3), np.uint8)), (0, 0), max(0.5 * EDGE * unit, 0.3))
    found: Float32 = np.clip(near / FULL, 0, 1)[..., None] * depth
    return found


def _line(length: int, tilt: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A slanting line of pixels, as a structuring element."""
    rise = round(tilt * (length - 1) / 2)
    drawn = np.zeros((2 * abs(rise) + 1, length), np.uint8)
    cv2.line(drawn, (0, abs(rise) - rise), (length - 1, abs(rise) + rise), 1)
    return drawn


def _around_corners(after: Float64, unit: float, shape: tuple[int, ...]) -> Float32:
    """Where such lines lie, (h, w) in [0, 1]: about the mouth's corners."""
    drawn = np.zeros(shape, np.uint8)
    left, right = after[list(MOUTH_CORNERS)]
    along = (right - left) / max(float(np.linalg.norm(right - left)), 1e-6)
    angle = float(np.degrees(np.arctan2(along[1], along[0])))
    inwards, outwards = REACH
    for corner, side in ((left, -1), (right, 1)):
        middle = corner + side * (outwards - inwards) / 2 * unit * along
        axes = ((inwards + outwards) / 2 * unit, HALF_HEIGHT * unit)
        cv2.ellipse(drawn, ([float(x) for x in middle], [2 * axis for axis in axes], angle), 255, -1)
    soft: Float32 = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), max(EDGE * unit, 0.5))
    return soft
