"""Where a face lies in the picture that a network takes: the detector's box, and the five points of ArcFace."""

from __future__ import annotations

import cv2
import numpy as np

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.landmarks import LEFT_EYE, MOUTH_CORNERS, NOSE_TIP, RIGHT_EYE
from emorph.core.types import Float64, Landmarks, Photo, UInt8
from emorph.evaluate.judges.cards import ARCFACE_PX
from emorph.models.emonet import SIDE_PX

EMONET_SPAN = 1.8  # side of the square over the longer side of the landmarks' box

# Eyes, tip of the nose, corners of the mouth, left to right in the picture, in pixels of a 112 px crop: the template
# published with InsightFace's ArcFace.
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


def five_points(landmarks: Landmarks) -> Float64:
    """Eyes, tip of the nose and corners of the mouth from 68 points, (5, 2), in the order of ``ARCFACE_TEMPLATE``."""
    points = landmarks.points.astype(np.float64)
    eyes = [points[eye].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]])


def similarity(source: Float64, target: Float64) -> Float64:
    """The (2, 3) matrix that turns, scales and moves ``source`` (N, 2) nearest to ``target`` (Umeyama 1991).

    Raises ShapeError for points that span nothing.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - from_mean, target - to_mean
    spread = float((a**2).sum())
    if not np.isfinite(spread) or spread < 1e-9:
        raise ShapeError("expected finite landmarks that span a face; detect the face again.")
    # in complex numbers, scale and turn are one factor, and the mirrored solution cannot occur
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (to_mean - turn @ from_mean)[:, None]], axis=1)


def arcface_crop(photo: Photo, landmarks: Landmarks) -> UInt8:
    """The face with its five points on the published template, uint8 (112, 112, 3) RGB, black outside the photo.

    Bilinear without smoothing, as the recognisers were trained.
    """
    matrix = similarity(five_points(landmarks), np.array(ARCFACE_TEMPLATE))
    crop: UInt8 = cv2.warpAffine(photo.pixels, matrix, (ARCFACE_PX, ARCFACE_PX), flags=cv2.INTER_LINEAR)
    return crop


def box_crop(photo: Photo, landmarks: Landmarks, side_px: int) -> UInt8:
    """The part of the detector's box that lies in the photo, stretched to a square, uint8 (S, S, 3) RGB.

    Raises NoFaceError if none of it does.
    """
    height, width = photo.pixels.shape[:2]
    left, right = np.clip([landmarks.box[0], landmarks.box[2]], 0, width)
    top, bottom = np.clip([landmarks.box[1], landmarks.box[3]], 0, height)
    if left >= right or top >= bottom:
        raise NoFaceError(f"the face lies outside {photo.name} ({width}x{height} px); detect the face again.")
    crop: UInt8 = cv2.resize(photo.pixels[top:bottom, left:right], (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return crop


def emonet_crop(photo: Photo, landmarks: Landmarks) -> UInt8:
    """EmoNet's square around the 68 points, uint8 (256, 256, 3) RGB, black outside the photo. Raises ShapeError."""
    low, high = landmarks.points.min(axis=0).astype(float), landmarks.points.max(axis=0).astype(float)
    side = EMONET_SPAN * float((high - low).max())
    if not np.isfinite(side) or side < 1:
        raise ShapeError("expected finite landmarks that span a face; detect the face again.")
    scale = SIDE_PX / side
    centre = (low + high) / 2
    shift = (SIDE_PX - 1) / 2 - scale * centre  # pixel centres at whole numbers
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop: UInt8 = cv2.warpAffine(photo.pixels, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return crop
