"""Which of two edits people chose: abilities, chances of being chosen, and tests, with intervals that hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from emorph.core.wilson import wilson
from emorph.study.statistics import bradley_terry as bt
from emorph.study.statistics.clusters import Clusters, bootstrap_variance
from emorph.study.statistics.estimates import (
    NOT_KNOWN,
    Estimate,
    Floats,
    Ints,
    Size,
    expit,
    holm,
    logit,
    t_quantile,
    two_sided_p,
)

N_RESAMPLES = 1000
RESAMPLED_TO = 1e-4  # accuracy of a fit of which only the spread counts


@dataclass(frozen=True)
class Comparisons:
    """Votes between two pictures, (n,) each: the methods shown left and right by number, and what was chosen.

    outcome: 0 left, 1 tie, 2 right. participant, photo: whose vote, and on which photo, any whole numbers.
    """

    methods: tuple[str, ...]
    left: Ints
    right: Ints
    outcome: Ints
    participant: Ints
    photo: Ints

    def where(self, chosen: Ints | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Comparisons:
        """Some of the votes, by a mask or by their places."""
        parts = (part[chosen] for part in (self.left, self.right, self.outcome, self.participant, self.photo))
        return Comparisons(self.methods, *parts)

    def of_seen_methods(self) -> Comparisons:
        """The same votes, without methods that none of them is about."""
        seen = np.union1d(self.left, self.right)
        left, right = np.searchsorted(seen, self.left), np.searchsorted(seen, self.right)
        methods = tuple(self.methods[i] for i in seen)
        return Comparisons(methods, left, right, self.outcome, self.participant, self.photo)

    def of_pair(self, i: int, j: int) -> Comparisons:
        """The votes between two of the methods."""
        both = ((self.left == i) & (self.right == j)) | ((self.left == j) & (self.right == i))
        return self.where(both)


@dataclass(frozen=True)
class PairTest:
    """Whether two methods can be told apart; ``first`` is the one chosen more often.

    superiority: the chance that ``first`` is chosen, a tie counting half. won: the share of its direct comparisons.
    p, p_holm: against equality, and after Holm's correction over all pairs of the same table. how: the test.
    """

    first: str
    second: str
    superiority: Estimate
    won: float
    p: float
    p_holm: float
    how: str


@dataclass(frozen=True)
class Preference:
    """What the comparisons of one question tell.

    abilities: log odds, with mean 0 over the methods. superiority: [row][column], the chance that the row is chosen;
    None on the diagonal. left_share: how often the left of two equals is chosen, of the votes that choose.
    tie_share: how often two equals tie; None where nobody said so. remarks: what a reader must know, in sentences.
    """

    methods: tuple[str, ...]
    size: Size
    abilities: tuple[Estimate, ...]
    superiority: tuple[tuple[Estimate | None, ...], ...]
    left_share: Estimate
    tie_share: Estimate | None
    tests: tuple[PairTest, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Fitted:
    """A fit with its standard errors, flat: logits of superiority (n * n), abilities (n), side, tie."""

    model: bt.Model
    fit: bt.Fit
    won: Floats
    compared: Floats
    group: Ints
    is_separated: bool
    error: Floats
    df: int


def analyse(
    votes: Comparisons, *, rng: np.random.Generator, n_resamples: int = N_RESAMPLES, photos_vary: bool = True
) -> Preference | None:
    """The preferences in ``votes``; None if they are about fewer than two methods, or do not join them all.

    photos_vary: intervals hold for other photos, too; else for these alone.
    """
    votes = votes.of_seen_methods()
    if len(votes.methods) < 2:
        return None
    fitted = _fit(votes, rng, n_resamples, photos_vary=photos_vary)
    if fitted is None:
        return None
    size, n = Size.of(votes.participant, votes.photo), len(votes.methods)
    tie = float(fitted.fit.tie[0]) - math.log(2)  # log odds of a tie between equals: nu of 2 + nu votes
    superiority = [[None if i == j else _superiority(votes, fitted, i, j) for j in range(n)] for i in range(n)]
    return Preference(
        votes.methods,
        size,
        tuple(_ability(size, fitted, i) for i in range(n)),
        tuple(map(tuple, superiority)),
        _share(size, float(fitted.fit.side[0]), fitted.error[-2], fitted.df),
        _share(size, tie, fitted.error[-1], fitted.df) if fitted.model.has_ties else None,
        _tests(votes, fitted, superiority),
        tuple(_remarks(votes, fitted, photos_vary=photos_vary)),
    )


def _fit(votes: Comparisons, rng: np.random.Generator, n_resamples: int, *, photos_vary: bool) -> _Fitted | None:
    has_ties = bool((votes.outcome == bt.TIE).any())
    model = bt.Model.of(len(votes.methods), votes.left, votes.right, has_ties=has_ties, has_side=True)
    cell = model.cells(votes.left, votes.right, votes.outcome)
    counts = np.bincount(cell, minlength=model.n_cells).astype(np.float64)
    won = bt.wins(model, counts)
    if not bt.is_connected(won):
        return None
    separated = bt.is_separated(model, counts)
    fitted = bt.fit(model, (counts + separated * model.pseudo_counts)[None])
    clusters = Clusters(votes.participant, votes.photo if photos_vary else None)
    if clusters.df < 1:
        variance = np.full(len(votes.methods) * (len(votes.methods) + 1) + 2, np.nan)
    else:
        start = fitted.parameters[0]

        def again(rows: Floats) -> Floats:
            return _flat(bt.fit(model, rows + model.pseudo_counts, start=start, accuracy=RESAMPLED_TO))

        variance = bootstrap_variance(again, cell, model.n_cells, clusters, rng, n_resamples)
    return _Fitted(model, fitted, won, won + won.T, bt.groups_by_wins(won), separated, np.sqrt(variance), clusters.df)


def _flat(fitted: bt.Fit) -> Floats:
    odds = logit(fitted.superiority()).reshape(len(fitted.parameters), -1)
    tie = fitted.tie if fitted.model.has_ties else np.zeros(len(fitted.parameters))
    found: Floats = np.concatenate([odds, fitted.abilities, fitted.side[:, None], tie[:, None]], axis=1)
    return found


def _ability(size: Size, fitted: _Fitted, i: int) -> Estimate:
    """Without an interval where votes are separated: nothing bounds some of the abilities, nor then their mean."""
    value = float(fitted.fit.abilities[0, i])
    if fitted.is_separated:
        return size.estimate(value)
    half = t_quantile(fitted.df) * float(fitted.error[-2 - fitted.model.n + i])
    return size.estimate(value, value - half, value + half)


def _share(size: Size, logit: float, error: float, df: int) -> Estimate:
    half = t_quantile(df) * error
    low, middle, high = expit([logit - half, logit, logit + half])
    return size.estimate(middle, low, high)


def _superiority(votes: Comparisons, fitted: _Fitted, i: int, j: int) -> Estimate:
    pair = votes.of_pair(i, j)
    size = Size.of(pair.participant, pair.photo)
    value = float(fitted.fit.superiority()[0, i, j])
    if not fitted.is_separated or fitted.group[i] == fitted.group[j]:
        return _share(size, float(logit(value)), float(fitted.error[i * fitted.model.n + j]), fitted.df)
    if not size.n:
        return size.estimate(value)
    # one of the two never lost: the votes' own share, as if each person had but one vote
    share = float(fitted.won[i, j] / fitted.compared[i, j])
    return size.estimate(share, *wilson(share, size.n_participants))


def _tests(votes: Comparisons, fitted: _Fitted, superiority: list[list[Estimate | None]]) -> tuple[PairTest, ...]:
    n, abilities = fitted.model.n, fitted.fit.abilities[0]
    rows: list[tuple[int, int, float, str]] = []
    for pair in combinations(range(n), 2):
        i, j = sorted(pair, key=lambda k: -abilities[k])
        if not fitted.is_separated or fitted.group[i] == fitted.group[j]:
            logit, error = _flat(fitted.fit)[0, i * n + j], fitted.error[i * n + j]
            rows.append((i, j, two_sided_p(logit / error if error > 0 else NOT_KNOWN, fitted.df), "t of the log odds"))
        else:
            rows.append((i, j, _sign_test(votes.of_pair(i, j), i), "sign test over people"))
    corrected = holm(np.array([p for *_, p, _ in rows]))
    found = []
    for (i, j, p, how), p_holm in zip(rows, corrected, strict=True):
        chance, met = superiority[i][j], fitted.compared[i, j]
        won = float(fitted.won[i, j] / met) if met else NOT_KNOWN
        assert chance is not None  # only the diagonal is
        found.append(PairTest(votes.methods[i], votes.methods[j], chance, won, p, float(p_holm), how))
    return tuple(found)


def _sign_test(votes: Comparisons, i: int) -> float:
    """Whether more people favour one method than the other, each by the majority of their own votes; exact."""
    from scipy import stats

    if not len(votes.left):
        return NOT_KNOWN
    sign = np.where(votes.left == i, 1, -1) * (1 - votes.outcome)
    _, person = np.unique(votes.participant, return_inverse=True)
    favour = np.sign(np.bincount(person, sign))
    n = int((favour != 0).sum())
    return float(stats.binomtest(int((favour > 0).sum()), n).pvalue) if n else 1.0


def _remarks(votes: Comparisons, fitted: _Fitted, *, photos_vary: bool) -> Iterator[str]:
    size = Size.of(votes.participant, votes.photo)
    if fitted.is_separated:
        yield from _about_separation(votes.methods, fitted)
    if size.n_participants == 1:
        yield "Only one person voted, so there is no interval: nothing is known about how people differ."
    if photos_vary and size.n_photos == 1:
        yield "All votes are on one photo: the intervals hold for other people, not for other photos."
    fewest = min(size.n_participants, size.n_photos if photos_vary and size.n_photos > 1 else size.n_participants)
    if 1 < fewest < 6:
        what = "people" if fewest == size.n_participants else "photos"
        yield f"Only {fewest} {what}: the intervals are wide because so few say little about others, and are rough."


def _about_separation(methods: tuple[str, ...], fitted: _Fitted) -> Iterator[str]:
    compared, won = fitted.compared > 0, fitted.won
    always = [i for i in range(len(methods)) if won[i].sum() == fitted.compared[i].sum()]
    never = [i for i in range(len(methods)) if won[i].sum() == 0]
    for i in always:
        yield f"{methods[i]} was chosen in all its {fitted.compared[i][compared[i]].sum():.0f} comparisons."
    for i in never:
        yield f"{methods[i]} was chosen in none of its {fitted.compared[i][compared[i]].sum():.0f} comparisons."
    if not always and not never:
        yield "Some methods, or one of the sides, never lost to some others."
    yield (
        "Such votes put no bound on an ability: the abilities shown are those with half a win added to each side of "
        "each compared pair, without an interval; where a method never lost to another, the chance is the share of "
        "their own comparisons with Wilson's interval, as if each person had voted once, and the test is a sign test "
        "over people."
    )
