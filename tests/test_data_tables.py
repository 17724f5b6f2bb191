"""Every form in which Hugging Face's ``datasets`` keeps labelled pictures is read, and others are named."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emorph.core.errors import DataError
from emorph.data.layouts import open_index
from emorph.data.store import FaceStore
from emorph.data.tables import is_hub_id, open_table
from emorph.train.sections import DataConfig

datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 6
WORDS = ("sad", "happy", "anger")
Emorph = Callable[..., tuple[int, str, str]]


def png(i: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 40 * i, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def rows() -> list[dict[str, Any]]:
    return [{"image": {"bytes": png(i), "path": None}, "label": i % 3} for i in range(N)]


def with_features() -> Any:
    """As a script on the hub makes it: the Image feature, and classes with names."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(WORDS))})
    return datasets.Dataset.from_list(rows(), features=features)


def check(path: Path | str, n: int = N, **asked: Any) -> FaceStore:
    """The pictures come as they were put in, with the labels of their names, to both of the readers."""
    store = FaceStore(path, side_px=16, **asked)
    labels = [2, 1, 6]  # AffectNet's codes of WORDS
    assert len(store) == n
    for row in range(n):
        sample = store[row]
        i = int(sample["image"][0, 0, 0]) // 40
        assert (sample["image"] == 40 * i).all()
        assert int(sample["label"]) == labels[i % 3]
    if not asked:
        index = open_index(Path(path))
        assert [record.label for record in index.records] == store.labels.tolist()
        assert int(index.pixels(index.records[1])[0, 0, 0]) == int(store[1]["image"][0, 0, 0])
    return store


def plain(path: Path, column: Any, labels: Any = None) -> Path:
    pq.write_table(pa.table({"image": column, "label": labels or [WORDS[i % 3] for i in range(N)]}), path)
    return path


def test_parquet_of_the_image_feature(tmp_path: Path) -> None:
    with_features().to_parquet(str(tmp_path / "faces.parquet"))
    check(tmp_path / "faces.parquet")


def test_parquet_of_bytes_and_path_that_says_no_feature(tmp_path: Path) -> None:
    check(plain(tmp_path / "a.parquet", pa.array([{"bytes": png(i), "path": None} for i in range(N)])))
    check(plain(tmp_path / "b.parquet", pa.array([png(i) for i in range(N)], pa.large_binary())))
    words = pa.array([WORDS[i % 3] for i in range(N)]).dictionary_encode()  # as pandas writes its categories
    check(plain(tmp_path / "c.parquet", pa.array([png(i) for i in range(N)]), words))


@pytest.mark.parametrize("as_struct", [True, False])
def test_pictures_beside_the_table(tmp_path: Path, as_struct: bool) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(N):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(png(i))
    names = [f"pictures/{i}.png" for i in range(N)]
    cells = [{"bytes": None, "path": name} for name in names] if as_struct else names
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()}) if as_struct else pa.string()
    path = plain(tmp_path / "faces.parquet", pa.array(cells, kind))
    check(path)
    (tmp_path / "pictures" / "3.png").unlink()
    with pytest.raises(DataError, match=r"faces\.parquet, row 3: the picture pictures/3\.png cannot be read"):
        FaceStore(path, side_px=16)[3]


def test_saved_folder(tmp_path: Path) -> None:
    with_features().save_to_disk(str(tmp_path / "saved"))
    check(tmp_path / "saved")


def test_saved_folder_with_splits(tmp_path: Path) -> None:
    faces = with_features()
    splits = {"train": faces.select(range(4)), "validation": faces.select(range(4, N))}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    store = check(tmp_path / "saved")
    assert store.column("split") == ["train"] * 4 + ["val"] * 2
    check(tmp_path / "saved", 2, split="val")
    check(tmp_path / "saved", 2, split="validation")


