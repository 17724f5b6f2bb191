"""What is known of very many faces: it lies in a file, and comes back as it was put there."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from emorph.core.records import ScoreRecord, SeenFace
from emorph.evaluate.measure.records import Records


def test_faces_and_vectors_come_back_and_memory_holds_only_their_places() -> None:
    rng, records = np.random.default_rng(0), Records()
    face = SeenFace("a", "", (64, 48), 2, (0, 1, 9, 9), rng.normal(size=(68, 2)), 0.5, rng.normal(size=128), "é", 2.0)
    records.add([face, SeenFace("b", trouble="no face \udcff")])
    assert (records.faces["a"], records.faces["b"]) == (face, SeenFace("b", trouble="no face \udcff"))
    assert records.faces["a"] is not records.faces["a"]  # nothing of it is held
    records.embeddings["a", "net"] = row = rng.normal(size=2048).astype(np.float32)
    np.testing.assert_array_equal(records.embeddings["a", "net"], row)
    assert list(records.faces) == ["a", "b"]
    with pytest.raises(KeyError):
        records.faces["c"]


def test_numbers_of_one_kind_share_their_names_and_the_last_counts() -> None:
    records = Records()
    for id in ("a", "b"):
        records.add([], [ScoreRecord(id, name, i, "j") for i, name in enumerate(("x", "y", "z"))])
    records.add([], [ScoreRecord("a", "y", 7.0, "j")])
    a, b = (records.scores[id, "j"] for id in ("a", "b"))
    assert (dict(a), dict(b)) == ({"x": 0, "y": 7, "z": 2}, {"x": 0, "y": 1, "z": 2})
    assert a._places is b._places  # type: ignore[attr-defined]  # a Mapping as others see it
    assert sys.getsizeof(a) < sys.getsizeof(dict(a))
