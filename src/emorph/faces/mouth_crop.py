"""The rectangle around a mouth: cut upright at a known scale, its lips drawn as masks, and laid back into the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.landmarks import INNER_LIPS, INNER_MOUTH_CORNERS, LEFT_EYE, MOUTH_CORNERS, OUTER_LIPS, RIGHT_EYE
from emorph.core.types import Float32, Float64, UInt8
from emorph.faces.mask import shifted
from emorph.faces.mouth import REC601

SHUT_GAP = 0.035  # units of the face, between the inner lips: less is the points' own error, and lips that touch
EYE_TO_MOUTH_SHARE = 0.9  # a turned head's eyes come close together: its scale is then read off its height
EXPOSURE = 128.0  # mean level, of 255, that a mouth's surroundings are brought to
GAINS = (0.5, 8.0)  # the factors that may do so
SHIFT = 4  # fractional bits of the coordinates that cv2 draws with


@dataclass(frozen=True)
class MouthCrop:
    """An upright rectangle around one mouth.

    to_crop: float64 (3, 3), photo pixel centres (x, y, 1) to crop pixel centres. size: (width, height) in crop pixels.
    unit_px: crop pixels that one unit of the face spans, see ``face_unit``.
    """

    to_crop: Float64
    size: tuple[int, int]
    unit_px: float

    @property
    def photo_px_per_crop_px(self) -> float:
        """How many photo pixels one crop pixel spans; under 1 the mouth was enlarged."""
        return float(1 / np.sqrt(abs(np.linalg.det(self.to_crop[:2, :2]))))

    def points(self, landmarks: Float64) -> Float64:
        """Points (n, 2) of the photo in crop pixels."""
        found: Float64 = landmarks @ self.to_crop[:2, :2].T + self.to_crop[:2, 2]
        return found


def face_unit(landmarks: Float64) -> float:
    """The scale of a face: the distance between its eyes, or 0.9 of that from eyes to mouth, whichever is longer.

    A quarter of the side of FFHQ's square (``emorph.faces.align``). landmarks: (68, 2). Raises ShapeError.
    """
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all():
        raise ShapeError(f"expected 68 finite landmarks (68, 2), found {landmarks.shape}.")
    eye_left, eye_right = landmarks[LEFT_EYE].mean(axis=0), landmarks[RIGHT_EYE].mean(axis=0)
    down = landmarks[list(MOUTH_CORNERS)].mean(axis=0) - (eye_left + eye_right) / 2
    unit = max(float(np.linalg.norm(eye_right - eye_left)), EYE_TO_MOUTH_SHARE * float(np.linalg.norm(down)))
    if unit < 1e-6:
        raise ShapeError("the points of the eyes and the mouth all lie in one place; detect the face again.")
    return unit


def mouth_crop(
    landmarks: Float64, size: tuple[int, int], width_units: float, *, frame: Float64 | None = None
) -> MouthCrop:
    """The rectangle around the lips, its rows along the line between the eyes.

    landmarks: (68, 2) in photo pixels. size: (width, height) px. width_units: of the rectangle, see ``face_unit``.
    frame: landmarks that scale and turn are read off, by default the same: an edit that moves the lips moves no eyes.
    Raises ShapeError.
    """
    own = landmarks if frame is None else frame
    unit = face_unit(own)
    across = own[RIGHT_EYE].mean(axis=0) - own[LEFT_EYE].mean(axis=0)
    turn = math.atan2(across[1], across[0])
    scale = size[0] / (width_units * unit)
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    lips = landmarks[OUTER_LIPS]
    turned = lips @ np.array([[cos, -sin], [sin, cos]])
    middle = (turned.min(axis=0) + turned.max(axis=0)) / 2
    shift = (np.array(size) - 1) / 2 - middle
    to_crop = np.array([[cos, sin, shift[0]], [-sin, cos, shift[1]], [0, 0, 1]])
    return MouthCrop(to_crop, size, unit * scale)


def cut(pixels: UInt8 | Float32, crop: MouthCrop) -> Float32:
    """The crop's pixels of a photo (H, W, n), float32 (height, width, n): cubic if enlarged, averaged if reduced.

    Beyond the photo's border it is mirrored. Raises NoFaceError for a crop that lies outside the photo.
    """
    width, height = crop.size
    middle = np.linalg.inv(crop.to_crop)[:2] @ [(width - 1) / 2, (height - 1) / 2, 1]
    if not (0 <= middle[0] < pixels.shape[1] and 0 <= middle[1] < pixels.shape[0]):
        raise NoFaceError("the mouth lies outside the photo; detect the face again.")
    return _resampled(pixels.astype(np.float32), crop.to_crop, crop.size, cv2.BORDER_REFLECT_101)


def laid_back(layers: Float32, crop: MouthCrop, corner: tuple[int, int], size: tuple[int, int]) -> Float32:
    """Layers of a crop (height, width, n) at a window of the photo's pixels, (h, w, n); border repeated.

    corner: (left, top) of the window in the photo. size: (w, h) of the window.
    """
    return _resampled(layers, shifted(_inverse(crop.to_crop), *corner), size, cv2.BORDER_REPLICATE)


def lip_masks(points: Float64, size: tuple[int, int]) -> tuple[Float32, Float32]:
    """Inside of the inner and of the outer lips, each (height, width) in [0, 1]. points: (68, 2) in crop pixels."""
    return _polygon(points[INNER_LIPS], size), _polygon(points[OUTER_LIPS], size)


def around_inside(points: Float64, size: tuple[int, int], rim_px: float) -> Float32:
    """The mouth's inside and a rim of ``rim_px`` around it, (height, width) in {0, 1}.

    Lips that touch have an inside without area: there the rim lies around their line.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    outline = _fixed(points[INNER_LIPS])
    cv2.fillPoly(mask, [outline], 255, shift=SHIFT)
    cv2.polylines(mask, [outline], True, 255, max(1, round(2 * rim_px)), shift=SHIFT)
    return (mask > 0).astype(np.float32)


