"""Face stores and the order in which a run sees their samples."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.data.layouts import open_index
from emorph.data.loader import EndlessOrder, class_weights
from emorph.data.memory import in_memory
from emorph.data.store import CropWindow, FaceStore
from emorph.train.draws import KnownFaces, order_of
from emorph.train.sections import DataConfig

datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")


def make_store(path: Path, n: int = 20, *, split: bool = True, label: str | None = None) -> Path:
    """A Parquet file of ``n`` made pictures, each a gradient that tells its number; landmarks on the diagonal."""
    rows = []
    for i in range(n):
        ramp = np.add.outer(np.arange(40), np.arange(40)) + 4 * i
        ok, png = cv2.imencode(".png", np.minimum(ramp, 255).astype(np.uint8))
        assert ok
        points = np.repeat(np.linspace(0, 39, 68, dtype="<f2")[:, None], 2, axis=1)
        rows.append(
            {
                "image": png.tobytes(),
                "label": label or Emotion(i % 8).word,
                "identity": f"person{i // 2}",
                "landmarks68": points.tobytes(),
                **({"split": "val" if i % 5 == 0 else "train"} if split else {}),
            }
        )
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    return path


def test_window_split_and_landmarks(tmp_path: Path) -> None:
    path = make_store(tmp_path / "faces.parquet")
    faces = FaceStore(path, side_px=16, channels=1, split="train", window=CropWindow(4, 8, 32))
    assert len(faces) == 16
    sample = faces[0]  # row 1 of the file: row 0 is of the other split
    assert sample["image"].shape == (1, 16, 16)
    # the first output pixel is the mean of stored columns 4, 5 and rows 8, 9
    assert sample["image"][0, 0, 0] == np.mean([12, 13, 13, 14]) + 4
    assert int(sample["label"]) == Emotion.HAPPY
    corner = np.float16(np.linspace(0, 39, 68)[-1])
    np.testing.assert_allclose(sample["landmarks"][-1], [(corner + 0.5 - 4) / 16 - 1, (corner + 0.5 - 8) / 16 - 1])
    loaded = in_memory(faces, len(faces))
    assert (loaded[3]["image"] == faces[3]["image"]).all()
    assert (loaded[3]["landmarks"] == faces[3]["landmarks"]).all()


def test_arrow_folder_reads_like_parquet(tmp_path: Path) -> None:
    path = make_store(tmp_path / "faces.parquet")
    datasets.Dataset.from_parquet(str(path)).save_to_disk(str(tmp_path / "arrow"))
    a = FaceStore(path, side_px=40, split="val")
    b = FaceStore(tmp_path / "arrow", side_px=40, split="val")
    assert len(a) == len(b) == 4
    assert (a[2]["image"] == b[2]["image"]).all()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = make_store(tmp_path / "faces.parquet", split=False)
    with pytest.raises(DataError, match="no column 'split'"):
        FaceStore(path, side_px=16, split="train")
    with pytest.raises(DataError, match="no such data set"):
        FaceStore(tmp_path / "none.parquet", side_px=16)
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match="neither a Parquet file"):
        FaceStore(tmp_path / "text.parquet", side_px=16)
    with pytest.raises(DataError, match="no rows of split 'test'; found train, val"):
        FaceStore(make_store(tmp_path / "b.parquet"), side_px=16, split="test")
    with pytest.raises(DataError, match="40x40 picture has no"):
        FaceStore(path, side_px=16, window=CropWindow(20, 20, 32))[0]


def test_a_label_that_is_no_emotion_is_shown_with_its_row(tmp_path: Path) -> None:
    path = make_store(tmp_path / "faces.parquet", 4)
    rows = datasets.Dataset.from_parquet(str(path)).to_list()
    rows[2]["label"] = "grumpy"
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    for open_it in (lambda: FaceStore(path, side_px=32), lambda: open_index(path)):
        with pytest.raises(DataError, match=r"faces\.parquet, row 2 of the column 'label': emotion 'grumpy'"):
            open_it()


def test_pictures_that_are_not_square_need_a_window(tmp_path: Path) -> None:
    ok, png = cv2.imencode(".png", np.zeros((40, 80), np.uint8))
    assert ok
    rows = [{"image": png.tobytes(), "label": "sad"}]
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "wide.parquet"))
    with pytest.raises(DataError, match="the picture is 80x40; set a window"):
        FaceStore(tmp_path / "wide.parquet", side_px=16)[0]
    assert FaceStore(tmp_path / "wide.parquet", side_px=16, window=CropWindow(8, 0, 40))[0]["image"].shape == (
        3,
        16,
        16,
    )


def test_every_epoch_holds_every_sample_once() -> None:
    order = list(islice(EndlessOrder(10, seed=3), 30))
    for epoch in range(3):
        assert sorted(order[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert order[:10] != order[10:20]


@pytest.mark.parametrize("start", [0, 7, 10, 23])
def test_a_later_start_goes_on_where_it_would_have_been(start: int) -> None:
    weights = np.array([1, 1, 2.5, 1, 0.5, 1, 1, 1, 3, 1.0])
    for kind in (None, weights):
        whole = list(islice(EndlessOrder(10, seed=3, weights=kind), 60))
        assert list(islice(EndlessOrder(10, seed=3, start=start, weights=kind), 60 - start)) == whole[start:]


def test_ranks_share_one_order() -> None:
    whole = list(islice(EndlessOrder(10, seed=3), 24))
    ranks = [list(islice(EndlessOrder(10, seed=3, rank=r, n_ranks=3), 8)) for r in range(3)]
    assert [ranks[i % 3][i // 3] for i in range(24)] == whole


def test_class_weights_lift_rare_classes() -> None:
    labels = np.array([0] * 64 + [1] * 16 + [2] * 4)
    assert sorted(set(class_weights(labels, 0.5))) == [1, 2, 4]
    order = EndlessOrder(len(labels), seed=0, weights=class_weights(labels, 1.0))
    assert np.bincount(labels[order.epoch(0)]).tolist() == [64, 64, 64]
    assert class_weights(np.array([0, 0, 1, -1]), 1.0).tolist() == [1, 1, 2, 1]  # -1 is a face without a label


def with_affect(path: Path) -> FaceStore:
    """Eight faces; of the last four one has no annotation, one none that is valid, and two lack one of the two."""
    make_store(path, 8, split=False)
    table = datasets.Dataset.from_parquet(str(path))
    table = table.add_column("valence", [0.5, 0.5, -0.5, -1.0, -2.0, None, 0.1, 0.1])
    table.add_column("arousal", [0.5, 0.5, 0.5, 1.0, -2.0, None, -2.0, None]).to_parquet(str(path))
    return FaceStore(path, side_px=16, channels=1)


def test_faces_without_annotation_are_not_evened_out(tmp_path: Path) -> None:
    """AffectNet's -2 means "none"; it is no corner of the plane."""
    faces = with_affect(tmp_path / "faces.parquet")
    affect = faces.affect()
    assert affect is not None
    np.testing.assert_array_equal(np.isfinite(affect).all(axis=1), [True] * 4 + [False] * 4)
    np.testing.assert_array_equal(affect[3], [-1, 1])
    config = DataConfig(path="x", balance="affect:1")
    order = order_of(config, KnownFaces.of(faces, "x", with_affect=True), seed=0)
    assert set(order.epoch(0)) <= {0, 1, 2, 3}