@pytest.mark.parametrize("inner", ["", "data"])
def test_folder_of_shards_as_the_hub_has_it(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / "my [faces], 100 %" / inner  # whose brackets are no pattern
    folder.mkdir(parents=True)
    faces = with_features()
    for shard in range(2):
        faces.shard(2, shard, contiguous=True).to_parquet(str(folder / f"train-0000{shard}-of-00002.parquet"))
    faces.to_parquet(str(folder / "test-00000-of-00001.parquet"))
    store = check(tmp_path / "my [faces], 100 %", 2 * N)
    assert sorted(store.column("split")) == ["test"] * N + ["train"] * N
    index = open_index(tmp_path / "my [faces], 100 %")
    assert sorted(str(record.split) for record in index.records) == ["train"] * N + ["val"] * N
    assert index.problems.count("test counted as validation") == N
    pattern = folder / "train-*.parquet"
    assert check(pattern).facts() != store.facts()
    assert DataConfig(path=str(pattern)).is_there()
    check(folder / "train-00001-of-00002.parquet", 3)


def test_a_pattern_that_fits_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no-\*\.parquet: no file fits this pattern"):
        open_table(tmp_path / "no-*.parquet")


def test_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load_dataset(name: str) -> Any:
        asked.append(name)
        faces = with_features()
        return datasets.DatasetDict({"train": faces, "test": faces})

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMORPH_OFFLINE", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (tmp_path / "run").mkdir()
    config = DataConfig(path="someone/faces-1.5").below(tmp_path / "run")
    assert config.path == "someone/faces-1.5"
    check(config.path, N, split="test")
    assert set(asked) == {"someone/faces-1.5"}
    (tmp_path / "run" / "someone" / "faces-1.5").mkdir(parents=True)
    assert DataConfig(path="someone/faces-1.5").below(tmp_path / "run").path == str(tmp_path / "run/someone/faces-1.5")
    assert not is_hub_id("../faces")
    assert not is_hub_id("someone/faces.parquet")


def test_hub_id_offline(emorph: Emorph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMORPH_OFFLINE", "1")
    status, _, said = emorph("data", "show", "someone/faces")
    assert status == 2
    assert "no such file or folder here" in " ".join(said.split())
    assert "nothing is downloaded while offline" in " ".join(said.split())


WRONG = [
    (pa.array([1] * N), None, r"'image' is of type int64; encoded pictures are needed"),
    (pa.array([[1, 2]] * N), None, r"'image' is of type List\(Value\('int64'\)\)"),
    (pa.array([{"url": "x"}] * N), None, r"'image' is of type .*url"),
    (pa.array([b""] * N), list(range(N)), r"'label' must hold text, found int64; write the words"),
    (pa.array([b""] * N), [["happy"]] * N, r"'label' must hold text, found List"),
]


@pytest.mark.parametrize(("images", "labels", "said"), WRONG)
def test_columns_of_another_type_are_named(tmp_path: Path, images: Any, labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_table(plain(tmp_path / "a.parquet", images, labels))


def test_a_picture_that_is_missing_is_named(emorph: Emorph, tmp_path: Path) -> None:
    cells = [{"bytes": png(i) if i else None, "path": None} for i in range(N)]
    path = plain(tmp_path / "a.parquet", pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()})))
    with pytest.raises(DataError, match=r"row 0: there is no picture"):
        FaceStore(path, side_px=16)[0]
    status, out, _ = emorph("data", "show", path)
    assert status == 0
    assert "unreadable file" in out
    assert FaceStore(path, side_px=16)[1]["image"].shape == (3, 16, 16)


def test_landmarks_of_another_length_are_named(tmp_path: Path) -> None:
    table = pa.table({"image": [png(i) for i in range(N)], "label": ["happy"] * N, "landmarks68": [b"1"] * N})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row 2: landmarks68 must be 68 pairs of float16, 272 bytes, found 1"):
        FaceStore(tmp_path / "a.parquet", side_px=16)[2]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(272)])
def test_landmarks_are_bytes_of_any_kind(tmp_path: Path, kind: Any) -> None:
    points = np.arange(136, dtype="<f2").reshape(68, 2)
    column = pa.array([points.tobytes()] * N, kind)
    table = pa.table({"image": [png(i) for i in range(N)], "label": ["happy"] * N, "landmarks68": column})
    pq.write_table(table, tmp_path / "a.parquet")
    found = FaceStore(tmp_path / "a.parquet", side_px=16)[1]["landmarks"].numpy()
    np.testing.assert_allclose((found + 1) * 8 - 0.5, points, atol=1e-3)


def test_the_file_of_the_field(emorph: Emorph, shared_file: Callable[[str], Path]) -> None:
    path = shared_file("../field/hfstruct.parquet")
    for verb in ("show", "scan"):
        status, out, _ = emorph("data", verb, path)
        assert (status, "12" in out) == (0, True)
