"""Training, validation and test: divided by person, written down, and the same pictures on one side alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.images import read_photo
from emorph.core.records import FaceRecord
from emorph.data import parts
from emorph.data.layouts import open_index
from emorph.data.parts import read_rows
from emorph.data.prepare import Settings, prepare
from emorph.data.splits import check_disjoint, picture_hash, split_faces
from emorph.data.store import FaceStore


def records(n: int = 300) -> list[FaceRecord]:
    """Three labels; two faces a person."""
    return [FaceRecord(f"{i:03d}", f"{i:03d}.png", label=(i // 2) % 3, identity=f"p{i // 2}") for i in range(n)]


def test_test_is_set_apart_by_person_out_of_what_is_left_for_training() -> None:
    two, three = split_faces(records(), holdout=10, seed=0), split_faces(records(), holdout=10, seed=0, test=12)
    sides = Counter((r.split, r.label) for r in three)
    assert {label: sides["test", label] for label in range(3)} == {0: 12, 1: 12, 2: 12}
    assert {label: sides["val", label] for label in range(3)} == {0: 10, 1: 10, 2: 10}
    assert [r.id for r in two if r.split == "val"] == [r.id for r in three if r.split == "val"]
    persons = {side: {r.identity for r in three if r.split == side} for side in ("train", "val", "test")}
    assert not persons["test"] & (persons["train"] | persons["val"])
    assert not persons["val"] & persons["train"]
    again = split_faces(records()[::-1], holdout=10, seed=0, test=12)
    assert {r.id: r.split for r in again} == {r.id: r.split for r in three}


def test_a_data_set_with_its_own_validation_list_gets_a_test_set_too() -> None:
    own = [FaceRecord(r.id, r.path, label=r.label, split="val" if i < 40 else None) for i, r in enumerate(records())]
    divided = split_faces(own, holdout=500, seed=0, test=5)
    assert [r.split for r in divided[:40]] == ["val"] * 40
    assert Counter(r.split for r in divided) == {"val": 40, "test": 15, "train": 245}


def test_never_more_than_a_fifth_and_never_less_than_none() -> None:
    divided = split_faces(records(), holdout=0, seed=0, test=500)
    assert Counter(r.split for r in divided)["test"] <= 300 // 5
    with pytest.raises(DataError, match="expected 0 or more faces to hold out, found -1"):
        split_faces(records(), holdout=0, seed=0, test=-1)


def test_a_person_on_two_sides_is_named_with_both() -> None:
    both = [FaceRecord(str(i), f"{i}.png", identity="Ann", split=side) for i, side in enumerate(("test", "val"))]
    with pytest.raises(DataError, match="the person Ann is both in validation and in test; mend the split column"):
        check_disjoint(both)


def test_a_prepared_set_holds_three_splits_that_training_opens(tmp_path: Path, example_photo: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra 'train'")
    photo = cv2.imread(str(example_photo))[20:260, 110:340]
    rng = np.random.default_rng(0)
    for i in range(12):
        path = tmp_path / "raw" / ("happy" if i % 2 else "sad") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = cv2.resize(rng.normal(0, 90, (9, 9, 3)), (230, 240), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(path), np.clip(0.75 * photo + noise * 0.3 + 20, 0, 255).astype(np.uint8))
    out = tmp_path / "set"
    summary = prepare(open_index(tmp_path / "raw"), out, Settings(side_px=32, holdout=1, test=1))
    assert summary is not None
    assert summary.splits["test"] == 2
    assert summary.splits["val"] == 2
    assert len(FaceStore(out, side_px=32, split="test")) == 2
    with pytest.raises(DataError, match="was begun with test was 1, is 2"):
        prepare(open_index(tmp_path / "raw"), out, Settings(side_px=32, holdout=1, test=2))
    assert "test" not in Settings().told()  # a set prepared before there were test sets is gone on with


def test_a_picture_on_several_sides_stays_in_test(tmp_path: Path, example_photo: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'train'")
    look = picture_hash(read_photo(example_photo).pixels)
    rows = [{"id": side, "split": side, "picture_hash": look} for side in ("train", "val", "test")]
    parts.write_part(tmp_path, 0, rows, [])
    plan = parts.Plan("folders", {}, 3, 1, "f")
    assert read_rows(tmp_path, 0).num_rows == 3
    assert parts._same_pictures(tmp_path, plan) == [
        {"id": "train", "reason": "same picture", "detail": "test holds it as test"},
        {"id": "val", "reason": "same picture", "detail": "test holds it as test"},
    ]
