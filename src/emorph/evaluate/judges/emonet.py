"""EmoNet as a judge: the official file, the crop it expects, and its classes in the order of ``Emotion``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo, UInt8
from emorph.evaluate.judges.onnx_networks import EmotionReading
from emorph.models.emonet import SIDE_PX, EmoNet

CROP_SPAN = 1.8  # side of the square over the longer side of the landmarks' box
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


def emonet_crop(photo: Photo, landmarks: Landmarks) -> UInt8:
    """The square around the 68 points, uint8 (256, 256, 3) RGB, black outside the photo. Raises ShapeError."""
    low, high = landmarks.points.min(axis=0).astype(float), landmarks.points.max(axis=0).astype(float)
    side = CROP_SPAN * float((high - low).max())
    if not np.isfinite(side) or side < 1:
        raise ShapeError("expected finite landmarks that span a face; detect the face again.")
    scale = SIDE_PX / side
    centre = (low + high) / 2
    shift = (SIDE_PX - 1) / 2 - scale * centre  # pixel centres at whole numbers
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop: UInt8 = cv2.warpAffine(photo.pixels, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return crop
