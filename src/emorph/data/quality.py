"""How good a found face is, and whether that is good enough to train on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emorph.core.config import Config
from emorph.core.errors import ShapeError
from emorph.core.exposure import even_gain
from emorph.core.types import AlignedFace, Float32, Float64, UInt8

SHARPNESS_SIDE_PX = 128  # crops are compared at one size

# Six points of an average head: nose tip, chin, outer eye corners, mouth corners; x to the image right, y down,
# z away from the camera, in any unit. The model of the widely used head-pose example of OpenCV.
_POSE_INDEX = (30, 8, 36, 45, 48, 54)
_POSE_MODEL = np.array(
    [[0, 0, 0], [0, 330, 65], [-225, -170, 135], [225, -170, 135], [-150, 150, 125], [150, 150, 125]], np.float64
)


class Gate(Config):
    """What a face must have to be kept.

    min_face_px: side of the detector's box in photo px. min_score: of the detector. min_sharpness: as ``Quality``.
    max_yaw_deg, max_pitch_deg: how far the head may be turned aside and nod, both ways. doubtful: faces whose landmarks
    are not to be trusted (``Landmarks.doubt``) are kept, too.
    """

    min_face_px: int = 40
    min_score: float = 0.0
    min_sharpness: float = 15.0
    max_yaw_deg: float = 60.0
    max_pitch_deg: float = 45.0
    doubtful: bool = False


@dataclass(frozen=True)
class Quality:
    """Measures of one face.

    face_px: side of the detector's box in photo px. score: of the detector. sharpness: variance of the Laplacian of
    the gray crop at 128 px and at one exposure; blurred faces lie below some 15. yaw_deg, pitch_deg, roll_deg: the
    head's turn from six points, to a few degrees: positive looks to the image right, up, and leans clockwise.
    px_per_px: photo px a crop px spans; below 1 the face was enlarged. n_faces: in the photo, as far as they were
    sought.
    """

    face_px: float
    score: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    px_per_px: float
    n_faces: int


def measure(face: AlignedFace, n_faces: int, sharpness_of: UInt8) -> Quality:
    """The measures of a face. sharpness_of: its crop, with at least SHARPNESS_SIDE_PX a side."""
    left, _, right, _ = face.landmarks.box
    yaw, pitch, roll = head_pose(face.landmarks.points)
    return Quality(
        face_px=float(right - left),
        score=face.landmarks.score,
        sharpness=sharpness(sharpness_of),
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        px_per_px=face.photo_px_per_crop_px,
        n_faces=n_faces,
    )


def fault(quality: Quality, gate: Gate) -> tuple[str, str] | None:
    """The first rule of the gate that a face breaks: its name, and what was found and wanted; None if it passes."""
    rules = (
        ("too small", "face px", quality.face_px, gate.min_face_px, quality.face_px >= gate.min_face_px),
        ("weak detection", "score", quality.score, gate.min_score, quality.score >= gate.min_score),
        ("blurred", "sharpness", quality.sharpness, gate.min_sharpness, quality.sharpness >= gate.min_sharpness),
        ("turned away", "yaw", quality.yaw_deg, gate.max_yaw_deg, abs(quality.yaw_deg) <= gate.max_yaw_deg),
        ("turned away", "pitch", quality.pitch_deg, gate.max_pitch_deg, abs(quality.pitch_deg) <= gate.max_pitch_deg),
    )
    for name, what, value, wanted, holds in rules:
        if not holds:
            return name, f"{what} {value:.4g}, the limit is {wanted:g}"
    return None


def sharpness(pixels: UInt8) -> float:
    """Variance of the Laplacian of the gray picture at 128 px, as if it were as bright as all others (``even_gain``).

    pixels: uint8 (S, S, 3), S at least 128.
    Raises ShapeError for a smaller picture, which would seem blurred once enlarged.
    """
    if pixels.shape[0] < SHARPNESS_SIDE_PX:
        raise ShapeError(f"expected a crop of at least {SHARPNESS_SIDE_PX} px, found {pixels.shape[0]}.")
    gain = even_gain(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    gray = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY)  # whole levels of a dark face would add noise
    size = (SHARPNESS_SIDE_PX, SHARPNESS_SIDE_PX)
    if gray.shape != size:
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return gain**2 * float(cv2.Laplacian(gray, cv2.CV_32F).var())


def head_pose(points: Float32) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, by fitting a rigid average head without perspective. points: (68, 2) px."""
    seen: Float64 = np.asarray(points, np.float64)[list(_POSE_INDEX)]
    model = _POSE_MODEL - _POSE_MODEL.mean(axis=0)
    projection = np.linalg.lstsq(model, seen - seen.mean(axis=0), rcond=None)[0].T  # (2, 3)
    u, _, v = np.linalg.svd(projection, full_matrices=False)
    right, down = u @ v  # the nearest two orthonormal rows
    away = np.cross(right, down)
    # the face looks along -z of the model; its x, y and depth in the camera are these
    looks = -right[2], -down[2], -away[2]
    yaw = np.degrees(np.arctan2(looks[0], -looks[2]))
    pitch = np.degrees(np.arcsin(np.clip(-looks[1], -1, 1)))
    roll = np.degrees(np.arctan2(down[0], right[0]))
    return float(yaw), float(pitch), float(roll)
