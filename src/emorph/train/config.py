"""The configuration of a training task: the TOML file of a run of steps, or of a fit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.models.weights import PretrainedModule
from emorph.train.sections import BudgetConfig, CheckpointConfig, DataConfig, LogConfig, OptimConfig, SamplesConfig
from emorph.train.task import Task

OnPart = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much."""


class TaskConfig(Config):
    """What every training task states, as a TOML file does; relative paths start at its folder.

    way: how it is trained, a name of ``emorph.train.ways.WAYS``. names_of_models:
    the fields that name a model: a folder, a checkpoint, a bundled name or a hub id.
    """

    way: ClassVar[str]
    names_of_models: ClassVar[tuple[str, ...]] = ()

    task: str = Field(description="What is trained.")
    out: str = Field(description="The folder that it writes.")
    seed: int = Field(0, description="Of all that is random: weights, order, noises.")
    data: DataConfig

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a TOML file and make its paths absolute. Raises ConfigError."""
        path = Path(path)
        config = cls.from_toml(path)
        base = path.resolve().parent
        named = {key: name for key in cls.names_of_models if (name := getattr(config, key))}
        models = {key: existing_below(base, name) for key, name in named.items()}
        return config.model_copy(update={"out": str(base / config.out), "data": config.data.below(base), **models})


class FitConfig(TaskConfig):
    """A task without steps and checkpoints: fitted in one go, on one device."""

    way: ClassVar[str] = "fit"

    @abstractmethod
    def planned(self, faces: int | None) -> tuple[str, dict[str, Any]]:
        """What it will do, in words and as numbers. faces: labelled ones; None if unknown."""

    @abstractmethod
    def fit(self, on_part: OnPart) -> Sequence[str]:
        """Do it and write ``out``; returns its closing report, line by line."""


class RunConfig(TaskConfig):
    """A task that is trained in steps and saved at checkpoints; each adds its own settings.

    preparing: what ``prepare`` does, for a progress bar.
    """

    way: ClassVar[str] = "steps"
    names_of_models: ClassVar[tuple[str, ...]] = ("init",)
    preparing: ClassVar[str] = "reading faces"

    init: str | None = Field(
        None, description="A model to start from: folder, checkpoint or name; random weights if left out."
    )
    optim: OptimConfig = OptimConfig()
    budget: BudgetConfig
    checkpoint: CheckpointConfig = CheckpointConfig()
    samples: SamplesConfig = SamplesConfig()
    log: LogConfig = LogConfig()

    @property
    @abstractmethod
    def picture(self) -> tuple[int, int]:
        """Side and channels of the pictures that the model takes."""

    @abstractmethod
    def new_model(self) -> PretrainedModule:
        """The model with random weights."""

    @abstractmethod
    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> Task[Any]:
        """The task on this data set. repeats: (n_faces,), how often each comes in an epoch; None is once."""

    def prepare(self, faces: FaceStore, share: tuple[int, int], on_step: OnStep | None) -> None:
        """Read off the faces what ``build`` then finds in files: the i-th of every n parts. share: (i, n)."""

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]] | None:
        """The loss and made inputs of n faces, by which a plan predicts memory and time; None if it cannot be."""
        return None

    def closing_report(self, model: Path) -> Sequence[str]:
        """What is said of the trained model in the end, line by line. model: the folder of its averaged weights."""
        return ()

    def with_budget(
        self,
        *,
        samples: int | None = None,
        steps: int | None = None,
        epochs: float | None = None,
        max_minutes: float | None = None,
    ) -> Self:
        """The same with another budget, or another limit on time; its own where none is stated."""
        length = {"samples": samples, "steps": steps, "epochs": epochs}
        update: dict[str, Any] = {} if all(amount is None for amount in length.values()) else dict(length)
        if max_minutes is not None:
            update["max_minutes"] = max_minutes
        return self.model_copy(update={"budget": self.budget.model_copy(update=update)})

    def open_faces(self) -> FaceStore:
        """The faces that it names, as the model takes them. Raises DataError."""
        return self.data.open(*self.picture)


def existing_below(base: Path, name: str) -> str:
    """A path below ``base`` if there is something; else the name itself: a bundled model, or a hub id."""
    return str(base / name) if (base / name).exists() else name
