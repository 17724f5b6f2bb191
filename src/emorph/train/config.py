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
from emorph.core.errors import ConfigError
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.models.weights import PretrainedModule
from emorph.train.mixed_data import AnyData
from emorph.train.sections import BudgetConfig, CheckpointConfig, LogConfig, OptimConfig, SamplesConfig
from emorph.train.seen import OnSeen
from emorph.train.task import Task

OnPart = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much."""


class TaskConfig(Config):
    """What every training task states, as a TOML file does; relative paths start at its folder.

    way: how it is trained, a name of ``emorph.train.ways.WAYS``. names_of_models:
    the fields that name a model: a folder, a checkpoint, a bundled name or a hub id. measures: what a search can
    compare; where there are none, its losses on validation faces, by their names in the logbook.
    """

    way: ClassVar[str]
    names_of_models: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[tuple[str, ...]] = ()

    task: str = Field(description="What is trained.")
    out: str = Field(description="The folder that it writes.")
    seed: int = Field(0, description="Of all that is random: weights, order, noises.")
    data: AnyData

    @property
    def validation_split(self) -> str:
        """The split by whose faces a search compares settings; never the final test set."""
        return "val"

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a TOML file and make its paths absolute. Raises ConfigError."""
        return cls.from_toml(path).placed(Path(path).resolve().parent)

    def placed(self, base: Path) -> Self:
        """The same with absolute paths, relative ones starting at ``base``."""
        named = {key: name for key in self.names_of_models if (name := getattr(self, key))}
        models = {key: existing_below(base, name) for key, name in named.items()}
        return self.model_copy(update={"out": str(base / self.out), "data": self.data.below(base), **models})


class FitConfig(TaskConfig):
    """A task without steps and checkpoints: fitted in one go, on one device."""

    way: ClassVar[str] = "fit"

    def with_budget(self, *, samples: int | None = None, steps: int | None = None, epochs: float | None = None) -> Self:
        """The same with another length; its own where none is stated.

        Raises ConfigError for two lengths, and for a task that has none.
        """
        if samples is None and steps is None and epochs is None:
            return self
        raise ConfigError(f"a {self.task} has no length: leave --samples, --steps and --epochs out.")

    def watch(self, on_seen: OnSeen, on_part: OnPart | None = None) -> None:
        """Train for a search, and tell ``on_seen`` how the validation faces do, some ten times or more.

        on_seen may raise to end it. on_part: is told of what has to be read before. Raises ConfigError for a task that
        measures nothing.
        """
        raise ConfigError(f"a {self.task} measures nothing on validation faces, so it cannot be searched.")

    @abstractmethod
    def planned(self, faces: NDArray[np.int64] | int | None) -> tuple[str, dict[str, Any]]:
        """What it will do, in words and as numbers.

        faces: the labels of the training faces, -1 for none, (n,); or only how many they are; None if unknown.
        """

    @abstractmethod
    def fit(self, on_part: OnPart) -> Sequence[str]:
        """Do it and write ``out``; returns its closing report, line by line."""


class RunConfig(TaskConfig):
    """A task that is trained in steps and saved at checkpoints; each adds its own settings.

    preparing: what ``prepare`` does, for a progress bar. unusable: what is said of faces that are never drawn.
    """

    way: ClassVar[str] = "steps"
    names_of_models: ClassVar[tuple[str, ...]] = ("init",)
    preparing: ClassVar[str] = "reading faces"
    unusable: ClassVar[str] = "cannot be used"

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

    @property
    def runs_on_shapes(self) -> bool:
        """Whether the trial's loss asks for shapes alone, so that memory can be estimated without a number computed."""
        return True

    @property
    def validation_split(self) -> str:
        return self.samples.split

    def validation_task(self, faces: Dataset[Any], trained: PretrainedModule) -> Task[Any]:
        """The task on validation faces; whatever it takes from the trained model beside weights is taken."""
        return self.build(faces, None)

    def judge_faces(self, model: PretrainedModule, faces: FaceStore) -> dict[str, NDArray[np.float64]] | None:
        """For tasks with ``measures``: what each validation face counts for each, (n,); None: losses are compared."""
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
