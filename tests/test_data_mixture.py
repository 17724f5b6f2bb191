"""Several sets in one order: exact shares at every place, whole rounds of each set, the same from any start."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import DataError
from emorph.data.balance import balanced_order
from emorph.data.joined import JoinedFaces, stores_of
from emorph.data.loader import EndlessOrder
from emorph.data.mixture import MixedOrder, shared_out
from emorph.data.store import FaceStore
from test_data import make_store

LABELS = np.repeat(np.arange(4), [30, 5, 9, 2])  # of the second set


def mixed(weights: tuple[float, float] = (1, 3), **place: int) -> MixedOrder:
    """24 faces once each, and 46 of four emotions evened out."""
    return MixedOrder([EndlessOrder(24, seed=1), balanced_order("repeat", LABELS, seed=2)], weights, seed=3, **place)


@pytest.mark.parametrize("weights", [(1, 3), (1, 1), (0.014, 0.986)])
def test_every_epoch_holds_exactly_its_shares_and_no_place_is_far_off(weights: tuple[float, float]) -> None:
    order = mixed(weights)
    share = weights[0] / sum(weights)
    assert order.epoch_size == 24 + 4 * 30
    assert order.counts == shared_out(144, weights)
    assert abs(order.counts[0] - 144 * share) < 1
    for epoch in range(3):
        of_first = order.epoch(epoch) < 24
        assert of_first.sum() == order.counts[0]
        off = np.cumsum(of_first) - np.arange(1, 145) * (order.counts[0] / 144)
        assert np.abs(off).max() < 2
    assert not np.array_equal(order.epoch(0) < 24, order.epoch(1) < 24)


def test_each_set_comes_in_its_own_order_round_after_round() -> None:
    run = np.array(list(islice(mixed((1, 1)), 3 * 144)))
    first, second = run[run < 24], run[run >= 24] - 24
    assert first.tolist() == list(islice(EndlessOrder(24, seed=1), len(first)))
    assert second.tolist() == list(islice(balanced_order("repeat", LABELS, seed=2), len(second)))
    emotions = np.bincount(LABELS[second[:120]], minlength=4)
    assert emotions.tolist() == [30, 30, 30, 30]


def test_epochs_of_uneven_length_are_laid_end_to_end_too() -> None:
    own = EndlessOrder(10, seed=4, weights=np.linspace(0.5, 2.2, 10))
    order = MixedOrder([EndlessOrder(7, seed=1), own], (1, 2), seed=3)
    run = np.array(list(islice(order, 200)))
    assert (run[run >= 7] - 7).tolist() == list(islice(own, int((run >= 7).sum())))
    backwards = np.concatenate([order.epoch(e) for e in (3, 1, 0)])
    again = MixedOrder([EndlessOrder(7, seed=1), own], (1, 2), seed=3)
    assert backwards.tolist() == np.concatenate([again.epoch(e) for e in (3, 1, 0)]).tolist()


@pytest.mark.parametrize("start", [0, 5, 143, 144, 200])
@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_the_run_goes_on_at_any_place_and_processes_share_it(start: int, n_ranks: int) -> None:
    whole = list(islice(mixed(), 400))
    n = (400 - start) // n_ranks
    ranks = [list(islice(mixed(start=start, rank=r, n_ranks=n_ranks), n)) for r in range(n_ranks)]
    dealt = sorted((i, r) for r in range(n_ranks) for i in range(n))
    # of every n_ranks samples of the run, counted from its beginning, rank r has the r-th
    found = [ranks[(start + k) % n_ranks][_row(start, k, n_ranks)] for k in range(n * n_ranks)]
    assert len(dealt) == len(found)
    assert found == whole[start : start + n * n_ranks]


def _row(start: int, k: int, n_ranks: int) -> int:
    """How many samples before the k-th after ``start`` fell to the same rank."""
    return sum((start + j) % n_ranks == (start + k) % n_ranks for j in range(k))


def test_what_is_drawn_is_counted_without_drawing() -> None:
    for n in (1, 50, 144, 145, 1000):
        counted = mixed().drawn(n)
        assert counted.tolist() == np.bincount(list(islice(mixed(), n)), minlength=70).tolist()
    order = mixed()
    many = np.bincount(np.concatenate([order.epoch(e) for e in range(400)]), minlength=70) / 400
    np.testing.assert_allclose(order.repeats, many, atol=0.02)
    assert order.repeats.sum() == pytest.approx(144)


def test_joined_stores_give_what_all_have_and_count_through(tmp_path: Path) -> None:
    labelled = FaceStore(make_store(tmp_path / "a.parquet", 10), side_px=16, channels=1, split="train")
    other = FaceStore(make_store(tmp_path / "b.parquet", 6, split=False), side_px=16, channels=1)
    faces = JoinedFaces([labelled, other])
    assert len(faces) == 8 + 6
    assert faces.labels.tolist() == [*labelled.labels, *other.labels]
    assert faces.columns == ("image", "label", "identity", "landmarks68")
    for index, store, row in ((0, labelled, 0), (7, labelled, 7), (8, other, 0), (13, other, 5)):
        item = faces[index]
        assert torch.equal(item["image"], store[row]["image"])
        assert torch.equal(item["landmarks"], store[row]["landmarks"])
        assert int(item["index"]) == index
    assert faces.column("identity") == labelled.column("identity") + other.column("identity")
    with pytest.raises(DataError, match="no column 'split'"):
        faces.column("split")
    assert len(faces.of_split("val")) == 2  # of the one set that has it
    with pytest.raises(DataError, match="none of the 2 sets has rows of split 'test'"):
        faces.of_split("test")
    assert stores_of(faces) == (labelled, other)
    assert stores_of(other) == (other,)


def test_landmarks_that_one_set_lacks_are_left_out_of_every_item(tmp_path: Path) -> None:
    import datasets

    path = make_store(tmp_path / "a.parquet", 4)
    without = datasets.Dataset.from_parquet(str(path)).remove_columns(["landmarks68", "split"])
    without.to_parquet(str(tmp_path / "b.parquet"))
    stores = [FaceStore(tmp_path / name, side_px=16, channels=1) for name in ("a.parquet", "b.parquet")]
    faces = JoinedFaces(stores)
    assert "landmarks" in stores[0][0]
    assert [set(faces[i]) for i in (0, 4)] == [{"image", "label", "index"}] * 2
