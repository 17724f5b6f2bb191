"""What people prefer, with intervals: they cover, and say so where there is little or too clear to say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from emorph.study.population import Judges, one_better
from emorph.study.statistics import preference
from emorph.study.statistics.estimates import holm
from emorph.study.statistics.preference import Comparisons, Preference

JUDGES = Judges((0.8, 0.1, -0.9), left=0.3, tie=-1.0)


def analysed(votes: Comparisons, seed: int = 0, n_resamples: int = 200, *, photos_vary: bool = True) -> Preference:
    rng = np.random.default_rng(seed)
    found = preference.analyse(votes, rng=rng, n_resamples=n_resamples, photos_vary=photos_vary)
    assert found is not None
    return found


def drawn(people: int = 20, photos: int = 12, trials: int = 18, seed: int = 1) -> Comparisons:
    return JUDGES.draw(people, photos, trials, np.random.default_rng(seed))


def with_outcomes(votes: Comparisons, outcome: np.ndarray) -> Comparisons:
    return Comparisons(votes.methods, votes.left, votes.right, outcome, votes.participant, votes.photo)


def test_holm_is_the_library_s() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_a_p_value_that_is_not_known_is_no_test() -> None:
    assert holm(np.array([0.01, np.nan, 0.04]))[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(holm(np.array([0.01, np.nan]))[1])


def test_many_votes_give_the_truth() -> None:
    judges = Judges((0.6, 0.0, -0.6), 0.4, 0.0, left=0.5, tie=-0.7)
    found = analysed(judges.draw(600, 40, 60, np.random.default_rng(0)), n_resamples=20)
    abilities, chances = judges.truth()
    assert [estimate.value for estimate in found.abilities] == pytest.approx(abilities, abs=0.05)
    assert found.superiority[0][2].value == pytest.approx(chances[0, 2], abs=0.01)
    assert found.left_share.value == pytest.approx(1 / (1 + math.exp(-0.48)), abs=0.01)  # a little less for a crowd
    assert abilities[0] < 0.6  # people who differ agree less than one middling person with themselves


def test_intervals_cover_what_they_should() -> None:
    """A small copy of bench/study_coverage.py: 120 studies; 1.96 standard errors of a coverage are 3.9 points."""
    judges = Judges((0.7, 0.0, -0.7), 0.6, 0.5, left=0.2, tie=-1.0)
    abilities, chances = judges.truth()
    held, shares = [], []
    for seed in range(120):
        votes = judges.draw(20, 12, 15, np.random.default_rng([7, seed]))
        found = analysed(votes, seed, n_resamples=100)
        held += [e.low <= answer <= e.high for e, answer in zip(found.abilities, abilities, strict=True)]
        shares += [found.superiority[0][2].low <= chances[0, 2] <= found.superiority[0][2].high]
    assert 0.90 <= np.mean(held) <= 0.995
    assert 0.90 <= np.mean(shares) <= 1.0


def test_people_who_differ_widen_the_intervals() -> None:
    """Each person votes alike in all trials: as many votes as before tell no more than the people."""
    one = analysed(Judges((0.5, -0.5), 0.0, 0.0).draw(20, 30, 40, np.random.default_rng(3)))
    other = analysed(Judges((0.5, -0.5), 2.0, 0.0).draw(20, 30, 40, np.random.default_rng(3)))
    width = [e.abilities[0].high - e.abilities[0].low for e in (one, other)]
    assert width[1] > 1.5 * width[0]


def test_photos_that_differ_widen_them_unless_they_are_all_that_is_asked_about() -> None:
    votes = Judges((0.5, -0.5), 0.0, 1.5).draw(30, 8, 24, np.random.default_rng(3))
    both, these = analysed(votes), analysed(votes, photos_vary=False)
    width = [e.abilities[0].high - e.abilities[0].low for e in (both, these)]
    assert width[0] > 2 * width[1]


def test_everything_follows_from_the_seed_and_no_order_of_votes() -> None:
    votes = drawn()
    again = analysed(votes)
    assert again == analysed(votes)
    turned = analysed(votes.where(np.random.default_rng(0).permutation(len(votes.left))))
    assert [e.value for e in turned.abilities] == pytest.approx([e.value for e in again.abilities])


def test_tests_are_named_for_the_better_and_corrected() -> None:
    found = analysed(drawn(people=40, trials=40))
    assert [(test.first, test.second) for test in found.tests][1] == ("method 1", "method 3")
    assert [t.p_holm for t in found.tests] == pytest.approx(multipletests([t.p for t in found.tests], method="holm")[1])
    sizes = [test.superiority.n for test in found.tests]
    assert sum(sizes) == found.size.n == 40 * 40


def test_a_method_that_wins_all_is_said_and_has_bounds() -> None:
    votes = drawn()
    outcome = votes.outcome.copy()
    outcome[votes.left == 0], outcome[votes.right == 0] = 0, 2
    found = analysed(with_outcomes(votes, outcome))
    n = int((votes.left == 0).sum() + (votes.right == 0).sum())
    assert f"method 1 was chosen in all its {n} comparisons." in found.remarks
    assert not any(ability.has_interval for ability in found.abilities)
    sure = found.superiority[0][1]
    assert sure.value == 1.0
    assert sure.high == 1.0
    assert sure.low == pytest.approx(20 / (20 + 1.959964**2))  # Wilson's, as if each of 20 people had voted once
    test = next(t for t in found.tests if {t.first, t.second} == {"method 1", "method 2"})
    assert test.how == "sign test over people"
    assert test.p == pytest.approx(2 * 0.5**20)
    others = found.superiority[1][2]
    assert others.has_interval
    assert others.low > 0.0
    assert others.high < 1.0


def test_a_method_that_loses_all_is_said() -> None:
    votes = drawn()
    outcome = votes.outcome.copy()
    outcome[votes.left == 2], outcome[votes.right == 2] = 2, 0
    assert any("method 3 was chosen in none of its" in text for text in analysed(with_outcomes(votes, outcome)).remarks)


def test_the_sign_test_counts_people_not_votes() -> None:
    left, person = np.zeros(12, np.int64), np.repeat(np.arange(4), 3)
    outcome = np.zeros(12, np.int64)
    found = analysed(Comparisons(("a", "b"), left, left + 1, outcome, person, np.tile(np.arange(3), 4)))
    (test,) = found.tests
    assert test.p == pytest.approx(stats.binomtest(4, 4).pvalue)


def test_one_person_has_no_interval() -> None:
    found = analysed(drawn(people=1, trials=40))
    assert not any(ability.has_interval for ability in found.abilities)
    assert all(math.isnan(test.p) for test in found.tests)
    assert any("One person alone" in text for text in found.remarks)


def test_one_photo_holds_for_other_people_only() -> None:
    found = analysed(drawn(photos=1))
    assert all(ability.has_interval for ability in found.abilities)
    assert any("not for other photos" in text for text in found.remarks)


def test_few_people_are_said_and_their_intervals_wide() -> None:
    few, many = analysed(drawn(people=4, trials=40)), analysed(drawn(people=40, trials=40))
    assert any(text.startswith("Only 4 people") for text in few.remarks)
    assert not many.remarks
    assert few.abilities[0].high - few.abilities[0].low > 2 * (many.abilities[0].high - many.abilities[0].low)


def test_methods_that_nothing_joins_are_not_ranked() -> None:
    left, right = np.tile([0, 2], 10), np.tile([1, 3], 10)
    votes = Comparisons(tuple("abcd"), left, right, np.tile([0, 2, 2, 0], 5), np.arange(20) // 4, np.arange(20) % 5)
    assert preference.analyse(votes, rng=np.random.default_rng(0)) is None


def test_a_method_without_votes_is_left_out() -> None:
    votes = drawn().of_pair(0, 2)
    assert analysed(votes).methods == ("method 1", "method 3")


def test_only_ties_are_no_difference() -> None:
    votes = drawn()
    found = analysed(with_outcomes(votes, np.ones_like(votes.outcome)))
    assert [ability.value for ability in found.abilities] == pytest.approx([0, 0, 0], abs=1e-6)
    assert found.superiority[0][1].value == pytest.approx(0.5)


def test_one_better_is_as_much_better_as_was_asked() -> None:
    judges = one_better(4, 0.62, people_sd=0.7, photos_sd=0.4, tie=-0.5)
    assert judges.truth()[1][0, 1:] == pytest.approx([0.62] * 3, abs=2e-3)
