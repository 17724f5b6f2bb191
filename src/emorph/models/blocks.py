"""The layers that the diffusion autoencoder and the rig are built from (ADM U-Net, Dhariwal & Nichol 2021, App. A)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.errors import ConfigError

Modulation = tuple[Tensor, Tensor | None]


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with 32 groups, fewer where there are fewer channels; eps 1e-5 (the checkpoints need it exactly).

    Raises ConfigError for more than 32 channels that are no multiple of 32.
    """
    if channels > 32 and channels % 32:
        raise ConfigError(
            f"a layer of {channels} channels has no 32 equal groups; use a multiple of 32 as model_channels."
        )
    return nn.GroupNorm(min(32, channels), channels)


def timestep_embedding(t: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of time steps, cosines first (Ho et al. 2020; Vaswani et al. 2017).

    t: (B,) in the original 0..999 steps, whole or fractional. Returns float32 (B, width).
    """
    half = width // 2
    frequencies = torch.exp(-math.log(max_period) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return F.pad(embedding, (0, width % 2))


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights of 0."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """Self-attention over the pixels of a feature map, with the "legacy" layout: heads first, then q, k, v."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ConfigError(f"num_heads {num_heads} does not divide the {channels} channels of an attention layer.")
        self.num_heads = num_heads
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W); returns the same shape."""
        b, c, h, w = x.shape
        tokens = self.norm(x).reshape(b, c, h * w)
        qkv = self.qkv(tokens).reshape(b, self.num_heads, 3, c // self.num_heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(2)
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended.transpose(-1, -2).reshape(b, c, h * w)
        projected: Tensor = self.proj_out(attended)
        return x + projected.reshape(b, c, h, w)


class Resample(nn.Module):
    """Halve (2x2 mean) or double (nearest) the side of a feature map; no weights."""

    def __init__(self, direction: str) -> None:
        super().__init__()
        self.direction = direction

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W); returns (B, C, H/2, W/2) or (B, C, 2H, 2W)."""
        if self.direction == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class PlainResBlock(nn.Module):
    """The encoder's residual block: norm, SiLU and one convolution; it takes no condition."""

    def __init__(self, in_channels: int, out_channels: int, *, resample: str | None = None) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            group_norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.resample = Resample(resample) if resample else nn.Identity()
        self.skip_connection: nn.Module = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in_channels, H, W)."""
        h = F.silu(self.in_layers[0](x), inplace=not torch.is_grad_enabled())
        y: Tensor = self.skip_connection(self.resample(x)) + self.in_layers[2](self.resample(h))
        return y


class ModulatedResBlock(nn.Module):
    """The U-Net's residual block, modulated by time and by z_sem (Preechakul et al. 2022, Eq. 7, AdaGN).

    Between its two convolutions: norm, × (1 + scale_t) + shift_t, × (1 + scale_z), and + shift_z with ``z_shifts`` (the
    rig's blocks). The modulation is handed in as one scale and shift, because
    (h s_t + b_t) g_z + b_z = h (s_t g_z) + (b_t g_z + b_z), and because a sampler needs each part only once: z's for a
    whole trajectory, time's for a whole batch.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embed_dim: int,
        z_dim: int,
        *,
        dropout: float = 0.0,
        resample: str | None = None,
        z_shifts: bool = False,
    ) -> None:
        super().__init__()
        self.z_shifts = z_shifts
        self.in_layers = nn.Sequential(
            group_norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed_dim, 2 * out_channels))
        self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(z_dim, (2 if z_shifts else 1) * out_channels))
        self.out_layers = nn.Sequential(
            group_norm(out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),  # the block starts as its skip connection
        )
        self.resample = Resample(resample) if resample else nn.Identity()
        self.skip_connection: nn.Module = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def z_modulation(self, z: Tensor) -> Modulation:
        """1 + scale of z_sem (B, Z), and its shift, None without ``z_shifts``; each (B, C, 1, 1)."""
        numbers = self.cond_emb_layers(z)[:, :, None, None]
        if not self.z_shifts:
            return 1 + numbers, None
        scale, shift = numbers.chunk(2, dim=1)
        return 1 + scale, shift

    def modulation(self, time: Tensor, by_z: Modulation) -> tuple[Tensor, Tensor]:
        """Scale and shift (B, C, 1, 1) of embedded time (B, E) and z together."""
        scale, shift = self.emb_layers(time)[:, :, None, None].chunk(2, dim=1)
        gain, offset = by_z
        scale, shift = (1 + scale) * gain, shift * gain
        return scale, shift if offset is None else shift + offset

    def forward(self, x: Tensor, modulation: tuple[Tensor, Tensor]) -> Tensor:
        """x: (B, in_channels, H, W); modulation: scale and shift, (B, out_channels, 1, 1)."""
        inplace = not torch.is_grad_enabled()
        h = F.silu(self.in_layers[0](x), inplace=inplace)
        h = self.in_layers[2](self.resample(h))
        scale, shift = modulation
        h = torch.addcmul(shift, self.out_layers[0](h), scale)
        h = self.out_layers[3](self.out_layers[2](F.silu(h, inplace=inplace)))
        y: Tensor = self.skip_connection(self.resample(x)) + h
        return y
