"""Directions in z_sem: the linear emotion classifier and how its weights move a face (Preechakul et al. 2022, App. E)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LatentStats:
    """Mean and standard deviation of z_sem over a training set, both (z_dim,)."""

    mean: Tensor
    std: Tensor

    def normalise(self, z: Tensor) -> Tensor:
        """z_sem (..., z_dim) to mean 0 and standard deviation 1."""
        return (z - self.mean) / self.std

    def denormalise(self, z: Tensor) -> Tensor:
        """The inverse of ``normalise``."""
        return z * self.std + self.mean


def move(z: Tensor, direction: Tensor, amplitude: float, stats: LatentStats) -> Tensor:
    """The official manipulation: ``amplitude`` · sqrt(z_dim) along the unit direction, in normalised z_sem.

    z: (B, z_dim); direction: (z_dim,), of any length. Returns (B, z_dim).
    """
    step = amplitude * math.sqrt(z.shape[-1]) * F.normalize(direction, dim=0)
    return stats.denormalise(stats.normalise(z) + step)
