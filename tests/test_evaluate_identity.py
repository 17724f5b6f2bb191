"""Identity and statistics: against brute force and a second implementation."""

import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.records import SeenFace
from emorph.core.types import Landmarks, Photo
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.metrics.identity import csim, distances, pairs
from emorph.evaluate.metrics.statistics import bootstrap, bootstrap_pairs, pearson
from emorph.evaluate.metrics.table import metric
from emorph.evaluate.scores.gallery import Gallery


def test_descriptor_knows_the_face_and_not_its_size_or_light(photo: Photo, landmarks: Landmarks) -> None:
    reference = descriptor_of(photo, landmarks)
    assert reference.shape == (128,)
    darker = Photo((photo.pixels * 0.8).astype(np.uint8))
    doubled = Photo(photo.pixels.repeat(2, axis=0).repeat(2, axis=1))
    left, top, right, bottom = (2 * v for v in landmarks.box)
    twice = Landmarks(2 * landmarks.points + 0.5, (left, top, right, bottom), landmarks.score)
    same = np.stack([descriptor_of(darker, landmarks), descriptor_of(doubled, twice)])
    assert distances(same, np.stack([reference] * 2)).max() < 0.2
    upside_down = Photo(np.ascontiguousarray(photo.pixels[::-1]))
    assert distances(descriptor_of(upside_down, landmarks)[None], reference[None])[0] > 0.5


def test_pairs_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(9, 128)).astype(np.float32)
    persons = list("aabbbcdde")
    found = pairs(descriptors, persons)
    genuine = [
        np.linalg.norm(descriptors[i] - descriptors[j]) for i in range(9) for j in range(i) if persons[i] == persons[j]
    ]
    impostor = [
        np.linalg.norm(descriptors[i] - descriptors[j]) for i in range(9) for j in range(i) if persons[i] != persons[j]
    ]
    np.testing.assert_allclose(np.sort(found.genuine), np.sort(genuine), rtol=1e-5)
    np.testing.assert_allclose(np.sort(found.impostor), np.sort(impostor), rtol=1e-5)
    assert found.threshold(0.01) == pytest.approx(np.quantile(impostor, 0.01), rel=1e-5)
    ends = found.calibrated(np.array([found.genuine.mean(), found.impostor.mean()]))
    np.testing.assert_allclose(ends, [1, 0], atol=1e-9)


def test_csim_is_the_cosine() -> None:
    a = np.array([[3, 4], [1, 0]], np.float32)
    np.testing.assert_allclose(csim(a, np.array([[6, 8], [0, 2]], np.float32)), [1, 0], atol=1e-12)
    with pytest.raises(DataError, match="all zeros"):
        csim(a, np.zeros_like(a))
    with pytest.raises(DataError, match=r"found \(2, 2\) and \(1, 2\)"):
        csim(a, a[:1])


def test_identity_needs_what_it_needs() -> None:
    one = np.zeros((2, 128), np.float32)
    with pytest.raises(DataError, match="photos of at least two persons"):
        pairs(one, ["a", "a"]).threshold(0.01)
    with pytest.raises(DataError, match="a person with two photos at least"):
        pairs(one, ["a", "b"]).calibrated(np.zeros(1))
    with pytest.raises(DataError, match="2 descriptors need as many names; found 1"):
        pairs(one, ["a"])


def test_bootstrap_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).exponential(size=80)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=2).confidence_interval
    ours = bootstrap(values)
    assert ours.mean == pytest.approx(values.mean())
    assert ours.n == 80
    np.testing.assert_allclose([ours.low, ours.high], theirs, rtol=0.03)
    assert bootstrap(values) == ours


def test_bootstrap_draws_whole_groups() -> None:
    """Ten copies of each value tell no more than the value once."""
    values = np.random.default_rng(1).normal(size=40)
    copies, groups = np.repeat(values, 10), np.repeat(np.arange(40), 10)
    once, together, apart = bootstrap(values), bootstrap(copies, groups), bootstrap(copies)
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.02)
    assert apart.high - apart.low < 0.5 * (once.high - once.low)
    assert f"{bootstrap([1.0, 1.0]):.1f}" == "1.0 (1.0-1.0)"


def test_bootstrap_refuses_what_has_no_mean() -> None:
    for wrong in ([], [1.0, float("nan")]):
        with pytest.raises(DataError, match="needs finite numbers"):
            bootstrap(wrong)
    with pytest.raises(DataError, match="2 values need as many groups; found 1"):
        bootstrap([1.0, 2.0], ["a"])


def test_pearson() -> None:
    x = np.arange(5.0)
    assert pearson(x, 3 * x + 1) == pytest.approx(1)
    assert pearson(x, [1, 0, 2, 1, 3]) == pytest.approx(np.corrcoef(x, [1, 0, 2, 1, 3])[0, 1])
    assert np.isnan(pearson(x, np.ones(5)))


def gallery(persons: list[str], between: np.ndarray) -> Gallery:
    photos = tuple(SeenFace(f"photo{i}", trouble="made") for i in range(len(persons)))
    named = {photo.id: person for photo, person in zip(photos, persons, strict=True)}
    return Gallery("made", metric("dlib_distance"), named, photos, lambda *_: between, lambda _: between)


def covered(photos_each: int, *, same_person: bool) -> float:
    """How often the 95 % interval of a control holds the truth: every photo and every person has an effect of its own.

    The distance of photos i and j is 1 + the effects of both photos and both persons + noise.
    """
    rng = np.random.default_rng(3)
    n_persons, n_sets = 40 // photos_each, 200
    persons = np.repeat(np.arange(n_persons), photos_each)
    hits = 0
    for _ in range(n_sets):
        effects = rng.normal(size=n_persons)[persons] + 0.5 * rng.normal(size=len(persons))
        noise = rng.normal(scale=0.1, size=(len(persons), len(persons)))
        found = gallery([f"p{i}" for i in persons], 1 + effects[:, None] + effects + noise + noise.T)
        control = found.genuine if same_person else found.impostor
        assert control is not None
        hits += control.low <= 1 <= control.high
    return hits / n_sets


@pytest.mark.parametrize(("photos_each", "same_person"), [(1, False), (2, False), (2, True)])
def test_intervals_of_controls_hold_the_truth_as_often_as_they_say(photos_each: int, same_person: bool) -> None:
    assert 0.9 <= covered(photos_each, same_person=same_person) <= 0.99


def test_pairs_count_as_often_as_what_they_are_made_of_is_drawn() -> None:
    values, first, second = np.array([1.0, 2.0, 4.0]), np.array([0, 0, 1]), np.array([1, 2, 1])
    found = bootstrap_pairs(values, first, second)
    times = np.random.default_rng(0).multinomial(3, np.full(3, 1 / 3), size=2000)
    means = []
    for a, b, c in times:
        weights = np.array([a * b, a * c, b])  # the last is a pair of one person
        if weights.sum():
            means.append(weights @ values / weights.sum())
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.025, 0.975]))
    with pytest.raises(DataError, match="finite numbers"):
        bootstrap_pairs([], first[:0], second[:0])


def test_the_interval_of_few_persons_is_over_their_photos() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 8))
    found = gallery(["a"] * 6 + ["b"] * 2, 5 + noise + noise.T)
    assert found.impostor is not None
    assert found.genuine is not None
    assert found.impostor.low < found.impostor.mean < found.impostor.high  # drawing two persons gives one value only
    assert found.genuine.n == 15 + 1
