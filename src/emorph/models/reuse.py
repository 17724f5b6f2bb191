"""Deep features of one network evaluation, used again in the next ones (DeepCache, Ma et al., CVPR 2024)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from emorph.diffusion.schedule import Schedule


class FixedZ(Protocol):
    """A denoising network with its z fixed. x_t: pictures (B, C, S, S); t: int64 (1,), of all rows.

    Deep features are whatever ``with_deep`` gives and ``outer`` takes.
    """

    def whole(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's raw output, of the shape of x_t."""

    def with_deep(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and its deep features."""

    def outer(self, x_t: Tensor, t: Tensor, deep: Tensor) -> Tensor:
        """About the same, from deep features of another evaluation."""


class DeepReuse:
    """Every so many evaluations are whole; those between compute the outer blocks alone.

    What they take for deep features goes on from those of the last two whole evaluations, in half the logarithm of the
    signal-to-noise ratio: their size, which grows a hundredfold with the noise, by its logarithm, and what is left of
    them on a straight line, both for a whole interval at most. Until there are two, the last ones are taken as they
    are. (DeepCache always does that, which leaves a larger error; bench/fewer.py measures both.)
    One object serves one run of a sampler.
    """

    def __init__(self, network: FixedZ, every: int, process: Schedule, *, straight: bool = True) -> None:
        self._network = network
        self._every = every
        self._half_log_snr = np.log(process.snr) / 2
        self._straight = straight
        self._n_done = 0
        self._known: list[tuple[float, Tensor]] = []

    def evaluate(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's raw output, as ``FixedZ.whole``."""
        at = float(self._half_log_snr[int(t[0])])
        is_whole = self._n_done % self._every == 0
        self._n_done += 1
        if not is_whole:
            return self._network.outer(x_t, t, self._deep(at))
        raw, deep = self._network.with_deep(x_t, t)
        self._known = [*self._known[-1:], (at, deep)]
        return raw

    def _deep(self, at: float) -> Tensor:
        last_at, last = self._known[-1]
        if len(self._known) < 2 or not self._straight:
            return last
        before_at, before = self._known[0]
        share = min((at - last_at) / (last_at - before_at), 1.0)
        last_size, before_size = _size(last), _size(before)
        shape = last / last_size + share * (last / last_size - before / before_size)
        return shape * last_size * (last_size / before_size) ** share


def _size(deep: Tensor) -> Tensor:
    """Root mean square of each row, (B, 1, ...)."""
    return deep.square().mean(dim=tuple(range(1, deep.ndim)), keepdim=True).sqrt().clamp(min=1e-12)
