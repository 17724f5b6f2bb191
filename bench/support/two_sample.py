"""Can a small network tell edits from real photos of people it never saw? The classifier two-sample test.

Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests. 0.5: edits cannot be told from photos.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE_PX = 96
N_STEPS, BATCH = 400, 32
N_FOLDS = 2


@dataclass(frozen=True)
class Exhibit:
    """A face brought to one size and place: (S, S, 3) in [0, 1]; whose it is, and whether it was edited."""

    patch: NDArray[np.float32]
    person: str
    edited: bool


def separability(exhibits: Sequence[Exhibit], *, seed: int = 0) -> float:
    """Area under the ROC curve of the network on the people it was not trained on, mean over the folds."""
    pictures = torch.stack([_small(exhibit.patch) for exhibit in exhibits])
    edited = torch.tensor([exhibit.edited for exhibit in exhibits])
    fold = torch.tensor([zlib.crc32(exhibit.person.encode()) % N_FOLDS for exhibit in exhibits])
    scores = []
    for held_out in range(N_FOLDS):
        network = _trained(pictures[fold != held_out], edited[fold != held_out], seed)
        with torch.inference_mode():
            answers = torch.cat([network(part)[:, 0] for part in torch.split(pictures[fold == held_out], 64)])
        scores.append(area(answers, edited[fold == held_out]))
    return float(np.mean(scores))


def area(answers: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve: how often a positive's answer is above a negative's, ties counted half."""
    above = answers[positive][:, None] - answers[~positive][None]
    return float(((above > 0).double() + 0.5 * (above == 0)).mean())


def _small(patch: NDArray[np.float32]) -> Tensor:
    picture = torch.from_numpy(patch).permute(2, 0, 1)[None]
    return F.interpolate(picture, size=(SIDE_PX, SIDE_PX), mode="area")[0] * 2 - 1


def _trained(pictures: Tensor, edited: Tensor, seed: int) -> nn.Module:
    """Both kinds come equally often, mirrored, shifted and in other light, so that these tell nothing."""
    torch.manual_seed(seed)
    network = _network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=N_STEPS)
    of_kind = [torch.nonzero(edited == kind)[:, 0] for kind in (False, True)]
    for _ in range(N_STEPS):
        rows = torch.cat([rows[torch.randint(len(rows), (BATCH // 2,))] for rows in of_kind])
        loss = F.binary_cross_entropy_with_logits(network(_varied(pictures[rows]))[:, 0], edited[rows].float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def _varied(x: Tensor) -> Tensor:
    x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
    x = x * (1 + 0.2 * torch.randn(len(x), 1, 1, 1)) + 0.2 * torch.randn(len(x), 1, 1, 1)
    dx, dy = torch.randint(-3, 4, (2,)).tolist()
    return x.roll((dy, dx), dims=(2, 3))


def _network() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 24), (24, 48), (48, 72), (72, 96)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(96, 1))
