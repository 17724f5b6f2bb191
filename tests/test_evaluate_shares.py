"""Shares of few edits: intervals beside other implementations, and what is withheld where n cannot show it."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.shares import share, signed_share
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from emorph.evaluate.report.tables import Value
from evaluate_sets import PANEL, Made


@pytest.mark.parametrize(("n_right", "n"), [(0, 6), (6, 6), (1, 7), (30, 80)])
def test_a_share_has_wilsons_interval(n_right: int, n: int) -> None:
    found = share([1.0] * n_right + [0.0] * (n - n_right))
    assert (found.low, found.high) == pytest.approx(proportion_confint(n_right, n, method="wilson"), abs=1e-12)
    assert (found.mean, found.n) == (pytest.approx(n_right / n), n)


def test_copies_of_an_edit_are_no_evidence() -> None:
    right = np.array([1.0, 0, 0, 1, 1, 0, 1, 1])
    photos = list(range(8))
    once, thrice = share(right, photos), share(np.tile(right, 3), photos * 3)
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))
    assert (once.n, thrice.n) == (8, 24)
    assert share(np.ones(24), photos * 3).low == pytest.approx(share(np.ones(8)).low)
    once, thrice = signed_share(right - 0, photos), signed_share(np.tile(right, 3), photos * 3)
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))


def test_a_gain_covers_the_truth_where_the_bootstrap_would_not() -> None:
    rng = np.random.default_rng(0)
    for chances in ((0.05, 0.05, 0.9), (0.0, 0.4, 0.6)):  # lost, the same, won
        truth = chances[2] - chances[0]
        drawn = rng.choice([-1.0, 0.0, 1.0], size=(600, 10), p=chances)
        held = [found.low <= truth <= found.high for found in map(signed_share, drawn)]
        assert np.mean(held) >= 0.93


def test_what_is_no_share_is_refused() -> None:
    for wrong in ([], [1.2], [float("nan")], [[1.0]]):
        with pytest.raises(DataError, match="a share needs numbers from 0 to 1"):
            share(wrong)
    with pytest.raises(DataError, match="need as many groups"):
        share([1.0, 0.0], ["a"])


def test_an_interval_of_no_width_is_not_shown() -> None:
    assert str(Value(Estimate(1, 1, 1, 6), is_share=True)) == "100.0 % (no interval; n = 6)"
    assert str(Value(Estimate(0.5, 0.5, 0.5, 1))) == "0.5 (no interval; n = 1)"
    assert str(Value(bootstrap([0.25, 0.75], ["one", "one"]))) == "0.5 (no interval; n = 2)"
    assert str(Value(Estimate(0, 0, 0, 6))) == "0 (0 to 0; n = 6)"  # six equal numbers are what they are


def six() -> Made:
    made = Made(photos_each=1)
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(6))
    return made


def test_six_edits_are_not_certain() -> None:
    told = six().summary()
    cells = [str(cell) for table in told.tables for row in table.rows for cell in row]
    assert any(cell == "100.0 % (61.0 to 100.0; n = 6)" for cell in cells)
    assert not [cell for cell in (*cells, *told.conclusions) if "100.0 to 100.0" in cell or "0.0 to 0.0;" in cell]


def test_a_threshold_of_few_impostors_is_withheld_with_a_sentence() -> None:
    few, enough = six().summary(), Made(photos_each=1)
    enough.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(15))  # 105 pairs
    withheld = "withheld: 1 % of 15 impostor pairs is less than one pair; 100 are needed"
    assert any(withheld in warning for warning in few.warnings)
    cells = {str(row[0]): str(row[2]) for table in few.tables[:2] for row in table.rows}
    for title in ("Success", "HES", "Area", "Passes for the person", "Passes for other photos"):
        assert next(text for name, text in cells.items() if name.startswith(title)).startswith(withheld), title
    assert not any("pass for the person" in sentence for sentence in few.conclusions)
    assert any("pass for the person" in sentence for sentence in enough.summary().conclusions)


def two(n_apart: int) -> Made:
    """Two methods on 20 photos; one fails on some of them."""
    made = Made(photos_each=1)
    made.edit("a", Emotion.HAPPY, Emotion.HAPPY)
    made.edit("b", Emotion.HAPPY, Emotion.NEUTRAL, sources=range(n_apart))
    made.edit("b", Emotion.HAPPY, Emotion.HAPPY, sources=range(n_apart, 20))
    return made


def test_a_ranking_is_given_only_where_the_intervals_support_it() -> None:
    apart, alike = two(15).summary().conclusions, two(1).summary().conclusions
    assert apart[0].endswith("the best first: a, b.")
    assert alike[0] == "By success gain these sets are not ranked, for neighbours are not shown to differ: a and b."
    assert "cannot be told apart" in alike[1]
    for told in (apart, alike):
        text = " ".join(told)
        assert not ("best first" in text and "cannot be told apart" in text)


def test_five_photos_show_no_difference() -> None:
    made = Made(photos_each=1)
    for method, shown in (("a", Emotion.HAPPY), ("b", Emotion.NEUTRAL)):
        made.edit(method, Emotion.HAPPY, shown, sources=range(5))
    (compared,) = [table for table in made.summary().tables if table.name == "compare_a_b"]
    assert {row[-1] for row in compared.rows} <= {"no difference that n can show", "–"}


def test_the_first_lines_say_which_targets_a_judge_does_not_know() -> None:
    made = six()
    made.edit("m", Emotion.ANGER, Emotion.HAPPY, sources=range(6, 10))
    first = made.summary(PANEL).conclusions[0]
    assert first.endswith("judge does not know anger: 4 such edits are excluded from emotion shares.")
    assert "does not know" not in six().summary().conclusions[0]
