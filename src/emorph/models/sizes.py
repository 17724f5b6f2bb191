"""What the sizes of the autoencoder and the rig have in common, and the pictures that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from emorph.core.errors import ShapeError

Multipliers = Annotated[tuple[Annotated[int, Field(gt=0, le=64)], ...], Field(min_length=1, max_length=10)]


def check_side(image_size: int, patch_size: int, key: str, mult: Sequence[int]) -> None:
    """Raises ValueError if a picture's side cannot be folded and then halved between all levels of ``key``."""
    divisor = patch_size * 2 ** (len(mult) - 1)
    if image_size % divisor:
        asked = f"{key} and patch_size ask" if patch_size > 1 else f"{key} asks"
        raise ValueError(f"image_size {image_size} is not divisible by {divisor}, which {asked} for")


def check_pictures(x: Tensor, channels: int, side: int, takes: str) -> None:
    """Raises ShapeError if x is not float (B, channels, side, side). takes: who takes what, for the message."""
    if x.ndim != 4 or x.shape[1:] != (channels, side, side) or not x.is_floating_point():
        raise ShapeError(f"{takes} of shape (B, {channels}, {side}, {side}); found {x.dtype} {tuple(x.shape)}.")


def fold(x: Tensor, patch_size: int) -> Tensor:
    """p x p pixels into channels: (B, C, H, W) to (B, C p², H/p, W/p)."""
    return F.pixel_unshuffle(x, patch_size) if patch_size > 1 else x


def unfold(x: Tensor, patch_size: int) -> Tensor:
    """The inverse of ``fold``.

    >>> import torch
    >>> x = torch.randn(1, 3, 8, 8)
    >>> bool((unfold(fold(x, 2), 2) == x).all())
    True
    """
    return F.pixel_shuffle(x, patch_size) if patch_size > 1 else x
