"""The four measures of valence and arousal: against numpy, at their edges, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emorph.core.errors import ShapeError
from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr


def test_against_numpy() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, 50)
    found = 0.5 * truth + rng.normal(0.2, 0.3, 50)
    assert pcc(truth, found) == pytest.approx(np.corrcoef(truth, found)[0, 1])
    assert rmse(truth, found) == pytest.approx(np.sqrt(np.mean((truth - found) ** 2)))
    assert sagr(truth, found) == pytest.approx(np.mean(np.sign(truth) == np.sign(found)))
    covariance = np.cov(truth, found, ddof=0)
    expected = 2 * covariance[0, 1] / (np.trace(covariance) + (truth.mean() - found.mean()) ** 2)
    assert ccc(truth, found) == pytest.approx(expected)


def test_concordance_counts_what_correlation_forgives() -> None:
    truth = np.linspace(-1, 1, 21)
    assert pcc(truth, 0.5 * truth + 0.3) == pytest.approx(1)
    assert ccc(truth, 0.5 * truth + 0.3) < 0.75
    assert ccc(truth, truth) == pytest.approx(1)
    assert ccc(truth, -truth) == pytest.approx(-1)


def test_constant_rows_and_zeros() -> None:
    assert math.isnan(pcc([0.5, 0.5], [0.1, 0.3]))
    assert math.isnan(ccc([0.5, 0.5], [0.5, 0.5]))
    assert ccc([0.5, 0.5], [0.1, 0.3]) == 0
    assert sagr([0.0, 0.0, -1.0, 1.0], [0.0, 0.5, -0.1, -0.1]) == 0.5


def test_rows_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"found \(2,\) and \(3,\)"):
        rmse([0.0, 1.0], [0.0, 1.0, 2.0])
    with pytest.raises(ShapeError, match=r"found \(0,\)"):
        rmse([], [])
    with pytest.raises(ShapeError, match="found NaN"):
        ccc([0.0, math.nan], [0.0, 1.0])
    with pytest.raises(ShapeError, match="AffectNet's mark"):
        ccc([-2.0, 0.5], [0.0, 1.0])
