"""What a run will do, before it starts: its length, what it draws of each emotion, its saves, memory and time."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emorph.core.assets import official
from emorph.core.errors import ConfigError, MissingAssetError
from emorph.core.expressions import UNLABELLED, Emotion
from emorph.data.loader import EndlessOrder
from emorph.train.config import RunConfig
from emorph.train.devices import bfloat16_slowdown
from emorph.train.draws import KnownFaces, how_to_count, order_of
from emorph.train.free_memory import free_here, shortage
from emorph.train.mixed_data import sets_of
from emorph.train.resources import Resources, estimated_activations, resources, size
from emorph.train.sections import CheckpointConfig, OptimConfig, split_batch
from emorph.train.warm_up import WarmUp, warm_up

FEW_EPOCHS = 2.0
SLOW_BFLOAT16 = 3.0  # times as long as float32


@dataclass(frozen=True)
class ClassCount:
    """Faces of one emotion, and how many samples of it the run draws."""

    word: str
    faces: int
    samples: int


@dataclass(frozen=True)
class SetCount:
    """One of several sets: its faces, how many samples of it the run draws, and how often one face of it comes."""

    name: str
    faces: int
    samples: int
    least: int
    most: int


@dataclass(frozen=True)
class Saves:
    """How many checkpoints a run writes, and how many of them stay; ``written`` is None where only the clock tells."""

    every_steps: int | None
    every_minutes: float | None
    keep_steps: tuple[int, ...]
    written: int | None
    stay: int
    disk_bytes: int


@dataclass(frozen=True)
class Plan:
    """A run's plan.

    init: the model whose weights it starts from, if any. faces: in the data set, None if unknown; faces_from: where
    that is from; assumed: whether they are not there yet. epoch_size: samples that one round of the order draws.
    classes: empty where no labels are known; classes_exact: whether the very faces were counted, or numbers of them.
    sets: of several; empty for one. device: its kind, where it is known. seen: share of the faces that are drawn at
    all; least, most: how often one face is. free_bytes: of the device's memory, None where that is not compared.
    untimed: why there is no warm_up. stop_step: where max_minutes stops the run, if it does.
    """

    task: str
    out: str
    init: str | None
    data: str
    faces: int | None
    faces_from: str
    assumed: bool
    balance: str
    epoch_size: int | None
    batch_size: int
    micro_batch: int
    rounds: int
    devices: int
    budget: dict[str, float]
    max_minutes: float | None
    steps: int
    samples: int
    epochs: float | None
    classes: tuple[ClassCount, ...]
    classes_exact: bool
    sets: tuple[SetCount, ...]
    seen: float | None
    least: int | None
    most: int | None
    precision: str
    device: str | None
    compiled: bool
    saves: Saves
    needs: Resources
    free_bytes: int | None
    warm_up: WarmUp | None
    untimed: str
    stop_step: int | None
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """Time that all steps take; None without a measured warm-up."""
        return self.steps * self.warm_up.step_s if self.warm_up else None

    def to_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        return {**asdict(self), "needs": self.needs.to_json(), "seconds": self.seconds}


def plan_of(
    config: RunConfig,
    known: KnownFaces | None,
    *,
    n_devices: int = 1,
    usable: NDArray[np.bool_] | None = None,
    needs: Resources | None = None,
    tried: WarmUp | None = None,
    untimed: str = "",
    device: str | None = None,
    free: int | None = None,
) -> Plan:
    """Work out what ``config`` states, on ``known`` faces.

    usable: bool (n,), the faces that are drawn at all. device: its kind, where it is known: "cpu", "cuda". free: bytes
    of its memory, where they are to be compared with what the run needs.
    Raises ConfigError where the configuration contradicts itself.
    """
    optim = config.optim
    order = order_of(config.data, known, seed=config.seed, usable=usable) if known else None
    micro_batch, rounds = split_batch(optim, n_devices)
    epoch_size = order.epoch_size if order else None
    steps = config.budget.n_steps(epoch_size, optim.batch_size)
    config.checkpoint.check(steps)
    samples = steps * optim.batch_size
    needs = needs or resources(config, micro_batch, n_devices=n_devices, how="not estimated before a run")
    drawn = _drawn(order, known, samples) if order and known else None
    seen, least, most = _often(drawn)
    plan = Plan(
        task=config.task,
        out=config.out,
        init=config.init,
        data=config.data.path,
        faces=known.n if known else None,
        faces_from=known.source if known else "nobody",
        assumed=bool(known and known.assumed),
        balance=f"class_power {config.data.class_power:g}" if config.data.class_power else config.data.balance,
        epoch_size=epoch_size,
        batch_size=optim.batch_size,
        micro_batch=micro_batch,
        rounds=rounds,
        devices=n_devices,
        budget=config.budget.units,
        max_minutes=config.budget.max_minutes,
        steps=steps,
        samples=samples,
        epochs=samples / epoch_size if epoch_size else None,
        classes=_classes(known, drawn),
        classes_exact=bool(known and not known.assumed),
        sets=_sets(config, known, drawn),
        seen=seen,
        least=least,
        most=most,
        precision=optim.precision,
        device=device,
        compiled=optim.compile,
        saves=_saves(config.checkpoint, steps, needs, tried),
        needs=needs,
        free_bytes=free,
        warm_up=tried,
        untimed=untimed,
        stop_step=_stop_step(config, steps, tried),
        warnings=(),
    )
    return replace(plan, warnings=(*_unusable(plan, config, usable), *_warnings(plan, config), *_slow(optim, device)))


def make_plan(
    config: RunConfig,
    faces: Dataset[Any] | None,
    known: KnownFaces | None,
    *,
    n_devices: int = 1,
    accelerator: str = "auto",
    measure: bool = True,
) -> Plan:
    """A plan with memory and time: measured in a few steps, or else memory estimated and time left open.

    faces: the data set, None where it is not there; known: what is known of it all the same.
    """
    micro_batch, rounds = split_batch(config.optim, n_devices)
    if measure:
        try:
            tried = warm_up(config, faces, micro_batch, rounds, accelerator=accelerator)
        except ConfigError as error:
            untimed = str(error)
        else:
            how = f"measured with {tried.tried} face{'s' if tried.tried > 1 else ''} at a time on {tried.device}"
            needs = resources(config, micro_batch, n_devices=n_devices, activations=tried.activations, how=how)
            return plan_of(
                config, known, n_devices=n_devices, needs=needs, tried=tried, device=tried.device, free=tried.free_bytes
            )
    else:
        untimed = "no warm-up was asked for"
    estimate = estimated_activations(config.model_dump_json(), type(config))
    how = "estimated from tensor shapes" if estimate else f"not known for the task {config.task!r}"
    needs = resources(config, micro_batch, n_devices=n_devices, activations=estimate, how=how)
    free = free_here(accelerator)
    return plan_of(config, known, n_devices=n_devices, needs=needs, untimed=untimed, free=free)


def _drawn(order: EndlessOrder, known: KnownFaces, samples: int) -> NDArray[np.int64]:
    if known.labels is None and order.repeats is None:  # nothing to tell the faces apart by: whole rounds, and a rest
        laps, rest = divmod(samples, known.n)
        return np.where(np.arange(known.n) < rest, laps + 1, laps)
    return order.drawn(samples)


def _often(drawn: NDArray[np.int64] | None) -> tuple[float | None, int | None, int | None]:
    """The share of the faces that are drawn at all, and how often one is at least and at most; None if not known."""
    return (None, None, None) if drawn is None else (float((drawn > 0).mean()), int(drawn.min()), int(drawn.max()))


def _classes(known: KnownFaces | None, drawn: NDArray[np.int64] | None) -> tuple[ClassCount, ...]:
    if known is None or known.labels is None or drawn is None or not (known.labels >= 0).any():
        return ()
    rows = [(emotion.word, known.labels == emotion.value) for emotion in Emotion]
    rows.append((UNLABELLED, known.labels < 0))
    return tuple(
        ClassCount(word, int(mine.sum()), int(drawn[mine].sum()))
        for word, mine in rows
        if mine.any() or word != UNLABELLED
    )


def _sets(config: RunConfig, known: KnownFaces | None, drawn: NDArray[np.int64] | None) -> tuple[SetCount, ...]:
    if known is None or drawn is None or not known.sets:
        return ()
    parts = np.split(drawn, np.cumsum([one.n for one in known.sets])[:-1])
    names = [Path(one.path).name for one in sets_of(config.data)]
    if len(set(names)) < len(names):
        names = [one.path for one in sets_of(config.data)]
    return tuple(
        SetCount(name, len(part), int(part.sum()), int(part.min()), int(part.max()))
        for name, part in zip(names, parts, strict=True)
    )


def _saves(config: CheckpointConfig, steps: int, needs: Resources, tried: WarmUp | None) -> Saves:
    at = set(config.keep_steps) | {steps}
    if config.every_steps:
        at |= set(range(config.every_steps, steps + 1, config.every_steps))
    written: int | None = len(at)
    if config.minutes:
        written = len(at) + int(steps * tried.step_s / (60 * config.minutes)) if tried else None
    passing = len(at - set(config.keep_steps)) if not config.minutes else config.keep
    stay = len(config.keep_steps) + min(config.keep, passing)
    if written is not None:
        stay = min(stay, written)
    # one more while the newest is being written
    disk = needs.checkpoint * (stay + (1 if written is None or written > stay else 0))
    return Saves(config.every_steps, config.minutes, config.keep_steps, written, stay, disk)


def _stop_step(config: RunConfig, steps: int, tried: WarmUp | None) -> int | None:
    limit = config.budget.max_minutes
    if limit is None or tried is None:
        return None
    step = max(1, math.ceil(60 * limit / tried.step_s))
    return step if step < steps else None


def _unusable(plan: Plan, config: RunConfig, usable: NDArray[np.bool_] | None) -> list[str]:
    n = 0 if usable is None else int((~usable).sum())
    return [f"{n:,} of {plan.faces:,} faces {config.unusable}; they are left out."] if n else []


def _warnings(plan: Plan, config: RunConfig) -> list[str]:
    warnings = []
    if plan.epochs is not None and plan.epochs < FEW_EPOCHS:
        unit, amount = next(iter(plan.budget.items()))
        ten = math.ceil(10 * (plan.epoch_size or 0) / plan.batch_size)
        warnings.append(
            f"only {plan.epochs:.2f} epochs: the run ends because budget.{unit} = {amount:,} is spent, not because the "
            f"faces are learned. Ten epochs would be {ten:,} steps: budget.epochs = 10."
        )
    missing = [row.word for row in plan.classes if not row.faces]
    if missing and plan.balance != "none":
        warnings.append(f"no face is labelled {', '.join(missing)}; the run sees no example of that.")
    if plan.stop_step is not None:
        epochs = plan.stop_step * plan.batch_size / plan.epoch_size if plan.epoch_size else None
        warnings.append(
            f"max_minutes = {plan.max_minutes:g} stops it at about step {plan.stop_step:,} of {plan.steps:,}"
            f"{f' ({epochs:.2f} epochs)' if epochs is not None else ''}; emorph train resume continues from there."
        )
    free = _free_bytes(Path(plan.out))
    if free is not None and free < plan.saves.disk_bytes:
        warnings.append(
            f"its checkpoints take {size(plan.saves.disk_bytes)}, but only {size(free)} are free at {plan.out}."
        )
    if short := shortage(plan.needs, plan.free_bytes, plan.micro_batch):
        warnings.append(short)
    try:
        official(plan.init or "")
    except MissingAssetError as error:
        warnings.insert(0, f"what it starts from is not here, so the run would stop at once. {error}")
    if plan.faces is None:
        warnings.append(f"{plan.data} does not exist: epochs and emotions are not known. {how_to_count(config.data)}")
    return warnings


def _slow(optim: OptimConfig, device: str | None) -> list[str]:
    if device != "cpu" or optim.precision != "bf16-mixed" or (factor := bfloat16_slowdown()) < SLOW_BFLOAT16:
        return []
    return [
        f"this processor takes {factor:.0f} times as long for a convolution in bfloat16 as in float32: the run is far "
        "faster here with optim.precision = '32-true'."
    ]


def _free_bytes(folder: Path) -> int | None:
    """Free disk space where ``folder`` is or will be."""
    while not folder.exists():
        if folder.parent == folder:
            return None
        folder = folder.parent
    return shutil.disk_usage(folder).free
