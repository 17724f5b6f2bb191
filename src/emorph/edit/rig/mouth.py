"""The dark between lips that part: no photo of a closed mouth shows it, and a stretched one would show more of lips."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.types import Float32, Float64

SHADE = 0.25  # of the face's mean brightness, as LFW's open mouths have it


def darkened(pictures: Tensor, opened: Float32, after: Float64) -> Tensor:
    """Moved crops (n, C, S, S) in [-1, 1] with what has opened between the lips in the dark.

    opened: (n, S, S) of ``emorph.faces.newly_open``; after: (n, 68, 2), landmarks in crop pixels.
    """
    if not len(pictures):
        return pictures
    hulls = np.stack([_inside(points, pictures.shape[-1]) for points in after])
    share, hull = (torch.from_numpy(each)[:, None].to(pictures) for each in (opened, hulls))
    mean = ((pictures + 1) * hull).sum(dim=(1, 2, 3), keepdim=True) / (hull.sum(dim=(1, 2, 3), keepdim=True) + 1e-6)
    dark = SHADE * mean / pictures.shape[1] - 1
    return pictures + share * (dark - pictures).clamp_max(0)


def _inside(points: Float64, side_px: int) -> Float32:
    mask = np.zeros((side_px, side_px), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.round().astype(np.int32)), 1.0)
    return mask
