"""The folds of a smile, which lie on in the cheeks when an edit has moved its mouth together again."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from emorph.core.landmarks import EYES, FOLD_SIDES, LIPS_EDGES, MOUTH, MOUTH_CORNERS, NOSE, OUTER_LIPS
from emorph.core.types import Float32, Float64, Photo
from emorph.faces.mask import PasteMask, depth_of_lines, retouched
from emorph.faces.mouth_crop import face_unit
from emorph.faces.points import between_eyes, mouth_width

BEGINS, ENDS = 0.15, 0.25  # shares of the way from the nose's wing to the mouth's corner, and on to the jaw
# What follows is in distances between the eyes.
OUTWARD = 0.06  # of a fold's middle, from that way
BAND = 0.34  # how wide folds may lie
LIPS_RIM = 0.05  # around the lips, whose own outline stays
EDGE = 0.04  # standard deviation of the band's soft edge
WIDEST = 0.14  # of dark lines that are folds; what is wider is shade
SOFT = 0.02  # standard deviation by which the light that a fold is given is even
FAINTEST = 2.5  # levels of 255: what is fainter is skin
NARROWED = 0.12  # of a mouth's width: by so much narrower, a smile has ended
# A mouth's width and the height of its corners over the lips' middle, in units of the face: three of four neutral
# portraits lie below the first, and half of the smiles in press photos above the second.
NO_SMILE, FULL_SMILE = 0.88, 1.1


def smile(points: Float64) -> float:
    """How much a face smiles, in [0, 1], by how wide its mouth is and how high its corners. points: (68, 2)."""
    down = points[MOUTH].mean(axis=0) - points[EYES].mean(axis=0)
    left, right = points[list(MOUTH_CORNERS)]
    rise = (points[list(LIPS_EDGES)].mean(axis=0) - (left + right) / 2) @ down / max(float(np.linalg.norm(down)), 1e-6)
    return float(
        np.clip(((mouth_width(points) + float(rise)) / face_unit(points) - NO_SMILE) / (FULL_SMILE - NO_SMILE), 0, 1)
    )


def ended_smile(before: Float64, after: Float64) -> float:
    """How much of a smile an edit ends, in [0, 1], by how much narrower the mouth becomes. Landmarks (68, 2) each.

    >>> points = np.random.default_rng(0).uniform(0, 9, (68, 2))
    >>> ended_smile(points, points)
    0.0
    """
    return smile(before) * float(np.clip((1 - mouth_width(after) / max(mouth_width(before), 1e-6)) / NARROWED, 0, 1))


def without_folds(photo: Photo, before: Float64, after: Float64, mask: PasteMask) -> Photo:
    """The photo without the dark lines beside a mouth that an edit has made narrower; other edits leave it as it is.

    photo: of the edit. before, after: the face's landmarks (68, 2) in photo pixels, and where the edit has them.
    mask: of the face. Lines are filled with the light beside them (a morphological closing of each colour), finer
    detail stays. Bit-identical outside the mask.
    """
    ended = ended_smile(before, after)
    unit = float(np.linalg.norm(between_eyes(after)))
    if not ended or unit < 1 or not mask.weights.size:
        return photo
    corner = np.array([mask.left, mask.top])
    weights = ended * mask.weights * _band(after - corner, unit, mask.weights.shape)
    return retouched(photo, mask, weights, partial(_lighter, unit=unit))


def _lighter(levels: Float32, unit: float) -> Float32:
    """By how much lighter (h, w, 3) dark lines become when they are filled, 0 on plain skin."""
    side = max(3, int(WIDEST * unit) | 1)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    lighter: Float32 = np.maximum(depth_of_lines(levels, element, unit, SOFT) - FAINTEST, 0)
    return lighter


def _band(after: Float64, unit: float, shape: tuple[int, ...]) -> Float32:
    """Where the folds of a smile lie, (h, w) in [0, 1]: from the nose's wings past the mouth's corners."""
    across = between_eyes(after)
    band, kept = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for (wing, corner, jaw), side in zip(FOLD_SIDES, (-1, 1), strict=True):
        begin = after[wing] + BEGINS * (after[corner] - after[wing])
        line = np.array([begin, after[corner], after[corner] + ENDS * (after[jaw] - after[corner])])
        cv2.polylines(band, [_whole(line + side * OUTWARD * across)], False, 255, max(1, round(BAND * unit)))
    lips = [_whole(after[OUTER_LIPS])]
    cv2.fillPoly(kept, lips, 255)
    cv2.polylines(kept, lips, True, 255, max(1, round(LIPS_RIM * unit)))
    cv2.fillConvexPoly(kept, cv2.convexHull(_whole(after[NOSE])), 255)
    inside, features = (each.astype(np.float32) / 255 for each in (band * (kept == 0), kept))
    soft: Float32 = cv2.GaussianBlur(inside, (0, 0), max(EDGE * unit, 0.5)) * (1 - features)
    return soft


def _whole(points: Float64) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.rint(points).astype(np.int32)
