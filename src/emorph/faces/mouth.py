"""A mouth that an edit opens: where its inside comes to light, and in what colour."""

from __future__ import annotations

import cv2
import numpy as np

from emorph.core.types import AlignedFace, Float32, Float64, Photo

INNER_LIPS = slice(60, 68)
FINE = 8  # the mask is drawn at so many times the crop's size, then averaged
FRACTION_BITS = 4  # of the polygon's coordinates
CHEEKS_AND_NOSE = ((41, 48), (46, 54), (29, 29))  # skin lies half way between these landmarks
SKIN_SHARE = 0.45  # teeth and gums take this share of the skin's tint, the rest is gray

_REC601 = np.array([0.299, 0.587, 0.114])


def newly_open(before: Float64, after: Float64, side_px: int) -> Float32:
    """How much of each crop pixel is mouth that was not open before, (S, S) in [0, 1].

    before, after: landmarks (68, 2) (x, y) in crop pixels, before and after they are moved.
    """
    was, now = (abs(cv2.contourArea(points[INNER_LIPS].astype(np.float32))) for points in (before, after))
    if now <= was:
        return np.zeros((side_px, side_px), np.float32)
    drawn = np.zeros((side_px * FINE, side_px * FINE), np.uint8)
    corners = ((after[INNER_LIPS] + 0.5) * FINE - 0.5) * 2**FRACTION_BITS
    cv2.fillPoly(drawn, [np.rint(corners).astype(np.int32)], 255, shift=FRACTION_BITS)
    share = cv2.resize(drawn, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(share * (1 - was / now), np.float32)


def inside_tint(photo: Photo, face: AlignedFace) -> Float32:
    """Red, green and blue of teeth and gums over their luminance, (3,), in the light that falls on the face."""
    points = face.landmarks.points
    height, width = photo.pixels.shape[:2]
    reach = max(1, round(0.08 * float(np.linalg.norm(points[45] - points[36]))))
    patches = []
    for first, second in CHEEKS_AND_NOSE:
        x, y = np.rint((points[first] + points[second]) / 2).astype(int)
        x, y = int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))
        patch = photo.pixels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        patches.append(patch.reshape(-1, 3).mean(axis=0))
    skin = np.mean(patches, axis=0)
    tint = 1 + SKIN_SHARE * (skin / max(float(skin @ _REC601), 1.0) - 1)
    return np.asarray(tint, np.float32)
