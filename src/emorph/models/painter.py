"""The painter: a small diffusion model of the inside of a mouth, for what moving a photo's own pixels cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.errors import ShapeError
from emorph.core.pretrained import locate
from emorph.diffusion.process import eps_from, rates
from emorph.diffusion.samplers import ddim_sample
from emorph.diffusion.schedule import Schedule
from emorph.models.blocks import Attention, group_norm, timestep_embedding, zeroed
from emorph.models.sizes import fold, unfold
from emorph.models.weights import PretrainedModule

KIND = "painter"
PAINTER_FOLDER = "painter"
VIEW_CHANNELS = 7  # of ``view_of``
N_WISHES = 3  # of ``wishes``
WISH_SCALE = 8.0  # of these three beside over a hundred numbers that tell the time, so that they are heard early

# Brightness, red against blue, and green against both (orthonormal), with their mean and deviation inside mouths.
# Colours vary a tenth as much there as brightness does: noise as strong on each would leave nothing of them to see.
OPPONENTS = ((1 / 3**0.5,) * 3, (1 / 2**0.5, 0.0, -1 / 2**0.5), (1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5))
OPPONENT_MEAN = (-0.24, 0.30, 0.11)
OPPONENT_DEVIATION = (0.62, 0.18, 0.09)

Counts = Annotated[tuple[Annotated[int, Field(gt=0, le=1024)], ...], Field(min_length=1, max_length=6)]


class PainterConfig(Config):
    """Sizes of a painter.

    width_px, height_px: of the mouth's crop; weights of one size can start another. width_units: how wide that is on
    the face, in units of ``emorph.faces.mouth_crop.face_unit``. channels: of each level; the sides halve between
    levels. blocks: residual blocks of each level, on the way down and again on the way up (the deepest has them once).
    """

    width_px: int = Field(96, gt=0, le=1024)
    height_px: int = Field(72, gt=0, le=1024)
    width_units: float = Field(1.3, gt=0)
    patch_size: int = Field(2, gt=0, description="Side of the squares of pixels folded into channels.")
    channels: Counts = (32, 64, 128)
    blocks: Counts = (1, 1, 3)
    num_heads: int = Field(2, gt=0, description="Heads of each attention.")
    embed_dim: int = Field(128, gt=0, description="Length of what the blocks are told of time.")

    @model_validator(mode="after")
    def _sides_divide(self) -> Self:
        divisor = self.patch_size * 2 ** (len(self.channels) - 1)
        if self.width_px % divisor or self.height_px % divisor:
            raise ValueError(f"{self.width_px}x{self.height_px} px is not divisible by {divisor}, as channels asks for")
        if len(self.blocks) != len(self.channels):
            raise ValueError(f"blocks names {len(self.blocks)} levels, channels {len(self.channels)}")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the crop in pixels."""
        return self.width_px, self.height_px


