"""The training loop, on Lightning Fabric: one process or many, resumable to the bit.

The i-th sample of step n, and everything random about it, follow from (seed, n, i) alone: a checkpoint holds weights,
EMA, optimiser and the step, nothing is lost or doubled, and two processes see what one would.
"""

from __future__ import annotations

import copy
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.errors import ConfigError, MissingAssetError
from emorph.data.loader import EndlessOrder, class_weights, endless_batches
from emorph.models.diffae import load_strictly
from emorph.train import checkpoint
from emorph.train.ema import EMA
from emorph.train.interrupt import StopRequest
from emorph.train.logbook import Logbook
from emorph.train.plan import OptimConfig, RunConfig
from emorph.train.task import Model, hash_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CONFIG_FILE = "run.toml"
Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "budget", "max_minutes" or "interrupted"; ``folder`` is its last checkpoint."""

    ended_by: str
    step: int
    samples: int
    folder: Path


def train(
    config: RunConfig,
    faces: Dataset[Any],
    *,
    resume: bool = False,
    devices: str | int = "auto",
    nodes: int = 1,
    accelerator: str = "auto",
    show_progress: bool = True,
    on_checkpoint: Callable[[Path, Model], None] | None = None,
) -> Outcome:
    """Train the run that ``config`` states until its budget is spent, and return how it ended.

    faces: items {"image": uint8 (C, S, S)}, with ``labels`` where class_power is not 0. Ctrl-C saves and returns.
    on_checkpoint(folder, ema_model) is called on the first process after each save.
    Raises ConfigError if the folder already holds another run, CheckpointError, DataError.
    """
    run = Path(config.out)
    _claim(run, config, resume=resume)
    fabric = _fabric(config, devices, nodes, accelerator)
    trainer = _Trainer(config, faces, fabric, run)
    if resume:
        trainer.restore(checkpoint.latest(run))
    elif config.init:
        trainer.start_from(config.init)
    return trainer.run_to_end(show_progress and fabric.is_global_zero, on_checkpoint)


def _claim(run: Path, config: RunConfig, *, resume: bool) -> None:
    if resume:
        checkpoint.latest(run)
        return
    if checkpoint.step_folders(run):
        raise ConfigError(f"{run} already holds a run. Go on with: emorph train resume {run}, or choose another 'out'.")
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / CONFIG_FILE).write_text(config.to_toml(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{run} cannot be written ({error.strerror}); choose another 'out'.") from None


def _fabric(config: RunConfig, devices: str | int, nodes: int, accelerator: str) -> Fabric:
    fabric = _fabric_class()(
        accelerator=accelerator, devices=devices, num_nodes=nodes, precision=config.optim.precision
    )
    fabric.launch()
    return fabric


def _fabric_class() -> type[Fabric]:
    for package in ("lightning_fabric", "lightning.fabric"):  # alone, or as a part of "lightning"
        try:
            found: type[Fabric] = importlib.import_module(package).Fabric
        except ImportError:
            continue
        return found
    raise MissingAssetError("training needs the extra packages: pip install 'emorph[train]'.")


class _Trainer:
    def __init__(self, config: RunConfig, faces: Dataset[Any], fabric: Fabric, run: Path) -> None:
        self.config, self.fabric, self.run = config, fabric, run
        self.faces = faces
        self.n_faces = len(faces)  # type: ignore[arg-type]  # a map-style data set has a length
        optim = config.optim
        self.micro_batch = optim.micro_batch or optim.batch_size
        per_round = self.micro_batch * fabric.world_size
        if optim.batch_size % per_round:
            if optim.micro_batch:
                raise ConfigError(
                    f"batch_size {optim.batch_size} is not a multiple of micro_batch {self.micro_batch} "
                    f"x {fabric.world_size} devices."
                )
            if optim.batch_size % fabric.world_size:
                raise ConfigError(f"batch_size {optim.batch_size} cannot be shared by {fabric.world_size} devices.")
            self.micro_batch = optim.batch_size // fabric.world_size
        self.rounds = optim.batch_size // (self.micro_batch * fabric.world_size)
        self.total_steps = config.budget.n_steps(self.n_faces, optim.batch_size)
        self.step = 0
        self.started = time.monotonic()
        self.elapsed_s = 0.0

        torch.manual_seed(hash_seed(config.seed, -1))
        power = config.data.class_power
        self.repeats = class_weights(faces.labels, power) if power else None  # type: ignore[attr-defined]
        task = config.build(faces, self.repeats)
        if task.usable is not None:
            self.repeats = np.where(task.usable, 1.0 if self.repeats is None else self.repeats, 0.0)
        self.task, self.model = task, task.model
        self.average = copy.deepcopy(task.model)
        self.ema = EMA(self.average.to(fabric.device), optim.ema_decay)
        optimizer = torch.optim.AdamW(
            task.loss.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
        )
        self.loss, self.optimizer = fabric.setup(task.loss, optimizer)

    def start_from(self, name: str) -> None:
        """Take over the weights of another model of the same sizes."""
        weights = self.task.start(name).state_dict()
        load_strictly(self.model, weights, name)
        load_strictly(self.average, weights, name)

    def restore(self, folder: Path) -> None:
        """Go back to a checkpoint."""
        load_strictly(self.model, self.model.from_pretrained(folder / "model").state_dict(), str(folder))
        load_strictly(self.average, self.average.from_pretrained(folder / "ema").state_dict(), str(folder))
        state = checkpoint.load_state(folder)
        own = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        load_strictly(self.task.loss, own | state["heads"], str(folder))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.ema.n_updates = state["ema_updates"]

    def save(self, on_checkpoint: Callable[[Path, Model], None] | None) -> Path:
        """Write a checkpoint on the first process."""
        folder = self.run / f"step_{self.step:08d}"
        if self.fabric.is_global_zero:
            state = {
                "optimizer": self.optimizer.state_dict(),
                "heads": {k: v for k, v in self.task.loss.state_dict().items() if not k.startswith("model.")},
                "step": self.step,
                "samples": self.samples,
                "elapsed_s": self.elapsed_s,
                "ema_updates": self.ema.n_updates,
            }
            checkpoint.save(self.run, self.step, self.model, self.average, state, keep=self.config.checkpoint.keep)
            if on_checkpoint:
                on_checkpoint(folder, self.average)
        self.fabric.barrier()
        return folder

    @property
    def samples(self) -> int:
        return self.step * self.config.optim.batch_size

    def run_to_end(self, show: bool, on_checkpoint: Callable[[Path, Model], None] | None) -> Outcome:
        """Train until the budget, the clock or Ctrl-C ends it; always ends on a saved step."""
        batches = self._batches()
        clock = last_save = time.monotonic()
        ended_by = "budget"
        saved: Path | None = None
        self.loss.train()
        with Logbook(self.run, self.total_steps, self.step, show=show) as logbook, StopRequest() as stop:
            while self.step < self.total_steps:
                scalars = self._one_step(batches)
                now = time.monotonic()
                self.elapsed_s += now - clock
                clock = now
                if self.fabric.is_global_zero:
                    logbook.add(self.step, self.samples, self.samples / self.n_faces, scalars)
                saved = None
                if self._agree(now - last_save > 60 * self.config.checkpoint.every_minutes):
                    saved, last_save = self.save(on_checkpoint), time.monotonic()
                reason = self._agree((stop.requested and "interrupted") or self._out_of_time())
                if reason:
                    ended_by = reason
                    break
        return Outcome(ended_by, self.step, self.samples, saved or self.save(on_checkpoint))

    def _out_of_time(self) -> str:
        limit = self.config.budget.max_minutes
        return "max_minutes" if limit and time.monotonic() - self.started > 60 * limit else ""

    def _agree(self, here: Decision) -> Decision:
        """What the first process decides, on all of them, so that none waits for another."""
        return self.fabric.broadcast(here) if self.fabric.world_size > 1 else here

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        data = self.config.data
        fabric = self.fabric
        order = EndlessOrder(
            self.n_faces,
            seed=self.config.seed,
            start=self.samples,
            rank=fabric.global_rank,
            n_ranks=fabric.world_size,
            weights=self.repeats,
        )
        return endless_batches(
            self.faces, order, self.micro_batch, workers=data.workers, pin=fabric.device.type == "cuda"
        )

    def _one_step(self, batches: Iterator[dict[str, Tensor]]) -> dict[str, float]:
        wait_s = 0.0
        losses: dict[str, float] = defaultdict(float)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.optim, self.step, self.total_steps)
        for i in range(self.rounds):
            before = time.monotonic()
            items = next(batches)
            wait_s += time.monotonic() - before
            inputs = self.task.draw(items, self._seeds(i), self.fabric.device)
            torch.manual_seed(hash_seed(self.config.seed, self.step, self.fabric.global_rank, i))  # dropout
            with self.fabric.no_backward_sync(self.loss, enabled=i + 1 < self.rounds):
                parts = self.loss(*inputs)
                self.fabric.backward(parts["loss"] / self.rounds)
            for name, value in parts.items():
                losses[name] += float(value.detach()) / self.rounds
        watched = {f"{name}_grad_norm": float(_grad_norm(part)) for name, part in self.task.watched.items()}
        norm = self.fabric.clip_gradients(
            self.loss, self.optimizer, max_norm=self.config.optim.grad_clip, error_if_nonfinite=False
        )
        if norm is not None and not torch.isfinite(norm):
            raise ConfigError(
                f"the gradients of step {self.step} are not finite. Lower optim.lr (now {self.config.optim.lr:g}) "
                f"in {self.run / CONFIG_FILE} and go on with: emorph train resume {self.run}"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        self.step += 1
        return {
            **losses,
            "grad_norm": float(norm) if norm is not None else float("nan"),
            **watched,
            "wait_s": wait_s,
        }

    def _seeds(self, i: int) -> list[int]:
        """One seed for each sample of this process's i-th micro-batch, by its place in the whole batch."""
        rank, n_ranks = self.fabric.global_rank, self.fabric.world_size
        first = i * self.micro_batch
        places = [(first + j) * n_ranks + rank for j in range(self.micro_batch)]  # as EndlessOrder deals them out
        return [hash_seed(self.config.seed, self.step, place) for place in places]


def learning_rate(optim: OptimConfig, step: int, total_steps: int) -> float:
    """The rate of step ``step`` (from 0): warm-up, constant, linear fall to 0 at the end."""
    warm = min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else 1.0
    decay_steps = optim.decay_share * total_steps
    fall = min(1.0, (total_steps - step) / decay_steps) if decay_steps else 1.0
    return optim.lr * warm * fall


def _grad_norm(module: torch.nn.Module) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
