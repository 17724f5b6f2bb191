"""How like a real photo of the same person with that expression an edit is, measured without any network but dlib's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.landmarks import INNER, INNER_LIPS, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from emorph.core.types import Landmarks, Photo
from emorph.evaluate.judges.dlib_recogniser import descriptor_of

EYE_DISTANCE_PX = 100.0  # faces are brought to this size before they are compared
SIDE_PX = 256
EYES_AT_Y = 80.0  # of the middle between the eyes, in the upright patch
RIM = 0.015  # of the eye distance: a closed mouth has no inside, but a line
N_SCALES = 4

Patch = NDArray[np.float32]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """An edit beside the real photo.

    sharpness: mean gradient inside the mouth, edit over real. width: of the mouth, edit over real. colour: CIE76 of the
    mean colours inside the mouth. shape: mean distance of the 51 inner landmarks, in eye distances. energy: share of
    detail around the mouth at each scale, finest first, edit over real. distance: of dlib's descriptors of the edit and
    the photo it was made from; real_distance: of the two real photos.
    """

    sharpness: float
    width: float
    colour: float
    shape: float
    energy: tuple[float, ...]
    distance: float
    real_distance: float


@dataclass(frozen=True)
class Seen:
    """A photo and the landmarks that were found in it."""

    photo: Photo
    landmarks: Landmarks


def likeness(source: Seen, edit: Seen, real: Seen) -> Likeness:
    """Measure an edit of ``source`` against ``real``, another photo of the person with the expression asked for."""
    (ours, our_points), (theirs, their_points) = upright(edit), upright(real)
    descriptors = [descriptor_of(seen.photo, seen.landmarks) for seen in (source, edit, real)]
    return Likeness(
        sharpness=_gradient(ours, our_points) / max(_gradient(theirs, their_points), 1e-6),
        width=_width(our_points) / _width(their_points),
        colour=float(np.linalg.norm(_colour(ours, our_points) - _colour(theirs, their_points))),
        shape=float(np.linalg.norm((our_points - their_points)[INNER], axis=1).mean()) / EYE_DISTANCE_PX,
        energy=tuple(a / max(b, 1e-6) for a, b in zip(_bands(ours), _bands(theirs), strict=True)),
        distance=float(np.linalg.norm(descriptors[1] - descriptors[0])),
        real_distance=float(np.linalg.norm(descriptors[2] - descriptors[0])),
    )


def upright(seen: Seen) -> tuple[Patch, Points]:
    """The face at one size and place, by its eyes: (SIDE_PX, SIDE_PX, 3) in [0, 1], and its landmarks there."""
    points = np.asarray(seen.landmarks.points, np.float64)
    left, right = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)
    along = (right - left) / EYE_DISTANCE_PX
    turn = np.linalg.inv(np.array([[along[0], -along[1]], [along[1], along[0]]]))
    to_patch = np.column_stack([turn, np.array([SIDE_PX / 2, EYES_AT_Y]) - turn @ (left + right) / 2])
    pixels = seen.photo.pixels
    shrinks = np.sqrt(abs(np.linalg.det(turn)))
    if shrinks < 1:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.45 * np.sqrt(shrinks**-2 - 1) + 1e-3)
    patch = cv2.warpAffine(pixels, to_patch, (SIDE_PX, SIDE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return patch.astype(np.float32) / 255, points @ turn.T + to_patch[:, 2]


def inside_mouth(points: Points) -> NDArray[np.bool_]:
    """The pixels between the inner lips, bool (SIDE_PX, SIDE_PX)."""
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    outline = np.rint(points[INNER_LIPS] * 16).astype(np.int32)
    cv2.fillPoly(mask, [outline], 1, shift=4)
    cv2.polylines(mask, [outline], True, 1, max(1, round(2 * RIM * EYE_DISTANCE_PX)), shift=4)
    return mask.astype(bool)


def _gradient(patch: Patch, points: Points) -> float:
    gray = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    size = np.hypot(*(cv2.Sobel(gray, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))))
    return float(size[inside_mouth(points)].mean())


def _width(points: Points) -> float:
    left, right = points[list(MOUTH_CORNERS)]
    return float(np.linalg.norm(right - left))


def _colour(patch: Patch, points: Points) -> NDArray[Any]:
    found: NDArray[Any] = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)[inside_mouth(points)].mean(axis=0)
    return found


def _bands(patch: Patch) -> list[float]:
    """Standard deviation of the lower face in each octave of detail, finest first."""
    gray = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)[int(EYES_AT_Y) + 30 :]
    found = []
    for _ in range(N_SCALES):
        smaller = cv2.pyrDown(gray)
        found.append(float((gray - cv2.pyrUp(smaller, dstsize=gray.shape[::-1])).std()))
        gray = smaller
    return found
