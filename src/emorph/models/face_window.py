"""The part of a face that a small network looks at, out of whatever crop an autoencoder draws; differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.types import CropSpec

GRAY = (0.299, 0.587, 0.114)  # luminance of red, green and blue (ITU-R BT.601)
MIN_SIDE_PX = 16


def gray_window(x: Tensor, given: CropSpec, wanted: CropSpec, side_px: int) -> Tensor:
    """The crop ``wanted`` out of pictures of the crop ``given``, gray, float (B, 1, side_px, side_px).

    x: float (B, 1 or 3, S, S) in [-1, 1], S of 16 px or more. Beyond the picture its border goes on. A picture that is
    finer than the result is smoothed first. Raises ShapeError.
    """
    square = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] and x.shape[2] >= MIN_SIDE_PX
    if not square or not x.is_floating_point():
        raise ShapeError(
            f"expected float pictures in [-1, 1] of shape (B, 1 or 3, S, S), S at least {MIN_SIDE_PX} px; found "
            f"{x.dtype} {tuple(x.shape)}."
        )
    if x.shape[1] == 3:
        x = (x * x.new_tensor(GRAY)[:, None, None]).sum(dim=1, keepdim=True)
    scale = given.zoom / wanted.zoom  # of the result's side over the picture's
    fitting = round(side_px / scale)  # side of a picture whose pixels are as large as the result's
    if fitting < x.shape[-1]:
        x = F.interpolate(x, size=(fitting, fitting), mode="bilinear", antialias=True, align_corners=False)
    shift = [2 * given.zoom * (w - g) for w, g in zip(wanted.shift, given.shift, strict=True)]
    matrix = x.new_tensor([[scale, 0, shift[0]], [0, scale, shift[1]]])
    grid = F.affine_grid(matrix.expand(len(x), 2, 3), [len(x), 1, side_px, side_px], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def evened(x: Tensor) -> Tensor:
    """Each picture with mean 0 and deviation 1: light and contrast are no expression and no shape."""
    return (x - x.mean(dim=(1, 2, 3), keepdim=True)) / torch.clamp(x.std(dim=(1, 2, 3), keepdim=True), min=0.05)
