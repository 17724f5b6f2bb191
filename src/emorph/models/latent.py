"""The latent net: a small diffusion model of z_sem itself, for new faces (Preechakul et al. 2022, App. A)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.diffusion.samplers import ddim_sample
from emorph.diffusion.schedule import Schedule
from emorph.models.blocks import timestep_embedding
from emorph.models.directions import LatentStats

# Of z_sem, x0 is not clamped and beta is constant (Preechakul et al. 2022, App. A)
LATENT_PROCESS = Schedule.constant(0.008)


class LatentNetConfig(Config):
    """Sizes of the latent net; the defaults are the official FFHQ-256 one's."""

    z_dim: int = Field(512, gt=0, description="Length of z_sem.")
    hidden: int = Field(2048, gt=0, description="Width of the layers.")
    num_layers: int = Field(10, gt=1, description="Layers, each of which sees z_sem again.")
    embed_dim: int = Field(512, gt=0, description="Length of what the layers are told of time.")
    time_channels: int = Field(64, gt=0, description="Channels of the time step's sines and cosines.")


class LatentNet(nn.Module):
    """An MLP whose every layer but the first sees the input again, modulated by time."""

    def __init__(self, config: LatentNetConfig) -> None:
        super().__init__()
        self.config = config
        self.time_embed = nn.Sequential(
            nn.Linear(config.time_channels, config.embed_dim),
            nn.SiLU(),
            nn.Linear(config.embed_dim, config.embed_dim),
        )
        widths = [config.z_dim] + [config.hidden + config.z_dim] * (config.num_layers - 1)
        layers: list[nn.Module] = [_ModulatedLinear(w, config.hidden, config.embed_dim) for w in widths[:-1]]
        layers.append(_LastLinear(widths[-1], config.z_dim))
        self.layers = nn.ModuleList(layers)

    def forward(self, z_t: Tensor, t: Tensor) -> Tensor:
        """The noise in z_t. z_t: (B, z_dim), normalised by the latent statistics; t: int64 (B,)."""
        time = self.time_embed(timestep_embedding(t, self.config.time_channels))
        h = z_t
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else torch.cat([h, z_t], dim=1), time)
        return h


class _ModulatedLinear(nn.Module):
    """Linear, × (1 + scale of time), LayerNorm, SiLU. The scale's linear is listed under two official names."""

    def __init__(self, n_in: int, n_out: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.linear_emb = nn.Linear(embed_dim, n_out)
        self.cond_layers = nn.Sequential(nn.SiLU(), self.linear_emb)
        self.norm = nn.LayerNorm(n_out)
        for linear in (self.linear, self.linear_emb):  # as officially
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return F.silu(self.norm(self.linear(x) * (1 + self.cond_layers(time))))


class _LastLinear(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


def sample_latents(net: LatentNet, stats: LatentStats, noise: Tensor, n_steps: int) -> Tensor:
    """z_sem (B, z_dim) of new faces, by DDIM from noise (B, z_dim)."""
    return stats.denormalise(ddim_sample(net, noise, LATENT_PROCESS.respaced(n_steps), clamp=False))
