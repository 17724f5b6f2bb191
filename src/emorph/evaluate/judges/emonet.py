"""EmoNet as a judge: the official file, and its classes in the order of ``Emotion``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import UInt8
from emorph.evaluate.judges.asked import CropPlan, PanelJudge
from emorph.evaluate.judges.digits import tensor_digits
from emorph.evaluate.judges.onnx_networks import EmotionReading
from emorph.models.emonet import SIDE_PX, EmoNet

MAX_BATCH = 16  # pictures in one run, which bounds its memory
TRAINED_ON = ("affectnet/train",)


@dataclass(frozen=True)
class EmoNetJudge:
    """EmoNet-8 or EmoNet-5, with valence and arousal."""

    model: EmoNet

    @classmethod
    def load(cls, n_classes: Literal[8, 5] = 8, path: Path | str | None = None) -> EmoNetJudge:
        """The judge from ``path``, or from emonet_8.pth or emonet_5.pth in the folder of judges.

        Raises MissingAssetError, with the place to get the file from, or CheckpointError.
        """
        file = present(f"emonet_{n_classes}").path if path is None else Path(path)
        model = EmoNet.from_file(file)
        if len(model.classes) != n_classes:
            raise CheckpointError(f"{file.name} has {len(model.classes)} classes, not {n_classes}.")
        return cls(model)

    @torch.inference_mode()
    def __call__(self, crops: UInt8) -> EmotionReading:
        """crops: uint8 (B, 256, 256, 3) RGB. Raises ShapeError."""
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (SIDE_PX, SIDE_PX, 3) or not len(crops):
            raise ShapeError(f"EmoNet takes uint8 (B, 256, 256, 3), found {crops.dtype} {crops.shape}.")
        device = next(self.model.parameters()).device
        probabilities = np.zeros((len(crops), len(Emotion)), dtype=np.float32)
        affect = np.zeros((2, len(crops)), dtype=np.float32)
        for start in range(0, len(crops), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            planes = torch.from_numpy(np.ascontiguousarray(crops[part].transpose(0, 3, 1, 2))).to(device)
            found = self.model(planes.float() / 255)
            probabilities[part, list(self.model.classes)] = found.logits.softmax(dim=1).cpu().numpy()
            affect[:, part] = torch.stack([found.valence, found.arousal]).clamp(-1, 1).cpu().numpy()
        return EmotionReading(probabilities, self.model.classes, *affect)


def load_8(threads: int) -> PanelJudge:
    """EmoNet-8 as a report asks it. threads: PyTorch's own setting counts. Raises as ``EmoNetJudge.load``."""
    return _asked(8)


def load_5(threads: int) -> PanelJudge:
    """EmoNet-5 as a report asks it. threads: PyTorch's own setting counts. Raises as ``EmoNetJudge.load``."""
    return _asked(5)


def _asked(n_classes: Literal[8, 5]) -> PanelJudge:
    judge, name = EmoNetJudge.load(n_classes), f"emonet_{n_classes}"
    emotions = tuple(judge.model.classes)
    return PanelJudge(
        id=f"{name}@{tensor_digits(judge.model)}",
        emotions=emotions,
        plan=CropPlan("emonet", SIDE_PX),
        answer=lambda crops: judge(crops).rows(emotions),
        trained_on=TRAINED_ON,
        has_va=True,
        card={"name": name, "kind": "emotion", "side_px": SIDE_PX, "classes": [e.word for e in emotions]},
    )
