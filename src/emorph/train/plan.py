"""What a run is told: its configuration, and the budget that ends it."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import ConfigError
from emorph.diffusion.process import LossWeight

if TYPE_CHECKING:
    from emorph.train.task import Model, Task

Precision = Literal["32-true", "bf16-mixed"]


class DataConfig(Config):
    """Where the faces are, and how they are read.

    path: a Parquet file or an Arrow folder; relative paths start at the configuration file's folder.
    window: left, top, side of the square used of each stored picture, in its pixels; all of it if left out.
    class_power: lifts rare classes, see ``emorph.data.loader.class_weights``.
    """

    path: str
    split: str | None = None
    window: tuple[int, int, int] | None = None
    mirror: bool = True
    class_power: float = Field(0.0, ge=0, le=1)
    workers: int = Field(0, ge=0)

    def below(self, base: Path) -> DataConfig:
        """The same with an absolute path, a relative one starting at ``base``."""
        return self.model_copy(update={"path": str(base / self.path)})


class OptimConfig(Config):
    """AdamW with a linear warm-up, then a constant rate, then a linear fall over the last ``decay_share`` of the run.

    micro_batch: samples a device takes at a time; a batch of several is accumulated.
    """

    batch_size: int = Field(32, gt=0)
    micro_batch: int | None = Field(None, gt=0)
    lr: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    decay_share: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    grad_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.9999, ge=0, lt=1)
    precision: Precision = "32-true"
    loss_weight: LossWeight = "plain"

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}")
        return self


class BudgetConfig(Config):
    """How long a run is: exactly one of samples, steps or epochs.

    max_minutes: stop and save after so long, counted from each start anew; `emorph train resume` goes on.
    """

    samples: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)
    max_minutes: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        stated = [name for name in ("samples", "steps", "epochs") if getattr(self, name) is not None]
        if len(stated) != 1:
            found = " and ".join(stated) if stated else "none of them"
            raise ValueError(f"state exactly one of samples, steps and epochs; found {found}")
        return self

    def n_steps(self, n_samples: int, batch_size: int) -> int:
        """The budget in optimiser steps, for a data set of ``n_samples``."""
        if self.steps is not None:
            return self.steps
        samples = self.samples if self.samples is not None else (self.epochs or 0) * n_samples
        return max(1, math.ceil(samples / batch_size))


class CheckpointConfig(Config):
    """How often a run is saved, and how many saves are kept."""

    every_minutes: float = Field(10.0, gt=0)
    keep: int = Field(2, gt=0)


class RunConfig(Config):
    """What every training run states, as a TOML file does; each task adds its own.

    init: a model folder whose weights it starts from; its own random ones if left out.
    """

    task: str
    out: str
    seed: int = 0
    init: str | None = None
    data: DataConfig
    optim: OptimConfig = OptimConfig()
    budget: BudgetConfig
    checkpoint: CheckpointConfig = CheckpointConfig()

    @property
    @abstractmethod
    def picture(self) -> tuple[int, int]:
        """Side and channels of the pictures that the model takes."""

    @abstractmethod
    def new_model(self) -> Model:
        """The model with random weights."""

    @abstractmethod
    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> Task:
        """The task on this data set. repeats: (n_faces,), how often each comes in an epoch; None is once."""

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a TOML file and make its paths absolute. Raises ConfigError."""
        path = Path(path)
        config = cls.from_toml(path)
        base = path.resolve().parent
        init = existing_below(base, config.init) if config.init else None
        return config.model_copy(update={"out": str(base / config.out), "data": config.data.below(base), "init": init})


def existing_below(base: Path, name: str) -> str:
    """A path below ``base`` if there is something; else the name itself: a bundled model, or a hub id."""
    return str(base / name) if (base / name).exists() else name


def describe(config: RunConfig, n_samples: int, n_params: int) -> str:
    """One line that says what a run will do, before it starts."""
    steps = config.budget.n_steps(n_samples, config.optim.batch_size)
    samples = steps * config.optim.batch_size
    if samples < 1:
        raise ConfigError("the budget is less than one sample.")
    return (
        f"{steps:,} steps x batch {config.optim.batch_size} = {samples:,} samples "
        f"= {samples / n_samples:.2f} epochs of {n_samples:,} faces; {n_params / 1e6:.1f} M parameters"
    )