def test_annotations_that_are_not_there_are_asked_for_in_a_sentence(tmp_path: Path) -> None:
    store = FaceStore(make_store(tmp_path / "faces.parquet", 4), side_px=16, channels=1)
    assert store.affect() is None
    for faces in (store, in_memory(store, 4)):
        with pytest.raises(DataError, match="needs the columns valence and arousal, which x does not have; add them"):
            KnownFaces.of(faces, "x", with_affect=True)


def test_columns_are_read_whole_and_a_face_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, the labels of AffectNet take seconds; of a row, only the picture and the points are wanted."""
    path = make_store(tmp_path / "faces.parquet", 8)
    if column := getattr(datasets.arrow_dataset, "Column", None):
        monkeypatch.setattr(column, "__iter__", None)
    faces = FaceStore(path, side_px=16, channels=1, split="train")
    assert faces.column("identity")[0] == "person0"
    assert len(open_index(path).records) == 8
    asked: list[set[str]] = []
    original = datasets.Dataset.__getitem__

    def noting(self: object, key: object) -> object:
        row = original(self, key)
        asked.append(set(row))
        return row

    monkeypatch.setattr(datasets.Dataset, "__getitem__", noting)
    assert set(faces[0]) == {"image", "label", "index", "landmarks"}
    assert asked == [{"image", "landmarks68"}]


def test_a_set_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    path = make_store(tmp_path / "faces.parquet", 8)
    datasets.Dataset.from_parquet(str(path)).save_to_disk(str(tmp_path / "arrow"))

    def facts(name: str, split: str | None = "train") -> list[object]:
        return FaceStore(tmp_path / name, side_px=16, channels=1, split=split).facts()

    before = [facts(name) for name in ("faces.parquet", "arrow")]
    path.rename(tmp_path / "moved.parquet")
    (tmp_path / "arrow").rename(tmp_path / "elsewhere")
    state = tmp_path / "elsewhere" / "state.json"
    text = state.read_text()
    state.unlink()
    state.write_text(text)
    assert [facts(name) for name in ("moved.parquet", "elsewhere")] == before
    assert facts("elsewhere", None) not in before
    datasets.Dataset.from_parquet(str(make_store(path, 9))).save_to_disk(str(tmp_path / "arrow"))
    assert facts("arrow") not in before
    assert facts("faces.parquet") not in before
