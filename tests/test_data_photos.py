"""Faces of a prepared set taken out as photos, and the splits that a set knows of the photos it was made from."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emorph.core.errors import DataError
from emorph.core.images import read_photo, write_image
from emorph.core.photo_list import LIST_FILE, read_list
from emorph.data.layouts import open_index
from emorph.data.photos import splits_of_photos, take_photos
from emorph.data.report import scan_report, table_rows
from emorph.edit.paths import left_out

datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")

Command = Callable[..., tuple[int, str, str]]
EMOTIONS = ("happy", "sad")
SPLITS = ("train",) * 7 + ("val",) * 2 + ("test",)  # of the ten pictures of each emotion


def made(root: Path, splits: Sequence[str] = SPLITS) -> Path:
    """A set of noise as prepare writes one, and the photos that it says it is made from; returns the set."""
    rows = []
    for k, emotion in enumerate(EMOTIONS):
        for i, split in enumerate(splits):
            path = f"{emotion}/a {i}.png"
            write_image(root / "raw" / path, noise(2 * i + k, 20))
            buffer = io.BytesIO()
            Image.fromarray(noise(2 * i + k, 12)).save(buffer, "JPEG")
            rows.append({"image": buffer.getvalue(), "id": path, "path": path, "label": emotion, "split": split})
    datasets.Dataset.from_list(rows).save_to_disk(str(root / "faces"))
    return root / "faces"


def noise(seed: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("sets"))


def test_a_set_knows_the_split_of_every_photo(prepared: Path) -> None:
    known = splits_of_photos(prepared)
    assert Counter(known.values()) == {"train": 14, "val": 4, "test": 2}
    assert "happy/a 3.png" in known


def test_whole_photos_of_the_test_split_are_taken_bit_for_bit(prepared: Path, tmp_path: Path) -> None:
    raw = prepared.parent / "raw"
    taken = take_photos(prepared, tmp_path / "photos", raw=raw)
    assert (taken.n, taken.missing) == (2, ())
    listed = read_list(tmp_path / "photos")
    assert {(photo.split, photo.label) for photo in listed.values()} == {("test", emotion) for emotion in EMOTIONS}
    known = splits_of_photos(prepared)
    for name in listed:
        written = (tmp_path / "photos" / name).read_bytes()
        (path,) = [path for path in known if path.replace("/", "_").replace(" ", "_") == name]
        assert written == (raw / path).read_bytes()
        assert known[path] == "test"
    assert left_out([tmp_path / "photos"]) == []  # the list is no photo that is left out


def test_crops_are_taken_as_they_are_stored_and_drawn_by_seed(prepared: Path, tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert take_photos(prepared, tmp_path / folder, split="train", n=5, seed=seed).n == 5
    names = [sorted(read_list(tmp_path / folder)) for folder in "abc"]
    assert names[0] == names[1] != names[2]
    assert read_photo(tmp_path / "a" / names[0][0]).pixels.shape == (12, 12, 3)
    assert all(name.endswith(".jpg") for name in names[0])  # as prepare stored them


def test_what_is_not_there_is_said(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected train, val or test"):
        take_photos(prepared, tmp_path, split="holdout")
    with pytest.raises(DataError, match=r"not one photo of .* name the raw data set with --of"):
        take_photos(prepared, tmp_path, raw=tmp_path)
    assert not (tmp_path / LIST_FILE).exists()


def test_without_a_test_set_the_way_to_one_is_told(tmp_path: Path, emorph: Command) -> None:
    faces = made(tmp_path, ("train", "val"))
    status, _, err = emorph("data", "photos", faces, "-o", tmp_path / "photos")
    assert status == 2
    assert "its splits: train, val. Prepare it with --test 500" in " ".join(err.split())


def test_the_counts_of_a_prepared_set_have_its_test_faces_apart(prepared: Path, emorph: Command) -> None:
    report = scan_report(open_index(prepared), holdout=500, seed=0)
    assert table_rows(report)[-1] == ("total", [14, 4, 2, 0, 20, 14, 4, 2])
    assert not report.index.problems.by_kind()
    status, printed, _ = emorph("data", "show", prepared, "--html", prepared.parent / "show.html")
    assert status == 0
    assert "test list" in printed
    assert "<th>test list</th>" in (prepared.parent / "show.html").read_text()
