"""Expression editing, trained for itself: Step 1 has edits recognised, Step 2 keeps the shape of the face.

A step draws faces, for each a target that it does not show and a strength. Its z_sem is edited by the very function
that the editor uses; what frozen networks say of the picture is the loss. The encoder stays as it is, so that the
directions go on being true.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emorph.train.tasks.expression_settings import ExpressionSettings, TargetsConfig
from emorph.train.tasks.expression_task import ExpressionTask

__all__ = ["ExpressionConfig", "TargetsConfig"]


class ExpressionConfig(ExpressionSettings):
    """A training run of expression editing; what it states is in ``ExpressionSettings``."""

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> ExpressionTask:
        return ExpressionTask(self, faces)
