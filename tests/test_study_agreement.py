"""Agreement between people, and of metrics with people: published numbers and independent implementations."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import fleiss_kappa

from emorph.study.statistics import agreement
from emorph.study.statistics.agreement import Scale, krippendorff_alpha, votes_table
from emorph.study.statistics.correlation import correlate

# Krippendorff, Computing Krippendorff's alpha-reliability (2011): four coders, twelve units
CODERS = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
# Fleiss (1971) as in Wikipedia's table: ten subjects, five categories, 14 raters
SUBJECTS = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""


def coded() -> np.ndarray:
    rows = [row.split() for row in CODERS.strip().splitlines()]
    return np.array([[np.nan if value == "." else float(value) for value in row] for row in rows])


def table_of(ratings: np.ndarray) -> np.ndarray:
    raters, units = np.nonzero(~np.isnan(ratings))
    return votes_table(units, ratings[raters, units].astype(np.int64) - 1, 5)


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(scale: Scale, alpha: float) -> None:
    found = krippendorff_alpha(table_of(coded()), scale)
    assert found is not None
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.n == 40
    assert not found.has_interval


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_alpha_is_the_library_s(scale: Scale) -> None:
    rng = np.random.default_rng(1)
    ratings = np.clip(rng.integers(1, 6, (1, 30)) + rng.integers(-1, 2, (6, 30)), 1, 5).astype(float)
    ratings[rng.random(ratings.shape) < 0.3] = np.nan
    found = krippendorff_alpha(table_of(ratings), scale)
    assert found is not None
    assert found.value == pytest.approx(krippendorff.alpha(ratings, level_of_measurement=scale), abs=1e-9)


def test_fleiss_own_example() -> None:
    table = np.array([[float(n) for n in row.split()] for row in SUBJECTS.strip().splitlines()])
    found = agreement.fleiss_kappa(table)
    assert found is not None
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert found.value == pytest.approx(fleiss_kappa(table))


def test_unequal_numbers_of_votes_count_each_unit_alike() -> None:
    found = agreement.fleiss_kappa(np.array([[4.0, 0], [0, 2], [1, 1], [3, 3]]))
    agreed, by_chance = (1 + 1 + 0 + 12 / 30) / 4, 0.5**2 + 0.5**2
    assert found is not None
    assert found.value == pytest.approx((agreed - by_chance) / (1 - by_chance))


def test_the_interval_draws_units() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(60), 4)
    value = np.where(rng.random(240) < 0.6, unit % 3, rng.integers(0, 3, 240))
    found = krippendorff_alpha(votes_table(unit, value, 3), "nominal", rng=rng)
    assert found is not None
    assert 0.02 < found.value - found.low < 0.2
    assert 0.02 < found.high - found.value < 0.2
    assert found.n_photos == 60


def test_no_disagreement_to_expect_is_no_alpha() -> None:
    assert krippendorff_alpha(np.array([[3.0, 0], [2, 0]]), "nominal") is None
    assert krippendorff_alpha(np.array([[1.0, 0], [0, 1]]), "nominal") is None
    assert agreement.fleiss_kappa(np.zeros((0, 2))) is None


def test_coefficients_are_scipy_s() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 6, 50).astype(float)
    y = x + rng.integers(0, 6, 50)
    found = correlate(x, y, np.arange(50) // 2, rng, 50)
    assert found is not None
    assert found.pearson.value == pytest.approx(stats.pearsonr(x, y)[0])
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y)[0])
    assert found.kendall.value == pytest.approx(stats.kendalltau(x, y)[0])
    assert (found.pearson.n, found.pearson.n_photos) == (50, 25)


def test_a_resample_is_the_coefficient_of_the_drawn_photos() -> None:
    """All draws of two photos are known: two of the same, or both."""
    x, y = np.array([1.0, 2, 3, 4, 7, 5, 6, 9]), np.array([4.0, 3, 2, 1, 6, 9, 8, 2])
    photo = np.array([0, 1, 1, 0, 1, 0, 1, 0])
    found = correlate(x, y, photo, np.random.default_rng(0), 4000)
    assert found is not None
    for estimate, function in (
        (found.pearson, stats.pearsonr),
        (found.spearman, stats.spearmanr),
        (found.kendall, stats.kendalltau),
    ):
        halves = [function(np.tile(x[photo == i], 2), np.tile(y[photo == i], 2))[0] for i in (0, 1)]
        everything = [*halves, function(x, y)[0]]
        assert (estimate.low, estimate.high) == pytest.approx((min(everything), max(everything)))


def test_what_does_not_vary_goes_along_with_nothing() -> None:
    found = correlate(np.ones(5), np.arange(5.0), np.arange(5), np.random.default_rng(0), 20)
    assert found is not None
    assert np.isnan(found.pearson.value)
    assert np.isnan(found.kendall.value)
    assert correlate(np.ones(2), np.ones(2), np.arange(2), np.random.default_rng(0)) is None
