"""Directions in z_sem: the linear emotion classifier and how it moves a face (Preechakul et al. 2022, App. E)."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.pretrained import MODEL_FILES, atomic_folder, write_model
from emorph.models.mouth import MEASURES, MouthAxes
from emorph.models.shift import N_ASKED, CodeShift
from emorph.models.unit_axes import UnitAxes
from emorph.models.weights import read_model

KIND = "directions"
LEAST_AXIS = 1e-2  # of the largest singular value: what varies less along an axis is rounding
_NEEDED = ("weight", "bias", "conds_mean", "conds_std")
_ALONE = ("means", "landmarks", "shift.axes", "shift.covers")
_UNITS = ("units.weight", "units.bias", "units.patterns")
Axes = TypeVar("Axes", "AffectAxes", MouthAxes, CodeShift)


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
    """What config.json of a directions folder says: one label a class, and the dose that strength 1 means.

    units: names of the action units that they know, in the order of their tensors.
    """

    labels: tuple[str, ...]
    gain: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...] = 1.0
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class AffectAxes:
    """Valence and arousal in normalised z_sem, in this order: two linear regressors, and how faces vary with them.

    weight: float (2, z_dim); bias: (2,): they read valence and arousal off a face. slopes: (2, z_dim), by how much the
    mean face moves for one unit of each.
    """

    weight: Tensor
    bias: Tensor
    slopes: Tensor

    def to(self, device: torch.device | str) -> AffectAxes:
        """The same on a device."""
        return AffectAxes(self.weight.to(device), self.bias.to(device), self.slopes.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored."""
        return {"affect.weight": self.weight, "affect.bias": self.bias, "affect.slopes": self.slopes}


