"""The loop that fits the classifier's linear layer on cached codes: how long it is, what it draws, how it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.data.balance import balanced_order

if TYPE_CHECKING:
    from emorph.train.tasks.head import HeadConfig

MEASURES = ("mean_recall", "accuracy")
LEAST_POINTS = 10  # a run of few epochs is looked at this often


@dataclass(frozen=True)
class Watched:
    """Held-out faces that a fit is watched by. z: (N, z_dim), normalised; labels: int64 (N,)."""

    z: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Point:
    """How far a fit is, and how it does. loss: mean over the samples since the point before; NaN without any.

    values: by the names of ``MEASURES``, on the held-out faces. answers: int64 (N,), the emotion it says of each.
    """

    step: int
    samples: int
    epoch: float
    loss: float
    values: dict[str, float]
    answers: Tensor


@dataclass(frozen=True)
class HeadFit:
    """A fitted layer: weight (8, z_dim) and bias (8,) of the point ``kept``; None where nothing was watched."""

    weight: Tensor
    bias: Tensor
    points: tuple[Point, ...] = ()
    kept: int | None = None

    def to_jsonl(self) -> str:
        """A line for each point."""
        rows = [
            {"step": p.step, "samples": p.samples, "epoch": round(p.epoch, 4), "loss": p.loss, **p.values}
            for p in self.points
        ]
        return "".join(json.dumps(row) + "\n" for row in rows)


OnPoint = Callable[[Point, int], None]
"""Called with each point, and the steps of the whole fit; may raise to end it."""


class Length:
    """How long a fit of ``config`` on n codes is: an epoch is every code once, its last batch perhaps a small one."""

    def __init__(self, config: HeadConfig, n: int) -> None:
        self.n, self.batch_size = n, config.batch_size
        self.epoch_steps = -(-n // config.batch_size)
        if config.steps is not None:
            self.steps = config.steps
        else:
            epochs = config.epochs or 0.0
            whole, rest = divmod(config.samples, n) if config.samples else (int(epochs), (epochs - int(epochs)) * n)
            self.steps = max(1, whole * self.epoch_steps + int(np.ceil(rest / config.batch_size - 1e-9)))

    def samples(self, step: int) -> int:
        """Codes seen after so many steps."""
        whole, rest = divmod(step, self.epoch_steps)
        return whole * self.n + min(rest * self.batch_size, self.n)

    def epochs(self, step: int) -> float:
        """The same in rounds of the codes."""
        return self.samples(step) / self.n

    @property
    def every(self) -> int:
        """Steps between two points: an epoch's, or fewer where epochs are few."""
        return min(self.epoch_steps, -(-self.steps // LEAST_POINTS))


def fit_layer(
    config: HeadConfig, seed: int, labels: Tensor, codes_of: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Weight (8, z_dim) and bias (8,) of the linear layer at the end of the fit. As ``fit_head``."""
    fit = fit_head(config, seed, labels, codes_of)
    return fit.weight, fit.bias


def fit_head(
    config: HeadConfig,
    seed: int,
    labels: Tensor,
    codes_of: Callable[[Tensor], Tensor],
    watched: Watched | None = None,
    on_point: OnPoint | None = None,
) -> HeadFit:
    """Fit the linear layer. labels: int64 (N,). codes_of: normalised codes (n, z_dim) of faces int64 (n,).

    watched: held-out faces, on which the layer is measured at every epoch; ``config.keep`` says which point is kept.
    Raises DataError if an emotion has no face.
    """
    class_weight = _class_weights(config, labels)
    layer = torch.nn.Linear(codes_of(torch.zeros(1, dtype=torch.int64)).shape[1], len(Emotion))
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    length = Length(config, len(labels))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, length.steps)
    best, points, losses = HeadFit(layer.weight, layer.bias), list[Point](), list[Tensor]()
    for step, rows in zip(range(1, length.steps + 1), _batches(config, seed, labels), strict=False):
        each = F.cross_entropy(
            layer(codes_of(rows)), labels[rows], reduction="none", label_smoothing=config.label_smoothing
        )
        loss = (each * class_weight[labels[rows]]).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach() * len(rows))
        if watched is not None and (step % length.every == 0 or step == length.steps):
            seen = length.samples(step) - (points[-1].samples if points else 0)
            points.append(_point(layer, watched, length, step, float(torch.stack(losses).sum()) / seen))
            losses.clear()
            if best.kept is None or config.keep == "last" or _better(points[-1], points[best.kept], config.keep):
                best = HeadFit(layer.weight.detach().clone(), layer.bias.detach().clone(), kept=len(points) - 1)
            if on_point:
                on_point(points[-1], length.steps)
    if watched is None:
        return HeadFit(layer.weight.detach().clone(), layer.bias.detach().clone())
    return HeadFit(best.weight, best.bias, tuple(points), best.kept)


def _class_weights(config: HeadConfig, labels: Tensor) -> Tensor:
    counts = torch.bincount(labels, minlength=len(Emotion))
    if (counts == 0).any():
        missing = ", ".join(Emotion(int(i)).word for i in torch.nonzero(counts == 0))
        raise DataError(f"no training face is labelled {missing}; the classifier needs all eight emotions.")
    return len(labels) / (len(Emotion) * counts.float()) if config.balance == "weights" else torch.ones(len(Emotion))


def _point(layer: torch.nn.Linear, watched: Watched, length: Length, step: int, loss: float) -> Point:
    with torch.no_grad():
        answers = layer(watched.z).argmax(dim=1)
    values = measured(answers.numpy(), watched.labels.numpy())
    return Point(step, length.samples(step), length.epochs(step), loss, values, answers)


def _better(new: Point, old: Point, measure: str) -> bool:
    return new.values[measure] > old.values[measure]


def measured(answers: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, and the mean recall of the emotions that have a face. answers, labels: int (N,)."""
    right = answers == labels
    recalls = [right[labels == label].mean() for label in np.unique(labels)]
    return {"mean_recall": float(np.mean(recalls)), "accuracy": float(right.mean())}


def _batches(config: HeadConfig, seed: int, labels: Tensor) -> Iterator[Tensor]:
    for order in orders(config, seed, labels):
        yield from torch.split(order, config.batch_size)


def orders(config: HeadConfig, seed: int, labels: Tensor) -> Iterator[Tensor]:
    """The codes of each epoch, int64 (N,) each, without end. labels: int64 (N,)."""
    if config.balance == "classes":
        order = balanced_order("classes:1", np.asarray(labels), seed=seed)
        for epoch in count():
            yield torch.from_numpy(order.epoch(epoch))
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(len(labels), generator=generator)
