"""The training loop, on Lightning Fabric: one process or many, resumable to the bit.

The i-th sample of step n, and everything random about it, follow from (seed, n, i) alone: a checkpoint holds weights,
EMA, optimiser and the step, nothing is lost or doubled, and two processes see what one would. What looks at a
micro-batch as a whole differs: dropout's masks, which follow from (seed, n, process, micro-batch), the statistics of
batch normalisation (the rig's ResNet encoders), and the judge's mixup, whose partners are neighbours in a micro-batch.
Without these, several processes give the gradients of one to float rounding; with them, others of the same
distribution.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.errors import ConfigError
from emorph.core.types import OnStep
from emorph.data.loader import endless_batches
from emorph.data.store import FaceStore
from emorph.models.weights import load_strictly
from emorph.train import checkpoint
from emorph.train.devices import as_launched, open_fabric
from emorph.train.ema import EMA
from emorph.train.forecast import Forecast, forecast
from emorph.train.interrupt import StopRequest
from emorph.train.logbook import Logbook, cut_back
from emorph.train.order import KnownFaces, check_order, order_facts, order_of
from emorph.train.plan import OptimConfig, RunConfig, split_batch
from emorph.train.plan_text import full_text
from emorph.train.samples import SheetWriter
from emorph.train.task import Model, hash_seed
from emorph.train.tensorboard import Board, open_board

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CONFIG_FILE = "run.toml"
PLAN_FILE, PLAN_TEXT, OUTCOME_FILE = "plan.json", "plan.txt", "outcome.json"
Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "budget", "max_minutes" or "interrupted"; ``folder`` is its last checkpoint.

    because: the same in words. seconds: of training in all, over every start. first_process: whether this is the one
    that speaks for all.
    """

    ended_by: str
    step: int
    samples: int
    folder: Path
    because: str
    epochs: float
    seconds: float
    first_process: bool

    def to_json(self) -> dict[str, Any]:
        """What outcome.json holds."""
        told = ("ended_by", "because", "step", "samples", "epochs", "seconds")
        return {**{name: getattr(self, name) for name in told}, "checkpoint": self.folder.name}


def train(
    config: RunConfig,
    faces: Dataset[Any],
    *,
    resume: bool = False,
    devices: str | int = "auto",
    nodes: int = 1,
    accelerator: str = "auto",
    show_progress: bool = True,
    reading: Callable[[], AbstractContextManager[OnStep | None]] = nullcontext,
    on_start: Callable[[Forecast], None] | None = None,
    on_checkpoint: Callable[[Path, Model], None] | None = None,
) -> Outcome:
    """Train the run that ``config`` states until its budget is spent, and return how it ended.

    faces: items {"image": uint8 (C, S, S)}, with ``labels`` where emotions are balanced. Ctrl-C saves and returns.
    reading() gives the first process what its share of reading the faces is reported to, for tasks that do.
    on_start(forecast) and on_checkpoint(folder, ema_model), after each save, are called on the first process.
    Raises ConfigError if the folder already holds another run, CheckpointError, DataError.
    """
    run = Path(config.out)
    _look_at(run, resume=resume)
    fabric = open_fabric(config.optim, *as_launched(devices, nodes), accelerator)
    if isinstance(faces, FaceStore):
        with reading() if fabric.is_global_zero else nullcontext() as on_step:
            config.prepare(faces, (fabric.global_rank, fabric.world_size), on_step)
        fabric.barrier()  # each reads a share, so none waits for long; then all is there for each
    trainer = _Trainer(config, faces, fabric, run)
    if resume:
        trainer.restore(checkpoint.latest(run))
    elif config.init:
        trainer.start_from(config.init)
    if fabric.is_global_zero:
        trainer.write_plan(resume=resume)
        if on_start:
            on_start(trainer.forecast)
    fabric.barrier()
    outcome = trainer.run_to_end(show_progress and fabric.is_global_zero, on_checkpoint)
    if fabric.is_global_zero:
        checkpoint.write_whole(run / OUTCOME_FILE, json.dumps(outcome.to_json(), indent=2) + "\n")
    return outcome


