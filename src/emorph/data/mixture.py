"""Several data sets in one run: in which order their samples come, at exact shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emorph.data.loader import EndlessOrder


class MixedOrder(EndlessOrder):
    """An endless run over several sets laid end to end, each with a fixed share of the samples.

    orders: of each set alone, from its first sample on, as one process sees it. weights: one a set, above 0; a set's
    share is its weight over their sum. An epoch has as many draws as the sets' own epochs together, and holds of each
    set its share, rounded to a whole number; at any place of the run a set's count is off its share by less than the
    number of sets. A set's samples come in its own order, one round of it after another. All follows from the orders,
    the weights and the seed, as in EndlessOrder.
    """

    def __init__(
        self,
        orders: Sequence[EndlessOrder],
        weights: Sequence[float],
        *,
        seed: int,
        start: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        super().__init__(sum(order.n for order in orders), seed=seed, start=start, rank=rank, n_ranks=n_ranks)
        self.streams = [_Stream(order) for order in orders]
        self.firsts = np.cumsum([0, *(order.n for order in orders)])
        self.counts = shared_out(sum(order.epoch_size for order in orders), weights)

    @property
    def epoch_size(self) -> int:
        """Samples in an epoch."""
        return sum(self.counts)

    @property
    def repeats(self) -> NDArray[np.float64]:
        """How often each sample comes in an epoch on average, (n,)."""
        each = []
        for stream, count in zip(self.streams, self.counts, strict=True):
            order = stream.order
            own = np.ones(order.n) if order.repeats is None else order.repeats
            each.append(own * (count / order.epoch_size))
        return np.concatenate(each)

    def drawn(self, n_samples: int) -> NDArray[np.int64]:
        """How often each sample comes among the first ``n_samples``, int64 (n,)."""
        whole, left = divmod(n_samples, self.epoch_size)
        part = np.bincount(self._sets(whole)[:left], minlength=len(self.counts))
        seen = [whole * count + int(more) for count, more in zip(self.counts, part, strict=True)]
        return np.concatenate([stream.order.drawn(n) for stream, n in zip(self.streams, seen, strict=True)])

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The order of one epoch, int64; samples are numbered through all sets."""
        sets = self._sets(epoch)
        order = np.empty(len(sets), np.int64)
        for i, (stream, count) in enumerate(zip(self.streams, self.counts, strict=True)):
            order[sets == i] = self.firsts[i] + stream.stretch(epoch * count, count)
        return order

    def _sets(self, epoch: int) -> NDArray[np.int64]:
        """The set that each sample of an epoch comes from."""
        rng = np.random.default_rng([self.seed, epoch])
        # the j-th of a set's m samples falls at random into the j-th of m equal parts of the epoch
        places = [(np.arange(m) + rng.random(m)) / max(m, 1) for m in self.counts]
        sets = np.repeat(np.arange(len(self.counts)), self.counts)
        mixed: NDArray[np.int64] = sets[np.argsort(np.concatenate(places), kind="stable")]
        return mixed


class _Stream:
    """The samples of one endless order, by their places in it."""

    def __init__(self, order: EndlessOrder) -> None:
        self.order = order
        self._known = (0, 0)  # an epoch, and the place at which it begins

    def stretch(self, first: int, n: int) -> NDArray[np.int64]:
        """The samples at places ``first`` to ``first + n - 1``, int64 (n,)."""
        epoch, begin = self._known if self._known[1] <= first else (0, 0)
        if self.order.even:
            epoch = first // self.order.epoch_size
            begin = epoch * self.order.epoch_size
        parts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        while n:
            samples = self.order.epoch(epoch)
            if first < begin + len(samples):
                self._known = (epoch, begin)
                parts.append(samples[first - begin : first - begin + n])
                first, n = first + len(parts[-1]), n - len(parts[-1])
            epoch, begin = epoch + 1, begin + len(samples)
        return np.concatenate(parts)


def shared_out(n: int, weights: Sequence[float]) -> list[int]:
    """n samples shared out by weights: each share rounded down, the rest to the largest remainders.

    >>> shared_out(10, [1, 2])
    [3, 7]
    """
    exact = n * np.asarray(weights, np.float64) / float(np.sum(weights))
    counts = np.floor(exact + 1e-9).astype(np.int64)
    largest_first = np.argsort(-(exact - counts), kind="stable")
    counts[largest_first[: n - int(counts.sum())]] += 1
    return [int(count) for count in counts]
