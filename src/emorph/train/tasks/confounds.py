"""What differs between the faces of two classes without being expression, and how it is taken out of their means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from emorph.core.landmarks import EYES, NOSE_TIP
from emorph.data.store import FaceStore


def light_and_pose(x: Tensor, landmarks: Tensor | None) -> Tensor:
    """What light and head pose do to a face, standing for no expression: float (B, 4) or (B, 6).

    x: (B, C, S, S) in [-1, 1]: its mean, its contrast, its slopes across and down.
    landmarks (B, 68, 2): how far the nose tip is from the middle between the eyes, across and down.
    """
    gray = x.mean(dim=1)
    ramp = torch.linspace(-1, 1, gray.shape[-1])
    columns = [
        gray.mean(dim=(1, 2)),
        gray.std(dim=(1, 2)),
        (gray * ramp).mean(dim=(1, 2)),
        (gray * ramp[:, None]).mean(dim=(1, 2)),
    ]
    if landmarks is not None:
        nose = landmarks[:, NOSE_TIP] - landmarks[:, EYES].mean(dim=1)
        columns += [nose[:, 0], nose[:, 1]]
    return torch.stack(columns, dim=1).float()


def one_hot_columns(faces: FaceStore, names: Sequence[str]) -> Tensor:
    """Columns of words as float (N, n): a 0/1 column for every word but the first. Raises DataError."""
    parts = [torch.zeros(len(faces), 0)]
    for name in names:
        values = np.array([str(value) for value in faces.column(name)])
        parts.append(torch.from_numpy(values[:, None] == np.unique(values)[None, 1:]).float())
    return torch.cat(parts, dim=1)


def standardised(confounds: Tensor) -> Tensor:
    """Those of the confounds (N, n) that vary, with mean 0 and standard deviation 1."""
    centred = confounds - confounds.mean(dim=0)
    std = centred.square().mean(dim=0).sqrt()
    return (centred / std)[:, std > 1e-6]
