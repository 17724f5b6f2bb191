"""The bundled judge: a small network that names the emotion of a 48 px gray face."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from emorph.core.types import CropSpec
from emorph.models.emotion_labels import EmotionLabels
from emorph.models.sizes import check_pictures
from emorph.models.weights import PretrainedModule, save_model

KIND = "judge"


class JudgeConfig(EmotionLabels):
    """Sizes of a judge.

    labels: the emotions it tells apart, in the order of its outputs. channels: of each level; the side halves between
    levels. crop: the part of a face that its training pictures show.
    """

    image_size: int = Field(48, gt=0, le=512, description="Side of the pictures.")
    channels: tuple[int, ...] = Field((32, 64, 128, 192), min_length=1)
    num_res_blocks: int = Field(2, gt=0, le=16, description="Residual blocks at each resolution.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Before the last layer, while training.")
    crop: CropSpec = CropSpec()

    @model_validator(mode="after")
    def _sides_divide(self) -> Self:
        divisor = 2 ** len(self.channels)
        if self.image_size % divisor:
            raise ValueError(f"image_size {self.image_size} is not divisible by {divisor}, which channels asks for")
        return self


class Judge(PretrainedModule):
    """A residual network (He et al. 2016) that starts by folding 2x2 pixels into channels."""

    kind = KIND
    config_type = JudgeConfig
    config: JudgeConfig

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels[0]
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(4, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        blocks: list[nn.Module] = []
        for level, width in enumerate(config.channels):
            for i in range(config.num_res_blocks):
                blocks.append(_ResBlock(channels, width, stride=2 if level and not i else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels, len(config.labels))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, len(labels)) of gray faces x, float (B, 1, S, S) in [-1, 1]. Raises ShapeError.

        Each picture is brought to mean 0 and deviation 1 first: light and contrast are no expression.
        """
        check_pictures(x, 1, self.config.image_size, "this judge takes float pictures in [-1, 1]")
        x = (x - x.mean(dim=(1, 2, 3), keepdim=True)) / x.std(dim=(1, 2, 3), keepdim=True).clamp(min=0.05)
        features = self.blocks(F.relu(self.stem(x))).mean(dim=(2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> Tensor:
        """Probability of each label, (B, len(labels)), as the mean over the picture and its mirror image."""
        p: Tensor = (self(x).softmax(dim=1) + self(x.flip(-1)).softmax(dim=1)) / 2
        return p

    def save_pretrained(self, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all."""
        floats = {key: value for key, value in self.state_dict().items() if value.is_floating_point()}
        save_model(folder, KIND, self.config.model_dump(mode="json"), floats, dtype=dtype)

    @classmethod
    def from_pretrained(cls, name: str | Path = "emorph-judge") -> Self:
        """Load a folder of ``save_pretrained``, a bundled judge, or a hub id, in evaluation mode.

        Raises CheckpointError or UnknownNameError.
        """
        return super().from_pretrained(name).requires_grad_(False)


class _ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)  # the block starts as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        total: Tensor = F.relu(y + self.shortcut(x))
        return total
