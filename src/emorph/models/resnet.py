"""ResNet-18 and ResNet-50 with torchvision's keys (He et al. 2015), the encoders of DECA, EMOCA and the rig."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Depth = Literal[18, 50]
BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class ResNet(nn.Module):
    """Pictures (B, 3, H, W) to features (B, n_features): 512 of ResNet-18, 2048 of ResNet-50.

    n_outputs: a linear layer ``fc`` follows, with so many outputs; None gives the features.
    width: channels of the first layer; another than 64 makes all layers narrower or wider alike.
    """

    def __init__(self, depth: Depth, n_outputs: int | None = None, *, width: int = 64) -> None:
        super().__init__()
        widens = depth == 50
        self.n_features = (32 if widens else 8) * width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        n_in, layers = width, []
        for level, n_blocks in enumerate(BLOCKS[depth]):
            n_inner = width << level
            blocks: list[nn.Module] = []
            for i in range(n_blocks):
                stride = 2 if level and i == 0 else 1
                block = _Bottleneck(n_in, n_inner, stride) if widens else _Basic(n_in, n_inner, stride)
                blocks.append(block)
                n_in = n_inner * (4 if widens else 1)
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.fc = nn.Linear(self.n_features, n_outputs) if n_outputs is not None else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(h)))).mean(dim=(2, 3))
        return features if self.fc is None else F.linear(features, self.fc.weight, self.fc.bias)


class _Basic(nn.Module):
    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(n_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    """The stride lies on the 3x3 convolution, as in torchvision."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(n_in, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(h)))))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and n_in == n_out:
        return None
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))
