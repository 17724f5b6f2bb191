"""Means that come with their interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emorph.core.errors import DataError

N_RESAMPLES = 2000
MOST_COUNTS = 1 << 22  # of a resampling, that are held at once: 32 MB
MOST_PAIR_COUNTS = 1 << 18  # the same beside tables of all pairs, which take as much


@dataclass(frozen=True)
class Estimate:
    """A mean over n values with its bootstrap interval; ``low`` and ``high`` hold it with ``level`` confidence.

    alone: all values belong to one photo or person, so that nothing tells how far others differ from it.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95
    alone: bool = False

    @property
    def is_point(self) -> bool:
        """Whether the interval has no width, so that it says nothing of how far the mean can be trusted."""
        return self.low == self.high

    def __format__(self, spec: str) -> str:
        """ "mean (low-high)", each number formatted by ``spec``."""
        return f"{self.mean:{spec}} ({self.low:{spec}}-{self.high:{spec}})"


def bootstrap(
    values: ArrayLike, groups: Sequence[Any] | None = None, *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """The mean of ``values`` (n,) and its percentile bootstrap interval (Efron & Tibshirani 1993, Ch. 13).

    groups: what each value belongs to, n of them; whole groups are drawn, because several edits of one photo, or
    several photos of one person, are not independent. Raises DataError if there is no value or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise DataError(f"a mean needs finite numbers in one row; found shape {numbers.shape}.")
    of_group = np.arange(len(numbers)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(of_group) != len(numbers):
        raise DataError(f"{len(numbers)} values need as many groups; found {len(of_group)}.")
    sums = np.bincount(of_group, weights=numbers).astype(np.float64)
    counts = np.bincount(of_group).astype(np.int64)
    means = _resampled(sums, counts, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(numbers.mean()), float(low), float(high), len(numbers), level, len(counts) == 1)


def bootstrap_pairs(
    values: ArrayLike,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The mean of ``values`` (n,) of pairs and its percentile interval over what the pairs are made of.

    first, second: whose photos the two of each pair are, n numbers from 0 each. Pairs that share one of them are not
    independent, so not pairs are drawn but these, and a pair counts as often as it would lie in the drawn set: of two
    of them the product of their counts, of one its count (the vertex bootstrap of Snijders & Borgatti 1999, without
    pairs of one photo with itself). Draws without any pair tell nothing and are left out.
    Raises DataError if there is no value or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise DataError(f"a mean needs finite numbers in one row; found shape {numbers.shape}.")
    known = np.zeros(1 + max(first.max(), second.max()), dtype=np.bool_)
    known[first] = known[second] = True
    n, place = int(known.sum()), np.cumsum(known) - 1
    cell = place[first] * n + place[second]
    sums = np.bincount(cell, weights=numbers, minlength=n * n).astype(np.float64).reshape(n, n)
    counts = np.bincount(cell, minlength=n * n).astype(np.float64).reshape(n, n)
    rng = np.random.default_rng(seed)
    parts = [(_weighted(sums, t), _weighted(counts, t)) for t in drawn(n, N_RESAMPLES, rng, MOST_PAIR_COUNTS)]
    total, weight = (np.concatenate(found) for found in zip(*parts, strict=True))
    means = total[weight > 0] / weight[weight > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(numbers.mean()), float(low), float(high), len(numbers), level)


def _weighted(cells: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of cells (n, n), each as often as its row and its column are drawn together: one for each row of times."""
    own = np.diag(cells)
    found: NDArray[np.float64] = ((times @ (cells - np.diag(own))) * times).sum(axis=1) + times @ own
    return found


def _resampled(sums: NDArray[np.float64], counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means over groups drawn with replacement, N_RESAMPLES of them."""
    means = [(times @ sums) / (times @ counts) for times in drawn(len(sums), N_RESAMPLES, rng)]
    found: NDArray[np.float64] = np.concatenate(means)
    return found


def drawn(
    n: int, n_resamples: int, rng: np.random.Generator, most_counts: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """How often each of n is drawn in so many resamples, (k, n) and again until they are done.

    The numbers are those of one draw of all; k is such that memory does not grow with n: at most so many counts are
    held at once, ``MOST_COUNTS`` by default.
    """
    step = max(1, (most_counts or MOST_COUNTS) // n)
    for start in range(0, n_resamples, step):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(step, n_resamples - start))


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of two rows of numbers; NaN where one of them does not vary."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 1e-12 else float("nan")
