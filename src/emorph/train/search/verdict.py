"""Whether the best setting is better than the one that the search began with, told from luck.

The best of many is best partly by luck: its value on the faces that chose it is too good. So the choice is made again
on faces drawn with replacement, and the chosen one is measured on the faces that were not drawn (bootstrap bias
corrected cross-validation, Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018). Whole persons are
drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.train.search.looks import Looks
from emorph.train.seen import Measure, measure_of

N_DRAWS = 1000
MOST_LOOKS = 20  # of a trial


@dataclass(frozen=True)
class Verdict:
    """The best setting against the first trial's, on faces that did not choose. low, high: 95 % of the draws.

    gain: above 0 where the best is better, whatever direction the measure has.
    """

    gain: float
    low: float
    high: float
    n_faces: int
    n_persons: int

    @property
    def better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


def verdict(trials: Mapping[int, Looks], measure_name: str, *, seed: int = 0) -> Verdict | None:
    """trials: finished ones by their numbers, the first trial with them. None if they cannot be compared.

    Each trial's looks are chosen among as well, so that a lucky epoch does not count either.
    """
    first = trials.get(1)
    if first is None or not first.seen or len(trials) < 2:
        return None
    labels, persons = first.seen[-1].labels, first.seen[-1].persons
    numbers, of_first = [], []
    for number, looks in trials.items():
        if not looks.seen or not np.array_equal(looks.seen[-1].labels, labels):
            continue  # other validation faces: where a setting of the data was searched
        places = np.unique(np.linspace(0, len(looks.seen) - 1, MOST_LOOKS).round().astype(int))
        numbers += [looks.seen[i].faces[measure_name] for i in places]
        of_first += [number == 1] * len(places)
    measure = measure_of(measure_name)
    gains = _gains(np.stack(numbers), np.array(of_first), labels, persons, measure, np.random.default_rng(seed))
    if not len(gains):
        return None
    low, high = np.quantile(gains, [0.025, 0.975])
    return Verdict(float(gains.mean()), float(low), float(high), len(labels), len(np.unique(persons)))


def _gains(
    numbers: NDArray[np.float64],
    of_first: NDArray[np.bool_],
    labels: NDArray[np.int64],
    persons: NDArray[np.int64],
    measure: Measure,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The chosen one minus the first trial's on the faces left over, one for each draw.

    numbers: (candidates, n); of_first: bool (candidates,).
    """
    _, person = np.unique(persons, return_inverse=True)
    sign = 1.0 if measure.higher else -1.0
    gains = []
    for _ in range(N_DRAWS):
        drawn = np.bincount(rng.integers(0, person.max() + 1, person.max() + 1), minlength=person.max() + 1)
        times = drawn[person].astype(np.float64)
        inside = sign * weighted(numbers, times, labels, measure)
        outside = sign * weighted(numbers, (times == 0).astype(np.float64), labels, measure)
        if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
            continue
        own = np.flatnonzero(of_first)
        gains.append(outside[inside.argmax()] - outside[own[inside[own].argmax()]])
    return np.array(gains)


def weighted(
    numbers: NDArray[np.float64], weights: NDArray[np.float64], labels: NDArray[np.int64], measure: Measure
) -> NDArray[np.float64]:
    """The measure of each row of numbers (k, n) with weighted faces, (k,); NaN if no face counts."""
    known = np.isfinite(numbers).all(axis=0) & (weights > 0)
    if measure.by_class:
        known &= labels >= 0
    if not known.any():
        return np.full(len(numbers), np.nan)
    groups = labels[known] if measure.by_class else np.zeros(int(known.sum()), np.int64)
    _, group = np.unique(groups, return_inverse=True)
    share = np.zeros((len(group), group.max() + 1))
    share[np.arange(len(group)), group] = weights[known]
    means: NDArray[np.float64] = (numbers[:, known] @ (share / share.sum(axis=0))).mean(axis=1)
    return means
