"""Which emotion people saw: accuracy, confusion, and Wagner's unbiased hit rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.core.wilson import wilson
from emorph.study.statistics.clusters import Clusters, linear_covariance
from emorph.study.statistics.estimates import (
    NOT_KNOWN,
    Estimate,
    Floats,
    Ints,
    Size,
    t_quantile,
    two_sided_p,
)

Mask = NDArray[np.bool_]
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Answers:
    """Which emotion was named for each picture, (n,) each, by number.

    target: what the picture should show. answer: what was named, len(targets) for none of them.
    participant, photo: whose answer, and which photo it is about, any whole numbers.
    """

    methods: tuple[str, ...]
    targets: tuple[str, ...]
    method: Ints
    target: Ints
    answer: Ints
    participant: Ints
    photo: Ints

    @property
    def is_right(self) -> Mask:
        """Whether the target was named, (n,)."""
        found: Mask = self.answer == self.target
        return found

    def where(self, chosen: Mask) -> Answers:
        """Some of the answers."""
        columns = (self.method, self.target, self.answer, self.participant, self.photo)
        return Answers(self.methods, self.targets, *(column[chosen] for column in columns))


@dataclass(frozen=True)
class Difference:
    """Accuracy of ``first`` less that of ``second``; p against no difference, p_holm corrected over its table."""

    first: str
    second: str
    difference: Estimate
    p: float
    p_holm: float = NOT_KNOWN


def share(right: Mask | Floats, participant: Ints, photo: Ints, *, photos_vary: bool = False) -> Estimate | None:
    """The mean of ``right`` (n,), from 0 to 1, and its interval, in which the answers of one person are one cluster.

    Wilson's interval with the number of independent answers that would vary as much; where all or none are right, as
    if each person had answered once, since nothing is known then of how alike one person's answers are.
    photos_vary: the answers on one photo are a cluster, too. None without answers; no interval from one person.
    """
    if not len(right):
        return None
    size = Size.of(participant, photo)
    value = float(right.mean())
    clusters = Clusters(participant, photo if photos_vary else None)
    if clusters.df < 1:
        return size.estimate(value)
    quantile = t_quantile(clusters.df)
    if value in (0.0, 1.0):
        return size.estimate(value, *wilson(value, size.n_participants))
    variance = float(linear_covariance((right - value)[:, None] / len(right), clusters)[0, 0])
    at_most = value * (1 - value) / variance if variance > 0 else math.inf
    return size.estimate(value, *wilson(value, min(at_most, len(right)), quantile))


def difference(answers: Answers, first: Mask, second: Mask, names: tuple[str, str]) -> Difference | None:
    """How much more often the answers in one mask are right than those in another; None where one is empty.

    The interval joins those of the two shares (Zou and Donner 2008) with their correlation, as the same people
    answered to both. The test is a t of the difference, clustered alike.
    """
    is_right = answers.is_right
    parts = [share(is_right[mask], answers.participant[mask], answers.photo[mask]) for mask in (first, second)]
    if parts[0] is None or parts[1] is None:
        return None
    a, b = parts[0], parts[1]
    influence = np.stack(
        [np.where(mask, is_right - part.value, 0) / part.n for mask, part in ((first, a), (second, b))], axis=1
    )
    either = first | second
    clusters = Clusters(answers.participant[either], None)
    size = Size.of(answers.participant[either], answers.photo[either])
    gap = a.value - b.value
    if clusters.df < 1:
        return Difference(*names, size.estimate(gap), NOT_KNOWN)
    covariance = linear_covariance(influence[either], clusters)
    spread = math.sqrt(covariance[0, 0] * covariance[1, 1])
    correlation = float(np.clip(covariance[0, 1] / spread, -1, 1)) if spread > 0 else 0.0
    low = gap - _joined(a.value - a.low, b.high - b.value, correlation)
    high = gap + _joined(a.high - a.value, b.value - b.low, correlation)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    p = two_sided_p(gap / math.sqrt(variance), clusters.df) if variance > 1e-15 else NOT_KNOWN
    return Difference(*names, size.estimate(gap, low, high), p)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one * one - 2 * correlation * one * other + other * other, 0.0))


def confusion(answers: Answers) -> Ints:
    """(targets, targets + 1): how often each answer was given for each target; the last column is none of them."""
    n = len(answers.targets)
    found: Ints = np.bincount(answers.target * (n + 1) + answers.answer, minlength=n * (n + 1)).reshape(n, n + 1)
    return found


@dataclass(frozen=True)
class UnbiasedHitRate:
    """Wagner's Hu of one target (1993): hits squared over the target's pictures and the answer's uses.

    chance: Hu of people who answer as often, whatever they see. hits, shown, named: what it is made of.
    """

    target: str
    rate: Estimate
    chance: float
    hits: int
    shown: int
    named: int


def unbiased_hit_rates(
    answers: Answers, rng: np.random.Generator, n_resamples: int = N_RESAMPLES
) -> list[UnbiasedHitRate]:
    """Hu of each target that was shown, with a percentile interval over people; without one where there is no hit."""
    n = len(answers.targets)
    people, person = np.unique(answers.participant, return_inverse=True)
    cell = answers.target * (n + 1) + answers.answer
    tables = np.bincount(person * n * (n + 1) + cell, minlength=len(people) * n * (n + 1)).reshape(len(people), -1)
    times = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=n_resamples)
    drawn = (times @ tables).reshape(n_resamples, n, n + 1)
    table = confusion(answers)
    hits, shown, named = np.diag(table), table.sum(axis=1), table.sum(axis=0)[:n]
    rates, resampled = _hu(table[None])[0], _hu(drawn)
    found = []
    for i, target in enumerate(answers.targets):
        if not shown[i]:
            continue
        size = Size.of(answers.participant[answers.target == i], answers.photo[answers.target == i])
        known = resampled[:, i][~np.isnan(resampled[:, i])]
        bounds = (NOT_KNOWN, NOT_KNOWN)
        if hits[i] and len(people) > 1:
            low, high = np.quantile(known, [0.025, 0.975])
            bounds = (float(low), float(high))
        rate = size.estimate(rates[i], *bounds)
        chance = float(shown[i] * named[i] / table.sum() ** 2)
        found.append(UnbiasedHitRate(target, rate, chance, int(hits[i]), int(shown[i]), int(named[i])))
    return found


def _hu(tables: Ints) -> Floats:
    """(B, targets); 0 where an emotion is never named, NaN where it is not shown."""
    n = tables.shape[1]
    hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    shown, named = tables.sum(axis=2), tables.sum(axis=1)[:, :n]
    found: Floats = np.where(shown > 0, hits**2 / np.maximum(shown * named, 1), np.nan)
    return found


def mean(values: Floats, participant: Ints, photo: Ints) -> Estimate | None:
    """The mean of (n,) numbers; the answers of one person are one cluster. None without a number."""
    if not len(values):
        return None
    size = Size.of(participant, photo)
    value = float(values.mean())
    clusters = Clusters(participant, None)
    if clusters.df < 1:
        return size.estimate(value)
    error = math.sqrt(float(linear_covariance((values - value)[:, None] / len(values), clusters)[0, 0]))
    half = t_quantile(clusters.df) * error
    return size.estimate(value, value - half, value + half)