def view_of(picture: Tensor, hidden: Tensor, kept: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
    """What a painter sees, (B, VIEW_CHANNELS, H, W).

    picture: (B, 3, H, W) in about [-1, 1], the moved crop. The rest (B, 1, H, W): hidden, 1 where it paints; kept, in
    [0, 1], how far it sees the old picture there; inner, outer: the lips that it is to paint.
    """
    seen = picture * (1 - hidden + hidden * kept)
    return torch.cat([seen, hidden, hidden * kept, inner, outer], dim=1)


def wishes(sharpness: Tensor, light: Tensor, known: Tensor) -> Tensor:
    """What is asked of a painting beyond its lips, (B, N_WISHES).

    sharpness: (B,), log2 of the photo's pixels per crop pixel, at most 0. light: (B,), mean brightness inside the lips
    over that around them: 0.3 is the dark of an open mouth, 1 teeth. known: (B,), 0 leaves the light to the painter.
    """
    return torch.stack([sharpness, known * light, known], dim=1)


class Painter(PretrainedModule):
    """A U-Net on the hidden part of a mouth, which predicts v (Salimans & Ho 2022) of a cosine schedule."""

    kind = KIND
    config_type = PainterConfig
    config: PainterConfig

    def __init__(self, config: PainterConfig) -> None:
        super().__init__()
        self.config = config
        folded = (3 + VIEW_CHANNELS) * config.patch_size**2
        widths, counts, embed = config.channels, config.blocks, config.embed_dim
        self.embed = nn.Sequential(nn.Linear(embed + N_WISHES, embed), nn.SiLU(), nn.Linear(embed, embed))
        self.stem = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.down = nn.ModuleList([_blocks(width, n, embed) for width, n in zip(widths, counts, strict=True)])
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths)])
        self.attention = Attention(widths[-1], config.num_heads)
        self.merge = nn.ModuleList([nn.Conv2d(a + b, a, 1) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([_blocks(width, n, embed) for width, n in zip(widths[:-1], counts[:-1], strict=True)])
        last = zeroed(nn.Conv2d(widths[0], 3 * config.patch_size**2, 3, padding=1))
        self.out = nn.Sequential(group_norm(widths[0]), nn.SiLU(), last)
        self.diffusion = Schedule.cosine()
        # on the CPU also inside torch.device("meta"), where models are built to be filled from a file
        self.register_buffer("rates", rates(self.diffusion), persistent=False)
        opponents = [torch.tensor(each, device="cpu") for each in (OPPONENTS, OPPONENT_MEAN, OPPONENT_DEVIATION)]
        for name, values in zip(("opponents", "mean", "deviation"), opponents, strict=True):
            self.register_buffer(name, values, persistent=False)
        self.rates: Tensor
        self.opponents: Tensor
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, x_t: Tensor, t: Tensor, view: Tensor, wish: Tensor) -> Tensor:
        """v of x_t, (B, 3, H, W); only what it says of the hidden part counts.

        x_t: (B, 3, H, W), noised pictures of ``from_rgb``, of which it sees the hidden part alone; t: int64 (B,) in
        [0, 1000); view: of ``view_of``; wish: of ``wishes``. Raises ShapeError.
        """
        self._check(x_t, view)
        hidden = view[:, 3:4]
        time = timestep_embedding(t, self.config.embed_dim).to(wish.dtype)
        condition = self.embed(torch.cat([time, WISH_SCALE * wish], dim=1))
        x = self.stem(fold(torch.cat([x_t * hidden, view], dim=1), self.config.patch_size))
        skips = []
        for level, blocks in enumerate(self.down):
            x = _through(blocks, x, condition)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
            else:
                x = self.attention(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips[level], F.interpolate(x, scale_factor=2.0)], dim=1))
            x = _through(self.up[level], x, condition)
        return unfold(self.out(x), self.config.patch_size)

    def from_rgb(self, picture: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in about [-1, 1] as they are diffused: brightness and two colours, of one variance."""
        turned = torch.einsum("kc,bchw->bkhw", self.opponents, picture)
        return (turned - self.mean[:, None, None]) / self.deviation[:, None, None]

    def to_rgb(self, diffused: Tensor) -> Tensor:
        """The inverse of ``from_rgb``."""
        turned = diffused * self.deviation[:, None, None] + self.mean[:, None, None]
        return torch.einsum("kc,bkhw->bchw", self.opponents, turned)

    @torch.inference_mode()
    def paint(self, view: Tensor, wish: Tensor, noise: Tensor, *, steps: int = 8) -> Tensor:
        """The picture with its hidden part painted, (B, 3, H, W), in ``steps`` evaluations of DDIM.

        view, wish: as for ``forward``. noise: (B, 3, H, W), standard normal.
        """
        self._check(noise, view)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            return eps_from(self(x_t, t, view, wish), x_t, t, self.rates, "v")

        painted = ddim_sample(denoise, noise, trailing(self.diffusion, steps), clamp=False)
        hidden = view[:, 3:4]
        return self.to_rgb(painted) * hidden + view[:, :3] * (1 - hidden)

    def deeper(self, blocks: Sequence[int]) -> Painter:
        """A painter with more blocks a level that paints the same: new ones begin as their shortcut, to be trained.

        blocks: as of ``PainterConfig``. Raises ShapeError for fewer than there are.
        """
        if len(blocks) != len(self.config.blocks) or any(
            a < b for a, b in zip(blocks, self.config.blocks, strict=True)
        ):
            raise ShapeError(f"expected at least {self.config.blocks} blocks, found {tuple(blocks)}.")
        grown = Painter(self.config.model_copy(update={"blocks": tuple(blocks)}))
        grown.load_state_dict({**grown.state_dict(), **self.state_dict()})
        return grown

    def _check(self, x_t: Tensor, view: Tensor) -> None:
        height, width = self.config.height_px, self.config.width_px
        for tensor, channels in ((x_t, 3), (view, VIEW_CHANNELS)):
            if tensor.ndim != 4 or tensor.shape[1:] != (channels, height, width) or not tensor.is_floating_point():
                raise ShapeError(
                    f"this painter takes float pictures of shape (B, {channels}, {height}, {width}); "
                    f"found {tensor.dtype} {tuple(tensor.shape)}."
                )


def trailing(schedule: Schedule, steps: int) -> Schedule:
    """The process on ``steps`` even time steps that end with its last (Lin et al. 2023, Table 2).

    Even spacing that includes the first step, too, spends an evaluation on a picture without noise.
    """
    even = schedule.respaced(steps + 1, spacing="even")
    alpha_bars = even.alphas_cumprod[1:]
    betas = 1.0 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
    return Schedule(even.timesteps[1:], betas, even.n_train_steps)


def painter_beside(name: str | Path) -> Painter | None:
    """The painter that lies in ``painter`` in a model's folder, or beside its file; None without any.

    Raises as ``Painter.from_pretrained``.
    """
    folder = painter_folder(name)
    return Painter.from_pretrained(folder) if folder else None


def painter_folder(name: str | Path) -> Path | None:
    """Where the painter of a model lies, also of a run's checkpoint; None without any. Raises as ``locate``."""
    place = locate(name)
    beside = place if place.is_dir() else place.parent
    return next((path for path in (beside / PAINTER_FOLDER, beside / "ema" / PAINTER_FOLDER) if path.is_dir()), None)


class _ResBlock(nn.Module):
    """Two convolutions; between them the condition scales and shifts each channel (FiLM)."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))  # the block starts as its shortcut
        self.condition = nn.Linear(embed_dim, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (B, C, H, W); condition: (B, embed_dim)."""
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        y: Tensor = x + self.conv2(F.silu(h))
        return y


def _blocks(channels: int, n: int, embed_dim: int) -> nn.ModuleList:
    return nn.ModuleList([_ResBlock(channels, embed_dim) for _ in range(n)])


def _through(blocks: nn.Module | Sequence[nn.Module], x: Tensor, condition: Tensor) -> Tensor:
    for block in blocks:  # type: ignore[union-attr]
        x = block(x, condition)
    return x
