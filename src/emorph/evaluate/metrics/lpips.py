"""LPIPS (Zhang et al. 2018), version 0.1: how different two pictures look to a network's features."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.assets import home
from emorph.core.downloads import download, how_to_get
from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError, UnknownNameError
from emorph.core.unpickle import read_torch_file
from emorph.evaluate.metrics.metric import Network
from emorph.evaluate.metrics.ranges import signed

Net = Literal["alex", "vgg"]
Layer = tuple[int, int, int, int] | Literal["relu", "pool2", "pool3"]  # a convolution: out, kernel, stride, padding

SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation, for pictures in [-1, 1]
SCALE = (0.458, 0.448, 0.450)
NORM_EPS = 1e-10  # added after the square root


@dataclass(frozen=True)
class _Facts:
    """A feature stack: its layers in torchvision's order, where taps lie, the least picture, and its file's name."""

    layers: tuple[Layer, ...]
    taps: tuple[int, ...]
    least_px: int
    backbone_file: str


# fmt: off
_ALEXNET: tuple[Layer, ...] = (
    (64, 11, 4, 2), "relu", "pool3", (192, 5, 1, 2), "relu", "pool3",
    (384, 3, 1, 1), "relu", (256, 3, 1, 1), "relu", (256, 3, 1, 1), "relu",
)
# fmt: on


def vgg16_layers() -> tuple[Layer, ...]:
    """VGG16's convolutions, in torchvision's numbering, up to the last ReLU."""
    layers: list[Layer] = []
    for channels, n_convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(n_convolutions):
            layers += [(channels, 3, 1, 1), "relu"]
        layers.append("pool2")
    return tuple(layers[:-1])


_NETS: dict[str, _Facts] = {
    "alex": _Facts(
        layers=_ALEXNET,
        taps=(1, 4, 7, 9, 11),
        least_px=31,
        backbone_file="alexnet-owt-7be5be79.pth",
    ),
    "vgg": _Facts(
        layers=vgg16_layers(),
        taps=(3, 8, 15, 22, 29),
        least_px=16,
        backbone_file="vgg16-397923af.pth",
    ),
}


class LPIPS(nn.Module):
    """A feature stack and the five learned weightings of its taps.

    Keys: ``features.N.weight`` and ``.bias`` as torchvision's, ``linK.model.1.weight`` as lpips'.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Net = "alex") -> None:
        super().__init__()
        facts = _facts(net)
        self.net, self.taps, self.least_px = net, facts.taps, facts.least_px
        self.features = nn.Sequential()
        channels, widths = 3, []
        for i, layer in enumerate(facts.layers):
            if isinstance(layer, tuple):
                out, kernel, stride, padding = layer
                self.features.append(nn.Conv2d(channels, out, kernel, stride, padding))
                channels = out
            elif layer == "relu":
                self.features.append(nn.ReLU())
            else:
                self.features.append(nn.MaxPool2d(int(layer[-1]), stride=2))
            if i in facts.taps:
                widths.append(channels)
        for k, width in enumerate(widths):
            head = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))
            self.add_module(f"lin{k}", nn.ModuleDict({"model": head}))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def from_files(cls, net: Net, backbone: Path | str, heads: Path | str) -> LPIPS:
        """backbone: torchvision's ImageNet file. heads: lpips' weights/v0.1/NET.pth. Raises CheckpointError."""
        model = cls(net)
        model.load(read_torch_file(backbone), read_torch_file(heads), f"{Path(backbone).name} or {Path(heads).name}")
        return model

    def load(self, backbone: Mapping[str, Tensor], heads: Mapping[str, Tensor], source: str = "the state dict") -> None:
        """Take the weights that are needed (of the backbone, ``features.*``), check them all, switch to evaluation.

        The two may be one, also the whole state dict of lpips' own module (``net.sliceK.N.weight``).
        """
        state: dict[str, Tensor] = {}
        for content in (backbone, heads):
            if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
                raise CheckpointError(f"{source} holds no state dict.")
            state |= {re.sub(r"^net\.slice\d\.", "features.", str(key)): value for key, value in content.items()}
        for key, own in self.state_dict().items():
            if key not in state or state[key].shape != own.shape:
                found = tuple(state[key].shape) if key in state else "nothing"
                raise CheckpointError(
                    f"{source} does not fit LPIPS {self.net}: {key} must be {tuple(own.shape)}, found {found}."
                )
        if any(bool((state[f"lin{k}.model.1.weight"] < 0).any()) for k in range(len(self.taps))):
            raise CheckpointError(f"{source} does not fit LPIPS: its heads have negative weights, so are not v0.1's.")
        self.load_state_dict({key: state[key] for key in self.state_dict()})
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair, (B,), 0 for equal pictures; a, b: as for ``lpips``, in [-1, 1]."""
        return self.by_layer(a, b).sum(dim=1)

    def by_layer(self, a: Tensor, b: Tensor) -> Tensor:
        """The five summands of each pair's distance, (B, 5)."""
        return torch.stack([d.mean(dim=(1, 2, 3)) for d in self._differences(a, b)], dim=1)

    def map(self, a: Tensor, b: Tensor) -> Tensor:
        """Where the pictures differ, (B, 1, H, W): the summands' maps enlarged bilinearly and added."""
        side = a.shape[2:]
        maps = [F.interpolate(d, side, mode="bilinear", align_corners=False) for d in self._differences(a, b)]
        return torch.stack(maps).sum(dim=0)

    def _differences(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """A map (B, 1, h, w) for each tap."""
        a, b = self._checked(a), self._checked(b)
        if a.shape != b.shape:
            raise ShapeError(f"expected two batches of one shape, found {tuple(a.shape)} and {tuple(b.shape)}.")
        found: list[Tensor] = []
        n = len(a)
        x = (torch.cat([a, b]) - self.shift) / self.scale
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + NORM_EPS)
                weight = self.get_parameter(f"lin{len(found)}.model.1.weight")
                found.append(F.conv2d((unit[:n] - unit[n:]).square(), weight))
        return found

    def _checked(self, x: Tensor) -> Tensor:
        if not x.is_floating_point() or x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
            raise ShapeError(f"expected float (B, 3, H, W) or (B, 1, H, W), found {x.dtype} {tuple(x.shape)}.")
        if min(x.shape[2:]) < self.least_px:
            raise ShapeError(
                f"LPIPS {self.net} needs pictures of at least {self.least_px} px, found {x.shape[3]}x{x.shape[2]} px."
            )
        if not float(x.abs().max()) <= 1.5:  # noise may leave the range a little
            raise ShapeError(f"expected values in [-1, 1], found up to {float(x.abs().max()):.3g}.")
        return x.float().expand(-1, 3, -1, -1)


