"""How far people agree on the same pictures: Krippendorff's alpha, Fleiss' kappa, and each person with themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from emorph.study.statistics.estimates import NOT_KNOWN, Estimate, Floats, Ints

Scale = Literal["nominal", "ordinal", "interval"]
N_RESAMPLES = 1000


def votes_table(unit: Ints, value: Ints, n_values: int) -> Floats:
    """(units, values): how often each value, from 0, was given to each unit, from votes (n,)."""
    codes = np.unique(unit, return_inverse=True)[1]
    n = int(codes.max()) + 1 if len(codes) else 0
    return np.bincount(codes * n_values + value, minlength=n * n_values).reshape(n, n_values).astype(np.float64)


def krippendorff_alpha(
    table: Floats, scale: Scale, *, rng: np.random.Generator | None = None, n_resamples: int = N_RESAMPLES
) -> Estimate | None:
    """Krippendorff's alpha (2004, Ch. 11) of a ``votes_table``; 1 is agreement, 0 what chance gives.

    Any number of votes a unit; units with one vote tell nothing and are left out. The columns of an interval scale are
    one unit apart. rng: draws units for a percentile interval; without it there is none. None if no unit has two votes,
    or all votes are the same value, which leaves no disagreement to expect.

    >>> table = votes_table(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 1]), 2)
    >>> round(krippendorff_alpha(table, "nominal").value, 3)
    0.444
    """
    paired = table[table.sum(axis=1) > 1]
    if not len(paired) or (paired.sum(axis=0) > 0).sum() < 2:
        return None
    return _resampled(paired, lambda times: _alphas(paired, times, scale), rng, n_resamples)


def fleiss_kappa(
    table: Floats, *, rng: np.random.Generator | None = None, n_resamples: int = N_RESAMPLES
) -> Estimate | None:
    """Fleiss' kappa (1971) of a ``votes_table``, whose units may have unequal numbers of votes.

    Each unit's agreement counts alike, as do its shares of the values (Gwet 2014, Ch. 2); with equal numbers it is
    Fleiss' own. rng and None as in ``krippendorff_alpha``.
    """
    paired = table[table.sum(axis=1) > 1]
    if not len(paired) or (paired.sum(axis=0) > 0).sum() < 2:
        return None
    votes = paired.sum(axis=1, keepdims=True)
    agreed = (paired * (paired - 1)).sum(axis=1) / (votes * (votes - 1))[:, 0]
    shares = paired / votes

    def kappas(times: Floats) -> Floats:
        n = times.sum(axis=1)
        by_chance = ((times @ shares / n[:, None]) ** 2).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (times @ agreed / n - by_chance) / (1 - by_chance)
        return found

    return _resampled(paired, kappas, rng, n_resamples)


def _alphas(table: Floats, times: Floats, scale: Scale) -> Floats:
    """(B,): alpha with each unit counted as often as a row of ``times`` (B, units) says."""
    n_values = table.shape[1]
    votes = table.sum(axis=1)
    pairs = table[:, :, None] * table[:, None, :] - table[:, :, None] * np.eye(n_values)
    coincident = pairs / (votes - 1)[:, None, None]
    seen = (times @ coincident.reshape(len(table), -1)).reshape(-1, n_values, n_values)
    totals = seen.sum(axis=2)
    expected = totals[:, :, None] * totals[:, None, :] - totals[:, :, None] * np.eye(n_values)
    expected /= (totals.sum(axis=1) - 1)[:, None, None]
    apart = _distances(totals, scale)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 1 - (seen * apart).sum(axis=(1, 2)) / (expected * apart).sum(axis=(1, 2))
    return found


def _distances(totals: Floats, scale: Scale) -> Floats:
    """(B, values, values): how far two values lie apart, squared."""
    n = totals.shape[1]
    if scale == "nominal":
        return np.broadcast_to(1 - np.eye(n), (len(totals), n, n))
    place = np.arange(n, dtype=np.float64) * np.ones((len(totals), 1))
    if scale == "ordinal":  # as many votes as lie between two values, half of theirs included
        place = np.cumsum(totals, axis=1) - totals / 2
    found: Floats = (place[:, :, None] - place[:, None, :]) ** 2
    return found


def _resampled(
    table: Floats, statistic: Callable[[Floats], Floats], rng: np.random.Generator | None, n_resamples: int
) -> Estimate:
    n, n_votes = len(table), int(table.sum())
    value = float(statistic(np.ones((1, n)))[0])
    if rng is None or n < 2:
        return Estimate(value, NOT_KNOWN, NOT_KNOWN, n_votes, 0, n)
    times = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)
    found = statistic(times)
    low, high = np.quantile(found[np.isfinite(found)], [0.025, 0.975])
    return Estimate(value, float(low), float(high), n_votes, 0, n)
