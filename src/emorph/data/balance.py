"""Equal classes: in which order a run sees its faces so that each emotion comes as often as the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ConfigError, DataError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.data.loader import EndlessOrder

AFFECT_BINS = 10  # along valence and along arousal
DEFAULT_POWER = {"classes": 1.0, "affect": 0.5}

# choice -> what it does
CHOICES: dict[str, str] = {
    "none": "every face once",
    "cap": "as many of each emotion as the rarest has; different ones each epoch; cap:N, N of each, rare ones repeated",
    "repeat": "as many of each emotion as the most frequent has; the others repeated",
    "classes": "as many draws as faces, each emotion's share the power 1 - p of its own; classes:p, p = 1 if not given",
    "affect": "as many draws as faces, evened out by p over valence and arousal in 10x10 bins; affect:p, p = 0.5",
}


class BalancedOrder(EndlessOrder):
    """An endless run in which every epoch holds each class exactly ``n_each`` times.

    labels: int (n,), a negative one is never drawn. The faces of a class follow one another in its own endless order,
    so that of two faces of one class none is seen more than once more often. At any place of the run the
    counts of two classes differ by one at most; also those of each process alone, where ``n_ranks`` divides the
    number of classes. The order depends on (labels, n_each, seed) alone, as EndlessOrder's.
    """

    def __init__(
        self,
        labels: Sequence[int] | NDArray[np.int64],
        n_each: int,
        *,
        seed: int,
        start: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        labels = np.asarray(labels)
        super().__init__(len(labels), seed=seed, start=start, rank=rank, n_ranks=n_ranks)
        self.n_each = n_each
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        if not self.members or n_each < 1:
            raise DataError(f"no face has an emotion to balance by, or none of each is asked for ({n_each}).")

    @property
    def epoch_size(self) -> int:
        """Samples in an epoch."""
        return self.n_each * len(self.members)

    @property
    def repeats(self) -> NDArray[np.float64]:
        """How often each face comes in an epoch on average, (n,)."""
        each = np.zeros(self.n)
        for members in self.members:
            each[members] = self.n_each / len(members)
        return each

    def drawn(self, n_samples: int) -> NDArray[np.int64]:
        """How often each face comes among the first ``n_samples``, int64 (n,)."""
        whole, left = divmod(n_samples, self.epoch_size)
        part = self.epoch(whole)[:left]
        times = np.zeros(self.n, np.int64)
        for c, members in enumerate(self.members):
            laps, rest = divmod(whole * self.n_each + int(np.isin(part, members).sum()), len(members))
            times[members] += laps
            times[np.random.default_rng([self.seed, c, laps]).permutation(members)[:rest]] += 1
        return times

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The order of one epoch, int64, ``n_each`` times the number of classes long."""
        k = len(self.members)
        faces = np.stack([self._stream(c, epoch) for c in range(k)])
        rows = np.arange(self.n_each)[:, None]
        rng = np.random.default_rng([self.seed, epoch])
        squares = np.stack([rng.permutation(k) for _ in range(-(-self.n_each // k))])
        # each k rows are a Latin square of the classes, so every column, and so every process, meets each class
        classes = squares[rows // k, (np.arange(k) + rows) % k]
        order: NDArray[np.int64] = faces[classes, rows].reshape(-1)
        return order

    def _stream(self, c: int, epoch: int) -> NDArray[np.int64]:
        """The faces that class ``c`` gives to this epoch, from its permutations laid end to end."""
        members, first = self.members[c], epoch * self.n_each
        lap, last_lap = first // len(members), (first + self.n_each - 1) // len(members)
        laps = [np.random.default_rng([self.seed, c, n]).permutation(members) for n in range(lap, last_lap + 1)]
        start = first - lap * len(members)
        stream: NDArray[np.int64] = np.concatenate(laps)[start : start + self.n_each]
        return stream


class WeightedOrder(EndlessOrder):
    """An endless run that draws each face in proportion to its weight, n draws an epoch.

    weights: (n,) at or above 0; groups: int (n,), the class or bin of each face. In every epoch a face comes as often
    as its share says, rounded up or down, and so does each group as a whole. Which are rounded up varies.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        groups: NDArray[np.int64],
        *,
        seed: int,
        start: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        n = len(weights)
        super().__init__(n, seed=seed, start=start, rank=rank, n_ranks=n_ranks, weights=weights * n / weights.sum())
        self.groups = groups

    @property
    def even(self) -> bool:
        """Whether all epochs are of one length: they are, weights or not."""
        return True

    @property
    def epoch_size(self) -> int:
        """Samples in an epoch."""
        return self.n

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The order of one epoch, int64, of length n."""
        rng = np.random.default_rng([self.seed, epoch])
        shuffled = rng.permutation(self.n)
        order = shuffled[np.argsort(self.groups[shuffled], kind="stable")]
        assert self.weights is not None
        # one offset for all: the rounding errors of neighbours cancel, and a group's neighbours are its own
        edges = np.floor(np.cumsum(self.weights[order]) + rng.random() + 1e-9).astype(np.int64)
        edges[-1] = self.n
        repeats = np.diff(np.minimum(edges, self.n), prepend=0)
        return rng.permutation(np.repeat(order, repeats))


def balanced_order(
    choice: str,
    labels: NDArray[np.int64],
    affect: NDArray[np.float64] | None = None,
    *,
    seed: int,
    start: int = 0,
    rank: int = 0,
    n_ranks: int = 1,
) -> EndlessOrder:
    """The order for one of ``CHOICES``, such as "cap:500" or "classes:0.5".

    labels: int64 (n,), codes, -1 for a face without one. affect: float (n, 2) valence and arousal, NaN where unknown;
    "affect" needs it. start, rank, n_ranks: as in EndlessOrder.
    Raises UnknownNameError for another choice, ConfigError for its number, DataError if no face can be balanced.
    """
    kind, number = parse_choice(choice)
    if kind == "none":
        return EndlessOrder(len(labels), seed=seed, start=start, rank=rank, n_ranks=n_ranks)
    if kind in ("cap", "repeat"):
        counts = np.unique(labels[labels >= 0], return_counts=True)[1]
        least_or_most = (counts.min() if kind == "cap" else counts.max()) if len(counts) else 0
        each = int(number) if number is not None else int(least_or_most)
        return BalancedOrder(labels, each, seed=seed, start=start, rank=rank, n_ranks=n_ranks)
    groups = labels if kind == "classes" else affect_bins(affect, len(labels))
    if not (groups >= 0).any():
        raise DataError(f"no face has {'an emotion' if kind == 'classes' else 'valence and arousal'} to balance by.")
    power = number if number is not None else DEFAULT_POWER[kind]
    weights = group_weights(groups, power)
    return WeightedOrder(weights, groups, seed=seed, start=start, rank=rank, n_ranks=n_ranks)


def parse_choice(choice: str) -> tuple[str, float | None]:
    """The kind and the number of a choice. Raises UnknownNameError or ConfigError."""
    kind, _, text = choice.partition(":")
    if kind not in CHOICES:
        raise UnknownNameError("balance", kind, CHOICES)
    if not text:
        return kind, None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if kind == "cap" and number >= 1 and number == int(number):
        return kind, number
    if kind in DEFAULT_POWER and 0 <= number <= 1:
        return kind, number
    raise ConfigError(f"balance {choice!r}: expected cap:N with N from 1, classes:p or affect:p with p from 0 to 1.")


def group_weights(groups: NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """A weight for each face: its group's count ** -power; 1 makes groups equal, 0 changes nothing; 0 outside all."""
    counts = np.bincount(np.maximum(groups, 0), weights=groups >= 0)
    weights: NDArray[np.float64] = np.where(groups >= 0, np.maximum(counts[np.maximum(groups, 0)], 1) ** -power, 0.0)
    return weights


def affect_bins(affect: NDArray[np.float64] | None, n: int) -> NDArray[np.int64]:
    """The bin of each face, int64 (n,), row by row over [-1, 1] x [-1, 1]; -1 where valence or arousal is unknown."""
    if affect is None:
        return np.full(n, -1)
    known = np.isfinite(affect).all(axis=1)
    cells = np.clip((np.nan_to_num(affect) + 1) / 2 * AFFECT_BINS, 0, AFFECT_BINS - 1).astype(np.int64)
    return np.where(known, cells[:, 0] * AFFECT_BINS + cells[:, 1], -1)


@dataclass(frozen=True)
class Outcome:
    """What one epoch of a choice gives: draws, draws per emotion, share of the faces seen, most draws of one face."""

    choice: str
    n_draws: int
    per_emotion: dict[str, int]
    seen_share: float
    most_repeats: int


def outcome(choice: str, labels: NDArray[np.int64], affect: NDArray[np.float64] | None, *, seed: int) -> Outcome:
    """Draw the first epoch of a choice and count. As ``balanced_order``."""
    order = balanced_order(choice, labels, affect, seed=seed).epoch(0)
    times = np.bincount(order, minlength=len(labels))
    per_emotion = {e.word: int(times[labels == e.value].sum()) for e in Emotion}
    return Outcome(choice, len(order), per_emotion, float((times > 0).mean()), int(times.max()))