def lpips(a: Tensor, b: Tensor, *, net: Net | LPIPS = "alex", data_range: float | None = None) -> Tensor:
    """The perceptual distance of each pair of pictures, (B,); 0 is equal, unbounded above, rarely over 1.

    a, b: float (B, 3, H, W) RGB or (B, 1, H, W) gray; at least 31 px a side for alex, 16 px for vgg.
    data_range: 2 for pictures in [-1, 1], 1 for [0, 1], 255 for levels; the value is the same in each. Without a word
    they are taken to be in [-1, 1], and refused where nothing is below 0, as in pictures from 0 to 1.
    net: "alex" and "vgg" are found where torchvision and lpips keep their files, see ``find_files``; or a loaded LPIPS.
    Name the net beside the number: the two are different scales. Raises ShapeError, MissingAssetError, CheckpointError.
    """
    with torch.inference_mode():
        model = net if isinstance(net, LPIPS) else _loaded(*(str(path) for path in find_files(net)), net=net)
        distance: Tensor = model.to(a.device)(*signed(a, b, data_range))
        return distance


def lpips_alex(a: Tensor, b: Tensor, *, data_range: float | None = None) -> Tensor:
    """``lpips`` with AlexNet's features."""
    return lpips(a, b, net="alex", data_range=data_range)


def lpips_vgg(a: Tensor, b: Tensor, *, data_range: float | None = None) -> Tensor:
    """``lpips`` with VGG16's features."""
    return lpips(a, b, net="vgg", data_range=data_range)


def alex_on_disk() -> Network:
    """LPIPS with AlexNet's features, from the user's files. Raises MissingAssetError, CheckpointError."""
    return _on_disk("alex")


def vgg_on_disk() -> Network:
    """LPIPS with VGG16's features, from the user's files. Raises MissingAssetError, CheckpointError."""
    return _on_disk("vgg")


def _on_disk(net: Net) -> Network:
    files = find_files(net)
    return Network(LPIPS.from_files(net, *files), files)


def find_files(net: Net) -> tuple[Path, Path]:
    """The user's copies of torchvision's and lpips' files: (backbone, heads).

    Looked for in $EMORPH_HOME/lpips, then in torch hub's checkpoints, and in an installed lpips package.
    Raises MissingAssetError, naming where to get the missing one.
    """
    own = home() / "lpips"
    spec = importlib.util.find_spec("lpips")
    packages = list(spec.submodule_search_locations or []) if spec is not None else []
    heads = [own / f"{net}.pth", *(Path(folder) / "weights" / "v0.1" / f"{net}.pth" for folder in packages)]
    return backbone_file(net), _first(heads, f"lpips-heads-{net}", ", or with pip install lpips")


def backbone_file(net: Net) -> Path:
    """torchvision's file: in $EMORPH_HOME/lpips, or in torch hub's checkpoints. Raises MissingAssetError."""
    name = _facts(net).backbone_file
    hub = Path(os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch") / "hub" / "checkpoints"
    return _first([home() / "lpips" / name, hub / name], "lpips-alexnet" if net == "alex" else "lpips-vgg16")


def _first(places: list[Path], asset: str, elsewhere: str = "") -> Path:
    for place in places:
        if place.is_file():
            return place
    raise MissingAssetError(f"{places[0].name} is not here: {how_to_get(download(asset))}{elsewhere}.")


@functools.lru_cache(maxsize=2)
def _loaded(backbone: str, heads: str, net: Net) -> LPIPS:
    return LPIPS.from_files(net, backbone, heads)


def _facts(net: str) -> _Facts:
    if net not in _NETS:
        raise UnknownNameError("LPIPS net", net, _NETS)
    return _NETS[net]
