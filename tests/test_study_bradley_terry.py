"""Abilities from choices between two: published numbers, two libraries, and what must not change them."""

from __future__ import annotations

import choix
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, special

from emorph.study.statistics import bradley_terry as bt
from emorph.study.statistics.estimates import Floats, Ints

# American League East, 1987 (Agresti, Categorical Data Analysis): wins of the row over the column
AMERICAN_LEAGUE = """
0 7 9 7 7 9 11
6 0 7 5 11 9 9
4 6 0 7 7 8 12
6 8 6 0 6 7 10
6 2 6 7 0 7 12
4 4 5 6 6 0 6
2 4 1 3 1 7 0
"""


def league() -> tuple[bt.Model, Floats]:
    table = np.array([[int(n) for n in row.split()] for row in AMERICAN_LEAGUE.strip().splitlines()])
    winner, loser = (np.repeat(side, table[np.nonzero(table)]) for side in np.nonzero(table))
    model = bt.Model.of(7, winner, loser, has_ties=False, has_side=False)
    return model, counted(model, winner, loser, np.zeros(len(winner), np.int64))


def counted(model: bt.Model, left: Ints, right: Ints, outcome: Ints) -> Floats:
    return np.bincount(model.cells(left, right, outcome), minlength=model.n_cells).astype(np.float64)


