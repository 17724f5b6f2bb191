"""The forward process and the training losses (Ho et al. 2020; Salimans & Ho 2022 for v; Choi et al. 2022 for P2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from emorph.diffusion.schedule import Schedule

Prediction = Literal["eps", "v", "x0"]
LossWeight = Literal["plain", "p2", "min_snr"]


def rates(schedule: Schedule, dtype: torch.dtype = torch.float32) -> Tensor:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) of every step, (T, 2), computed in float64 before they are rounded."""
    alpha_bar = schedule.alphas_cumprod
    return torch.tensor(np.stack([np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)], axis=1), dtype=dtype, device="cpu")


def q_sample(x0: Tensor, t: Tensor, noise: Tensor, table: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise. x0, noise: (B, ...); t: int64 (B,); table: ``rates``."""
    alpha, sigma = _at(table, t, x0)
    return alpha * x0 + sigma * noise


def training_target(x0: Tensor, t: Tensor, noise: Tensor, table: Tensor, prediction: Prediction) -> Tensor:
    """What the network's raw output should be: the noise, v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0, or x0."""
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return x0
    alpha, sigma = _at(table, t, x0)
    return alpha * noise - sigma * x0


def eps_from(raw: Tensor, x_t: Tensor, t: Tensor, table: Tensor, prediction: Prediction) -> Tensor:
    """The noise that a network's raw output means, for each way of predicting."""
    if prediction == "eps":
        return raw
    alpha, sigma = _at(table, t, x_t)
    return alpha * raw + sigma * x_t if prediction == "v" else (x_t - alpha * raw) / sigma


def x0_from(raw: Tensor, x_t: Tensor, t: Tensor, table: Tensor, prediction: Prediction) -> Tensor:
    """The picture that a network's raw output means, for each way of predicting; far outside [-1, 1] it may be."""
    if prediction == "x0":
        return raw
    alpha, sigma = _at(table, t, x_t)
    return alpha * x_t - sigma * raw if prediction == "v" else (x_t - sigma * raw) / alpha


def loss_weight(
    t: Tensor,
    table: Tensor,
    prediction: Prediction,
    kind: LossWeight = "plain",
    *,
    p2_gamma: float = 1.0,
    p2_k: float = 1.0,
    snr_cap: float = 5.0,
) -> Tensor:
    """Weight (B,) of each sample's mean squared error in the space of ``prediction``.

    plain: 1. p2: 1 / (k + snr)^gamma on the noise's error (Choi et al. 2022, Eq. 8).
    min_snr: min(snr, cap) on the error of x0 (Hang et al. 2023, Eq. 8).
    """
    alpha, sigma = table[t].unbind(1)
    if kind == "plain":
        return torch.ones_like(alpha)
    snr = (alpha / sigma) ** 2
    # one squared error, seen from each prediction: |d eps|² = snr |d x0|², |d v|² = (snr + 1) |d x0|²
    x0_error_per_unit = {"eps": 1 / snr, "v": 1 / (snr + 1), "x0": torch.ones_like(snr)}[prediction]
    on_x0 = snr / (p2_k + snr) ** p2_gamma if kind == "p2" else snr.clamp(max=snr_cap)
    return on_x0 * x0_error_per_unit


def _at(table: Tensor, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The two rates at time steps t (B,), each shaped to multiply ``like`` (B, ...)."""
    alpha, sigma = table[t].to(like.dtype).reshape(-1, 2, *[1] * (like.ndim - 1)).unbind(1)
    return alpha, sigma
