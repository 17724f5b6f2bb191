"""Eyes that close: where their lids go, and the white of the eye that would shine through between them."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from emorph.core.types import Float32, Float64, Photo
from emorph.faces.mask import PasteMask, retouched
from emorph.faces.points import between_eyes
from emorph.faces.slits import EYE_SLITS, Slit

UPPER_SHARE = 0.88  # of the way that lids come together, by which the upper one comes down
SHUT = (0.15, 0.4)  # of an eye's own opening: what shines through is taken away in full, and not at all
# What follows is in distances between the eyes.
GLINT = 0.08  # the widest light that is taken for the eye's, where lids meet
LINE = 0.07  # width of the line along which it may shine
EDGE = 0.02  # standard deviation of the line's soft edge


def held_lids(before: Float64, after: Float64, left_open: tuple[float, float]) -> Float64:
    """The moved landmarks with eyes no more open than so, their upper lids coming down.

    before, after: (68, 2) (x, y). left_open: of the left and the right eye's own opening, in the picture, [0, 1].
    """
    held = after.copy()
    for slit, left in zip(EYE_SLITS, left_open, strict=True):
        if left >= 1:
            continue
        for upper, lower in slit.gaps:
            own, now = before[lower] - before[upper], held[lower] - held[upper]
            length = max(float(np.linalg.norm(own)), 1e-6)
            excess = max(0.0, float(now @ own) / length - left * length) * own / length
            held[upper] += UPPER_SHARE * excess
            held[lower] -= (1 - UPPER_SHARE) * excess
    return held


def without_glints(photo: Photo, before: Float64, after: Float64, mask: PasteMask) -> Photo:
    """The photo without light between lids that an edit has closed; other edits leave it as it is.

    photo: of the edit. before, after: the face's landmarks (68, 2) in photo pixels, and where the edit has them.
    mask: of the face. A thin light line becomes as dark as what is beside it (a morphological opening of each colour):
    lashes stay. Bit-identical outside the mask.
    """
    shut = [(slit, share) for slit in EYE_SLITS if (share := _shut(slit, before, after))]
    unit = float(np.linalg.norm(between_eyes(after)))
    if not shut or unit < 1 or not mask.weights.size:
        return photo
    lines = np.zeros(mask.weights.shape, np.float32)
    for slit, share in shut:
        drawn = np.zeros(mask.weights.shape, np.uint8)
        middles = [(after[upper] + after[lower]) / 2 for upper, lower in slit.gaps]
        line = np.stack([after[slit.corners[0]], *middles, after[slit.corners[1]]]) - [mask.left, mask.top]
        cv2.polylines(drawn, [np.rint(line).astype(np.int32)], False, 255, max(1, round(LINE * unit)))
        lines = np.maximum(lines, np.float32(share / 255) * drawn)
    weights = cv2.GaussianBlur(lines, (0, 0), max(EDGE * unit, 0.3)) * mask.weights
    return retouched(photo, mask, weights, partial(_darker, unit=unit))


def _darker(levels: Float32, unit: float) -> Float32:
    """By how much darker (h, w, 3) thin light lines become when they are taken away: at most 0."""
    side = max(3, int(GLINT * unit) | 1)
    even = cv2.morphologyEx(levels, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    darker: Float32 = even - levels
    return darker


def _shut(slit: Slit, before: Float64, after: Float64) -> float:
    """How far an edit has shut an eye, in [0, 1]: see SHUT."""
    return float(np.clip((SHUT[1] - slit.left_open(before, after)) / (SHUT[1] - SHUT[0]), 0, 1))
