"""How a metric goes along with people: Pearson's, Spearman's and Kendall's coefficients, drawn by photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emorph.study.statistics.estimates import NOT_KNOWN, Estimate, Floats, Ints

N_RESAMPLES = 1000
FEWEST = 3  # pairs of numbers; two always lie on a line


@dataclass(frozen=True)
class Correlation:
    """Each with a percentile interval over photos; NaN where one of the two does not vary."""

    pearson: Estimate
    spearman: Estimate
    kendall: Estimate


def correlate(
    metric: Floats, people: Floats, photo: Ints, rng: np.random.Generator, n_resamples: int = N_RESAMPLES
) -> Correlation | None:
    """Coefficients of (n,) numbers with (n,) others; ``photo`` says which of them belong together and are drawn as one.

    A draw is a weight of each pair of numbers, in which all three coefficients are sums: ranks are middle ranks of the
    drawn numbers, and Kendall's is tau-b. None with fewer than three pairs.
    """
    if len(metric) < FEWEST:
        return None
    group = np.unique(photo, return_inverse=True)[1]
    n_photos = int(group.max()) + 1
    drawn = rng.multinomial(n_photos, np.full(n_photos, 1 / n_photos), size=n_resamples if n_photos > 1 else 0)
    weights = np.concatenate([np.ones((1, len(metric))), drawn[:, group].astype(np.float64)])
    signs = [np.sign(values[:, None] - values[None, :]) for values in (metric, people)]
    ranks = [_ranks(weights, sign) for sign in signs]
    flat = [np.broadcast_to(values, weights.shape) for values in (metric, people)]
    found = (_pearson(weights, *flat), _pearson(weights, *ranks), _kendall(weights, *signs))
    return Correlation(*(_estimate(values, len(metric), n_photos) for values in found))


def _ranks(weights: Floats, sign: Floats) -> Floats:
    """(B, n): the middle rank of each number among those drawn; of a number that is not drawn, too, which weighs 0."""
    found: Floats = weights @ (1 - sign) / 2
    return found


def _pearson(weights: Floats, x: Floats, y: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    x, y = (values - (weights * values).sum(axis=1, keepdims=True) / total for values in (x, y))
    spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    return _ratio((weights * x * y).sum(axis=1), spread)


def _kendall(weights: Floats, x: Floats, y: Floats) -> Floats:
    def over_pairs(table: Floats) -> Floats:
        found: Floats = ((weights @ table) * weights).sum(axis=1)
        return found

    return _ratio(over_pairs(x * y), np.sqrt(over_pairs(np.abs(x)) * over_pairs(np.abs(y))))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.where(below > 1e-12, above / np.maximum(below, 1e-12), np.nan)


def _estimate(values: Floats, n: int, n_photos: int) -> Estimate:
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (NOT_KNOWN, NOT_KNOWN)
    return Estimate(float(values[0]), float(low), float(high), n, 0, n_photos)
