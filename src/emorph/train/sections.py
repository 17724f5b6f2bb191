"""The sections of a training task's TOML file that all tasks share, and what follows from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from emorph.core.config import Config
from emorph.core.errors import ConfigError, EmorphError
from emorph.core.expressions import UNLABELLED, Emotion
from emorph.data.balance import parse_choice
from emorph.data.store import CropWindow, FaceStore
from emorph.data.tables import is_elsewhere, is_hub_id
from emorph.diffusion.process import LossWeight

Precision = Literal["32-true", "bf16-mixed"]
DEFAULT_SAVE_MINUTES = 10.0


class DataConfig(Config):
    """Where the faces are, and how they are read.

    path: a Parquet file, a pattern or folder of such, a saved Arrow folder, or a hub id owner/name; relative paths
    start at the configuration file's folder.
    window: left, top, side of the square used of each stored picture, in its pixels; all of it if left out.
    balance: how emotions are made equal, see ``emorph.data.balance.CHOICES``. class_power: repeats the rare ones and
    leaves no face out, so that an epoch is longer than the data set, and faces without a label come once each, see
    ``emorph.data.loader.class_weights``; one of the two.
    weight: of several sets, how many samples come from this one: its weight over the sum of all weights.
    assumed_faces: how many faces there will be, in all or of each emotion and "no label"; a plan goes by it where the
    data set is not there yet, a run never does.
    """

    path: str
    split: str | None = Field(None, description="The split to train on; all rows if left out.")
    window: tuple[int, int, int] | None = None
    mirror: bool = Field(True, description="Also show every face mirrored, in half of the draws.")
    balance: str = Field(
        "none",
        description="How emotions are made equal: none, cap, cap:N, repeat, classes, affect, affect:p.",
    )
    class_power: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Repeat rare emotions by this power of their rarity; 1 makes them all equal.",
    )
    workers: int = Field(0, ge=0, description="Processes that read faces beside the training; 0 reads them in between.")
    assumed_faces: int | dict[str, int] | None = None
    weight: float | None = Field(None, gt=0)

    @field_validator("balance")
    @classmethod
    def _is_a_choice(cls, value: str) -> str:
        try:
            parse_choice(value)
        except EmorphError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("assumed_faces")
    @classmethod
    def _are_faces(cls, value: int | dict[str, int] | None) -> int | dict[str, int] | None:
        known = [*(emotion.word for emotion in Emotion), UNLABELLED]
        strange = [word for word in value if word not in known] if isinstance(value, dict) else []
        if strange:
            raise ValueError(f"{strange[0]!r} is not an emotion; known: {', '.join(known)}")
        counts = [value] if isinstance(value, int) else list((value or {}).values())
        if any(n < 0 for n in counts) or (counts and not sum(counts)):
            raise ValueError("state at least one face, and none below 0")
        return value

    @model_validator(mode="after")
    def _one_balance(self) -> Self:
        if self.class_power and self.balance != "none":
            raise ValueError(
                f"balance = {self.balance!r} and class_power = {self.class_power:g} are two answers to one question; "
                "leave one of them out"
            )
        return self

    def open(self, side_px: int, channels: int) -> FaceStore:
        """The faces that it names, as pictures of this side. Raises DataError."""
        window = CropWindow(*self.window) if self.window else None
        return FaceStore(self.path, side_px=side_px, channels=channels, split=self.split, window=window)

    def with_split(self, split: str) -> DataConfig:
        """The same on another split."""
        return self.model_copy(update={"split": split})

    def below(self, base: Path) -> DataConfig:
        """The same with an absolute path, a relative one starting at ``base``."""
        elsewhere = is_hub_id(self.path) and not (base / self.path).exists()
        return self if elsewhere else self.model_copy(update={"path": str(base / self.path)})

    def is_there(self) -> bool:
        """Whether the faces can be opened. A name that may be a hub's counts as there if no number is assumed."""
        path = Path(self.path)
        return path.exists() or (is_elsewhere(path) and not (is_hub_id(self.path) and self.assumed_faces))


