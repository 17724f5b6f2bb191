"""The training loop, on Lightning Fabric: one process or many, resumable to the bit.

Everything random in step n is drawn from (seed, n, rank), and the samples of step n follow from (seed, n) too
(``emorph.data.loader``), so a checkpoint holds weights, EMA, optimiser and the step, and nothing is lost or doubled.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.errors import ConfigError, MissingAssetError
from emorph.core.images import unit_range
from emorph.data.loader import EndlessOrder, class_weights, endless_batches
from emorph.models.diffae import DiffAE, load_strictly
from emorph.models.port import load
from emorph.train import checkpoint
from emorph.train.ema import EMA
from emorph.train.interrupt import StopRequest
from emorph.train.logbook import Logbook
from emorph.train.plan import OptimConfig, RunConfig
from emorph.train.tasks.autoencoder import AutoencoderLoss, Batch, draw, hash_seed, label_stats

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
    on_checkpoint: Callable[[Path, DiffAE], None] | None = None,
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
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise MissingAssetError("training needs the extra packages: pip install 'emorph[train]'.") from None
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=config.optim.precision)
    fabric.launch()
    return fabric


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
        stats = label_stats(faces, self.n_faces, config.aux, self.repeats)
        loss = AutoencoderLoss(config.model, optim.loss_weight, config.aux, stats)
        self.model = loss.model
        average = DiffAE(config.model)
        average.load_state_dict(self.model.state_dict())
        self.ema = EMA(average.to(fabric.device), optim.ema_decay)
        optimizer = torch.optim.AdamW(
            loss.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
        )
        self.heads = loss.heads
        self.loss, self.optimizer = fabric.setup(loss, optimizer)

    def start_from(self, name: str) -> None:
        """Take over the weights of another model of the same sizes."""
        weights = load(name).state_dict()
        load_strictly(self.model, weights, name)
        load_strictly(self.ema.average, weights, name)

    def restore(self, folder: Path) -> None:
        """Go back to a checkpoint."""
        load_strictly(self.model, DiffAE.from_pretrained(folder / "model").state_dict(), str(folder))
        load_strictly(self.ema.average, DiffAE.from_pretrained(folder / "ema").state_dict(), str(folder))
        state = checkpoint.load_state(folder)
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.ema.n_updates = state["ema_updates"]

    def save(self, on_checkpoint: Callable[[Path, DiffAE], None] | None) -> Path:
        """Write a checkpoint on the first process."""
        folder = self.run / f"step_{self.step:08d}"
        if self.fabric.is_global_zero:
            state = {
                "optimizer": self.optimizer.state_dict(),
                "heads": self.heads.state_dict(),
                "step": self.step,
                "samples": self.samples,
                "elapsed_s": self.elapsed_s,
                "ema_updates": self.ema.n_updates,
            }
            average = self.ema.average
            assert isinstance(average, DiffAE)
            checkpoint.save(self.run, self.step, self.model, average, state, keep=self.config.checkpoint.keep)
            if on_checkpoint:
                on_checkpoint(folder, average)
        self.fabric.barrier()
        return folder

    @property
    def samples(self) -> int:
        return self.step * self.config.optim.batch_size

    def run_to_end(self, show: bool, on_checkpoint: Callable[[Path, DiffAE], None] | None) -> Outcome:
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
            place = self.fabric.global_rank * self.rounds + i
            seed = self.config.seed
            batch, t, noise = draw(
                self._to_device(items),
                hash_seed(seed, self.step, place),
                self.model.diffusion.n_train_steps,
                mirror=self.config.data.mirror,
            )
            torch.manual_seed(hash_seed(seed, self.step, place, 1))  # dropout
            with self.fabric.no_backward_sync(self.loss, enabled=i + 1 < self.rounds):
                parts = self.loss(batch.x0, batch.label, batch.landmarks, t, noise)
                self.fabric.backward(parts["loss"] / self.rounds)
            for name, value in parts.items():
                losses[name] += float(value.detach()) / self.rounds
        encoder_norm = _grad_norm(self.model.encoder)
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
            "encoder_grad_norm": float(encoder_norm),
            "wait_s": wait_s,
        }

    def _to_device(self, items: dict[str, Tensor]) -> Batch:
        device = self.fabric.device
        landmarks = items["landmarks"].to(device, non_blocking=True) if "landmarks" in items else None
        x0 = unit_range(items["image"].to(device, non_blocking=True))
        return Batch(x0, items["label"].to(device, non_blocking=True), landmarks)


def learning_rate(optim: OptimConfig, step: int, total_steps: int) -> float:
    """The rate of step ``step`` (from 0): warm-up, constant, linear fall to 0 at the end."""
    warm = min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else 1.0
    decay_steps = optim.decay_share * total_steps
    fall = min(1.0, (total_steps - step) / decay_steps) if decay_steps else 1.0
    return optim.lr * warm * fall


def _grad_norm(module: torch.nn.Module) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
