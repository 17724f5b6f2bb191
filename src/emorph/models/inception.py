"""Inception v3 up to its pooled features, as FID is computed with: the weights and the poolings of the first FID code.

Szegedy et al. 2016. Average pools leave the border out of the mean, and the last block pools the maximum, as in the
TensorFlow graph that published numbers were made with; torchvision's own Inception differs in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.errors import ShapeError
from emorph.models.weights import filled, read_state

SIDE_PX = 299
BN_EPS = 1e-3
_UNUSED = ("fc.", "AuxLogits.")  # of the file: the classifier

Pool = Literal["mean", "max", "halve"]


class _Conv(NamedTuple):
    """name: in the file. kernel: (height, width). stride 2 has no padding."""

    name: str
    out: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Step = _Conv | tuple[_Conv, _Conv]  # two at once lie side by side
Branch = tuple[Step, ...]


class Inception(nn.Module):
    """The network without its classifier; keys and shapes equal those of pt_inception-2015-12-05-6726825d.pth."""

    def __init__(self) -> None:
        super().__init__()
        stem = (
            _Conv("Conv2d_1a_3x3", 32, (3, 3), 2),
            _Conv("Conv2d_2a_3x3", 32, (3, 3)),
            _Conv("Conv2d_2b_3x3", 64, (3, 3)),
            _Conv("Conv2d_3b_1x1", 80),
            _Conv("Conv2d_4a_3x3", 192, (3, 3)),
        )
        channels = 3
        for conv in stem:
            padding = 1 if conv.name == "Conv2d_2b_3x3" else 0
            self.add_module(conv.name, _BasicConv(channels, conv, padding=padding))
            channels = conv.out
        self.mixed: list[str] = []
        for name, branches, pool in _blocks():
            block = _Mixed(channels, branches, pool)
            self.add_module(f"Mixed_{name}", block)
            self.mixed.append(f"Mixed_{name}")
            channels = block.n_out

    @classmethod
    def from_file(cls, path: Path | str) -> Inception:
        """In evaluation mode, without gradients. Raises CheckpointError."""
        state = {key: value for key, value in read_state(path).items() if not key.startswith(_UNUSED)}
        return filled(cls, state, Path(path).name).requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, 2048) of pictures, float (B, 3, H, W) in [-1, 1], resized to 299 px. Raises ShapeError."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
            raise ShapeError(f"Inception takes float (B, 3, H, W) in [-1, 1], found {tuple(pictures.shape)}.")
        x = F.interpolate(pictures, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            x = self.get_submodule(name)(x)
        x = F.max_pool2d(x, 3, stride=2)
        for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3"):
            x = self.get_submodule(name)(x)
        x = F.max_pool2d(x, 3, stride=2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def _blocks() -> list[tuple[str, tuple[Branch, ...], Pool]]:
    """(name, branches, pool) of all mixed blocks; names and widths are those of the file."""
    five, three = (5, 5), (3, 3)
    wide, high = (1, 7), (7, 1)

    def a(pool: int) -> tuple[Branch, ...]:
        return (
            (_Conv("branch1x1", 64),),
            (_Conv("branch5x5_1", 48), _Conv("branch5x5_2", 64, five)),
            (_Conv("branch3x3dbl_1", 64), _Conv("branch3x3dbl_2", 96, three), _Conv("branch3x3dbl_3", 96, three)),
            (_Conv("branch_pool", pool),),
        )

    def c(n: int) -> tuple[Branch, ...]:
        kernels = (high, wide, high, wide)
        double = [_Conv(f"branch7x7dbl_{i}", 192 if i == 5 else n, k) for i, k in enumerate(kernels, 2)]
        return (
            (_Conv("branch1x1", 192),),
            (_Conv("branch7x7_1", n), _Conv("branch7x7_2", n, wide), _Conv("branch7x7_3", 192, high)),
            (_Conv("branch7x7dbl_1", n), *double),
            (_Conv("branch_pool", 192),),
        )

    def fork(name: str) -> tuple[_Conv, _Conv]:
        return _Conv(f"{name}a", 384, (1, 3)), _Conv(f"{name}b", 384, (3, 1))

    down_6: tuple[Branch, ...] = (
        (_Conv("branch3x3", 384, three, 2),),
        (_Conv("branch3x3dbl_1", 64), _Conv("branch3x3dbl_2", 96, three), _Conv("branch3x3dbl_3", 96, three, 2)),
    )
    turned = (_Conv("branch7x7x3_1", 192), _Conv("branch7x7x3_2", 192, wide), _Conv("branch7x7x3_3", 192, high))
    down_7: tuple[Branch, ...] = (
        (_Conv("branch3x3_1", 192), _Conv("branch3x3_2", 320, three, 2)),
        (*turned, _Conv("branch7x7x3_4", 192, three, 2)),
    )
    last: tuple[Branch, ...] = (
        (_Conv("branch1x1", 320),),
        (_Conv("branch3x3_1", 384), fork("branch3x3_2")),
        (_Conv("branch3x3dbl_1", 448), _Conv("branch3x3dbl_2", 384, three), fork("branch3x3dbl_3")),
        (_Conv("branch_pool", 192),),
    )
    return [
        *((name, a(pool), "mean") for name, pool in (("5b", 32), ("5c", 64), ("5d", 64))),
        ("6a", down_6, "halve"),
        *((name, c(n), "mean") for name, n in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192))),
        ("7a", down_7, "halve"),
        ("7b", last, "mean"),
        ("7c", last, "max"),
    ]


class _BasicConv(nn.Module):
    def __init__(self, channels: int, conv: _Conv, *, padding: int | tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, conv.out, conv.kernel, conv.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(conv.out, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches side by side; the last one begins with the pool, or is the pool alone where the block halves."""

    def __init__(self, channels: int, branches: Sequence[Branch], pool: Pool) -> None:
        super().__init__()
        self.branches, self.pool = tuple(branches), pool
        self.n_out = channels if pool == "halve" else 0
        for branch in branches:
            width = channels
            for step in branch:
                convs = (step,) if isinstance(step, _Conv) else step
                for conv in convs:
                    height, across = conv.kernel
                    padding = ((height - 1) // 2, (across - 1) // 2) if conv.stride == 1 else 0
                    self.add_module(conv.name, _BasicConv(width, conv, padding=padding))
                width = sum(conv.out for conv in convs)
            self.n_out += width

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for branch in self.branches:
            y = self._pooled(x) if isinstance(branch[0], _Conv) and branch[0].name == "branch_pool" else x
            for step in branch:
                convs = (step,) if isinstance(step, _Conv) else step
                y = torch.cat([self.get_submodule(conv.name)(y) for conv in convs], dim=1)
            found.append(y)
        if self.pool == "halve":
            found.append(F.max_pool2d(x, 3, stride=2))
        return torch.cat(found, dim=1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "max":
            return F.max_pool2d(x, 3, stride=1, padding=1)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
