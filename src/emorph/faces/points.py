"""The 68 points of a face in a known box, with dlib's shape predictor (Kazemi and Sullivan 2014)."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

from emorph.core.assets import packaged_file
from emorph.core.landmarks import EYES, LEFT_EYE, MOUTH_CORNERS, N_LANDMARKS, NOSE_TIP, RIGHT_EYE
from emorph.core.types import Float64, UInt8

PREDICTOR_FILE = "shape_predictor_68_face_landmarks.dat"
POINTS_BOX_PX = 256  # the face box at which points are predicted: finer than dlib's whole pixels, and quick
BOX_SCALES = (0.94, 1.0, 1.06)  # points are averaged over boxes of these sizes
WINDOW_SHARE = 0.6  # of the box's side: what is shown to the predictor around it
UPRIGHT_DEG = 30.0  # heads that lean less are read as they are: the predictor was trained with such


def predict_points(pixels: UInt8, box: Float64, lean_deg: float = 0.0) -> Float64:
    """The points (68, 2) of the face in a square box (left, top, right, bottom), all in the photo's pixels.

    lean_deg: by how much the head is turned clockwise in the picture; one that leans far is read upright.
    """
    return _points_of_leaning(pixels, box, lean_deg) if abs(lean_deg) > UPRIGHT_DEG else _points_of_upright(pixels, box)


def lean_of(eyes_to_mouth: Float64) -> float:
    """Degrees clockwise in the picture, -180 to 180, from the vector (2,) between the eyes' middle and the mouth's."""
    return float(np.degrees(np.arctan2(-eyes_to_mouth[0], eyes_to_mouth[1])))


def eyes_to_mouth(points: Float64) -> tuple[Float64, Float64]:
    """The middle of the eyes and that of the mouth's corners, of 68 points."""
    return points[EYES].mean(axis=0), points[list(MOUTH_CORNERS)].mean(axis=0)


def between_eyes(points: Float64) -> Float64:
    """From the middle of the left eye to that of the right one, (2,); its length is the unit of a face (68, 2)."""
    apart: Float64 = points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)
    return apart


def mouth_width(points: Float64) -> float:
    """The distance between the mouth's corners, in the points' own unit. points: (68, 2)."""
    return float(np.linalg.norm(np.subtract(*points[list(MOUTH_CORNERS)])))


def five_of(points: Float64) -> Float64:
    """The eyes' middles, the tip of the nose and the corners of the mouth (5, 2), of 68 points."""
    eyes = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)
    return np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]])


def _points_of_upright(pixels: UInt8, box: Float64) -> Float64:
    """Predict the points on a window around the box, resized so that the box has POINTS_BOX_PX."""
    side = box[2] - box[0]
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(box[:2] - WINDOW_SHARE * side), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(box[2:] + WINDOW_SHARE * side), [left + 1, top + 1], [width, height]).astype(int)
    window = pixels[top:bottom, left:right]
    size = np.maximum(1, np.rint(np.array([right - left, bottom - top]) * POINTS_BOX_PX / side)).astype(int)
    shrinks = side > POINTS_BOX_PX
    window = cv2.resize(window, tuple(map(int, size)), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    per_px = size / np.array([right - left, bottom - top])
    box_in_window = ((box.reshape(2, 2) - [left, top]) * per_px).reshape(4)
    points: Float64 = (_mean_points(window, box_in_window) + 0.5) / per_px - 0.5 + [left, top]
    return points


def _points_of_leaning(pixels: UInt8, box: Float64, lean_deg: float) -> Float64:
    """Predict the points on a copy in which the head is upright and the box has POINTS_BOX_PX."""
    side, centre = box[2] - box[0], (box[:2] + box[2:]) / 2 - 0.5
    factor = 1.0
    if side > POINTS_BOX_PX:  # made smaller first, because turning takes no mean of the pixels it skips
        factor = POINTS_BOX_PX / side
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        centre = (centre + 0.5) * factor - 0.5
    window_px = round(POINTS_BOX_PX * (1 + 2 * WINDOW_SHARE))
    middle = (window_px - 1) / 2
    to_window = np.eye(3)
    to_window[:2] = cv2.getRotationMatrix2D(tuple(map(float, centre)), lean_deg, POINTS_BOX_PX / (side * factor))
    to_window[:2, 2] += middle - centre
    window = cv2.warpAffine(pixels, to_window[:2], (window_px, window_px), borderMode=cv2.BORDER_REPLICATE)
    corner = middle + 0.5 - POINTS_BOX_PX / 2
    points = _mean_points(window, np.array([corner, corner, corner + POINTS_BOX_PX, corner + POINTS_BOX_PX]))
    back = np.linalg.inv(to_window)
    in_copy = points @ back[:2, :2].T + back[:2, 2]
    in_photo: Float64 = (in_copy + 0.5) / factor - 0.5
    return in_photo


def _mean_points(window: UInt8, box: Float64) -> Float64:
    """(68, 2) points averaged over a few box sizes, because the prediction trembles with its box."""
    import dlib

    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    total = np.zeros((N_LANDMARKS, 2))
    for scale in BOX_SCALES:
        near, far = np.rint(centre - half * scale).astype(int), np.rint(centre + half * scale).astype(int) - 1
        rectangle = dlib.rectangle(int(near[0]), int(near[1]), int(far[0]), int(far[1]))
        shape = _predictor()(window, rectangle)
        total += [(point.x, point.y) for point in shape.parts()]
    return total / len(BOX_SCALES)


@functools.cache
def _predictor() -> Any:
    """The 68-point predictor; reading its 100 MB takes about a second, hence only on first use."""
    import dlib

    return dlib.shape_predictor(str(packaged_file("face_recognition_models", f"models/{PREDICTOR_FILE}")))