def lip_gap(landmarks: Float64) -> float:
    """The opening between the inner lips, across the line of the mouth, in units of the face.

    Lips that are moved along each other do not part.
    """
    left, right = landmarks[list(INNER_MOUTH_CORNERS)]
    along, apart = right - left, landmarks[66] - landmarks[62]
    across = (along[0] * apart[1] - along[1] * apart[0]) / max(float(np.linalg.norm(along)), 1e-6)
    return abs(float(across)) / face_unit(landmarks)


def is_shut(gap: float) -> bool:
    """Whether lips with a gap of so many units touch. The inner lips of such a mouth are drawn as nothing at all."""
    return gap < SHUT_GAP


def exposure_gain(levels: Float32, hidden: Float32) -> float:
    """The factor on the levels (h, w, 3) of 0..255 that brings what is not hidden to EXPOSURE on average.

    A painter sees every photo so lit; what it paints is divided by the factor: a darker photo gives the same, darker.
    """
    weights = 1 - hidden
    brightness = float(((levels @ REC601) * weights).sum() / max(float(weights.sum()), 1.0))
    return float(np.clip(EXPOSURE / max(brightness, 1.0), *GAINS))


def light_inside(levels: Float32, inner: Float32, hidden: Float32) -> float:
    """Mean brightness inside the inner lips over that of what is not hidden: 0.3 is dark, 1 teeth.

    levels: (h, w, 3) of 0..255. inner, hidden: (h, w), see ``lip_masks`` and ``around_inside``.
    """
    brightness = levels @ REC601
    within = float((brightness * inner).sum()) / max(float(inner.sum()), 1.0)
    around = float((brightness * (1 - hidden)).sum()) / max(float((1 - hidden).sum()), 1.0)
    return within / max(around, 1.0)


def _resampled(layers: Float32, matrix: Float64, size: tuple[int, int], border: int) -> Float32:
    """Layers moved by a (3, 3) map of pixel centres to (w, h) pixels; averaged over as many as the map unites."""
    fine = max(1, math.ceil(1 / np.sqrt(abs(np.linalg.det(matrix[:2, :2]))) - 1e-6))
    # pixel centre i is centre fine * i + (fine - 1) / 2 of the finer grid
    to_fine = np.diag([fine, fine, 1.0])
    to_fine[:2, 2] = (fine - 1) / 2
    flags = cv2.INTER_CUBIC if fine == 1 else cv2.INTER_LINEAR
    moved = cv2.warpAffine(
        layers, (to_fine @ matrix)[:2], (size[0] * fine, size[1] * fine), flags=flags, borderMode=border
    )
    if fine > 1:
        moved = cv2.resize(moved, size, interpolation=cv2.INTER_AREA)
    found: Float32 = moved.reshape(size[1], size[0], -1)
    return found


def _inverse(matrix: Float64) -> Float64:
    found: Float64 = np.linalg.inv(matrix).astype(np.float64)
    return found


def _polygon(points: Float64, size: tuple[int, int]) -> Float32:
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [_fixed(points)], 255, lineType=cv2.LINE_AA, shift=SHIFT)
    return mask.astype(np.float32) / np.float32(255)


def _fixed(points: Float64) -> NDArray[np.int32]:
    """Points as cv2 draws them: whole numbers of 1/16 px."""
    found: NDArray[np.int32] = np.round(points * 2**SHIFT).astype(np.int32)
    return found
