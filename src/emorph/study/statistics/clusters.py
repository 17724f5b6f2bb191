"""Variances of votes that are not independent: of one person, on one photo.

Votes of one person share that person's taste, votes on one photo share the photo. A number that shall hold for other
people and other photos varies with both, and the two cross: V = V(people) + V(photos) - V(person on photo), the
variance with each kind of cluster drawn alone (Cameron, Gelbach, Miller 2011). Where chance makes V less than one of
the two, the greater is taken (MacKinnon, Nielsen, Webb 2023). To draw both at once instead would count the noise of
the votes three times (Owen 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorph.study.statistics.estimates import Floats, Ints

Statistic = Callable[[Floats], Floats]
"""From counts (B, cells), one row a resample, to numbers (B, Q)."""

MOST_WEIGHTS = 4_000_000  # that are in memory at once


@dataclass(frozen=True)
class Clusters:
    """Whose each vote is and on which photo: (n,) each, any whole numbers.

    photo: None where the photos are the very ones that the study is about.
    """

    participant: Ints
    photo: Ints | None

    def ways(self) -> list[tuple[int, Ints]]:
        """(sign, cluster from 0 of each vote) of each kind of cluster whose variance counts."""
        people = _codes(self.participant)
        if self.photo is None or _n(photos := _codes(self.photo)) < 2:
            return [(1, people)]
        return [(1, people), (1, photos), (-1, _codes(people * (_n(photos) + 1) + photos))]

    @property
    def df(self) -> int:
        """Degrees of freedom of an interval: those of the kind with the fewer clusters."""
        return min(_n(groups) for sign, groups in self.ways() if sign > 0) - 1


def bootstrap_variance(
    statistic: Statistic, cell: Ints, n_cells: int, clusters: Clusters, rng: np.random.Generator, n_resamples: int
) -> Floats:
    """The variance (Q,) of ``statistic``, by drawing whole people, whole photos, and what both have in common.

    cell: (n,), the cell below ``n_cells`` in which each vote counts; the statistic takes rows of these counts.
    NaN with one person alone.
    """
    found = []
    for sign, groups in clusters.ways():
        n = _n(groups)
        table = np.bincount(groups * n_cells + cell, minlength=n * n_cells).reshape(n, n_cells).astype(np.float64)
        rows = [
            statistic(rng.multinomial(n, np.full(n, 1 / n), size=part).astype(np.float64) @ table)
            for part in _parts(n_resamples, max(1, MOST_WEIGHTS // n))
        ]
        spread = np.concatenate(rows).var(axis=0, ddof=1)
        found.append(sign * spread * (n / (n - 1) if n > 1 else np.nan))
    return _combined(found)


def linear_covariance(influence: Floats, clusters: Clusters) -> Floats:
    """The covariance (Q, Q) of sums over votes of ``influence`` (n, Q), whose columns sum to 0: the sandwich.

    Only its diagonal is kept from being too small by chance. NaN with one person alone.
    """
    found = []
    for sign, groups in clusters.ways():
        n = _n(groups)
        sums = np.stack([np.bincount(groups, column, minlength=n) for column in influence.T], axis=1)
        found.append(sign * (sums.T @ sums) * (n / (n - 1) if n > 1 else np.nan))
    total: Floats = np.sum(found, axis=0)
    np.fill_diagonal(total, _combined([np.diag(part) for part in found]))
    return total


def _combined(parts: list[Floats]) -> Floats:
    alone = [part for part in parts[:2] if len(parts) > 1] or parts
    found: Floats = np.maximum(np.sum(parts, axis=0), np.max(alone, axis=0))
    return found


def _parts(total: int, most: int) -> list[int]:
    return [most] * (total // most) + [total % most] * (total % most > 0)


def _codes(values: Ints) -> Ints:
    codes: Ints = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return codes


def _n(codes: Ints) -> int:
    return int(codes.max()) + 1 if len(codes) else 0
