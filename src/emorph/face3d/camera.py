"""The orthographic camera of DECA, and the transforms between a face's crop, the photo and the screen.

The screen is [-1, 1] in both directions, x to the right and y downwards; pixel (row i, column j) of a picture of h x w
has its centre at ((2j + 1) / w - 1, (2i + 1) / h - 1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.landmarks import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from emorph.core.types import FaceCoeffs, Float32, Float64

CROP_SIDE_PX = 224
CROP_SCALE = 1.25
LANDMARK_BOX_SCALE = 1.1  # the box around 68 points is smaller than the boxes that DECA was trained on


def project(points: Tensor, camera: Tensor) -> Tensor:
    """s (X + t), then y and z negated: (B, N, 3), x and y on the screen, z smaller where nearer.

    points: (B, N, 3), y up and z towards the viewer. camera: (B, 3), s, tx, ty.

    >>> project(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[0.5, 0.0, 0.0]])).tolist()
    [[[0.5, -1.0, -1.5]]]
    """
    scale = camera[:, None, :1]
    moved = torch.cat([points[..., :2] + camera[:, None, 1:], points[..., 2:]], dim=-1) * scale
    return moved * moved.new_tensor([1.0, -1.0, -1.0])


def deca_crop(points: Float32) -> Float64:
    """The square that DECA looks at: a (3, 3) map from the photo's pixels to those of its 224 px crop.

    points: (68, 2) landmarks in photo pixels. The box around them, enlarged 1.1 * 1.25 times around its centre and cut
    to whole pixels, goes to the corners 0 and 223. Raises ShapeError.
    """
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ShapeError(f"expected 68 finite landmarks (68, 2), found {points.shape}.")
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    size = int((high - low).sum() / 2 * LANDMARK_BOX_SCALE * CROP_SCALE)
    if size < 1:
        raise ShapeError("the landmarks span less than a pixel.")
    scale = (CROP_SIDE_PX - 1) / size
    corner = (low + high) / 2 - size / 2
    return np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]], [0, 0, 1]])


def deca_crops(points: Tensor) -> Tensor:
    """``deca_crop`` of B faces at once, float64 (B, 3, 3), on their device and without looking at a number.

    points: (B, 68, 2). Landmarks that span nothing give a map of infinities, not an error.
    """
    low, high = points.double().amin(dim=1), points.double().amax(dim=1)
    size = ((high - low).sum(dim=1) / 2 * LANDMARK_BOX_SCALE * CROP_SCALE).trunc()
    scale = (CROP_SIDE_PX - 1) / size
    shift = -scale[:, None] * ((low + high) / 2 - size[:, None] / 2)
    return scale_and_shift(scale, shift)


def scale_and_shift(scale: Tensor, shift: Tensor) -> Tensor:
    """Maps (B, 3, 3) that scale by (B,) and then move by (B, 2)."""
    nothing, one = torch.zeros_like(scale), torch.ones_like(scale)
    rows = [(scale, nothing, shift[:, 0]), (nothing, scale, shift[:, 1]), (nothing, nothing, one)]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def crop_to_screen(points: Tensor, photo_to_crop: Tensor, photo_size: tuple[int, int]) -> Tensor:
    """Points on the crop's screen moved to the photo's screen, as DECA does it.

    points: (B, N, 2 or 3) on the crop's screen; a depth stays as it is. photo_to_crop: (B, 3, 3), see ``deca_crop``.
    photo_size: height and width in pixels.
    """
    height, width = photo_size
    in_crop = (points[..., :2] / 2 + 0.5) * CROP_SIDE_PX
    back = torch.linalg.inv(photo_to_crop.double()).to(points.dtype)
    in_photo = in_crop @ back[:, :2, :2].mT + back[:, None, :2, 2]
    on_screen = in_photo * in_photo.new_tensor([2 / width, 2 / height]) - 1
    return torch.cat([on_screen, points[..., 2:]], dim=-1)


def pixels_to_screen(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixel coordinates (..., 2), centres at whole numbers, to the screen. size: height and width."""
    height, width = size
    return (2 * points + 1) / points.new_tensor([width, height]) - 1


def screen_to_pixels(points: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of ``pixels_to_screen``."""
    height, width = size
    return ((points + 1) * points.new_tensor([width, height]) - 1) / 2


def centre_of(landmarks: Tensor) -> Tensor:
    """The point (B, 2) that is kept in place when the pose changes: a tenth of the way from the eyes to the mouth.

    landmarks: (B, 68, 2 or 3) in model space.
    """
    eyes = (landmarks[:, LEFT_EYE].mean(dim=1) + landmarks[:, RIGHT_EYE].mean(dim=1)) / 2
    mouth = landmarks[:, list(MOUTH_CORNERS)].mean(dim=1)
    return (eyes + 0.1 * (mouth - eyes))[:, :2]


def keep_centred(coeffs: FaceCoeffs, landmarks: Tensor, before: Tensor) -> FaceCoeffs:
    """``coeffs`` with the camera moved so that the face's centre stays where it was.

    landmarks, before: (B, 68, 3) in model space, of ``coeffs`` and of the face whose place is kept (same camera).
    """
    shift = centre_of(before) - centre_of(landmarks)
    camera = torch.cat([coeffs.camera[:, :1], coeffs.camera[:, 1:] + shift], dim=1)
    return replace(coeffs, camera=camera)
