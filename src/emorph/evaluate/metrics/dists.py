"""DISTS (Ding et al. 2020): structure and texture of two pictures compared in VGG16's features.

Unlike LPIPS it forgives texture that is of the same kind but not in the same place: skin, hair, grass.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.unpickle import read_torch_file
from emorph.evaluate.metrics.lpips import SCALE, SHIFT, backbone_file, vgg16_layers
from emorph.evaluate.metrics.metric import Network
from emorph.evaluate.metrics.ranges import signed

WIDTHS = (3, 64, 128, 256, 512, 512)  # of the compared maps: the picture itself, then the last ReLU of each stage
LEAST_PX = 32  # four times halved, two pixels are left
POOL_EPS = 1e-12
C1 = C2 = 1e-6


class DISTS(nn.Module):
    """VGG16's convolutions with smooth pooling, and a weight of mean and of correlation for each of 1,475 maps.

    Keys: ``features.N.weight`` and ``.bias`` as torchvision's; ``alpha`` and ``beta`` as in DISTS' weights.pt.
    """

    shift: Tensor
    scale: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        channels = 3
        for i, layer in enumerate(vgg16_layers()):
            if isinstance(layer, tuple):
                out, kernel, stride, padding = layer
                self.features[str(i)] = nn.Conv2d(channels, out, kernel, stride, padding)
                channels = out
        self.alpha = nn.Parameter(torch.zeros(1, sum(WIDTHS), 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, sum(WIDTHS), 1, 1))
        row = torch.hann_window(5, periodic=False)[1:-1]
        window = torch.outer(row, row)
        self.register_buffer("window", (window / window.sum()).view(1, 1, 3, 3), persistent=False)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def from_files(cls, backbone: Path | str, weights: Path | str) -> DISTS:
        """backbone: torchvision's vgg16 file. weights: DISTS' weights.pt. Raises CheckpointError."""
        model = cls()
        model.load(
            read_torch_file(backbone), read_torch_file(weights), f"{Path(backbone).name} or {Path(weights).name}"
        )
        return model

    def load(
        self, backbone: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str = "the state dict"
    ) -> None:
        """Take what is needed, check it all, switch to evaluation. Raises CheckpointError."""
        if not isinstance(backbone, dict) or not isinstance(weights, dict):
            raise CheckpointError(f"{source} holds no state dict.")
        state = backbone | weights
        for key, own in self.state_dict().items():
            value = state.get(key)
            if not isinstance(value, Tensor) or value.shape != own.shape:
                found = tuple(value.shape) if isinstance(value, Tensor) else "nothing"
                raise CheckpointError(f"{source} does not fit DISTS: {key} must be {tuple(own.shape)}, found {found}.")
        if bool((state["alpha"] < 0).any() or (state["beta"] < 0).any()):
            raise CheckpointError(f"{source} does not fit DISTS: its weights must not be negative.")
        self.load_state_dict({key: state[key] for key in self.state_dict()})
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair, (B,), in [0, 1], 0 for equal pictures; a, b: as for ``dists``, in [-1, 1]."""
        for x in (a, b):
            if not x.is_floating_point() or x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
                raise ShapeError(f"expected float (B, 3, H, W) or (B, 1, H, W), found {x.dtype} {tuple(x.shape)}.")
            if min(x.shape[2:]) < LEAST_PX:
                raise ShapeError(f"DISTS needs pictures of at least {LEAST_PX} px, found {x.shape[3]}x{x.shape[2]} px.")
            if not float(x.abs().max()) <= 1.5:  # noise may leave the range a little
                raise ShapeError(f"expected values in [-1, 1], found up to {float(x.abs().max()):.3g}.")
        if a.shape != b.shape:
            raise ShapeError(f"expected two batches of one shape, found {tuple(a.shape)} and {tuple(b.shape)}.")
        weight = self.alpha.sum() + self.beta.sum()
        alphas, betas = (torch.split(w / weight, list(WIDTHS), dim=1) for w in (self.alpha, self.beta))
        likeness = torch.zeros(len(a), device=a.device)
        for x, y, alpha, beta in zip(self._maps(a), self._maps(b), alphas, betas, strict=True):
            mean_x, mean_y = x.mean(dim=(2, 3), keepdim=True), y.mean(dim=(2, 3), keepdim=True)
            texture = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
            var_x, var_y = ((z - m).square().mean(dim=(2, 3), keepdim=True) for z, m in ((x, mean_x), (y, mean_y)))
            covariance = ((x - mean_x) * (y - mean_y)).mean(dim=(2, 3), keepdim=True)
            structure = (2 * covariance + C2) / (var_x + var_y + C2)
            likeness = likeness + (alpha * texture + beta * structure).sum(dim=(1, 2, 3))
        return (1 - likeness).clamp(min=0)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """The picture in [0, 1], and the maps of the five stages."""
        x = x.float().expand(-1, 3, -1, -1)
        found = [x / 2 + 0.5]
        x = (x - self.shift) / self.scale
        for i, layer in enumerate(vgg16_layers()):
            if layer == "pool2":
                found.append(x)
                x = self._pooled(x)
            else:
                x = F.relu(x) if layer == "relu" else self.features[str(i)](x)
        return [*found, x]

    def _pooled(self, x: Tensor) -> Tensor:
        """Root mean squares under a small window, at every second place: no aliasing, unlike a maximum."""
        window = self.window.expand(x.shape[1], -1, -1, -1)
        energy = F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1])
        return (energy + POOL_EPS).sqrt()


def dists(a: Tensor, b: Tensor, *, net: DISTS | None = None, data_range: float | None = None) -> Tensor:
    """Structure and texture distance of each pair of pictures, (B,), in [0, 1]; 0 is equal.

    a, b: float (B, 3, H, W) RGB or (B, 1, H, W) gray, at least 32 px a side; its authors compare pictures whose shorter
    side is 256 px. data_range: as for ``emorph.evaluate.lpips``. net: a loaded one; by default the user's copies of
    vgg16 and DISTS' weights.
    Raises ShapeError, MissingAssetError, CheckpointError.
    """
    with torch.inference_mode():
        model = net if net is not None else _loaded(str(backbone_file("vgg")), str(present("dists").path))
        distance: Tensor = model.to(a.device)(*signed(a, b, data_range))
        return distance


def on_disk() -> Network:
    """DISTS from the user's files. Raises MissingAssetError, CheckpointError."""
    files = (backbone_file("vgg"), present("dists").path)
    return Network(DISTS.from_files(*files), files)


@functools.lru_cache(maxsize=1)
def _loaded(backbone: str, weights: str) -> DISTS:
    return DISTS.from_files(backbone, weights)