def _look_at(run: Path, *, resume: bool) -> None:
    """Whether the run's folder is as it should be, before anything is loaded."""
    if resume:
        checkpoint.latest(run)
        return
    if checkpoint.step_folders(run):
        raise ConfigError(f"{run} already holds a run. Go on with: emorph train resume {run}, or choose another 'out'.")
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise ConfigError(f"{run} cannot be written ({error.strerror}); choose another 'out'.") from None


class _Trainer:
    def __init__(self, config: RunConfig, faces: Dataset[Any], fabric: Fabric, run: Path) -> None:
        self.config, self.fabric, self.run = config, fabric, run
        self.faces = faces
        with_affect = config.data.balance.startswith("affect")
        self.known = KnownFaces.of(faces, config.data.path, with_affect=with_affect)
        optim = config.optim
        self.micro_batch, self.rounds = split_batch(optim, fabric.world_size)
        torch.manual_seed(hash_seed(config.seed, -1))
        task = config.build(faces, order_of(config.data, self.known, seed=config.seed).repeats)
        self.usable = task.usable
        self.order = order_of(config.data, self.known, seed=config.seed, usable=task.usable)
        self.total_steps = config.budget.n_steps(self.order.epoch_size, optim.batch_size)
        config.checkpoint.check(self.total_steps)
        self.step = 0
        self.restored: Path | None = None
        self.partial: dict[str, Any] = {}
        self.started = time.monotonic()
        self.elapsed_s = 0.0

        self.task, self.model = task, task.model
        self.faces = faces if task.items is None else task.items
        self.sheets = SheetWriter(run, task, faces, config.samples)
        self.board: Board | None = None
        if optim.channels_last:
            task.loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(task.model)  # in the same layout: else each step's average is a transposition
        self.ema = EMA(self.average.to(fabric.device), optim.ema_decay)
        optimizer = torch.optim.AdamW(
            task.loss.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
        )
        loss: torch.nn.Module = torch.compile(task.loss) if optim.compile else task.loss  # type: ignore[assignment]
        self.loss, self.optimizer = fabric.setup(loss, optimizer)

    @cached_property
    def forecast(self) -> Forecast:
        """What this run will do."""
        n_devices, device = self.fabric.world_size, self.fabric.device.type
        return forecast(self.config, self.known, n_devices=n_devices, usable=self.usable, device=device)

    def write_plan(self, *, resume: bool) -> None:
        """Make the run's folder ready: the configuration and the plan of a new run, the log up to a checkpoint."""
        checkpoint.clear_drafts(self.run)
        cut_back(self.run, self.step, unfinished=bool(self.partial.get("n")))
        if resume:
            return
        checkpoint.write_whole(self.run / CONFIG_FILE, self.config.to_toml())
        checkpoint.write_whole(self.run / PLAN_FILE, json.dumps(self.forecast.to_json(), indent=2) + "\n")
        checkpoint.write_whole(self.run / PLAN_TEXT, full_text(self.forecast) + "\n")

    def start_from(self, name: str) -> None:
        """Take over the weights of another model of the same sizes."""
        weights = self.task.start(name).state_dict()
        load_strictly(self.model, weights, name)
        load_strictly(self.average, weights, name)

    def restore(self, folder: Path) -> None:
        """Go back to a checkpoint. Raises ConfigError if the faces would now come in another order."""
        state = checkpoint.load_state(folder)
        check_order(folder, state, self.config, self.known)
        load_strictly(self.model, self.model.from_pretrained(folder / "model").state_dict(), str(folder))
        load_strictly(self.average, self.average.from_pretrained(folder / "ema").state_dict(), str(folder))
        own = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        load_strictly(self.task.loss, own | state["heads"], str(folder))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.ema.n_updates = state["ema_updates"]
        self.partial = state.get("logbook", {})
        self.restored = folder

    def save(self, on_checkpoint: Callable[[Path, Model], None] | None) -> Path:
        """Write a checkpoint on the first process."""
        folder = self.run / f"step_{self.step:08d}"
        if self.fabric.is_global_zero:
            state = {
                "optimizer": self.optimizer.state_dict(),
                "heads": {k: v for k, v in self.task.loss.state_dict().items() if not k.startswith("model.")},
                "step": self.step,
                "samples": self.samples,
                "order": order_facts(self.config, self.known),
                "elapsed_s": self.elapsed_s,
                "ema_updates": self.ema.n_updates,
                "logbook": self.partial,
            }
            kept = self.config.checkpoint
            checkpoint.save(
                self.run, self.step, self.model, self.average, state, keep=kept.keep, keep_steps=kept.keep_steps
            )
            if on_checkpoint:
                on_checkpoint(folder, self.average)
            self.sheets.write(self.step, self.average, self.board)
        self.fabric.barrier()
        return folder

    @property
    def samples(self) -> int:
        return self.step * self.config.optim.batch_size

    @property
    def epochs(self) -> float:
        return self.samples / self.order.epoch_size

    def run_to_end(self, show: bool, on_checkpoint: Callable[[Path, Model], None] | None) -> Outcome:
        """Train until the budget, the clock or Ctrl-C ends it; always ends on a saved step."""
        batches = self._batches()
        clock = last_save = time.monotonic()
        ended_by = "budget"
        saved = self.restored
        self.loss.train()
        if self.fabric.is_global_zero:
            self.board = open_board(self.run, self.config.log.tensorboard, self.step)
        with (
            Logbook(
                self.run,
                self.total_steps,
                self.step,
                show=show,
                every_steps=self.config.log.every_steps,
                partial=self.partial,
                board=self.board,
            ) as logbook,
            StopRequest() as stop,
        ):
            while self.step < self.total_steps:
                scalars = self._one_step(batches)
                now = time.monotonic()
                self.elapsed_s += now - clock
                clock = now
                if self.fabric.is_global_zero:
                    logbook.add(self.step, self.samples, self.epochs, scalars)
                    self.partial = logbook.partial
                saved = None
                due = self.config.checkpoint.due(self.step) or self._long_ago(last_save)
                due, reason = self._agree((due, "interrupted" if stop.requested else self._out_of_time()))
                if due:
                    saved, last_save = self.save(on_checkpoint), time.monotonic()
                if reason:
                    ended_by = reason
                    break
            saved = saved or self.save(on_checkpoint)
        return Outcome(
            ended_by,
            self.step,
            self.samples,
            saved,
            because=self._because(ended_by),
            epochs=self.epochs,
            seconds=self.elapsed_s,
            first_process=self.fabric.is_global_zero,
        )

    def _because(self, ended_by: str) -> str:
        budget = self.config.budget
        if ended_by == "max_minutes":
            return f"max_minutes = {budget.max_minutes:g} is reached"
        if ended_by == "interrupted":
            return "it was stopped"
        return f"its budget is spent ({' and '.join(f'{unit} = {amount:,}' for unit, amount in budget.units.items())})"

    def _long_ago(self, last_save: float) -> bool:
        minutes = self.config.checkpoint.minutes
        return minutes is not None and time.monotonic() - last_save > 60 * minutes

    def _out_of_time(self) -> str:
        limit = self.config.budget.max_minutes
        return "max_minutes" if limit and time.monotonic() - self.started > 60 * limit else ""

    def _agree(self, here: Decision) -> Decision:
        """What the first process decides, on all of them, so that none waits for another."""
        return self.fabric.broadcast(here) if self.fabric.world_size > 1 else here

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        data = self.config.data
        fabric = self.fabric
        order = order_of(
            data,
            self.known,
            seed=self.config.seed,
            usable=self.usable,
            start=self.samples,
            rank=fabric.global_rank,
            n_ranks=fabric.world_size,
        )
        return endless_batches(
            self.faces, order, self.micro_batch, workers=data.workers, pin=fabric.device.type == "cuda"
        )

    def _one_step(self, batches: Iterator[dict[str, Tensor]]) -> dict[str, float]:
        wait_s = 0.0
        losses: dict[str, Tensor] = {}
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
                share = value.detach().float() / self.rounds
                losses[name] = losses[name] + share if name in losses else share
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
            **self._over_all(losses),
            "grad_norm": float(norm) if norm is not None else float("nan"),
            **watched,
            "wait_s": wait_s,
        }

    def _over_all(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """The means over all processes, each of which has seen its share of the batch."""
        values = torch.stack(list(losses.values()))
        if self.fabric.world_size > 1:
            reduced = self.fabric.all_reduce(values, reduce_op="mean")
            assert isinstance(reduced, Tensor)
            values = reduced
        return dict(zip(losses, values.tolist(), strict=True))

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
