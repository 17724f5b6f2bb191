"""Bradley and Terry's model (1952) of choices between two, with Davidson's ties (1970) and the side as a parameter.

Of a pair shown left and right, with abilities a and b, the logarithms of the odds of "left", "tie" and "right" are
a + side / 2, tie + (a + b) / 2 and b - side / 2 (Davidson and Beaver 1977, with the side halved between the two). All
of it is one multinomial logit, concave in its parameters, so Newton's method is enough; it is written for a batch,
because a bootstrap fits the same pairs a thousand times. Libraries have the model without ties and sides (choix) or
without ties (a binomial GLM of statsmodels); the tests hold this one against both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emorph.study.statistics.estimates import Floats, Ints

LEFT, TIE, RIGHT = 0, 1, 2
LARGEST_STEP = 2.0  # of a parameter in an iteration, against overshooting near separation
N_ITERATIONS = 200
PSEUDO_VOTES = 1.0  # for a compared pair, half to each side; half as many ties where ties can be said


@dataclass(frozen=True)
class Model:
    """Which of ``n`` methods were compared, and what the model tells apart.

    pairs: (K, 2), each with the method on the left and on the right; if (i, j) is there, (j, i) is.
    """

    n: int
    pairs: tuple[tuple[int, int], ...]
    has_ties: bool
    has_side: bool

    @classmethod
    def of(cls, n: int, left: Ints, right: Ints, *, has_ties: bool, has_side: bool) -> Model:
        """The model of comparisons whose methods are given, (votes,) each."""
        seen = {(int(i), int(j)) for i, j in zip(left, right, strict=True)}
        return cls(n, tuple(sorted(seen | {(j, i) for i, j in seen})), has_ties, has_side)

    @property
    def n_cells(self) -> int:
        """Counts that the model takes: for each pair left, tie, right."""
        return 3 * len(self.pairs)

    def cells(self, left: Ints, right: Ints, outcome: Ints) -> Ints:
        """The cell in which each comparison counts, (votes,)."""
        place = np.full((self.n, self.n), -1)
        for k, (i, j) in enumerate(self.pairs):
            place[i, j] = k
        found: Ints = (3 * place[left, right] + outcome).astype(np.int64)
        return found

    @cached_property
    def basis(self) -> Floats:
        """(n, n - 1), from free parameters to abilities that sum to 0."""
        centred = np.eye(self.n) - 1 / self.n
        found: Floats = np.linalg.svd(centred)[0][:, : self.n - 1]
        return found

    @cached_property
    def features(self) -> Floats:
        """(K, 3, P): what the parameters add to the logarithm of the odds of each outcome."""
        n_free = self.n - 1
        found = np.zeros((len(self.pairs), 3, n_free + self.has_side + self.has_ties))
        for k, (i, j) in enumerate(self.pairs):
            found[k, LEFT, :n_free], found[k, RIGHT, :n_free] = self.basis[i], self.basis[j]
            found[k, TIE, :n_free] = (self.basis[i] + self.basis[j]) / 2
        if self.has_side:
            found[:, LEFT, n_free], found[:, RIGHT, n_free] = 0.5, -0.5
        if self.has_ties:
            found[:, TIE, -1] = 1
        return found

    @property
    def pseudo_counts(self) -> Floats:
        """(cells,): votes that keep a fit finite where one method always won."""
        decisive = PSEUDO_VOTES / 4  # two sides, two orders
        return np.tile([decisive, decisive if self.has_ties else 0.0, decisive], len(self.pairs))


@dataclass(frozen=True)
class Fit:
    """Parameters of B fits, (B, P), and their model."""

    model: Model
    parameters: Floats

    @property
    def abilities(self) -> Floats:
        """(B, n), summing to 0: log odds in choices between two, without sides."""
        found: Floats = self.parameters[:, : self.model.n - 1] @ self.model.basis.T
        return found

    @property
    def side(self) -> Floats:
        """(B,), log odds of left over right between equals; 0 without the parameter."""
        return self.parameters[:, self.model.n - 1] if self.model.has_side else np.zeros(len(self.parameters))

    @property
    def tie(self) -> Floats:
        """(B,), the logarithm of Davidson's nu; minus infinity where there are no ties."""
        return self.parameters[:, -1] if self.model.has_ties else np.full(len(self.parameters), -np.inf)

    def superiority(self) -> Floats:
        """(B, n, n): the probability that the row is chosen over the column on fair sides, a tie counting half."""
        gap = self.abilities[:, :, None] - self.abilities[:, None, :]
        nu = np.exp(self.tie)[:, None, None]
        win, lose = np.exp(gap / 2), np.exp(-gap / 2)
        found: Floats = (win + nu / 2) / (win + lose + nu)
        return found