class OptimConfig(Config):
    """AdamW with a linear warm-up, then a constant rate, then a linear fall over ``decay_share`` of the run."""

    batch_size: int = Field(32, gt=0, description="Samples of one step, over all devices.")
    micro_batch: int | None = Field(
        None, gt=0, description="Samples that a device takes at a time; the batch if left out, else it is accumulated."
    )
    lr: float = Field(1e-4, gt=0, description="The learning rate after the warm-up (AdamW).")
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises to lr.")
    decay_share: float = Field(
        0.0, ge=0, le=1, description="The last part of the run, over which the learning rate falls to nothing."
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    betas: tuple[float, float] = Field(
        (0.9, 0.999), description="AdamW's decay rates of the means of the gradient and of its square."
    )
    grad_clip: float = Field(
        1.0, gt=0, description="The largest norm of the gradients; longer ones are scaled down to it."
    )
    ema_decay: float = Field(
        0.9999, ge=0, lt=1, description="What the averaged weights keep of themselves at each step."
    )
    precision: Precision = Field(
        "32-true", description="32-true computes in float32, bf16-mixed in bfloat16 where that is exact enough."
    )
    loss_weight: LossWeight = Field(
        "plain", description="How the time steps of a diffusion model count: alike, by P2, or by min-SNR."
    )
    compile: bool = Field(
        False, description="Let torch.compile fuse the network: a minute or more at each start, and a C++ compiler."
    )
    channels_last: bool = Field(
        False, description="Store feature maps with channels innermost, which some devices like better."
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}")
        return self


class LengthConfig(Config):
    """How long something is trained, in one of three units."""

    samples: int | None = Field(
        None, gt=0, description="Length of the run in samples; state one of samples, steps and epochs."
    )
    steps: int | None = Field(None, gt=0, description="Length of the run in steps of the optimiser.")
    epochs: float | None = Field(
        None, gt=0, description="Length of the run in rounds of the faces; 1.5 is one and a half."
    )


class BudgetConfig(LengthConfig):
    """How long a run is: samples, steps or epochs; several only if they say the same.

    An epoch is one round of the order in which faces are drawn: all faces once, or a round of equal emotions.
    """

    max_minutes: float | None = Field(
        None, gt=0, description="Save and stop after so long, counted from each start; train resume continues."
    )

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if not self.units:
            raise ValueError("state one of samples, steps and epochs; found none of them")
        return self

    @property
    def units(self) -> dict[str, float]:
        """What is stated: unit -> amount. The first one ends the run."""
        every = {"steps": self.steps, "samples": self.samples, "epochs": self.epochs}
        return {unit: amount for unit, amount in every.items() if amount is not None}

    def n_steps(self, epoch_size: int | None, batch_size: int) -> int:
        """The budget in optimiser steps. epoch_size: samples an epoch, None if unknown.

        Raises ConfigError if two units contradict each other by more than the rounding to whole batches, or if epochs
        are stated without a data set to count.
        """
        steps = {}
        for unit, amount in self.units.items():
            if unit == "epochs" and epoch_size is None:
                continue
            samples = amount * (epoch_size or 0) if unit == "epochs" else amount
            steps[unit] = int(amount) if unit == "steps" else max(1, math.ceil(samples / batch_size - 1e-9))
        if not steps:
            raise ConfigError(
                f"budget.epochs = {self.epochs:g} says nothing without the number of faces: prepare the data set, "
                "or tell the plan how many there will be with --faces N."
            )
        names = list(steps)
        for other in names[1:]:
            if abs(steps[names[0]] - steps[other]) > 1:
                a, b = (self._told(unit, steps[unit], epoch_size, batch_size) for unit in (names[0], other))
                raise ConfigError(f"the budget contradicts itself: {a}, but {b}. State one of them.")
        return steps[names[0]]

    def _told(self, unit: str, steps: int, epoch_size: int | None, batch_size: int) -> str:
        samples = steps * batch_size
        epochs = f", {samples / epoch_size:.2f} epochs" if epoch_size else ""
        return f"budget.{unit} = {self.units[unit]:,} gives {steps:,} steps, {samples:,} samples{epochs}"


class CheckpointConfig(Config):
    """When a run is saved, and which saves stay."""

    every_steps: int | None = Field(
        None, gt=0, description="Save every so many steps; with neither this nor every_minutes, every ten minutes."
    )
    every_minutes: float | None = Field(None, gt=0, description="Save every so many minutes.")
    keep: int = Field(2, gt=0, description="How many of the passing checkpoints stay, the newest ones.")
    keep_steps: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (), description="Steps that are saved and stay whatever follows, to compare them."
    )

    @property
    def minutes(self) -> float | None:
        """The time between two saves; None if steps alone decide."""
        if self.every_minutes is None and self.every_steps is None:
            return DEFAULT_SAVE_MINUTES
        return self.every_minutes

    def due(self, step: int) -> bool:
        """Whether ``step`` is to be saved, whatever the clock says."""
        return step in self.keep_steps or bool(self.every_steps and step % self.every_steps == 0)

    def check(self, n_steps: int) -> None:
        """Raises ConfigError for a step to keep that the run does not reach."""
        beyond = [step for step in self.keep_steps if step > n_steps]
        if beyond:
            raise ConfigError(
                f"checkpoint.keep_steps names step {beyond[0]:,}, but the run ends at step {n_steps:,}: "
                "lengthen the budget, or leave the step out."
            )


class SamplesConfig(Config):
    """The sheet of pictures that is written at every checkpoint, to watch a run by."""

    n: int = Field(8, ge=0, description="Faces on the sheet, always the same; 0 writes none.")
    time_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="The most of the run's time that sheets may take; others but the last are left out; 1 draws all.",
    )
    split: str = Field(
        "val", description="The split that the faces are from, if there is one; else they are training faces."
    )
    seeds: tuple[int, ...] = Field(
        (0, 1), description="Seeds of the noises that each face is drawn from beside its own."
    )


class LogConfig(Config):
    """What is written down of a run."""

    every_steps: int = Field(10, gt=0, description="Steps that a line of stats.jsonl covers.")
    tensorboard: bool | None = Field(None, description="Write TensorBoard's files, too; by default if it is installed.")


def split_batch(optim: OptimConfig, n_devices: int) -> tuple[int, int]:
    """Samples that a device takes at a time, and how often it does for one step. Raises ConfigError."""
    micro_batch = optim.micro_batch or optim.batch_size
    if optim.batch_size % (micro_batch * n_devices):
        if optim.micro_batch:
            raise ConfigError(
                f"batch_size {optim.batch_size} is not a multiple of micro_batch {micro_batch} x {n_devices} devices."
            )
        if optim.batch_size % n_devices:
            raise ConfigError(f"batch_size {optim.batch_size} cannot be shared by {n_devices} devices.")
        micro_batch = optim.batch_size // n_devices
    return micro_batch, optim.batch_size // (micro_batch * n_devices)