@dataclass(frozen=True)
class Directions:
    """A linear classifier of normalised z_sem; each class's weight vector is a direction.

    weight: float (K, z_dim); bias: (K,); labels: K names. stats: of the z_sem that it was trained on.
    means: (K, z_dim) mean normalised z_sem of each class, or None where they are not known (official classifiers).
    gain: how far strength 1 goes, 1 being all the way to a class's mean: one number, or one a class.
    landmarks: (68, 2, z_dim), how far each of the 68 landmarks moves in (x, y), in half sides of the crop, for one
    unit of normalised z_sem; None where it is not known. affect: valence and arousal, or None where the training faces
    were not annotated with them. mouth, units: the mouth's shape and action units, or None. shift: what a run of the
    task "expression" added to every step, or None. Raises ShapeError if these do not fit.
    """

    weight: Tensor
    bias: Tensor
    labels: tuple[str, ...]
    stats: LatentStats
    means: Tensor | None = None
    gain: float | tuple[float, ...] = 1.0
    landmarks: Tensor | None = None
    affect: AffectAxes | None = None
    mouth: MouthAxes | None = None
    units: UnitAxes | None = None
    shift: CodeShift | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ShapeError(f"weight must be (classes, z_dim); found {tuple(self.weight.shape)}.")
        n_classes, z_dim = self.weight.shape
        n_units = len(self.units.names) if self.units else 0
        expected: dict[str, tuple[int, ...]] = {
            "bias": (n_classes,),
            "stats.mean": (z_dim,),
            "stats.std": (z_dim,),
            "means": (n_classes, z_dim),
            "landmarks": (68, 2, z_dim),
            "affect.weight": (2, z_dim),
            "affect.bias": (2,),
            "affect.slopes": (2, z_dim),
            "mouth.weight": (len(MEASURES), z_dim),
            "mouth.bias": (len(MEASURES),),
            "mouth.patterns": (len(MEASURES), z_dim),
            "mouth.share": (len(MEASURES),),
            "mouth.wanted": (n_classes, len(MEASURES)),
            "units.weight": (n_units, z_dim),
            "units.bias": (n_units,),
            "units.patterns": (n_units, z_dim),
        }
        if self.shift is not None:
            hidden = len(self.shift.inner_bias)
            expected |= {
                "shift.inner_weight": (hidden, z_dim + N_ASKED + 1),
                "shift.inner_bias": (hidden,),
                "shift.outer_weight": (z_dim, hidden),
                "shift.outer_bias": (z_dim,),
                "shift.axes": (0 if self.shift.axes is None else len(self.shift.axes), z_dim),
                "shift.covers": (N_ASKED,),
            }
        found = {"bias": self.bias, "stats.mean": self.stats.mean, "stats.std": self.stats.std}
        for name, tensor in (found | self._optional()).items():
            if tuple(tensor.shape) != expected[name]:
                raise ShapeError(f"{name} must be {expected[name]}; found {tuple(tensor.shape)}.")
        if len(self.labels) != n_classes:
            raise ShapeError(f"{n_classes} classes need as many labels; found {len(self.labels)}.")
        if isinstance(self.gain, tuple) and len(self.gain) != n_classes:
            raise ShapeError(f"{n_classes} classes need one gain, or as many; found {len(self.gain)}.")

    def logits(self, z: Tensor) -> Tensor:
        """How much z_sem (..., z_dim) looks like each class, (..., K), before softmax or sigmoid."""
        return F.linear(self.stats.normalise(z), self.weight, self.bias)

    def shifted_by(self, z: Tensor, asked: Tensor, strength: Tensor) -> Tensor:
        """What the learned shift adds to z_sem, (B, z_dim); a face that shows what is asked for already hardly moves.

        z: (B, z_dim); asked: (B, N_ASKED) of ``asked_for``; strength: (B, 1). Raises ShapeError without a shift.
        """
        if self.shift is None:
            raise ShapeError("these directions hold no learned shift.")
        step = self.shift.step(self.stats.normalise(z), asked, strength)
        return self.stats.std * self.unseen(z, asked) * step

    def unseen(self, z: Tensor, asked: Tensor) -> Tensor:
        """How much of what is asked for faces do not show yet, (B, 1): 1 less the emotion's probability.

        z: (B, z_dim); asked: (B, N_ASKED) of ``asked_for``. 1 for what is no class of these, as valence and arousal.
        """
        emotions = [Emotion.known(label) for label in self.labels]
        rows = [i for i, emotion in enumerate(emotions) if emotion is not None]
        wanted = asked[:, [int(emotion) for emotion in emotions if emotion is not None]]
        return 1 - (wanted * self.logits(z).softmax(dim=-1)[:, rows]).sum(dim=1, keepdim=True)

    def check_length(self, z_dim: int, source: str) -> None:
        """Raises CheckpointError if they are for z_sem of another length. source: where they are from."""
        if self.weight.shape[1] != z_dim:
            raise CheckpointError(
                f"{source}: the directions are for z_sem of {self.weight.shape[1]} numbers, "
                f"but the model's has {z_dim}."
            )

    @property
    def gains(self) -> tuple[float, ...]:
        """How far strength 1 goes for each class."""
        return self.gain if isinstance(self.gain, tuple) else (self.gain,) * len(self.labels)

    def affect_of(self, z: Tensor) -> Tensor:
        """Valence and arousal read off z_sem (..., z_dim), (..., 2). Raises ShapeError without regressors."""
        if self.affect is None:
            raise ShapeError("these directions hold no regressors of valence and arousal.")
        return F.linear(self.stats.normalise(z), self.affect.weight, self.affect.bias)

    def to(self, device: torch.device | str) -> Directions:
        """The same directions on a device."""
        means, landmarks = (None if t is None else t.to(device) for t in (self.means, self.landmarks))
        weight, bias = self.weight.to(device), self.bias.to(device)
        affect = None if self.affect is None else self.affect.to(device)
        mouth = None if self.mouth is None else self.mouth.to(device)
        units = None if self.units is None else self.units.to(device)
        shift = None if self.shift is None else self.shift.to(device)
        stats = self.stats.to(device)
        return Directions(weight, bias, self.labels, stats, means, self.gain, landmarks, affect, mouth, units, shift)

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored, float32."""
        stats = {"conds_mean": self.stats.mean, "conds_std": self.stats.std}
        tensors = {"weight": self.weight, "bias": self.bias} | stats | self._optional()
        return {name: tensor.float() for name, tensor in tensors.items()}

    def _optional(self) -> dict[str, Tensor]:
        """What not all directions know, as it is stored."""
        known = {"means": self.means, "landmarks": self.landmarks}
        axes = [part.tensors() for part in (self.affect, self.mouth, self.units, self.shift) if part is not None]
        return {name: tensor for name, tensor in known.items() if tensor is not None} | dict(ChainMap(*axes))

    def save_pretrained(self, folder: Path | str, *, notes: Mapping[str, str] | None = None) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all.

        notes: texts to write beside them, by file name; files of these names may be there already.
        """
        notes = notes or {}
        names = self.units.names if self.units else ()
        config = DirectionsConfig(labels=self.labels, gain=self.gain, units=names)
        with atomic_folder(Path(folder), own=(*MODEL_FILES, *notes)) as temporary:
            stated = config.model_dump(mode="json", exclude=None if names else {"units"})
            write_model(temporary, KIND, stated, self.tensors())
            for name, text in notes.items():
                (temporary / name).write_text(text, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Directions:
        """Load a folder of ``save_pretrained`` or a hub id. Official classifiers load with ``port.read_directions``.

        Raises CheckpointError.
        """
        config, stored, source = read_model(name, KIND, DirectionsConfig)
        tensors = {key: tensor.float() for key, tensor in stored.items()}
        _check_keys(tensors, config, source)
        stats = LatentStats(tensors["conds_mean"], tensors["conds_std"])
        try:
            return cls(
                tensors["weight"],
                tensors["bias"],
                config.labels,
                stats,
                tensors.get("means"),
                config.gain,
                tensors.get("landmarks"),
                _axes(AffectAxes, tensors, "affect"),
                _axes(MouthAxes, tensors, "mouth"),
                UnitAxes(config.units, *(tensors[key] for key in _UNITS)) if config.units else None,
                _axes(CodeShift, tensors, "shift"),
            )
        except ShapeError as error:
            raise CheckpointError(f"{source} does not fit: {error}") from None


def _check_keys(tensors: Mapping[str, Tensor], config: DirectionsConfig, source: str) -> None:
    """Raises CheckpointError for a tensor that is missing, alone or out of a group, and for one that is not known."""
    groups = [_axes_keys(AffectAxes, "affect"), _axes_keys(MouthAxes, "mouth"), _axes_keys(CodeShift, "shift")]
    stated = _UNITS if config.units else ()
    needed = [*_NEEDED, *stated, *(key for group in groups if not tensors.keys().isdisjoint(group) for key in group)]
    for key in needed:
        if key not in tensors:
            raise CheckpointError(f"{source} does not fit: {key} is missing from its weights; copy the folder again.")
    for key in tensors:
        if key not in (*needed, *_ALONE):
            raise CheckpointError(f"{source} does not fit: its weights hold {key}, which directions do not have.")


def _axes_keys(kind: type[AffectAxes | MouthAxes | CodeShift], prefix: str) -> list[str]:
    """What the tensors of axes are stored as that all have, in the order of their fields."""
    return [f"{prefix}.{field.name}" for field in fields(kind) if field.default is MISSING]


def _axes(kind: type[Axes], tensors: Mapping[str, Tensor], prefix: str) -> Axes | None:
    """Axes of a kind from their stored tensors, of which all that are needed are there, or none."""
    found = {field.name: tensors.get(f"{prefix}.{field.name}") for field in fields(kind)}
    return kind(**found) if found[fields(kind)[0].name] is not None else None  # type: ignore[arg-type]


def known_axes(directions: Directions) -> Tensor:
    """Orthonormal axes (r, z_dim) of normalised z_sem along which what these directions know of expressions varies.

    Classes, valence and arousal, the mouth and action units. A step within them is an expression's, and leaves alone
    most of what tells persons apart.
    """
    classes = directions.weight if directions.means is None else directions.means - directions.means.mean(dim=0)
    rows = [classes]
    rows += [directions.affect.slopes] if directions.affect is not None else []
    rows += [directions.mouth.patterns] if directions.mouth is not None else []
    rows += [directions.units.patterns] if directions.units is not None else []
    _, sizes, axes = torch.linalg.svd(F.normalize(torch.cat(rows).double(), dim=1), full_matrices=False)
    kept: Tensor = axes[sizes > LEAST_AXIS * sizes[0]].float()
    return kept


def move(z: Tensor, direction: Tensor, amplitude: float, stats: LatentStats) -> Tensor:
    """The official manipulation: ``amplitude`` · sqrt(z_dim) along the unit direction, in normalised z_sem.

    z: (B, z_dim); direction: (z_dim,), of any length. Returns (B, z_dim).
    """
    step = amplitude * math.sqrt(z.shape[-1]) * F.normalize(direction, dim=0)
    return stats.denormalise(stats.normalise(z) + step)
