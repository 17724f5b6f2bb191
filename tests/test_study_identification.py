"""Which emotions people see: shares by cluster, hit rates by hand, and a mixed model beside lme4's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.sandwich_covariance import cov_cluster

from emorph.core.wilson import wilson
from emorph.study.population import Viewers
from emorph.study.statistics import identification, mixed_model
from emorph.study.statistics.clusters import Clusters, bootstrap_variance, linear_covariance
from emorph.study.statistics.identification import Answers

VIEWERS = Viewers(((1.0, 0.0, 0.5), (2.0, 1.0, 1.5)), 0.7, 0.4)

# lme4's cbpp (Lesnoff et al. 2004): herd:incidence:size:period
CBPP = """
1:2:14:1 1:3:12:2 1:4:9:3 1:0:5:4 2:3:22:1 2:1:18:2 2:1:21:3 3:8:22:1 3:2:16:2 3:0:16:3 3:2:20:4 4:2:10:1 4:0:10:2
4:2:9:3 4:0:6:4 5:5:18:1 5:0:25:2 5:0:24:3 5:1:4:4 6:3:17:1 6:0:17:2 6:0:18:3 6:1:20:4 7:8:16:1 7:1:10:2 7:3:9:3
7:0:5:4 8:12:34:1 9:2:9:1 9:0:6:2 9:0:8:3 9:0:6:4 10:1:22:1 10:1:22:2 10:0:18:3 10:2:22:4 11:0:25:1 11:5:27:2
11:3:22:3 11:1:22:4 12:2:10:1 12:1:8:2 12:0:6:3 12:0:5:4 13:1:21:1 13:2:24:2 13:0:19:3 13:0:23:4 14:11:19:1 14:0:2:2
14:0:3:3 14:0:2:4 15:1:19:1 15:1:15:2 15:1:15:3 15:0:15:4
"""
# lme4 1.1: glmer(y ~ factor(m) + (1|p) + (1|f), binomial) of 20 people p (fastest) on 12 photos f, m = (p + f) mod 3
CROSSED = (
    "0100110000001100001100100011000001100010001111111100001100110000010101001100010001001101010011010010"
    "0001001100000010011111111111110100110011010001010110110010111001111101000111101100100011001010000000"
    "0111111100101111111111100011111000111100"
)


def drawn(people: int = 20, photos: int = 10, trials: int = 18, seed: int = 0) -> Answers:
    return VIEWERS.draw(people, photos, trials, np.random.default_rng(seed))


def answers(shown: str, named: str, people: list[int]) -> Answers:
    """Targets and answers as digits; 3 is none of the three emotions."""
    target, answer = (np.array([int(digit) for digit in text]) for text in (shown, named))
    zeros = np.zeros(len(target), np.int64)
    return Answers(("m",), ("x", "y", "z"), zeros, target, answer, np.array(people), zeros)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 10), (10, 10), (57, 120)])
def test_wilson_is_the_library_s(k: int, n: int) -> None:
    assert wilson(k / n, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)


def test_the_covariance_of_clusters_is_the_library_s() -> None:
    made = drawn()
    right = made.is_right.astype(float)
    fitted = sm.OLS(right, np.ones(len(right))).fit()
    influence = (right - right.mean())[:, None] / len(right)
    both = made.participant * 1000 + made.photo
    parts = []
    for groups in (made.participant, made.photo, both):
        codes, n = np.unique(groups, return_inverse=True)[1], len(np.unique(groups))
        parts.append(float(cov_cluster(fitted, codes, use_correction=False)[0, 0]) * n / (n - 1))
    people = linear_covariance(influence, Clusters(made.participant, None))[0, 0]
    two_way = linear_covariance(influence, Clusters(made.participant, made.photo))[0, 0]
    assert people == pytest.approx(parts[0])
    assert two_way == pytest.approx(max(parts[0] + parts[1] - parts[2], parts[0], parts[1]))


def test_the_bootstrap_of_clusters_finds_the_same_variance() -> None:
    made = drawn(people=30, photos=20, trials=30)
    right = made.is_right
    clusters = Clusters(made.participant, made.photo)
    exact = linear_covariance((right - right.mean())[:, None] / len(right), clusters)[0, 0]

    def mean(counts: np.ndarray) -> np.ndarray:
        return counts[:, 1:] / counts.sum(axis=1, keepdims=True)

    found = bootstrap_variance(mean, right.astype(np.int64), 2, clusters, np.random.default_rng(0), 4000)[0]
    assert found == pytest.approx(exact, rel=0.12)


def test_few_clusters_do_not_make_the_bootstrap_s_variance_too_small() -> None:
    """Five people drawn with replacement differ by four fifths of what five others would."""
    person = np.repeat(np.arange(5), 20)
    right = np.random.default_rng(0).random(100) < np.repeat([0.2, 0.9, 0.5, 0.6, 0.3], 20)
    clusters = Clusters(person, None)
    exact = linear_covariance((right - right.mean())[:, None] / 100, clusters)[0, 0]

    def mean(counts: np.ndarray) -> np.ndarray:
        return counts[:, 1:] / counts.sum(axis=1, keepdims=True)

    found = bootstrap_variance(mean, right.astype(np.int64), 2, clusters, np.random.default_rng(0), 20_000)[0]
    assert found == pytest.approx(exact, rel=0.05)


def test_a_variance_is_never_less_than_one_of_its_parts() -> None:
    """Each person and each photo has half right, so people and photos alone vary by nothing; nor less than nothing."""
    person, photo = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    right = (person + photo) % 2
    found = linear_covariance((right - 0.5)[:, None] / 48, Clusters(person, photo))[0, 0]
    assert found == pytest.approx(0)


def test_answers_of_one_person_are_worth_less_than_those_of_many() -> None:
    right = np.repeat([True, True, True, False, False, True, True, False, True, True], 10)
    photo = np.tile(np.arange(10), 10)
    alike = identification.share(right, np.repeat(np.arange(10), 10), photo)
    apart = identification.share(right, np.arange(100), photo)
    assert alike is not None
    assert apart is not None
    assert alike.value == apart.value == 0.7
    assert alike.high - alike.low > 2.5 * (apart.high - apart.low)
    assert (alike.n, alike.n_participants, alike.n_photos) == (100, 10, 10)


def test_all_right_is_not_certain() -> None:
    share = identification.share(np.ones(60, np.bool_), np.repeat(np.arange(12), 5), np.arange(60) % 6)
    assert share is not None
    assert (share.low, share.high) == pytest.approx((12 / (12 + 1.959964**2), 1.0))


def test_one_person_has_a_share_and_no_interval() -> None:
    share = identification.share(np.array([True, False]), np.zeros(2, np.int64), np.arange(2))
    assert share is not None
    assert share.value == 0.5
    assert not share.has_interval
    assert identification.share(np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64)) is None


def test_shares_and_differences_cover() -> None:
    """A small copy of bench/study_coverage.py."""
    viewers = Viewers(((1.0, 0.2), (0.0, -0.8)), 0.8, 0.0)
    truth = viewers.truth()
    held, gaps = [], []
    for seed in range(150):
        made = viewers.draw(20, 12, 16, np.random.default_rng([5, seed]))
        for (method, target), answer in np.ndenumerate(truth):
            mask = (made.method == method) & (made.target == target)
            share = identification.share(made.is_right[mask], made.participant[mask], made.photo[mask])
            assert share is not None
            held.append(share.low <= answer <= share.high)
        gap = identification.difference(made, made.method == 0, made.method == 1, ("a", "b"))
        assert gap is not None
        gaps.append(gap.difference.low <= truth[0].mean() - truth[1].mean() <= gap.difference.high)
    assert 0.91 <= np.mean(held) <= 0.99
    assert 0.89 <= np.mean(gaps) <= 0.99


def test_a_difference_of_the_same_people_knows_that_they_are() -> None:
    """People who are good with one method are good with the other: their level cancels."""
    viewers = Viewers(((0.5,), (-0.5,)), 2.5, 0.0)
    made = viewers.draw(30, 10, 40, np.random.default_rng(0))
    masks = made.method == 0, made.method == 1
    paired = identification.difference(made, *masks, ("a", "b"))
    strangers = Answers(
        made.methods,
        made.targets,
        made.method,
        made.target,
        made.answer,
        made.participant + 50 * made.method,
        made.photo,
    )
    unpaired = identification.difference(strangers, *masks, ("a", "b"))
    assert paired is not None
    assert unpaired is not None
    assert paired.difference.value == unpaired.difference.value
    assert paired.difference.high - paired.difference.low < 0.8 * (unpaired.difference.high - unpaired.difference.low)
    assert paired.p < unpaired.p


def test_a_perfect_and_a_hopeless_method_differ_by_less_than_certain() -> None:
    made = drawn()
    answer = np.where(made.method == 0, made.target, 3)
    sure = Answers(made.methods, made.targets, made.method, made.target, answer, made.participant, made.photo)
    gap = identification.difference(sure, made.method == 0, made.method == 1, ("a", "b"))
    assert gap is not None
    assert gap.difference.value == 1.0
    assert 0.6 < gap.difference.low < 0.9
    assert math.isnan(gap.p)


def test_confusion_and_hu_by_hand() -> None:
    made = answers("0000111122", "0013111032", [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    assert identification.confusion(made).tolist() == [[2, 1, 0, 1], [1, 3, 0, 0], [0, 0, 1, 1]]
    rates = identification.unbiased_hit_rates(made, np.random.default_rng(0), 300)
    assert [rate.rate.value for rate in rates] == pytest.approx([4 / (4 * 3), 9 / (4 * 4), 1 / (2 * 1)])
    assert [rate.chance for rate in rates] == pytest.approx([12 / 100, 16 / 100, 2 / 100])
    assert all(rate.rate.low <= rate.rate.value <= rate.rate.high for rate in rates)


def test_naming_one_emotion_for_everything_gains_nothing() -> None:
    made = answers("000111222", "000000000", [1, 2, 3] * 3)
    accuracy = identification.share(made.is_right, made.participant, made.photo)
    rates = {rate.target: rate for rate in identification.unbiased_hit_rates(made, np.random.default_rng(0), 100)}
    assert accuracy is not None
    assert accuracy.value == pytest.approx(1 / 3)
    assert rates["x"].rate.value == pytest.approx(rates["x"].chance)
    assert rates["y"].rate.value == 0.0
    assert not rates["y"].rate.has_interval


def test_a_model_with_one_random_factor_is_lme4_s() -> None:
    rows = np.array([[int(n) for n in row.split(":")] for row in CBPP.split()])
    herd, incidence, size, period = rows.T
    design = np.stack([np.ones(len(rows)), period == 2, period == 3, period == 4], axis=1).astype(float)
    found = mixed_model.fit(design, incidence, size.astype(float), herd, None)
    assert found.fixed == pytest.approx([-1.398343, -0.991925, -1.128216, -1.579745], abs=1e-3)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.2312, 0.3032, 0.3228, 0.4220], rel=0.015)
    assert found.sds[0] == pytest.approx(0.6420699, abs=1e-3)
    assert found.log_likelihood == pytest.approx(-92.0265664, abs=1e-3)


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_model_with_two_crossed_factors_is_lme4_s(exchanged: bool) -> None:
    person, photo = np.tile(np.arange(20), 12), np.repeat(np.arange(12), 20)
    method = (person + photo + 2) % 3
    design = np.stack([np.ones(240), method == 1, method == 2], axis=1).astype(float)
    right = np.array([int(digit) for digit in CROSSED])
    factors = (photo, person) if exchanged else (person, photo)
    found = mixed_model.fit(design, right, np.ones(240), *factors)
    assert found.fixed == pytest.approx([-0.1035128, 0.4550114, -0.2518142], abs=1e-3)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.3469617, 0.3479424, 0.3473671], rel=0.01)
    sds = found.sds[::-1] if exchanged else found.sds
    assert sds == pytest.approx((0.6488135, 0.6917644), abs=1e-3)
    assert found.log_likelihood == pytest.approx(-157.544706, abs=1e-3)


def test_methods_are_told_apart_by_their_odds() -> None:
    made = drawn(people=60, photos=20, trials=60)
    found = compared(made)
    assert found is not None
    ratio = found.ratios[0].ratio
    assert ratio.low < math.exp(-1) < ratio.high < 1
    assert found.ratios[0].p < 1e-6
    assert (found.people_sd, found.photos_sd) == pytest.approx((0.7, 0.4), abs=0.2)


def test_a_method_without_a_finite_odds_is_left_out_and_named() -> None:
    viewers = Viewers(((1.0,), (0.0,), (40.0,)), 0.5, 0.3)
    found = compared(viewers.draw(20, 10, 30, np.random.default_rng(0)))
    assert found is not None
    assert found.left_out == ("method 3",)
    assert found.methods == ("method 1", "method 2")
    assert compared(Viewers(((40.0,), (-40.0,))).draw(10, 5, 10, np.random.default_rng(0))) is None


def compared(made: Answers) -> mixed_model.MixedModel | None:
    return mixed_model.compare(made.methods, made.method, made.target, made.is_right, made.participant, made.photo)
