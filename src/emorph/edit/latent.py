"""Where z_sem shall go for an emotion: moving faces along what the linear classifier knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from emorph.core.errors import UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.types import Target
from emorph.models.directions import Directions, move

# The amplitude of the official notebook for its "Smiling", in units of sqrt(z_dim); strength 1 where class means are
# not known (Preechakul et al. 2022, manipulate notebook).
OFFICIAL_AMPLITUDE = 0.3


def editable(directions: Directions) -> list[Emotion]:
    """The emotions that these directions know, in AffectNet's order."""
    found = {emotion for emotion in map(_emotion, directions.labels) if emotion is not None}
    return sorted(found)


def check_known(directions: Directions, emotions: Iterable[Emotion]) -> None:
    """Raises UnknownNameError for the first emotion that the directions do not know."""
    for emotion in emotions:
        _row(directions, emotion)


def edited_codes(z: Tensor, directions: Directions, targets: Sequence[Target]) -> Tensor:
    """z_sem of every face for every target.

    z: (B, z_dim). Returns (B, n_targets, z_dim); strength 0 gives z itself.
    With class means (our own directions), the step leads from the mean of what the classifier sees in the face now to
    the mean of the target's class: the present expression goes as the new one comes, and a face that shows the target
    already stays. Along class means rather than weight vectors, because weights are filters: they tell classes apart,
    but faces do not vary along them (Haufe et al. 2014).
    Without class means (official attribute classifiers), z moves along the weight vector as the official code does.
    Raises UnknownNameError for an emotion that the directions do not know.
    """
    rows = [_row(directions, target.emotion) for target in targets]
    if directions.means is None:
        moved = [
            move(z, directions.weight[row], OFFICIAL_AMPLITUDE * target.strength, directions.stats)
            if target.strength
            else z
            for row, target in zip(rows, targets, strict=True)
        ]
        return torch.stack(moved, dim=1)
    seen_now = torch.softmax(directions.logits(z), dim=-1) @ directions.means
    strength = torch.tensor([target.strength for target in targets], dtype=z.dtype, device=z.device)[:, None]
    step = strength * directions.gain * (directions.means[rows] - seen_now[:, None])
    moved_all = directions.stats.denormalise(directions.stats.normalise(z)[:, None] + step)
    return torch.where(strength == 0, z[:, None], moved_all)


def _row(directions: Directions, emotion: Emotion) -> int:
    for i, label in enumerate(directions.labels):
        if _emotion(label) == emotion:
            return i
    raise UnknownNameError("emotion", emotion.word, [e.word for e in editable(directions)])


def _emotion(label: str) -> Emotion | None:
    try:
        return Emotion.parse(label)
    except UnknownNameError:
        return None
