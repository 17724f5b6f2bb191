"""The crops that loss networks look at, cut so that gradients flow back to the picture.

Where a face lies is told by the landmarks of the photo, before and after the edit alike: what an edit does to the face
is seen in one and the same place. Points are (B, 68, 2) in pixels of the pictures, centres at whole numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.landmarks import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from emorph.core.types import CropSpec
from emorph.evaluate.judges.crops import EMONET_SPAN
from emorph.face3d.camera import scale_and_shift
from emorph.faces.align import CENTRE_DROP, EYE_SPAN, MOUTH_SPAN

FINENESS = 4  # points sampled along a pixel of a crop that is averaged from them


def square_crop(pictures: Tensor, points: Tensor, side_px: int) -> Tensor:
    """EmoNet's square around the landmarks, as ``emonet_crop`` cuts it: bilinear, black outside.

    pictures: float (B, 3, H, W) in [-1, 1]. Returns (B, 3, side_px, side_px).
    """
    low, high = points.double().amin(dim=1), points.double().amax(dim=1)
    scale = side_px / (EMONET_SPAN * (high - low).amax(dim=1))
    shift = (side_px - 1) / 2 - scale[:, None] * (low + high) / 2
    back = torch.linalg.inv(scale_and_shift(scale, shift))
    return _sampled(pictures + 1, back[:, :2], side_px, padding="zeros") - 1


def ffhq_crop(pictures: Tensor, points: Tensor, side_px: int, crop: CropSpec) -> Tensor:
    """The square of ``emorph.faces.align`` with a model's zoom and shift; what lies outside repeats the border.

    pictures: float (B, C, H, W) in [-1, 1]. Returns (B, C, side_px, side_px).
    """
    fine = FINENESS * side_px
    centre, across = ffhq_square(points, crop)
    down = torch.stack([-across[:, 1], across[:, 0]], dim=1)
    columns = torch.stack([across, down], dim=2) * (2 / fine)
    first = centre - (across + down) * (1 - 1 / fine)
    to_picture = torch.cat([columns, first[:, :, None]], dim=2)
    return F.avg_pool2d(_sampled(pictures, to_picture, fine, padding="border"), FINENESS)


def ffhq_square(points: Tensor, crop: CropSpec) -> tuple[Tensor, Tensor]:
    """Centre of a face's square and half of its upper edge, both float64 (B, 2) in pixels (Karras et al. 2018)."""
    points = points.double()
    left, right = points[:, LEFT_EYE].mean(dim=1), points[:, RIGHT_EYE].mean(dim=1)
    middle, between = (left + right) / 2, right - left
    to_mouth = points[:, list(MOUTH_CORNERS)].mean(dim=1) - middle
    along = between - torch.stack([-to_mouth[:, 1], to_mouth[:, 0]], dim=1)
    half = torch.maximum(between.norm(dim=1) * EYE_SPAN, to_mouth.norm(dim=1) * MOUTH_SPAN)
    x = F.normalize(along, dim=1) * half[:, None]
    y = torch.stack([-x[:, 1], x[:, 0]], dim=1)
    centre = middle + CENTRE_DROP * to_mouth + 2 * (crop.shift[0] * x + crop.shift[1] * y)
    return centre, x / crop.zoom


def shown_share(crop: CropSpec, by: CropSpec) -> float:
    """The share of one crop's square that another shows.

    >>> shown_share(CropSpec(), by=CropSpec(zoom=2.0))
    0.25
    """
    share = 1.0
    for at, other in zip(crop.shift, by.shift, strict=True):
        low = max(at - 0.5 / crop.zoom, other - 0.5 / by.zoom)
        high = min(at + 0.5 / crop.zoom, other + 0.5 / by.zoom)
        share *= max(0.0, high - low) * crop.zoom
    return share


def _sampled(pictures: Tensor, to_picture: Tensor, side_px: int, *, padding: str) -> Tensor:
    """Pictures looked up where maps (B, 2, 3) take the pixels of a square to theirs."""
    height, width = pictures.shape[-2:]
    line = torch.arange(side_px, dtype=torch.float64, device=pictures.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ to_picture[:, None].mT
    grid = (2 * places + 1) / places.new_tensor([width, height]) - 1
    return F.grid_sample(pictures, grid.to(pictures.dtype), mode="bilinear", padding_mode=padding, align_corners=False)
