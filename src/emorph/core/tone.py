"""Exposure, tint and contrast of a face, taken off a picture before a model sees it and put back after.

A small model should not spend itself on the light of a photo, and a dark photo should be edited as a bright one is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ToneName = Literal["as_is", "face"]

SPREAD = 0.3  # what the luminance of a face is brought to: its standard deviation, in pictures of [-1, 1]
LEAST_SPREAD = 0.01  # a picture that is flatter than this holds nothing to be stretched
LUMINANCE = (0.299, 0.587, 0.114)  # as emorph.core.images.luminance
FACE_CENTRE, FACE_RADII = (0.5, 0.58), (0.30, 0.36)  # (x, y) of the face in a crop with its chin, in sides
SOFT_EDGE = 0.25  # of the radii: width of the edge over which the face fades out


@dataclass(frozen=True)
class Tone:
    """Mean colour (B, C, 1, 1) and spread of luminance (B, 1, 1, 1) of the faces in pictures of [-1, 1]."""

    mean: Tensor
    spread: Tensor

    def take_off(self, x: Tensor) -> Tensor:
        """Pictures (B, C, S, S) in [-1, 1] with mean 0 and spread SPREAD over the face, clamped to [-1, 1]."""
        return ((x - self.mean) * (SPREAD / self.spread)).clamp(-1, 1)

    def put_back(self, x: Tensor) -> Tensor:
        """The inverse of ``take_off``, clamped, for one picture a face (B, C, S, S) or several (B, n, C, S, S)."""
        mean, spread = (t if t.ndim in (0, x.ndim) else t[:, None] for t in (self.mean, self.spread))
        return (x * (spread / SPREAD) + mean).clamp(-1, 1)


def tone_of(x: Tensor, name: ToneName = "face") -> Tone:
    """The tone of pictures, float (B, C, S, S) in [-1, 1], C = 1 or 3, over the place of the face in the crop.

    name: "as_is" gives the tone that changes nothing when it is taken off.

    A picture that is exposed to k times its levels has k times the tone, so that ``take_off`` gives the same picture.
    """
    if name == "as_is":
        return Tone(x.new_zeros(()), x.new_full((), SPREAD))
    weight = face_window(x.shape[-1], x.device)
    total = weight.sum()
    mean = (x * weight).sum(dim=(-2, -1), keepdim=True) / total
    gray = x if x.shape[1] == 1 else torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMINANCE))[:, None]
    middle = (gray * weight).sum(dim=(-2, -1), keepdim=True) / total
    spread = ((gray - middle).square() * weight).sum(dim=(-2, -1), keepdim=True) / total
    return Tone(mean, spread.sqrt().clamp(min=LEAST_SPREAD))


@functools.cache
def face_window(side_px: int, device: torch.device) -> Tensor:
    """Soft ellipse over the place of the face in a crop, (side_px, side_px) in [0, 1]."""
    with torch.inference_mode(False):
        at = (torch.arange(side_px, dtype=torch.float32) + 0.5) / side_px
        across, down = ((at - centre) / radius for centre, radius in zip(FACE_CENTRE, FACE_RADII, strict=True))
        distance = torch.hypot(across[None, :], down[:, None])
        return (0.5 + (1 - distance) / SOFT_EDGE).clamp(0, 1).to(device)
