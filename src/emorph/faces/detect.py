"""Find the faces of a photo and their 68 points, with dlib's HOG detector and shape predictor."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from emorph.core.assets import packaged_file
from emorph.core.errors import NoFaceError, ShapeError, UnknownNameError
from emorph.core.landmarks import EYES, MOUTH_CORNERS, N_LANDMARKS
from emorph.core.types import Float32, Float64, Landmarks, Photo, UInt8

PREDICTOR_FILE = "shape_predictor_68_face_landmarks.dat"
DETECT_SIDE_PX = 1280  # longest side of the copy on which faces are sought
MAX_DETECT_PX = 8_000_000  # size limit of enlarged copies: about 1 s of one core
HOG_FACE_PX = 80  # the smallest face that the detector sees without enlarging
SURE_SCORE = 0.25  # below this a detection counts only if the photo has no surer one, and only the best
BORDER_SHARE = 0.25  # of the longest side; repeated edge pixels give a tightly cropped head its surroundings
POINTS_BOX_PX = 256  # the face box at which points are predicted: finer than dlib's whole pixels, and quick
BOX_SCALES = (0.94, 1.0, 1.06)  # points are averaged over boxes of these sizes
BOX_SPAN = 2.2  # side of the detector's box over the distance from the eyes to the mouth, on average


def find_faces(photo: Photo, *, min_face_px: int = 40) -> list[Landmarks]:
    """All frontal faces of a photo, the largest box first; empty if there is none.

    min_face_px: smallest face box in photo pixels. A photo that shows no face at normal size is searched
        again with a border, then enlarged as far as such faces need (and MAX_DETECT_PX allows).
        Once faces are seen, smaller ones that only an enlarged copy would show are not sought.

    >>> from emorph.core.images import read_photo
    >>> (face,) = find_faces(read_photo("examples/astronaut.png"))
    >>> face.points.shape
    (68, 2)
    """
    if photo.pixels.dtype != np.uint8 or photo.pixels.ndim != 3 or photo.pixels.shape[2] != 3:
        raise ShapeError(f"expected uint8 pixels (H, W, 3), found {photo.pixels.dtype} {photo.pixels.shape}.")
    pixels = np.ascontiguousarray(photo.pixels)
    boxes = _find_boxes(pixels, min_face_px)
    faces = [_landmarks(pixels, box, score) for box, score in boxes]
    return sorted(faces, key=_area, reverse=True)


def known_face(points: Float32) -> Landmarks:
    """A face whose points (68, 2) somebody else found, with the box that the detector would draw around them."""
    eyes, mouth = points[EYES].mean(axis=0), points[list(MOUTH_CORNERS)].mean(axis=0)
    side = BOX_SPAN * float(np.linalg.norm(mouth - eyes))
    left, top = (int(v) for v in np.rint((eyes + mouth) / 2 - side / 2))
    size = max(round(side), 1)
    return Landmarks(points.astype(np.float32), (left, top, left + size, top + size), 1.0)


def refine_points(photo: Photo, face: Landmarks) -> Landmarks:
    """The points of the face that lies in a known box, for instance in an edit of the photo; nothing is sought."""
    box = np.array(face.box, dtype=np.float64)
    return _landmarks(np.ascontiguousarray(photo.pixels), box, face.score)


def select_faces(faces: list[Landmarks], which: str | int, photo: Photo) -> list[Landmarks]:
    """The faces that a user asks for.

    which: "largest", "left" (left-most in the picture), "all" (left to right), or a number (2 or "2") that counts
        from 1, left to right.
    Raises NoFaceError if there is none or not so many, UnknownNameError for another word.
    """
    word = str(which).strip().lower()
    number = int(word) if re.fullmatch(r"-?[0-9]{1,6}", word) else None
    if number is None and word not in ("largest", "left", "all"):
        raise UnknownNameError("face", str(which), ["largest", "left", "all", "1", "2"])
    if not faces:
        height, width = photo.pixels.shape[:2]
        raise NoFaceError(
            f"no face found in {photo.name} ({width}x{height} px). "
            "Try a smaller --min-face (min_face_px in Python), turn the photo upright, or crop closer."
        )
    in_order = sorted(faces, key=lambda face: face.box[0] + face.box[2])
    if word == "all":
        return in_order
    if word == "largest":
        return [max(faces, key=_area)]
    if number is None:
        return in_order[:1]
    if not 1 <= number <= len(faces):
        count = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
        raise NoFaceError(
            f"{photo.name} has {count}, there is no face {number} (--face {number}, or face={number} in Python); "
            "they count from 1, left to right."
        )
    return [in_order[number - 1]]


@dataclass(frozen=True)
class _Look:
    """A copy of the photo to search: ``copy px = photo px * scale + border_px``."""

    scale: float
    border_px: int


def _find_boxes(pixels: UInt8, min_face_px: int) -> list[tuple[Float64, float]]:
    """Boxes (left, top, right, bottom) in photo px and scores, from the first look with a sure face."""
    best_weak: list[tuple[Float64, float]] = []
    for look in _looks(pixels.shape[0], pixels.shape[1], min_face_px):
        seen = [f for f in _detect(pixels, look) if f[0][2] - f[0][0] >= min_face_px]
        sure = [f for f in seen if f[1] >= SURE_SCORE]
        if sure:
            return sure
        best_weak = sorted(seen + best_weak, key=lambda f: f[1], reverse=True)[:1]
    return best_weak


def _looks(height: int, width: int, min_face_px: int) -> Iterator[_Look]:
    scale = min(1.0, DETECT_SIDE_PX / max(height, width))
    yield _Look(scale, 0)
    yield _Look(scale, round(BORDER_SHARE * max(height, width) * scale))
    while scale * min_face_px < HOG_FACE_PX:
        scale *= 2
        if height * width * scale**2 > MAX_DETECT_PX:
            return
        yield _Look(scale, 0)


def _detect(pixels: UInt8, look: _Look) -> Iterator[tuple[Float64, float]]:
    copy = pixels
    if look.scale != 1:
        height, width = (max(1, round(side * look.scale)) for side in pixels.shape[:2])
        copy = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if look.scale < 1 else cv2.INTER_LINEAR)
    if look.border_px:
        copy = cv2.copyMakeBorder(copy, *(look.border_px,) * 4, cv2.BORDER_REPLICATE)
    boxes, scores, _ = _detector(threading.get_ident()).run(np.ascontiguousarray(copy), 0, 0.0)
    for box, score in zip(boxes, scores, strict=True):
        corners = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1], dtype=np.float64)
        yield (corners - look.border_px) / look.scale, float(score)


def _landmarks(pixels: UInt8, box: Float64, score: float) -> Landmarks:
    """Predict the points on a window around the box, resized so that the box has POINTS_BOX_PX."""
    side = box[2] - box[0]
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(box[:2] - 0.6 * side), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(box[2:] + 0.6 * side), [left + 1, top + 1], [width, height]).astype(int)
    window = pixels[top:bottom, left:right]
    size = np.maximum(1, np.rint(np.array([right - left, bottom - top]) * POINTS_BOX_PX / side)).astype(int)
    shrinks = side > POINTS_BOX_PX
    window = cv2.resize(window, tuple(map(int, size)), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    per_px = size / np.array([right - left, bottom - top])
    box_in_window = ((box.reshape(2, 2) - [left, top]) * per_px).reshape(4)
    points = (_mean_points(window, box_in_window) + 0.5) / per_px - 0.5 + [left, top]
    rounded = tuple(int(v) for v in np.rint(box))
    return Landmarks(points.astype(np.float32), (rounded[0], rounded[1], rounded[2], rounded[3]), score)


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


def _area(face: Landmarks) -> int:
    left, top, right, bottom = face.box
    return int(right - left) * int(bottom - top)


@functools.lru_cache(maxsize=16)
def _detector(thread: int) -> Any:
    """One detector a thread, because it keeps the picture it works on."""
    import dlib

    return dlib.get_frontal_face_detector()


@functools.cache
def _predictor() -> Any:
    """The 68-point predictor; reading its 100 MB takes about a second, hence only on first use."""
    import dlib

    return dlib.shape_predictor(str(packaged_file("face_recognition_models", f"models/{PREDICTOR_FILE}")))
