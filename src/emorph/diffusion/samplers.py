"""Samplers and their inversions. Each is one plain function: denoise(x_t, t) -> eps, a start, a schedule.

``t`` is int64 (B,), a step of the original process. ``on_step(i, x, x0)`` is called after each of the n steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from emorph.diffusion.schedule import Schedule

Denoise = Callable[[Tensor, Tensor], Tensor]
OnStep = Callable[[int, Tensor, Tensor], None]


def ddim_sample(
    denoise: Denoise, x_T: Tensor, schedule: Schedule, *, clamp: bool = True, on_step: OnStep | None = None
) -> Tensor:
    """Deterministic DDIM from noise to data (Song et al. 2021, Eq. 12, eta = 0).

    x_T: (B, ...). clamp keeps every predicted x0 in [-1, 1]. Returns x0, (B, ...).
    """
    alpha_bars_prev = np.concatenate([[1.0], schedule.alphas_cumprod[:-1]])
    return _ddim(denoise, x_T, schedule, range(len(schedule))[::-1], alpha_bars_prev, clamp, on_step)


def ddim_invert(
    denoise: Denoise, x0: Tensor, schedule: Schedule, *, clamp: bool = True, on_step: OnStep | None = None
) -> Tensor:
    """DDIM run backwards, from data to the noise that holds it (Preechakul et al. 2022, Eq. 8).

    x0: (B, ...). The last step has alpha_bar 0, so x_T is the predicted noise itself. Returns x_T, (B, ...).
    """
    alpha_bars_next = np.concatenate([schedule.alphas_cumprod[1:], [0.0]])
    return _ddim(denoise, x0, schedule, range(len(schedule)), alpha_bars_next, clamp, on_step)


def _ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    order: range,
    alpha_bars_to: np.ndarray,
    clamp: bool,
    on_step: OnStep | None,
) -> Tensor:
    for done, i in enumerate(order):
        alpha_bar, alpha_bar_to = float(schedule.alphas_cumprod[i]), float(alpha_bars_to[i])
        eps = denoise(x, _time(schedule, i, x))
        x0 = (x - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5
        if clamp:
            x0 = x0.clamp(-1, 1)
            eps = (x - alpha_bar**0.5 * x0) / (1 - alpha_bar) ** 0.5
        x = alpha_bar_to**0.5 * x0 + (1 - alpha_bar_to) ** 0.5 * eps
        if on_step:
            on_step(done, x, x0)
    return x


def _time(schedule: Schedule, i: int, like: Tensor) -> Tensor:
    return torch.full((len(like),), int(schedule.timesteps[i]), dtype=torch.int64, device=like.device)
