"""FLAME's albedo: a mean picture and its principal components, as DECA uses them."""

from __future__ import annotations

import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ShapeError

SIDE_PX = 256


def texture_tensors(mean: Tensor, basis: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
    """The official pictures as this module keeps them: RGB, 256 px, 0..1.

    mean: (512, 512, 3) and basis: (512, 512, 3, N), BGR, v downwards. scale: 255 for FLAME's own file, 1 for BFM's.
    Every second row and column is kept (nearest neighbour), as DECA does. Returns (3, 256, 256) and (N, 3, 256, 256).
    """
    if mean.shape != (512, 512, 3) or basis.ndim != 4 or basis.shape[:3] != mean.shape:
        found = f"{tuple(mean.shape)} and {tuple(basis.shape)}"
        raise CheckpointError(
            f"the texture does not fit: (512, 512, 3) and (512, 512, 3, N) are expected, not {found}."
        )
    small_mean = mean[::2, ::2].flip(-1).permute(2, 0, 1).float() / scale
    small_basis = basis[::2, ::2].flip(-2).permute(3, 2, 0, 1).float() / scale
    return small_mean.contiguous(), small_basis.contiguous()


def albedo(mean: Tensor, basis: Tensor, texture: Tensor) -> Tensor:
    """The picture (B, 3, 256, 256) of texture coefficients (B, n <= N), RGB; about 0..1, not clamped.

    mean: (3, 256, 256), basis: (N, 3, 256, 256). Raises ShapeError.
    """
    if texture.ndim != 2 or texture.shape[1] > len(basis):
        found = tuple(texture.shape)
        raise ShapeError(f"texture coefficients have shape {found}; (B, at most {len(basis)}) is expected.")
    return mean + torch.einsum("bn,nchw->bchw", texture, basis[: texture.shape[1]])
