"""A learned correction of the step in z_sem: a small network from z_sem, what is asked for and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.expressions import Emotion
from emorph.core.types import Target

N_ASKED = len(Emotion) + 4  # one emotion of eight; valence and arousal, and whether each is asked for
KINDS = (*range(len(Emotion)), N_ASKED - 2, N_ASKED - 1)  # the places of an emotion, and of valence and arousal


def asked_for(target: Target) -> Tensor:
    """A target without its strength as numbers, float (N_ASKED,).

    >>> asked_for(Target(Emotion.HAPPY, 0.5)).tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    emotions = [float(emotion == target.emotion) for emotion in Emotion]
    affect = [] if target.emotion is not None else [target.valence, target.arousal]
    values = [value or 0.0 for value in affect] or [0.0, 0.0]
    given = [float(value is not None) for value in affect] or [0.0, 0.0]
    return torch.tensor([*emotions, *values, *given])


def target_of(asked: Tensor, strength: float) -> Target:
    """The target that ``asked_for`` put into numbers.

    >>> target_of(asked_for(Target(valence=0.5)), 0.8).word
    'valence_0.5'
    """
    numbers, n = asked.tolist(), len(Emotion)
    if any(numbers[:n]):
        return Target(Emotion(numbers.index(1.0)), strength)
    valence, arousal = (value if given else None for value, given in zip(numbers[n:], numbers[n + 2 :], strict=False))
    return Target(None, strength, valence, arousal)


def covering(known: Tensor | None, targets: Sequence[Target]) -> Tensor:
    """The places, float (N_ASKED,), of all that ``targets`` ask for, and of what is known already (N_ASKED,) or None.

    >>> covering(None, [Target(Emotion.HAPPY), Target(Emotion.SAD)]).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    asked = torch.stack([asked_for(target) for target in targets] + ([] if known is None else [known.cpu()]))
    kinds = torch.zeros(N_ASKED)
    kinds[list(KINDS)] = asked[:, list(KINDS)].amax(dim=0)
    return kinds


@dataclass(frozen=True)
class CodeShift:
    """Two linear layers with SiLU between them, times the strength: at strength 0 nothing moves.

    Beyond strength 1 (and -1) it stays as it is there: the directions' own step goes on, and faces break soon enough.

    inner_weight: float (H, z_dim + N_ASKED + 1); inner_bias: (H,); outer_weight: (z_dim, H); outer_bias: (z_dim,).
    axes: (r, z_dim), orthonormal, along which it moves alone; None for everywhere. covers: (N_ASKED,), 1 where it was
    trained to be asked, in the places ``KINDS``; it adds nothing to other targets. None for all of them.
    """

    inner_weight: Tensor
    inner_bias: Tensor
    outer_weight: Tensor
    outer_bias: Tensor
    axes: Tensor | None = None
    covers: Tensor | None = None

    def step(self, z: Tensor, asked: Tensor, strength: Tensor) -> Tensor:
        """What is added to the directions' step, (B, z_dim), normalised.

        z: (B, z_dim), normalised z_sem; asked: (B, N_ASKED) of ``asked_for``; strength: (B, 1).
        """
        strength = strength.clamp(-1, 1)
        hidden = F.silu(F.linear(torch.cat([z, asked, strength], dim=1), self.inner_weight, self.inner_bias))
        step = strength * F.linear(hidden, self.outer_weight, self.outer_bias)
        if self.covers is not None:
            step = step * (asked * self.covers)[:, list(KINDS)].amax(dim=1, keepdim=True)
        return step if self.axes is None else step @ self.axes.mT @ self.axes

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        return type(self)(**{name: tensor.to(device) for name, tensor in self.held().items()})

    def held(self) -> dict[str, Tensor]:
        """By name, without what there is not."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored."""
        return {f"shift.{name}": tensor.detach() for name, tensor in self.held().items()}


class ShiftNet(nn.Module):
    """A ``CodeShift`` that learns; it starts as no shift at all.

    axes, covers: as of the shift.
    """

    def __init__(self, z_dim: int, hidden: int, axes: Tensor | None = None, covers: Tensor | None = None) -> None:
        super().__init__()
        self.axes: Tensor | None
        self.covers: Tensor | None
        self.register_buffer("axes", axes)
        self.register_buffer("covers", covers)
        inner = nn.Linear(z_dim + N_ASKED + 1, hidden)
        self.inner_weight, self.inner_bias = inner.weight, inner.bias
        self.outer_weight = nn.Parameter(torch.zeros(z_dim, hidden))
        self.outer_bias = nn.Parameter(torch.zeros(z_dim))

    @property
    def shift(self) -> CodeShift:
        """The shift of the present weights, through which gradients flow back to them."""
        return CodeShift(self.inner_weight, self.inner_bias, self.outer_weight, self.outer_bias, self.axes, self.covers)

    @classmethod
    def of(cls, shift: CodeShift) -> Self:
        """One that learns on from a copy of a shift."""
        net = cls(len(shift.outer_bias), len(shift.inner_bias), shift.axes, shift.covers)
        net.load_state_dict({name: tensor.detach().clone() for name, tensor in shift.held().items()})
        return net
