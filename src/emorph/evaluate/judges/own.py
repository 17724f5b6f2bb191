"""emorph's own judge of emotions: the crop it takes, and its answers for many crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from emorph.core.images import luminance, to_tensor
from emorph.core.types import Float64, Landmarks, Photo
from emorph.faces.align import align
from emorph.models.backends.exported_judge import ExportedJudge
from emorph.models.judge import Judge

BATCH = 128


def crop_for(judge: Judge | ExportedJudge, photo: Photo, landmarks: Landmarks) -> Tensor:
    """A face as the judge takes it, float (1, S, S) in [-1, 1]."""
    face = align(photo, landmarks, judge.config.image_size, judge.config.crop)
    return luminance(to_tensor(face.pixels[None]))[0]


def judge_crops(judge: Judge | ExportedJudge, crops: Sequence[Tensor]) -> Float64:
    """Probability of each of the judge's labels for crops (1, S, S); (n, n_labels)."""
    found = [judge.probabilities(torch.stack(list(crops[i : i + BATCH]))) for i in range(0, len(crops), BATCH)]
    if not found:
        return np.zeros((0, len(judge.config.labels)))
    probabilities: Float64 = torch.cat(found).double().numpy()
    return probabilities
