"""EmoNet (Toisoul et al. 2021): expression, valence, arousal and 68 heat maps of a face in one pass.

A stem, two hourglasses that find the landmarks, and a head that looks at their features where the landmarks are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.models.weights import filled, read_state

SIDE_PX = 256
N_LANDMARKS = 68
DEPTH = 4  # an hourglass halves its 64 x 64 maps this often
CLASSES: Mapping[int, tuple[Emotion, ...]] = {
    8: tuple(Emotion),
    5: (Emotion.NEUTRAL, Emotion.HAPPY, Emotion.SAD, Emotion.SURPRISE, Emotion.ANGER),
}


@dataclass(frozen=True)
class EmoNetOutput:
    """logits: (B, n_classes), in the order of ``EmoNet.classes``. valence, arousal: (B,), not clamped to [-1, 1].

    heatmaps: (B, 68, 64, 64), one a landmark. features: (B, 256), before the last two layers.
    """

    logits: Tensor
    valence: Tensor
    arousal: Tensor
    heatmaps: Tensor
    features: Tensor


class EmoNet(nn.Module):
    """The network with 8 or 5 classes; keys and shapes equal the official files' (without a ``module.`` prefix)."""

    def __init__(self, n_classes: int = 8) -> None:
        super().__init__()
        if n_classes not in CLASSES:
            raise CheckpointError(f"EmoNet has 8 or 5 classes, not {n_classes}.")
        self.classes = CLASSES[n_classes]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = _Block(64, 128)
        self.conv3 = _Block(128, 128)
        self.conv4 = _Block(128, 256)
        for i in (0, 1):
            self.add_module(f"m{i}", _Hourglass())
            self.add_module(f"top_m_{i}", _Block(256, 256))
            self.add_module(f"conv_last{i}", nn.Conv2d(256, 256, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(256))
            self.add_module(f"l{i}", nn.Conv2d(256, N_LANDMARKS, 1))
            if i == 0:
                self.add_module("bl0", nn.Conv2d(256, 256, 1))
                self.add_module("al0", nn.Conv2d(N_LANDMARKS, 256, 1))
        self.conv1x1_input_emo_2 = nn.Conv2d(3 * 256, 256, 1)
        self.emo_net_2 = nn.Sequential()
        for _ in range(DEPTH):
            self.emo_net_2.append(_Block(256, 256))
            self.emo_net_2.append(nn.MaxPool2d(2))
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, n_classes + 2)
        )

    @classmethod
    def from_file(cls, path: Path | str) -> EmoNet:
        """The official emonet_8.pth or emonet_5.pth, in evaluation mode; which one is read off the weights.

        Raises CheckpointError if a tensor is missing, of another shape, or one too many: the official code would go on.
        """
        name = Path(path).name
        state = {key.replace("module.", ""): value for key, value in read_state(path).items()}
        last = state.get("emo_fc_2.3.bias")
        if last is None or last.ndim != 1 or len(last) - 2 not in CLASSES:
            found = "is missing" if last is None else f"has {tuple(last.shape)} numbers"
            raise CheckpointError(f"{name} is not EmoNet: emo_fc_2.3.bias must have 10 or 7 numbers and {found}.")
        return filled(lambda: cls(len(last) - 2), state, name).requires_grad_(False)

    def forward(self, x: Tensor) -> EmoNetOutput:
        """x: float (B, 3, 256, 256) RGB in [0, 1], without ImageNet's mean; a square crop of about 1.8 face boxes.

        Raises ShapeError for another shape.
        """
        if not x.is_floating_point() or x.ndim != 4 or tuple(x.shape[1:]) != (3, SIDE_PX, SIDE_PX):
            raise ShapeError(f"EmoNet takes float (B, 3, 256, 256) in [0, 1], found {x.dtype} {tuple(x.shape)}.")
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.conv4(self.conv3(F.max_pool2d(self.conv2(x), 2)))
        first, heatmaps = self._stage(0, x)
        first = self.get_submodule("bl0")(first)
        second, heatmaps = self._stage(1, x + first + self.get_submodule("al0")(heatmaps))
        attention = heatmaps.sum(dim=1, keepdim=True)
        seen = torch.cat([x, attention * first, attention * second], dim=1)
        features = self.emo_net_2(self.conv1x1_input_emo_2(seen)).mean(dim=(2, 3))
        found = self.emo_fc_2(features)
        return EmoNetOutput(found[:, :-2], found[:, -2], found[:, -1], heatmaps, features)

    def _stage(self, i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features and heat maps of one hourglass."""
        part = self.get_submodule
        x = part(f"top_m_{i}")(part(f"m{i}")(x))
        x = F.relu(part(f"bn_end{i}")(part(f"conv_last{i}")(x)))
        return x, part(f"l{i}")(x)


class _Block(nn.Module):
    """Three convolutions in a row whose outputs, half, quarter and quarter, are joined and added to the input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half, quarter = out_channels // 2, out_channels // 4
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample: nn.Sequential | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, out_channels, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu(self.bn1(x)))
        b = self.conv2(F.relu(self.bn2(a)))
        c = self.conv3(F.relu(self.bn3(b)))
        return torch.cat([a, b, c], dim=1) + (x if self.downsample is None else self.downsample(x))


class _Hourglass(nn.Module):
    """Down by halves and up again, with a skip connection at every level (Newell et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        for level in range(DEPTH, 0, -1):
            self.add_module(f"b1_{level}", _Block(256, 256))
            self.add_module(f"b2_{level}", _Block(256, 256))
        self.add_module("b2_plus_1", _Block(256, 256))
        for level in range(1, DEPTH + 1):
            self.add_module(f"b3_{level}", _Block(256, 256))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(DEPTH, x)

    def _level(self, level: int, x: Tensor) -> Tensor:
        part = self.get_submodule
        low = part(f"b2_{level}")(F.max_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else part("b2_plus_1")(low)
        low = part(f"b3_{level}")(low)
        skipped: Tensor = part(f"b1_{level}")(x)
        return skipped + F.interpolate(low, scale_factor=2, mode="nearest")
