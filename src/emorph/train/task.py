"""What the training loop asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import ConfigError
from emorph.models.weights import PretrainedModule
from emorph.train.sheets import Sheet, Shown

M = TypeVar("M", bound=PretrainedModule)


class Task(ABC, Generic[M]):
    """A model, its loss, and how a batch is drawn.

    loss: forward(*inputs) -> {"loss": scalar to minimise, and its parts for the logbook}. ``model`` is its submodule of
    that name; what else it holds is trained too, saved with the trainer's state, and thrown away in the end.
    watched: parts of the model whose gradient norm is written down, by name. usable: bool (n_faces,), the faces that
    are drawn at all; None is all of them. items: what the loop reads in place of the faces, in their order; None is
    the faces themselves.
    """

    model: M
    loss: nn.Module
    watched: Mapping[str, nn.Module] = {}
    usable: NDArray[np.bool_] | None = None
    items: Dataset[Any] | None = None

    @abstractmethod
    def start(self, name: str) -> M:
        """Another model whose weights the run starts from: a folder or a name."""

    @abstractmethod
    def draw(self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device) -> tuple[Any, ...]:
        """The loss's inputs for a micro-batch; what is random about its i-th sample follows from the i-th seed alone.

        A task that mixes samples, as the judge does, mixes those that it is handed together.
        """

    def sheet(self, model: M, shown: Shown) -> Sheet | None:
        """Pictures that show how ``model``, the average of the weights, does; None if there is nothing to see."""
        return None


def check_started(theirs: Config, own: Config, keys: Iterable[str], name: str) -> None:
    """Refuse to train on from a model whose weights mean something else. Raises ConfigError."""
    for key in keys:
        before, now = getattr(theirs, key), getattr(own, key)
        if before != now:
            raise ConfigError(
                f"{name} was trained with {key} = {before!r}, but this run says {now!r}: set model.{key} to "
                f"{before!r}, or start from another model."
            )


def hash_seed(*parts: int) -> int:
    """One 63-bit seed from several whole numbers (splitmix64 over each)."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ (part & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