def votes(n: int, *, ties: bool, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """Left, right, outcome of n comparisons of four methods, with a bias to the left."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 4, n)
    right = (left + rng.integers(1, 4, n)) % 4
    ability = np.array([0.9, 0.1, -0.2, -0.8])
    gap = ability[left] - ability[right] + 0.4
    scores = np.stack([gap / 2, np.full(n, -0.3 if ties else -np.inf), -gap / 2], axis=1)
    outcome = (rng.random(n)[:, None] > special.softmax(scores, axis=1).cumsum(axis=1)).sum(axis=1)
    return left, right, outcome


def test_the_american_league_has_agrestis_abilities_and_errors() -> None:
    model, counts = league()
    fitted = bt.fit(model, counts[None])
    abilities = fitted.abilities[0]
    spread = model.basis @ bt.covariance(fitted, counts[None])[0] @ model.basis.T
    errors = np.sqrt(np.diag(spread) + spread[6, 6] - 2 * spread[:, 6])
    assert (abilities - abilities[6])[:6] == pytest.approx([1.581, 1.436, 1.294, 1.248, 1.108, 0.684], abs=5e-4)
    assert errors[:6] == pytest.approx([0.343, 0.340, 0.337, 0.336, 0.334, 0.332], abs=5e-4)


def test_without_ties_and_sides_it_is_the_library_s_model() -> None:
    left, right, outcome = votes(400, ties=False)
    model = bt.Model.of(4, left, right, has_ties=False, has_side=False)
    ours = bt.fit(model, counted(model, left, right, outcome)[None]).abilities[0]
    pairs = [(a, b) if o == bt.LEFT else (b, a) for a, b, o in zip(left, right, outcome, strict=True)]
    assert ours == pytest.approx(choix.opt_pairwise(4, pairs, alpha=0.0), abs=1e-4)


def test_with_a_side_it_is_a_binomial_glm() -> None:
    left, right, outcome = votes(500, ties=False)
    model = bt.Model.of(4, left, right, has_ties=False, has_side=True)
    counts = counted(model, left, right, outcome)
    fitted = bt.fit(model, counts[None])
    design = np.zeros((500, 4))
    design[np.arange(500), left] += 1
    design[np.arange(500), right] -= 1
    design[:, 0] = 1  # the first method is the reference, so its column is free for the side
    glm = sm.GLM((outcome == bt.LEFT).astype(float), design, family=sm.families.Binomial()).fit()
    assert fitted.side[0] == pytest.approx(glm.params[0], abs=1e-6)
    assert (fitted.abilities[0] - fitted.abilities[0, 0])[1:] == pytest.approx(glm.params[1:], abs=1e-6)
    errors = np.sqrt(np.diag(bt.covariance(fitted, counts[None])[0]))
    assert errors[3] == pytest.approx(glm.bse[0], abs=1e-6)


def test_ties_are_davidsons() -> None:
    left, right, outcome = votes(600, ties=True)
    model = bt.Model.of(4, left, right, has_ties=True, has_side=True)
    fitted = bt.fit(model, counted(model, left, right, outcome)[None])

    def minus_likelihood(parameters: Floats) -> float:
        """As Davidson and Beaver write it: worths, a factor for the side, nu times the root of the worths."""
        worth, gamma, nu = np.exp([0.0, *parameters[:3]]), np.exp(parameters[3]), np.exp(parameters[4])
        a, b = gamma * worth[left], worth[right]
        tie = nu * np.sqrt(gamma * worth[left] * worth[right])
        chances = np.stack([a, tie, b]) / (a + tie + b)
        return -float(np.log(chances[outcome, np.arange(600)]).sum())

    found = optimize.minimize(minus_likelihood, np.zeros(5), method="BFGS", options={"gtol": 1e-5}).x
    assert (fitted.abilities[0] - fitted.abilities[0, 0])[1:] == pytest.approx(found[:3], abs=1e-4)
    assert (fitted.side[0], fitted.tie[0]) == pytest.approx((found[3], found[4]), abs=1e-4)


def test_exchanging_all_sides_turns_the_bias_and_nothing_else() -> None:
    left, right, outcome = votes(300, ties=True)
    model = bt.Model.of(4, left, right, has_ties=True, has_side=True)
    one = bt.fit(model, counted(model, left, right, outcome)[None])
    other = bt.fit(model, counted(model, right, left, 2 - outcome)[None])
    assert other.abilities == pytest.approx(one.abilities, abs=1e-8)
    assert other.side == pytest.approx(-one.side, abs=1e-8)
    assert one.side[0] > 0.2


def test_a_batch_is_the_same_as_one_by_one() -> None:
    left, right, outcome = votes(200, ties=True)
    model = bt.Model.of(4, left, right, has_ties=True, has_side=True)
    counts = counted(model, left, right, outcome)
    rows = np.random.default_rng(0).poisson(counts, (5, len(counts))) + model.pseudo_counts
    together = bt.fit(model, rows).parameters
    alone = np.concatenate([bt.fit(model, row[None], start=together[0]).parameters for row in rows])
    assert together == pytest.approx(alone, abs=1e-7)


def test_a_chance_and_its_opposite_make_one() -> None:
    left, right, outcome = votes(200, ties=True)
    model = bt.Model.of(4, left, right, has_ties=True, has_side=True)
    chance = bt.fit(model, counted(model, left, right, outcome)[None]).superiority()[0]
    assert chance + chance.T == pytest.approx(np.ones((4, 4)))


@pytest.mark.parametrize("ties", [False, True])
def test_who_always_wins_is_found_out(ties: bool) -> None:
    left, right, outcome = votes(200, ties=ties)
    model = bt.Model.of(4, left, right, has_ties=ties, has_side=True)
    assert not bt.is_separated(model, counted(model, left, right, outcome))
    outcome[left == 2], outcome[right == 2] = bt.LEFT, bt.RIGHT
    counts = counted(model, left, right, outcome)
    assert bt.is_separated(model, counts)
    group = bt.groups_by_wins(bt.wins(model, counts))
    assert sorted(np.bincount(group)) == [1, 3]
    assert np.isfinite(bt.fit(model, (counts + model.pseudo_counts)[None]).abilities).all()


def test_a_side_that_always_wins_is_found_out_too() -> None:
    """Every method has won and lost, but only by its side."""
    left, right = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    model = bt.Model.of(2, left, right, has_ties=False, has_side=True)
    counts = counted(model, left, right, np.zeros(4, np.int64))
    assert len(set(bt.groups_by_wins(bt.wins(model, counts)))) == 1
    assert bt.is_separated(model, counts)


def test_methods_that_nothing_joins_are_found_out() -> None:
    model = bt.Model.of(4, np.array([0, 2]), np.array([1, 3]), has_ties=False, has_side=False)
    assert not bt.is_connected(bt.wins(model, counted(model, np.array([0, 2]), np.array([1, 3]), np.array([0, 0]))))
