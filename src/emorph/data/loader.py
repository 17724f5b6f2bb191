"""The order in which a run sees its samples: a function of the seed alone, so that a resumed run needs no state."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

PREFETCH = 4  # batches that each worker process has ready


class EndlessOrder(Sampler[int]):
    """Indices of an endless run over n samples, one epoch's permutation after another.

    The i-th sample of the run depends on (n, seed, i) alone. ``start`` skips what was seen before; of every
    ``n_ranks`` samples, rank r takes the r-th, so that the ranks' batches together are one process's batch.
    ``weights`` (n,) repeats a sample ``weights[i]`` times an epoch, the fraction drawn again in each.
    """

    def __init__(
        self,
        n: int,
        *,
        seed: int,
        start: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.n, self.seed, self.start, self.rank, self.n_ranks = n, seed, start, rank, n_ranks
        self.weights = weights

    @property
    def even(self) -> bool:
        """Whether all epochs are of one length."""
        return self.weights is None

    @property
    def epoch_size(self) -> int:
        """Samples in an epoch; the expected number where epochs differ, as with weights."""
        return self.n if self.weights is None else round(float(self.weights.sum()))

    @property
    def repeats(self) -> NDArray[np.float64] | None:
        """How often each sample comes in an epoch on average, (n,); None is once."""
        return self.weights

    def drawn(self, n_samples: int) -> NDArray[np.int64]:
        """How often each sample comes among the first ``n_samples`` of the run, over all ranks, int64 (n,)."""
        whole = n_samples // self.n if self.weights is None else 0  # epochs that hold each sample once
        times = np.full(self.n, whole, np.int64)
        left, epoch = n_samples - whole * self.n, whole
        while left > 0:
            order = self.epoch(epoch)[:left]
            times += np.bincount(order, minlength=self.n)
            left, epoch = left - len(order), epoch + 1
        return times

    def __iter__(self) -> Iterator[int]:
        epoch = self.start // self.epoch_size if self.even else 0
        position = epoch * self.epoch_size if self.even else 0
        while True:
            order = self.epoch(epoch)
            first = max(0, self.start - position)
            for i in range(first, len(order)):
                if (position + i) % self.n_ranks == self.rank:
                    yield int(order[i])
            position += len(order)
            epoch += 1

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The order of one epoch, int64, of length n without weights."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.weights is None:
            return rng.permutation(self.n)
        repeats = np.floor(self.weights + rng.random(self.n)).astype(np.int64)
        return rng.permutation(np.repeat(np.arange(self.n), repeats))


def class_weights(labels: Sequence[int] | NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """Repeats per sample that lift rare classes: (largest class / own class) ** power; 1 makes all classes equal.

    A sample without a label (-1) comes once.
    """
    labels = np.asarray(labels)
    counts = np.bincount(labels[labels >= 0], minlength=1)
    weights: NDArray[np.float64] = np.where(labels >= 0, counts.max() / np.maximum(counts[labels], 1), 1.0) ** power
    return weights


def endless_batches(
    faces: Dataset[Any], order: EndlessOrder, batch_size: int, *, workers: int = 0, pin: bool = False
) -> Iterator[Any]:
    """Batches of ``batch_size`` in the order given, decoded by ``workers`` processes (0: in this one)."""
    loader: DataLoader[Any] = DataLoader(
        faces,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        pin_memory=pin,
        drop_last=True,
        worker_init_fn=ignore_stop_signals,
        prefetch_factor=PREFETCH if workers else None,
    )
    return iter(loader)


def ignore_stop_signals(worker: int) -> None:
    """Ctrl-C, and SLURM's or torchrun's SIGTERM, reach the whole process group; the run's own process decides what they
    mean. A worker whose parent is gone ends by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
