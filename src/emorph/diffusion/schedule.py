"""Noise schedules and the choice of time steps (Ho et al. 2020; Nichol & Dhariwal 2021; Song et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ConfigError

Spacing = Literal["ddim", "even", "logsnr", "fitted"]
# How far the "fitted" steps lie from even ones in log-SNR, as shares of its whole range: a u(1-u) + b u(1-u)(1-2u).
# Chosen for faces that were inverted and drawn again, with their own code and with another; bench/fewer.py --fit tries
# others, and its table shows what these give.
FITTED = (0.0, 0.5)


@dataclass(frozen=True)
class Schedule:
    """A variance-preserving diffusion process on a chosen set of time steps.

    timesteps: the steps of the ORIGINAL process (what a network is told), ascending, int64 (n,).
    betas, alphas_cumprod: float64 (n,); alphas_cumprod falls from about 1 to about 0.
    n_train_steps: length of the original process.
    """

    timesteps: NDArray[np.int64]
    betas: NDArray[np.float64]
    n_train_steps: int
    alphas_cumprod: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas_cumprod", np.cumprod(1.0 - self.betas))

    def __len__(self) -> int:
        return len(self.timesteps)

    @classmethod
    def from_betas(cls, betas: NDArray[np.float64]) -> Schedule:
        """The full process with these variances."""
        return cls(np.arange(len(betas)), np.asarray(betas, np.float64), len(betas))

    @classmethod
    def linear(cls, n_steps: int = 1000) -> Schedule:
        """Betas from 1e-4 to 0.02 at 1000 steps, scaled so that other lengths destroy as much (Ho et al. 2020).

        >>> schedule = Schedule.linear()
        >>> len(schedule), round(float(schedule.alphas_cumprod[0]), 4), round(float(schedule.alphas_cumprod[-1]), 4)
        (1000, 0.9999, 0.0)
        """
        scale = 1000 / n_steps
        return cls.from_betas(np.linspace(scale * 1e-4, scale * 0.02, n_steps, dtype=np.float64))

    @classmethod
    def cosine(cls, n_steps: int = 1000) -> Schedule:
        """alphas_cumprod follows cos², betas capped at 0.999 (Nichol & Dhariwal 2021, Eq. 17)."""

        def alpha_bar(u: float) -> float:
            return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

        betas = [min(1 - alpha_bar((i + 1) / n_steps) / alpha_bar(i / n_steps), 0.999) for i in range(n_steps)]
        return cls.from_betas(np.array(betas))

    @classmethod
    def constant(cls, beta: float = 0.008, n_steps: int = 1000) -> Schedule:
        """The same beta at every step (Preechakul et al. 2022, App. A: the latent process)."""
        return cls.from_betas(np.full(n_steps, beta))

    def respaced(self, n_steps: int | Sequence[int], *, spacing: Spacing | None = None) -> Schedule:
        """The same process on fewer time steps.

        n_steps: how many; a sequence splits the process into equal sections, each with its own number (even spacing).
        spacing: "ddim" is the integer stride of the DDIM paper, which leaves out the last step; "even" includes the
            first and the last; "logsnr" spreads them evenly over the logarithm of the signal-to-noise ratio, first
            and last included, which is what a higher-order solver wants (Lu et al. 2022a, Sec. 4.1); "fitted" is
            the same, a little denser where the steps turned out to matter most for inversion and sampling together.
            By default "ddim" where an integer stride gives exactly ``n_steps``, else "even".
        Raises ConfigError for a number that the spacing cannot give.

        >>> Schedule.linear(1000).respaced(5).timesteps
        array([  0, 200, 400, 600, 800])
        >>> Schedule.linear(1000).respaced(5, spacing="even").timesteps
        array([  0, 250, 500, 749, 999])
        """
        if isinstance(n_steps, int):
            if spacing is None:
                spacing = "ddim" if _ddim_stride(len(self), n_steps) else "even"
            if spacing in ("logsnr", "fitted"):
                chosen = logsnr_steps(self.snr, n_steps, FITTED if spacing == "fitted" else (0.0, 0.0))
            else:
                chosen = _ddim_steps(len(self), n_steps) if spacing == "ddim" else _even_steps(len(self), [n_steps])
        else:
            chosen = _even_steps(len(self), n_steps)
        alpha_bars = self.alphas_cumprod[chosen]
        betas = 1.0 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
        return Schedule(self.timesteps[chosen], betas, self.n_train_steps)

    @property
    def alphas_cumprod_prev(self) -> NDArray[np.float64]:
        """alpha_bar one step nearer to the data; 1 before the first step."""
        return np.concatenate([[1.0], self.alphas_cumprod[:-1]])

    @property
    def alphas_cumprod_next(self) -> NDArray[np.float64]:
        """alpha_bar one step nearer to the noise; 0 after the last step."""
        return np.concatenate([self.alphas_cumprod[1:], [0.0]])

    @property
    def snr(self) -> NDArray[np.float64]:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar) of every step."""
        return self.alphas_cumprod / (1.0 - self.alphas_cumprod)


def _ddim_stride(total: int, n_steps: int) -> int | None:
    return next((s for s in range(1, total) if len(range(0, total, s)) == n_steps), None)


def _ddim_steps(total: int, n_steps: int) -> list[int]:
    stride = _ddim_stride(total, n_steps)
    if stride is None:
        raise ConfigError(f"no integer stride takes {n_steps} of {total} time steps; use spacing='even'.")
    return list(range(0, total, stride))


def _even_steps(total: int, counts: Sequence[int]) -> list[int]:
    base, extra = divmod(total, len(counts))
    steps: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        size = base + (i < extra)
        if not 1 <= count <= size:
            raise ConfigError(f"cannot take {count} of {size} time steps.")
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):  # summed, not multiplied: the official rounding depends on it
            steps.append(start + round(position))
            position += stride
        start += size
    return steps


def logsnr_steps(snr: NDArray[np.float64], n_steps: int, bend: tuple[float, float]) -> list[int]:
    """Steps spread over the log-SNR, moved by ``bend`` as FITTED says. Raises ConfigError."""
    if not 2 <= n_steps <= len(snr):
        raise ConfigError(f"cannot spread {n_steps} of {len(snr)} time steps over the log-SNR; use 2 to {len(snr)}.")
    log_snr = np.log(snr)
    u = np.linspace(0, 1, n_steps)
    u = u + u * (1 - u) * (bend[0] + bend[1] * (1 - 2 * u))
    wanted = log_snr[0] + (log_snr[-1] - log_snr[0]) * u
    steps = np.abs(log_snr[:, None] - wanted).argmin(axis=0)
    # the first steps of a process lie far apart in log-SNR: where two wishes meet in one step, the later moves on
    for i in range(1, n_steps):
        steps[i] = max(steps[i], steps[i - 1] + 1)
    steps[-1] = len(snr) - 1
    for i in range(n_steps - 2, -1, -1):
        steps[i] = min(steps[i], steps[i + 1] - 1)
    return [int(step) for step in steps]
