"""The diffusion autoencoder's training loss (Preechakul et al. 2022, Eq. 9): the noise, given z_sem of the face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emorph.diffusion.process import LossWeight, loss_weight, q_sample, training_target
from emorph.models.diffae import DiffAE, DiffAEConfig


class AutoencoderLoss(nn.Module):
    """The model and its loss in one module, so that every wrapper (DDP, compile, autocast) sees one forward."""

    def __init__(self, config: DiffAEConfig, weight: LossWeight) -> None:
        super().__init__()
        self.model = DiffAE(config)
        self.weight = weight

    def forward(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Loss of each face (B,). x0, noise: (B, C, S, S), x0 in [-1, 1]; t: int64 (B,)."""
        config, table = self.model.config, self.model.alphas_cumprod
        x_t = q_sample(x0, t, noise, table)
        raw = self.model.predict(x_t, t, self.model.encode(x0))
        target = training_target(x0, t, noise, table, config.prediction)
        errors = (raw.float() - target).square().mean(dim=(1, 2, 3))
        return errors * loss_weight(t, table, config.prediction, self.weight)


def draw(
    x0: Tensor, seed: int, step: int, n_train_steps: int, *, mirror: bool, rank: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrored faces, time steps and noise of one step, a function of (seed, step, rank) alone."""
    generator = torch.Generator().manual_seed(hash_seed(seed, step, rank))
    t = torch.randint(0, n_train_steps, (len(x0),), generator=generator)
    flip = torch.rand(len(x0), generator=generator) < (0.5 if mirror else 0.0)
    noise = torch.randn(x0.shape, generator=generator)
    flipped = torch.where(flip.to(x0.device)[:, None, None, None], x0.flip(-1), x0)
    return flipped, t.to(x0.device), noise.to(x0.device)


def hash_seed(*parts: int) -> int:
    """One 63-bit seed from several whole numbers (splitmix64 over each)."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ (part & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
