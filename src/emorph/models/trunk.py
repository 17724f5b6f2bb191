"""A small convolutional network for faces, after ConvNeXt (Liu et al. 2022): depthwise 5x5, then two linear layers."""

from __future__ import annotations

import math

from pydantic import Field
from torch import Tensor, nn

from emorph.core.config import Config


class TrunkConfig(Config):
    """Sizes of a trunk. channels: of each level; the side is a quarter of the picture's first, and halves between.

    blocks: of each level. widen: of the hidden layer in a block.
    """

    channels: tuple[int, ...] = Field((64, 128, 256), min_length=1, max_length=5)
    blocks: int = Field(1, gt=0, le=16)
    widen: int = Field(2, gt=0, le=8)


class Trunk(nn.Module):
    """From gray pictures (B, 1, S, S) to features (B, channels[-1]) of about unit length.

    Longer ones would let a step of Adam in the layer above move its answers too far at once.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        first = config.channels[0]
        layers: list[nn.Module] = [
            nn.Conv2d(1, first // 2, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(first // 2, first, 3, stride=2, padding=1),
            nn.GroupNorm(1, first),
        ]
        before = first
        for level, width in enumerate(config.channels):
            if level:
                layers += [nn.GroupNorm(1, before), nn.Conv2d(before, width, 2, stride=2)]
            layers += [_Block(width, config.widen) for _ in range(config.blocks)]
            before = width
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(before)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C) of pictures (B, 1, S, S)."""
        features: Tensor = self.norm(self.layers(x).mean(dim=(2, 3)))
        return features / math.sqrt(features.shape[1])


class _Block(nn.Module):
    def __init__(self, width: int, widen: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv2d(width, widen * width, 1)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(widen * width, width, 1)
        nn.init.normal_(self.narrow.weight, std=0.01)  # the block starts nearly as its shortcut

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.narrow(self.act(self.wide(self.norm(self.around(x)))))
        return total
