"""Divisions and balanced orders: disjoint, exact, and a function of their seed alone."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorph.core.errors import ConfigError, DataError, UnknownNameError
from emorph.core.records import FaceRecord
from emorph.data.balance import CHOICES, BalancedOrder, affect_bins, balanced_order, outcome
from emorph.data.splits import SAME_CROP_BITS, check_disjoint, picture_hash, same_pictures, split_faces
from made_data import picture

LABELS = np.array([0] * 70 + [1] * 130 + [2] * 25 + [3] * 14 + [4] * 7 + [5] * 5 + [6] * 26 + [7] * 3 + [-1] * 9)
LABELS = np.random.default_rng(5).permutation(LABELS)


def faces(counts: dict[int | None, int], n_persons: int | None = None) -> list[FaceRecord]:
    rng = np.random.default_rng(1)
    labels = [label for label, n in counts.items() for _ in range(n)]
    persons = [None if n_persons is None else f"p{rng.integers(n_persons)}" for _ in labels]
    return [
        FaceRecord(f"{i}", f"{i}.jpg", label, identity=who)
        for i, (label, who) in enumerate(zip(labels, persons, strict=True))
    ]


def held(records: list[FaceRecord]) -> Counter[int | None]:
    return Counter(record.label for record in records if record.split == "val")


def test_the_own_division_is_kept() -> None:
    records = [FaceRecord("a", "a", 1, split="val"), FaceRecord("b", "b", 1), FaceRecord("c", "c", 1, split="train")]
    assert [r.split for r in split_faces(records, holdout=500, seed=0)] == ["val", "train", "train"]


def test_a_holdout_is_exact_and_never_more_than_a_fifth() -> None:
    records = faces({0: 100, 1: 60, 2: 24, 3: 4, None: 50})
    assert held(split_faces(records, holdout=10, seed=0)) == {0: 10, 1: 10, 2: 4, None: 10}
    assert not held(split_faces(records, holdout=0, seed=0))


def test_a_holdout_depends_on_its_seed_and_not_on_the_order() -> None:
    records = faces({0: 100, 1: 60})
    divided = {r.id: r.split for r in split_faces(records, holdout=10, seed=3)}
    assert {r.id: r.split for r in split_faces(records[::-1], holdout=10, seed=3)} == divided
    assert {r.id: r.split for r in split_faces(records, holdout=10, seed=4)} != divided


def test_persons_and_files_stay_whole() -> None:
    records = faces({0: 400, 1: 300, 7: 30}, n_persons=120)
    divided = split_faces(records, holdout=40, seed=0)
    sides: dict[str | None, set[str | None]] = {}
    for record in divided:
        sides.setdefault(record.identity, set()).add(record.split)
    assert all(len(side) == 1 for side in sides.values())
    counts = held(divided)
    assert 36 <= counts[0] <= 40
    assert 36 <= counts[1] <= 40
    assert 4 <= counts[7] <= 6
    two_in_one = [replace(r, path=f"{i // 2}.jpg") for i, r in enumerate(faces({0: 100, 1: 100}))]
    check_disjoint(split_faces(two_in_one, holdout=15, seed=0))


def test_a_person_on_both_sides_is_refused() -> None:
    records = [FaceRecord("a", "a", 1, identity="ann", split=side) for side in ("train", "val")]
    with pytest.raises(DataError, match="the person ann is both in training and in validation"):
        split_faces(records, holdout=0, seed=0)


def test_the_hash_knows_a_picture_again(tmp_path: Path) -> None:
    pixels = [cv2.imread(str(picture(tmp_path / f"{i}.png", seed=i, side=128))) for i in range(12)]
    hashes = [picture_hash(p) for p in pixels]
    again = []
    for p in pixels:
        _, jpeg = cv2.imencode(".jpg", cv2.resize(p, (90, 90), interpolation=cv2.INTER_AREA), [1, 60])
        again.append(picture_hash(cv2.imdecode(jpeg, 1)))
    assert same_pictures(hashes, again[::-1]) == [(i, 11 - i) for i in range(12)]
    assert same_pictures(hashes, []) == []


def test_hashes_are_compared_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    some, others = rng.integers(0, 256, (300, 32), np.uint8), rng.integers(0, 256, (40, 32), np.uint8)
    others[7] = some[280]
    others[7, :2] ^= 0xFF  # 16 bits
    differing = np.unpackbits(some[:, None] ^ others[None], axis=2).sum(axis=2)
    for limit in (15, 16, SAME_CROP_BITS, 100):
        expected = [(int(i), int(j)) for i, j in np.argwhere(differing <= limit)]
        assert same_pictures([h.tobytes() for h in some], [h.tobytes() for h in others], limit) == expected


@pytest.mark.parametrize(("choice", "each"), [("cap", 3), ("cap:20", 20), ("repeat", 130)])
@pytest.mark.parametrize("n_ranks", [1, 2, 4, 8, 3])
def test_balanced_epochs_are_exact_over_any_number_of_processes(choice: str, each: int, n_ranks: int) -> None:
    orders = [balanced_order(choice, LABELS, seed=2, rank=r, n_ranks=n_ranks) for r in range(n_ranks)]
    n = 8 * each
    for epoch in range(3):
        assert np.bincount(LABELS[orders[0].epoch(epoch)]).tolist() == [each] * 8
    whole = list(islice(balanced_order(choice, LABELS, seed=2), 3 * n))
    counts = np.zeros(8, int)
    for i in whole:
        counts[LABELS[i]] += 1
        assert counts.max() - counts.min() <= 1
    shares = [list(islice(order, len(range(r, 3 * n, n_ranks)))) for r, order in enumerate(orders)]
    assert [shares[i % n_ranks][i // n_ranks] for i in range(3 * n)] == whole
    if 8 % n_ranks == 0:
        for share in shares:
            in_epoch = np.bincount(LABELS[share[: n // n_ranks]], minlength=8)
            assert in_epoch.max() - in_epoch.min() <= 1


@pytest.mark.parametrize("choice", ["cap", "repeat", "classes", "affect:0.8"])
@pytest.mark.parametrize("start", [0, 5, 24, 391])
def test_balanced_orders_resume_where_they_were(choice: str, start: int) -> None:
    affect = np.random.default_rng(0).uniform(-1, 1, (len(LABELS), 2))
    whole = list(islice(balanced_order(choice, LABELS, affect, seed=2), 500))
    resumed = balanced_order(choice, LABELS, affect, seed=2, start=start)
    assert list(islice(resumed, 500 - start)) == whole[start:]
    assert list(islice(balanced_order(choice, LABELS, affect, seed=3), 500)) != whole


def test_no_face_is_seen_twice_more_than_another_of_its_class() -> None:
    order = BalancedOrder(LABELS, 20, seed=0)
    times = np.zeros(len(LABELS), int)
    for epoch in range(9):
        times += np.bincount(order.epoch(epoch), minlength=len(LABELS))
        for label in range(8):
            mine = times[label == LABELS]
            assert mine.max() - mine.min() <= 1
    assert times[LABELS == -1].sum() == 0


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_weighted_epochs_keep_to_the_shares(power: float) -> None:
    counts = np.array([70, 130, 25, 14, 7, 5, 26, 3])
    shares = counts ** (1 - power) / (counts ** (1 - power)).sum()
    order = balanced_order(f"classes:{power}", LABELS, seed=0)
    for epoch in range(20):
        drawn = order.epoch(epoch)
        assert len(drawn) == len(LABELS)
        found = np.bincount(LABELS[drawn], minlength=8)
        assert np.abs(found - shares * len(LABELS)).max() <= 1
    assert (order.epoch(0) != order.epoch(1)).any()


def test_sampling_by_valence_and_arousal_evens_out_the_plane() -> None:
    rng = np.random.default_rng(0)
    affect = np.concatenate([rng.normal(0, 0.02, (500, 2)) + 0.05, rng.uniform(-1, 1, (100, 2)), [[np.nan, 0.1]] * 20])
    bins = affect_bins(affect, len(affect))
    assert (bins[600:] == -1).all()
    assert affect_bins(np.array([[-1.0, -1], [1, 1], [-1, 1], [0.05, -0.05]]), 4).tolist() == [0, 99, 9, 54]
    order = balanced_order("affect:1", np.zeros(len(affect), int), affect, seed=0).epoch(0)
    drawn = np.bincount(bins[order], minlength=100)
    occupied = np.bincount(bins[bins >= 0], minlength=100) > 0
    assert drawn[occupied].max() - drawn[occupied].min() <= 1
    assert drawn[~occupied].sum() == 0


def test_the_table_tells_what_the_order_does() -> None:
    result = outcome("repeat", LABELS, None, seed=0)
    assert (result.n_draws, result.per_emotion["contempt"], result.most_repeats) == (1040, 130, 44)
    assert result.seen_share == 280 / 289
    capped = outcome("cap", LABELS, None, seed=0)
    assert (capped.n_draws, capped.seen_share) == (24, 24 / len(LABELS))
    assert set(capped.per_emotion.values()) == {3}


def test_choices_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'repeat'"):
        balanced_order("repaet", LABELS, seed=0)
    for choice in ("cap:0", "cap:x", "cap:1.5", "classes:2", "repeat:3"):
        with pytest.raises(ConfigError, match="expected cap:N"):
            balanced_order(choice, LABELS, seed=0)
    for choice in set(CHOICES) - {"none"}:
        with pytest.raises(DataError, match="no face has"):
            balanced_order(choice, np.full(5, -1), seed=0)
