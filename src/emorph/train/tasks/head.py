"""The classifier's linear layer: how it is trained, and what else its configuration says of the directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.data.balance import balanced_order
from emorph.train.renamed import renamed

Balance = Literal["weights", "classes", "none"]


class HeadConfig(Config):
    """How the linear layer is trained: AdamW over the cached codes.

    balance: how rare emotions come to count as much as common ones: by weights in the loss, by being drawn more often
    (classes: as many draws an epoch as faces, as in [data] of other tasks), or not at all.
    gain, gains: what strength 1 means, in distances between class means, for all emotions and for some by their words;
    stored with the directions. Without a gain it is what brings the landmarks where the class has them, see
    ``emorph.train.tasks.dose``.
    confounds: columns of the data set whose differences are no expression (such as where a picture comes from); they
    are taken out of the class means, as light and head pose always are.
    lips: the gap between the inner lips, in distances between the eyes, that some emotions are to have by their words.
    Their edits then close a broad smile as they close a small one, and open a mouth no further.
    dose: on so many neutral and so many happy training faces, all gains that are not stated are chosen so that edits
    are recognised and the person stays, see ``emorph.train.tasks.dose``; 0 leaves them as the landmarks ask.
    units: by an emotion's word, how much of its step its action units say, from 0 (the class mean alone) to 1: for
    emotions of which there are few faces, or only faces of other people. Needs ICT-FaceKit's model.
    landmark_ridge: of the linear map from codes to landmarks, which data sets with landmarks give.
    """

    epochs: int = Field(40, gt=0)
    batch_size: int = Field(256, gt=0)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    balance: Balance = "weights"
    gain: float | None = Field(None, gt=0)
    gains: dict[str, Annotated[float, Field(gt=0)]] = Field({})
    confounds: tuple[str, ...] = ()
    lips: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({})
    units: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({})
    dose: int = Field(0, ge=0)
    landmark_ridge: float = Field(30.0, gt=0)

    @field_validator("balance", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        return renamed("head.balance", value)

    @field_validator("gains", "lips", "units")
    @classmethod
    def _known(cls, by_word: dict[str, float]) -> dict[str, float]:
        words = [emotion.word for emotion in Emotion]
        if unknown := sorted(set(by_word) - set(words)):
            raise ValueError(f"{unknown[0]!r} is not an emotion; known are {', '.join(words)}")
        return by_word


def fit_layer(
    config: HeadConfig, seed: int, labels: Tensor, codes_of: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Weight (8, z_dim) and bias (8,) of the linear layer. labels: int64 (N,).

    codes_of: normalised codes (n, z_dim) of faces int64 (n,). Raises DataError if an emotion has no face.
    """
    n_classes = len(Emotion)
    counts = torch.bincount(labels, minlength=n_classes)
    if (counts == 0).any():
        missing = ", ".join(Emotion(int(i)).word for i in torch.nonzero(counts == 0))
        raise DataError(f"no training face is labelled {missing}; the classifier needs all eight emotions.")
    layer = torch.nn.Linear(codes_of(torch.zeros(1, dtype=torch.int64)).shape[1], n_classes)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    weighted = config.balance == "weights"
    class_weight = len(labels) / (n_classes * counts.float()) if weighted else torch.ones(n_classes)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    n_steps = config.epochs * -(-len(labels) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for order in _orders(config, seed, labels):
        for rows in torch.split(order, config.batch_size):
            losses = F.cross_entropy(
                layer(codes_of(rows)), labels[rows], reduction="none", label_smoothing=config.label_smoothing
            )
            loss = (losses * class_weight[labels[rows]]).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return layer.weight.detach().clone(), layer.bias.detach().clone()


def _orders(config: HeadConfig, seed: int, labels: Tensor) -> list[Tensor]:
    """The faces of each epoch, int64 (N,) each."""
    if config.balance == "classes":
        order = balanced_order("classes:1", np.asarray(labels), seed=seed)
        return [torch.from_numpy(order.epoch(epoch)) for epoch in range(config.epochs)]
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(len(labels), generator=generator) for _ in range(config.epochs)]
