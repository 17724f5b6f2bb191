"""Directions in z_sem: the linear emotion classifier and how it moves a face (Preechakul et al. 2022, App. E)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.pretrained import atomic_folder, locate, read_config, read_weights, write_model

KIND = "directions"


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

    def to(self, device: torch.device | str) -> LatentStats:
        """The same statistics on a device."""
        return LatentStats(self.mean.to(device), self.std.to(device))


class DirectionsConfig(Config):
    """What config.json of a directions folder says: one label a class, and the dose that strength 1 means."""

    labels: tuple[str, ...]
    gain: float = Field(1.0, gt=0)


@dataclass(frozen=True)
class Directions:
    """A linear classifier of normalised z_sem; each class's weight vector is a direction.

    weight: float (K, z_dim); bias: (K,); labels: K names. stats: of the z_sem that it was trained on.
    means: (K, z_dim) mean normalised z_sem of each class, or None where they are not known (official classifiers).
    gain: how far strength 1 goes, 1 being all the way to a class's mean. Raises ShapeError if these do not fit.
    """

    weight: Tensor
    bias: Tensor
    labels: tuple[str, ...]
    stats: LatentStats
    means: Tensor | None = None
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ShapeError(f"weight must be (classes, z_dim); found {tuple(self.weight.shape)}.")
        n_classes, z_dim = self.weight.shape
        expected = {"bias": (n_classes,), "stats.mean": (z_dim,), "stats.std": (z_dim,), "means": (n_classes, z_dim)}
        found = {"bias": self.bias, "stats.mean": self.stats.mean, "stats.std": self.stats.std, "means": self.means}
        for name, tensor in found.items():
            if tensor is not None and tuple(tensor.shape) != expected[name]:
                raise ShapeError(f"{name} must be {expected[name]}; found {tuple(tensor.shape)}.")
        if len(self.labels) != n_classes:
            raise ShapeError(f"{n_classes} classes need as many labels; found {len(self.labels)}.")

    def logits(self, z: Tensor) -> Tensor:
        """How much z_sem (..., z_dim) looks like each class, (..., K), before softmax or sigmoid."""
        return F.linear(self.stats.normalise(z), self.weight, self.bias)

    def to(self, device: torch.device | str) -> Directions:
        """The same directions on a device."""
        means = None if self.means is None else self.means.to(device)
        weight, bias = self.weight.to(device), self.bias.to(device)
        return Directions(weight, bias, self.labels, self.stats.to(device), means, self.gain)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all."""
        tensors = {
            "weight": self.weight,
            "bias": self.bias,
            "conds_mean": self.stats.mean,
            "conds_std": self.stats.std,
        }
        if self.means is not None:
            tensors["means"] = self.means
        config = DirectionsConfig(labels=self.labels, gain=self.gain)
        with atomic_folder(Path(folder)) as temporary:
            write_model(temporary, KIND, config.model_dump(mode="json"), {k: t.float() for k, t in tensors.items()})

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Directions:
        """Load a folder of ``save_pretrained`` or a hub id. Official classifiers load with ``port.read_directions``.

        Raises CheckpointError.
        """
        folder = locate(name)
        config = DirectionsConfig.parse(read_config(folder, KIND), str(folder))
        tensors = {key: tensor.float() for key, tensor in read_weights(folder).items()}
        for key in ("weight", "bias", "conds_mean", "conds_std"):
            if key not in tensors:
                raise CheckpointError(f"{folder} does not fit: {key} is missing from its weights.")
        stats = LatentStats(tensors["conds_mean"], tensors["conds_std"])
        try:
            return cls(tensors["weight"], tensors["bias"], config.labels, stats, tensors.get("means"), config.gain)
        except ShapeError as error:
            raise CheckpointError(f"{folder} does not fit: {error}") from None


def move(z: Tensor, direction: Tensor, amplitude: float, stats: LatentStats) -> Tensor:
    """The official manipulation: ``amplitude`` · sqrt(z_dim) along the unit direction, in normalised z_sem.

    z: (B, z_dim); direction: (z_dim,), of any length. Returns (B, z_dim).
    """
    step = amplitude * math.sqrt(z.shape[-1]) * F.normalize(direction, dim=0)
    return stats.denormalise(stats.normalise(z) + step)
