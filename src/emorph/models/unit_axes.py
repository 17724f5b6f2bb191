"""Action units in z_sem: read off a face, and set to what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class UnitAxes:
    """How action units of 0..1 are read off normalised z_sem, and how z_sem goes with them.

    names: of U units, as ICT-FaceKit calls them. weight (U, z_dim), bias (U,): they read a face. patterns (U, z_dim):
    the step of one whole unit.
    """

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    patterns: Tensor

    def read(self, z: Tensor) -> Tensor:
        """The units (..., U) of normalised z_sem (..., z_dim), 0..1."""
        return (z @ self.weight.T + self.bias).clamp(0, 1)

    def step(self, z: Tensor, wanted: Mapping[str, float]) -> Tensor:
        """The step of normalised z_sem (..., z_dim) that brings these units to these values; the others stay.

        wanted: 0..1 by names of ``names``.
        """
        rows = [self.names.index(name) for name in wanted]
        goal = z.new_tensor(list(wanted.values()))
        change: Tensor = (goal - self.read(z)[..., rows]) @ self.patterns[rows]
        return change

    def to(self, device: torch.device | str) -> UnitAxes:
        """The same on a device."""
        tensors = (tensor.to(device) for tensor in (self.weight, self.bias, self.patterns))
        return UnitAxes(self.names, *tensors)

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored; the names stand in config.json."""
        return {"units.weight": self.weight, "units.bias": self.bias, "units.patterns": self.patterns}
