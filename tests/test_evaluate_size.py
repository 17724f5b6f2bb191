"""Evaluation of many edits: what is held at once does not grow with them, and nothing else comes out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from emorph.core.expressions import Emotion
from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.evaluate.metrics import statistics
from emorph.evaluate.metrics.statistics import bootstrap, drawn
from emorph.evaluate.scores import gallery as galleries_module
from emorph.evaluate.scores import nearness
from emorph.evaluate.scores.evidence import Evidence, join
from emorph.evaluate.scores.gallery import Gallery, galleries
from emorph.evaluate.scores.identity import IdentityScores
from evaluate_sets import PANEL, Made


@pytest.fixture(scope="module")
def made() -> Made:
    """40 photos of 20 persons, two edits each."""
    made = Made()
    made.edit("a", Emotion.HAPPY, Emotion.HAPPY)
    made.edit("a", Emotion.FEAR, Emotion.FEAR, moved=0.4)
    return made


def measured(made: Made) -> tuple[Evidence, Gallery, IdentityScores]:
    (evidence,) = join(made.judged, made.records)
    (gallery,) = galleries([evidence], PANEL, made.records)
    return evidence, gallery, IdentityScores.of(evidence, gallery)


def test_resamples_in_parts_are_those_of_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=30)
    whole = bootstrap(values)
    (at_once,) = drawn(30, 2000, np.random.default_rng(0))
    monkeypatch.setattr(statistics, "MOST_COUNTS", 30 * 64)
    parts = list(drawn(30, 2000, np.random.default_rng(0)))
    assert max(part.size for part in parts) == 30 * 64
    np.testing.assert_array_equal(np.concatenate(parts), at_once)
    np.testing.assert_allclose(dataclasses.astuple(bootstrap(values)), dataclasses.astuple(whole), rtol=1e-12)


def test_edits_some_at_a_time_are_measured_as_all_at_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    _, gallery, whole = measured(made)
    assert gallery.told == "40 photos"
    monkeypatch.setattr(nearness, "MOST_DISTANCES", 40 * 7)
    asked: list[int] = []

    def distances(faces: Sequence[SeenFace], photos: Sequence[SeenFace]) -> Float64:
        asked.append(len(faces) * len(photos))
        return gallery.distances(faces, photos)

    parts = IdentityScores.of(whole.evidence, dataclasses.replace(gallery, distances=distances))
    assert max(asked) <= max(40 * 7, 40 * 40)  # the photos among themselves, once
    assert sorted(asked)[-2] <= 40 * 7
    for name in ("to_source", "is_first"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for found, expected in ((parts.by_photos, whole.by_photos), (parts.of_sources, whole.of_sources)):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert np.isfinite(values).all()
            np.testing.assert_array_equal(found[name], values)


def test_of_many_photos_whole_persons_are_drawn(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, whole, by_all = measured(made)
    monkeypatch.setattr(galleries_module, "MOST_PHOTOS", 20)
    _, some, by_some = measured(made)
    assert some.told == "20 of 40 photos, drawn"
    assert set(Counter(some.named[id] for id in some.ids).values()) == {2}
    assert len(some.pairs.impostor) == 20 * 18 / 2
    assert abs(some.pairs.impostor.mean() - whole.pairs.impostor.mean()) < 0.05
    np.testing.assert_array_equal(by_some.to_source, by_all.to_source)  # also where the gallery lacks the source
    np.testing.assert_array_equal(by_some.is_first, by_all.is_first)
    (name,) = by_some.of_sources
    has_others = np.isfinite(by_some.by_photos[name])
    known = np.array([scored.source_id in some.place for scored in evidence.edits])
    np.testing.assert_array_equal(has_others, known)  # of the others no other photo was drawn


def test_more_edits_ask_for_as_many_more_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries_module, "MOST_PHOTOS", 6)
    counts = []
    for photos_each in (1, 2, 3):
        made = Made(photos_each=photos_each)
        made.edit("a", Emotion.HAPPY, Emotion.HAPPY)
        evidence, gallery, _ = measured(made)
        asked: list[int] = []

        def distances(
            faces: Sequence[SeenFace],
            photos: Sequence[SeenFace],
            gallery: Gallery = gallery,
            asked: list[int] = asked,
        ) -> Float64:
            asked.append(len(faces) * len(photos))
            return gallery.distances(faces, photos)

        monkeypatch.setattr(nearness, "MOST_DISTANCES", 6 * 10)
        IdentityScores.of(evidence, dataclasses.replace(gallery, distances=distances))
        counts.append(sum(asked))
    assert counts[2] - counts[1] == counts[1] - counts[0]
