"""Light on a face as nine spherical harmonics a colour, and its estimate from a photo (Ramamoorthi, Hanrahan 2001)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# cosine lobe (pi, 2 pi / 3, pi / 4) times the normalisation of each harmonic
_FLAT = 1 / math.sqrt(4 * math.pi)
_LINEAR = 2 * math.pi / 3 * math.sqrt(3 / (4 * math.pi))
_MIXED = math.pi / 4 * 3 * math.sqrt(5 / (12 * math.pi))
_ZONAL = math.pi / 4 * math.sqrt(5 / (4 * math.pi)) / 2
CONSTANTS = (_FLAT, _LINEAR, _LINEAR, _LINEAR, _MIXED, _MIXED, _MIXED, _MIXED / 2, _ZONAL)
RIDGE = (
    0.02  # of the estimate, a photo's pixels counting 1 together: harmonics that a face's normals hardly show stay 0
)


def harmonics(normals: Tensor) -> Tensor:
    """The nine functions 1, x, y, z, xy, xz, yz, x^2 - y^2, 3z^2 - 1 of normals (..., 3), with their constants."""
    x, y, z = normals.unbind(dim=-1)
    terms = [torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1]
    return torch.stack(terms, dim=-1) * normals.new_tensor(CONSTANTS)


def shade(normals: Tensor, light: Tensor) -> Tensor:
    """Brightness (B, N, 3) of each colour at normals (B, N, 3) under light (B, 9, 3)."""
    return harmonics(normals) @ light


def shade_from_points(points: Tensor, normals: Tensor, lights: Tensor) -> Tensor:
    """Mean brightness (B, N, 3) under L lamps; the side turned away is negative, as in DECA.

    No part of emorph lights so: it is here for DECA's recorded numbers (``tests/test_golden_flame.py``).
    points, normals: (B, N, 3). lights: (B, L, 6), place and colour.
    """
    towards = lights[:, :, None, :3] - points[:, None]
    cosine = (normals[:, None] * torch.nn.functional.normalize(towards, dim=-1)).sum(dim=-1, keepdim=True)
    return (cosine * lights[:, :, None, 3:]).mean(dim=1)


def shade_from_directions(normals: Tensor, lights: Tensor) -> Tensor:
    """Mean brightness (B, N, 3) under L far lamps; lights: (B, L, 6), direction towards the lamp and colour.

    No part of emorph lights so: it is here for DECA's recorded numbers (``tests/test_golden_flame.py``).
    """
    towards = torch.nn.functional.normalize(lights[:, :, None, :3], dim=-1)
    cosine = (normals[:, None] * towards).sum(dim=-1, keepdim=True).clamp(0, 1)
    return (cosine * lights[:, :, None, 3:]).mean(dim=1)


def estimate_light(colours: Tensor, normals: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Light (B, 9, 3) and one skin colour (B, 3) that explain a photo best, by regularised least squares.

    colours: (B, N, 3) in [0, 1], at normals (B, N, 3). weights: (B, N), 0 leaves a pixel out.
    A photo tells only their product: the skin has the mean colour, so that the light is about 1 on average.
    """
    share = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-8)
    skin = (colours * share[..., None]).sum(dim=1).clamp_min(1e-3)
    basis = harmonics(normals)
    weighted = basis * share[..., None]
    ridge = RIDGE * torch.eye(9, dtype=basis.dtype, device=basis.device)
    plain = basis.new_zeros(9, 1)
    plain[0] = 1 / CONSTANTS[0]  # the light that the ridge pulls to: the same from everywhere
    wanted = weighted.mT @ (colours / skin[:, None]) + ridge @ plain
    light: Tensor = torch.linalg.solve(weighted.mT @ basis + ridge, wanted)
    return light, skin