def fit(model: Model, counts: Floats, *, start: Floats | None = None, accuracy: float = 1e-9) -> Fit:
    """The most likely parameters for each row of ``counts`` (B, cells), to within ``accuracy``.

    start: (P,), from where; zero without it. The caller sees to it that there is a finite answer: ``is_separated`` says
    so, and ``Model.pseudo_counts`` make one.

    One method was chosen in three of four comparisons with another, whose log odds are log 3:

    >>> left, right = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    >>> model = Model.of(2, left, right, has_ties=False, has_side=False)
    >>> cells = model.cells(left, right, np.array([LEFT, RIGHT, LEFT, LEFT]))
    >>> abilities = fit(model, np.bincount(cells, minlength=model.n_cells)[None].astype(float)).abilities[0]
    >>> round(float(abilities[0] - abilities[1]), 4)
    1.0986
    """
    layout = _Layout.of(model)
    outcomes = counts[:, layout.used]
    totals = outcomes.reshape(len(counts), len(model.pairs), -1).sum(axis=2)
    wanted = outcomes @ layout.features
    found = np.tile(np.zeros(layout.features.shape[1]) if start is None else start, (len(counts), 1))
    for _ in range(N_ITERATIONS):
        expected = layout.expected(found, totals)
        gradient = wanted - expected @ layout.features
        step = np.linalg.solve(layout.information(expected, totals), gradient[:, :, None])[:, :, 0].astype(np.float64)
        largest = np.abs(step).max(axis=1, keepdims=True)
        found += step * np.minimum(1, LARGEST_STEP / np.maximum(largest, 1e-300))
        if largest.max() < accuracy:
            break
    return Fit(model, found)


def covariance(fitted: Fit, counts: Floats) -> Floats:
    """(B, P, P): the inverse information of independent votes, of which ``counts`` are the fitted ones."""
    layout = _Layout.of(fitted.model)
    totals = counts[:, layout.used].reshape(len(counts), len(fitted.model.pairs), -1).sum(axis=2)
    information = layout.information(layout.expected(fitted.parameters, totals), totals)
    return np.linalg.inv(information).astype(np.float64)


@dataclass(frozen=True)
class _Layout:
    """A model's features as matrices, so that a batch of fits is a few products. K pairs, O outcomes that can occur.

    used: cells of those outcomes. features: (K O, P). squares: (K O, P P). by_pair: (K O, K P), each pair's own block.
    """

    used: Ints
    features: Floats
    squares: Floats
    by_pair: Floats

    @classmethod
    def of(cls, model: Model) -> _Layout:
        outcomes = [LEFT, TIE, RIGHT] if model.has_ties else [LEFT, RIGHT]
        features = model.features[:, outcomes]
        n_pairs, n_outcomes, size = features.shape
        used = (3 * np.arange(n_pairs)[:, None] + outcomes).ravel()
        flat = features.reshape(-1, size)
        by_pair = np.zeros((n_pairs, n_outcomes, n_pairs, size))
        by_pair[np.arange(n_pairs), :, np.arange(n_pairs)] = features
        squares = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
        return cls(used, flat, squares, by_pair.reshape(len(flat), -1))

    def expected(self, parameters: Floats, totals: Floats) -> Floats:
        """(B, K O), counts that ``totals`` (B, K) comparisons of each pair should have."""
        scores = (parameters @ self.features.T).reshape(*totals.shape, -1)
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores *= (totals / scores.sum(axis=2))[:, :, None]
        found: Floats = scores.reshape(len(parameters), -1)
        return found

    def information(self, expected: Floats, totals: Floats) -> Floats:
        """(B, P, P), with a trace on the diagonal for what no vote tells of."""
        size = self.features.shape[1]
        second = (expected @ self.squares).reshape(-1, size, size)
        means = (expected @ self.by_pair).reshape(*totals.shape, size)
        means /= np.sqrt(np.maximum(totals, 1e-300))[:, :, None]
        found: Floats = second - means.transpose(0, 2, 1) @ means + 1e-10 * np.eye(size)
        return found


def is_separated(model: Model, counts: Floats) -> bool:
    """Whether the likelihood of ``counts`` (cells,) grows without end in some direction, so that no fit is finite.

    There is one if some change of the parameters makes no vote less likely than its alternatives and one more likely
    (Albert and Anderson 1984); a linear program looks for it.
    """
    from scipy import optimize

    table = counts.reshape(-1, 3)
    used = [LEFT, TIE, RIGHT] if model.has_ties else [LEFT, RIGHT]
    gains = [
        model.features[k, chosen] - model.features[k, other]
        for k in range(len(table))
        for chosen in used
        if table[k, chosen] > 0
        for other in used
        if other != chosen
    ]
    matrix = np.array(gains)
    answer = optimize.linprog(-matrix.sum(axis=0), A_ub=-matrix, b_ub=np.zeros(len(matrix)), bounds=(-1, 1))
    return bool(answer.fun < -1e-7)


def wins(model: Model, counts: Floats) -> Floats:
    """(n, n): how often the row was chosen over the column, a tie as half a win of both."""
    found = np.zeros((model.n, model.n))
    for (i, j), (left, tie, right) in zip(model.pairs, counts.reshape(-1, 3), strict=True):
        found[i, j] += left + tie / 2
        found[j, i] += right + tie / 2
    return found


def groups_by_wins(table: Floats) -> Ints:
    """(n,): methods with one number can be ranked on one scale, since wins lead from each to each (Ford 1957)."""
    from scipy.sparse.csgraph import connected_components

    labels: Ints = connected_components(table > 0, directed=True, connection="strong")[1].astype(np.int64)
    return labels


def is_connected(table: Floats) -> bool:
    """Whether comparisons lead from every method to every other."""
    from scipy.sparse.csgraph import connected_components

    return bool(connected_components(table > 0, directed=False)[0] == 1)
