"""A few steps of a run on trial: how long one takes, how much it keeps in memory. Nothing is written or kept."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import Dataset

from emorph.core.errors import ConfigError, DataError, MissingAssetError
from emorph.data.loader import EndlessOrder
from emorph.data.memory import TensorFaces, in_memory
from emorph.train.config import RunConfig
from emorph.train.devices import open_fabric
from emorph.train.ema import EMA
from emorph.train.free_memory import free_bytes
from emorph.train.resources import Activations, SavedBytes, resources, size
from emorph.train.task import hash_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Inputs = Callable[[int, torch.device], tuple[Any, ...]]
REPEATS = 3
PATIENCE_S = 20.0  # a whole micro-batch is tried only if its repeats take less
READ_FACES = 32
FIRST_FACES = 2  # one alone is no batch to normalise over where feature maps shrink to a pixel
SAFE_SHARE = 0.8  # of the free memory


@dataclass(frozen=True)
class WarmUp:
    """What was measured.

    step_s: seconds of one optimiser step, waiting for data included; wait_share: the part of it that is waiting.
    tried: faces at a time; fewer than the run takes where that would have been too long or too large here.
    own_faces: whether the data set's faces were used, or made ones. free_bytes: memory that was free before.
    """

    device: str
    step_s: float
    wait_share: float | None
    tried: int
    own_faces: bool
    activations: Activations
    free_bytes: int | None


def warm_up(
    config: RunConfig, faces: Dataset[Any] | None, micro_batch: int, rounds: int, *, accelerator: str = "auto"
) -> WarmUp:
    """Measure steps of ``config`` on one device of this machine.

    Raises ConfigError, with why not, if the task cannot be tried without its data or the memory is too small.
    """
    fabric = open_fabric(config.optim, 1, 1, accelerator)
    free = free_bytes(fabric.device)
    least = resources(config, 1).memory
    if free is not None and least > SAFE_SHARE * free:
        raise ConfigError(
            f"its weights, gradients and optimiser alone take {size(least)} of memory, {size(free)} are free"
        )
    loss, inputs, own_faces = _attempt(config, faces, micro_batch)
    trial = _Trial(fabric, loss, inputs, config.optim.ema_decay)
    tried = min(FIRST_FACES, micro_batch)
    with SavedBytes(loss) as saved:
        trial.one_round(tried)
    activations = Activations.from_total(saved.total, tried, config, loss)
    round_s = _median_s(lambda: trial.one_round(tried), 1)
    needed = sum(p.numel() * p.element_size() for p in loss.parameters()) + activations.per_face * micro_batch
    fits = free is None or needed < SAFE_SHARE * free
    if micro_batch > tried and fits and round_s / tried * micro_batch * REPEATS < PATIENCE_S:
        trial.one_round(micro_batch)
        tried, round_s = micro_batch, _median_s(lambda: trial.one_round(micro_batch), REPEATS)
    trial.update()
    step_s = rounds * round_s * micro_batch / tried + _median_s(trial.update, REPEATS)
    wait_s = _wait_s(config, faces, micro_batch * rounds, step_s) if faces is not None else None
    return WarmUp(
        fabric.device.type,
        step_s + (wait_s or 0.0),
        None if wait_s is None else wait_s / (step_s + wait_s),
        tried,
        own_faces,
        activations,
        free,
    )


class _Trial:
    """A loss as a run trains it, with a learning rate of 0."""

    def __init__(self, fabric: Fabric, loss: nn.Module, inputs: Inputs, ema_decay: float) -> None:
        self.fabric, self.loss, self.inputs = fabric, loss, inputs
        average = copy.deepcopy(loss)
        optimizer = torch.optim.AdamW(loss.parameters(), lr=0.0, fused=True)
        self.ready, self.optimizer = fabric.setup(loss, optimizer)
        self.ready.train()
        self.ema = EMA(average.to(fabric.device), ema_decay)

    def one_round(self, n: int) -> None:
        """Gradients of n faces."""
        self.fabric.backward(self.ready(*self.inputs(n, self.fabric.device))["loss"])
        _finish(self.fabric.device)

    def update(self) -> None:
        """What follows the gradients of a step."""
        self.optimizer.step()
        self.ema.update(self.loss)
        _finish(self.fabric.device)


def _attempt(config: RunConfig, faces: Dataset[Any] | None, micro_batch: int) -> tuple[nn.Module, Inputs, bool]:
    """The loss, its inputs for n faces on a device, and whether these are the data set's own."""
    if faces is not None:
        small = in_memory(faces, min(len(faces), max(micro_batch, 8)))  # type: ignore[arg-type]
        # a few faces may lack what all have, a rig its face model
        with suppress(DataError, MissingAssetError):
            return _own_attempt(config, small)
    trial = config.trial(1)
    if trial is None:
        raise ConfigError(f"the task {config.task!r} cannot be tried without its data")

    def made(n: int, device: torch.device) -> tuple[Any, ...]:
        return tuple(x.expand(n, *x.shape[1:]).clone().to(device) for x in trial[1])

    return trial[0], made, False


def _own_attempt(config: RunConfig, small: TensorFaces) -> tuple[nn.Module, Inputs, bool]:
    task = config.build(small, None)
    read: Dataset[Any] = small if task.items is None else task.items

    def drawn(n: int, device: torch.device) -> tuple[Any, ...]:
        rows = [read[i % len(small)] for i in range(n)]
        items = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
        return task.draw(items, [hash_seed(i) for i in range(n)], device)

    return task.loss, drawn, True


def _wait_s(config: RunConfig, faces: Dataset[Any], batch_size: int, step_s: float) -> float:
    """Time that a step waits for its faces: reading is done before it, or beside it by other processes."""
    order = EndlessOrder(len(faces), seed=config.seed)  # type: ignore[arg-type]  # a map-style data set has a length
    rows = list(islice(order, READ_FACES))
    faces[rows[0]]
    before = time.perf_counter()
    for row in rows:
        faces[row]
    read_s = batch_size * (time.perf_counter() - before) / len(rows)
    workers = config.data.workers
    return max(0.0, read_s / workers - step_s) if workers else read_s


def _median_s(work: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _finish(device: torch.device) -> None:
    """Wait for the device, which works behind the program's back."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
