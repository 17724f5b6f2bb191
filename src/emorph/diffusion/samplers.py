"""Samplers and their inversions. Each is one plain function: denoise(x_t, t) -> eps, a start, a schedule.

``t`` is int64 (B,), a step of the original process. ``on_step(i, x, x0)`` is called after each of the n steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from emorph.core.errors import UnknownNameError
from emorph.diffusion.schedule import Schedule, Spacing

Denoise = Callable[[Tensor, Tensor], Tensor]
OnEstimate = Callable[[int, Tensor, Tensor], None]  # (steps done before this one, x_t, its x0)


class Sampler(Protocol):
    """What every sampler and inversion here looks like."""

    def __call__(
        self,
        denoise: Denoise,
        start: Tensor,
        schedule: Schedule,
        /,
        *,
        clamp: bool = ...,
        on_step: OnEstimate | None = ...,
    ) -> Tensor: ...


def ddim_sample(
    denoise: Denoise, x_T: Tensor, schedule: Schedule, *, clamp: bool = True, on_step: OnEstimate | None = None
) -> Tensor:
    """Deterministic DDIM from noise to data (Song et al. 2021, Eq. 12, eta = 0).

    x_T: (B, ...). clamp keeps every predicted x0 in [-1, 1]. Returns x0, (B, ...).

    >>> from emorph.diffusion import Schedule
    >>> alpha_bar = torch.from_numpy(Schedule.linear().alphas_cumprod).float()
    >>> def denoise(x_t, t):  # a network that has learned one gray picture
    ...     a = alpha_bar[t].view(-1, 1, 1, 1)
    ...     return (x_t - a.sqrt() * 0.3) / (1 - a).sqrt()
    >>> x0 = ddim_sample(denoise, torch.randn(1, 1, 2, 2), Schedule.linear().respaced(10))
    >>> bool((x0 - 0.3).abs().max() < 1e-4)
    True
    """
    return _ddim(denoise, x_T, schedule, range(len(schedule))[::-1], schedule.alphas_cumprod_prev, clamp, on_step)


def ddim_invert(
    denoise: Denoise, x0: Tensor, schedule: Schedule, *, clamp: bool = True, on_step: OnEstimate | None = None
) -> Tensor:
    """DDIM run backwards, from data to the noise that holds it (Preechakul et al. 2022, Eq. 8).

    x0: (B, ...). The last step has alpha_bar 0, so x_T is the predicted noise itself. Returns x_T, (B, ...).
    """
    return _ddim(denoise, x0, schedule, range(len(schedule)), schedule.alphas_cumprod_next, clamp, on_step)


def _ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    order: range,
    alpha_bars_to: np.ndarray,
    clamp: bool,
    on_step: OnEstimate | None,
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


def dpm_sample(
    denoise: Denoise, x_T: Tensor, schedule: Schedule, *, clamp: bool = False, on_step: OnEstimate | None = None
) -> Tensor:
    """DPM-Solver++(2M) from noise to data (Lu et al. 2022b, Alg. 2): second order, one evaluation a step.

    The schedule's n time steps are the nodes: n - 1 steps, n - 1 evaluations. x_T: (B, ...). Returns x at the
    first node, which stands for x0 as in ``ddim_invert``, so that ``dpm_invert`` retraces the same path.
    """
    return _dpm_2m(denoise, x_T, schedule, range(len(schedule))[::-1], clamp, on_step)


def dpm_generate(
    denoise: Denoise, x_T: Tensor, schedule: Schedule, *, clamp: bool = False, on_step: OnEstimate | None = None
) -> Tensor:
    """``dpm_sample`` from noise that no ``dpm_invert`` found: the x0 that the last step predicts, (B, ...).

    x at the first node still holds that node's noise, 1.3 of 255 levels of the linear schedule. An inverted picture
    gets its own detail back from it; what is drawn from noise has none there.
    """
    last = x_T

    def keep(i: int, x: Tensor, x0: Tensor) -> None:
        nonlocal last
        last = x0
        if on_step:
            on_step(i, x, x0)

    dpm_sample(denoise, x_T, schedule, clamp=clamp, on_step=keep)
    return last


def dpm_invert(
    denoise: Denoise, x0: Tensor, schedule: Schedule, *, clamp: bool = False, on_step: OnEstimate | None = None
) -> Tensor:
    """``dpm_sample``'s path walked from data to noise. x0: (B, ...). Returns x at the last node, (B, ...)."""
    return _dpm_2m(denoise, x0, schedule, range(len(schedule)), clamp, on_step)


def _dpm_2m(
    denoise: Denoise, x: Tensor, schedule: Schedule, order: range, clamp: bool, on_step: OnEstimate | None
) -> Tensor:
    alpha = np.sqrt(schedule.alphas_cumprod)
    sigma = np.sqrt(1 - schedule.alphas_cumprod)
    log_snr_half = np.log(alpha / sigma)
    previous: Tensor | None = None
    h_previous = 0.0
    for done, (i, j) in enumerate(pairwise(order)):
        eps = denoise(x, _time(schedule, i, x))
        x0 = (x - float(sigma[i]) * eps) / float(alpha[i])
        if clamp:
            x0 = x0.clamp(-1, 1)
        h = float(log_snr_half[j] - log_snr_half[i])
        slope = x0 if previous is None else x0 + (h / (2 * h_previous)) * (x0 - previous)
        x = float(sigma[j] / sigma[i]) * x - float(alpha[j]) * float(np.expm1(-h)) * slope
        previous, h_previous = x0, h
        if on_step:
            on_step(done, x, x0)
    return x


@dataclass(frozen=True)
class Solver:
    """A sampler with its inversion, and the time steps on which the two agree best.

    generate: the sampler for noise that comes from no inversion.
    extra_nodes: how many more time steps than evaluations it needs.
    """

    sample: Sampler
    invert: Sampler
    generate: Sampler
    spacing: Spacing | None
    extra_nodes: int

    def schedule(self, process: Schedule, n_evaluations: int) -> Schedule:
        """The time steps for a number of network evaluations in one direction."""
        return process.respaced(n_evaluations + self.extra_nodes, spacing=self.spacing)


SOLVERS: dict[str, Solver] = {
    "ddim": Solver(ddim_sample, ddim_invert, ddim_sample, spacing=None, extra_nodes=0),
    "dpm": Solver(dpm_sample, dpm_invert, dpm_generate, spacing="logsnr", extra_nodes=1),
    "dpm-fitted": Solver(dpm_sample, dpm_invert, dpm_generate, spacing="fitted", extra_nodes=1),
}


def solver(name: str) -> Solver:
    """The solver called ``name``. Raises UnknownNameError."""
    if name not in SOLVERS:
        raise UnknownNameError("solver", name, SOLVERS)
    return SOLVERS[name]
