"""One optimiser step after another: what a run trains, on one process or many, and how a step is taken.

The i-th sample of step n, and everything random about it, follow from (seed, n, i) alone, so that two processes see
what one would. What looks at a micro-batch as a whole differs: dropout's masks, which follow from (seed, n, process,
micro-batch), the statistics of batch normalisation (the rig's ResNet encoders), and the judge's mixup, whose partners
are neighbours in a micro-batch. Without these, several processes give the gradients of one to float rounding; with
them, others of the same distribution.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.commands import command
from emorph.core.errors import ConfigError
from emorph.data.loader import endless_batches
from emorph.train.config import RunConfig
from emorph.train.draws import KnownFaces, order_of
from emorph.train.ema import EMA
from emorph.train.plan import Plan, plan_of
from emorph.train.run_folder import CONFIG_FILE
from emorph.train.sections import OptimConfig, split_batch
from emorph.train.task import hash_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batches = Iterator[dict[str, Tensor]]


class Stepper:
    """A task with its optimiser and averaged weights, at step ``step``; ``take`` goes to the next.

    known: what is known of the faces. items: what batches are read from. total_steps: of the whole run.
    """

    def __init__(self, config: RunConfig, faces: Dataset[Any], fabric: Fabric) -> None:
        self.config, self.fabric = config, fabric
        optim = config.optim
        self.known = KnownFaces.read(config.data, faces)
        self.micro_batch, self.rounds = split_batch(optim, fabric.world_size)
        torch.manual_seed(hash_seed(config.seed, -1))
        self.task = config.build(faces, order_of(config.data, self.known, seed=config.seed).repeats)
        self.model = self.task.model
        self.items = faces if self.task.items is None else self.task.items
        self.epoch_size = order_of(config.data, self.known, seed=config.seed, usable=self.task.usable).epoch_size
        self.total_steps = config.budget.n_steps(self.epoch_size, optim.batch_size)
        config.checkpoint.check(self.total_steps)
        self.step = 0

        loss = self.task.loss
        if optim.channels_last:
            loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(self.model)  # in the same layout: else each step's average is a transposition
        self.ema = EMA(self.average.to(fabric.device), optim.ema_decay)
        optimizer = torch.optim.AdamW(
            loss.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
        )
        compiled: nn.Module = torch.compile(loss) if optim.compile else loss  # type: ignore[assignment]
        self.loss, self.optimizer = fabric.setup(compiled, optimizer)

    @property
    def samples(self) -> int:
        """How many were seen so far."""
        return self.step * self.config.optim.batch_size

    @property
    def epochs(self) -> float:
        """How often the faces were gone through so far."""
        return self.samples / self.epoch_size

    @cached_property
    def plan(self) -> Plan:
        """What this run will do."""
        n_devices, device = self.fabric.world_size, self.fabric.device.type
        return plan_of(self.config, self.known, n_devices=n_devices, usable=self.task.usable, device=device)

    def batches(self) -> Batches:
        """This process's micro-batches from the present step on, without end."""
        order = order_of(
            self.config.data,
            self.known,
            seed=self.config.seed,
            usable=self.task.usable,
            start=self.samples,
            rank=self.fabric.global_rank,
            n_ranks=self.fabric.world_size,
        )
        workers, pin = self.config.data.workers, self.fabric.device.type == "cuda"
        return endless_batches(self.items, order, self.micro_batch, workers=workers, pin=pin)

    def take(self, batches: Batches) -> dict[str, float]:
        """Take one step; returns its losses, gradient norms, and the seconds spent waiting for data.

        Raises ConfigError if the gradients are not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.optim, self.step, self.total_steps)
        losses, wait_s = self._gradients(batches)
        watched = {f"{name}_grad_norm": float(_grad_norm(part)) for name, part in self.task.watched.items()}
        norm = self.fabric.clip_gradients(
            self.loss, self.optimizer, max_norm=self.config.optim.grad_clip, error_if_nonfinite=False
        )
        if norm is not None and not torch.isfinite(norm):
            run = Path(self.config.out)
            raise ConfigError(
                f"the gradients of step {self.step} are not finite. Lower optim.lr (now {self.config.optim.lr:g}) "
                f"in {run / CONFIG_FILE} and continue with: {command('train', 'resume', run)}"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        self.step += 1
        norms = {"grad_norm": float(norm) if norm is not None else float("nan"), **watched}
        return {**self._over_all(losses), **norms, "wait_s": wait_s}

    def _gradients(self, batches: Batches) -> tuple[dict[str, Tensor], float]:
        """Add up the gradients of a step's micro-batches. Returns the mean losses, and the seconds of waiting."""
        wait_s = 0.0
        losses: dict[str, Tensor] = {}
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
        return losses, wait_s

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
    """The rate of step ``step`` (from 0): warm-up, constant, linear fall to 0 at the end.

    >>> optim = OptimConfig(lr=1.0, warmup_steps=4, decay_share=0.5)
    >>> [learning_rate(optim, step, total_steps=16) for step in (0, 3, 7, 12, 15)]
    [0.25, 1.0, 1.0, 0.5, 0.125]
    """
    warm = min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else 1.0
    decay_steps = optim.decay_share * total_steps
    fall = min(1.0, (total_steps - step) / decay_steps) if decay_steps else 1.0
    return optim.lr * warm * fall


def _grad_norm(module: nn.Module) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
