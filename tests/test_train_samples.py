"""Sheets at checkpoints: the same faces each time, never a danger to the run, and a page that compares steps."""

import importlib.util
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emorph.core.errors import DataError, ImageError
from emorph.data.memory import TensorFaces
from emorph.data.store import FaceStore
from emorph.models import Rig, RigConfig
from emorph.models.diffae import DiffAE
from emorph.train.loop import Outcome, train
from emorph.train.samples import shown_faces
from emorph.train.samples_page import read_sheets, write_page
from emorph.train.sections import SamplesConfig
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.rig import rig_sheet
from emorph.train.tensorboard import open_board
from test_data import make_store
from tiny import tiny_config

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return FaceStore(
        make_store(tmp_path_factory.mktemp("data") / "f.parquet", 20), side_px=32, channels=1, split="train"
    )


def run(out: Path, store: FaceStore, n: int, steps: int = 2, **kwargs: Any) -> Outcome:
    values = {
        "out": str(out),
        "data": {"path": str(store.path), "split": "train"},
        "model": {**tiny_config().model_dump(), "dropout": 0.2},
        "optim": {"batch_size": 4, "lr": 1e-3, "ema_decay": 0.5},
        "samples": {"n": n, "seeds": [0]},
        "checkpoint": {"every_minutes": 1e-9},
        "budget": {"steps": steps},
    }
    config = AutoencoderConfig.parse(values)
    return train(config, store, accelerator="cpu", devices=1, show_progress=False, **kwargs)


@pytest.fixture(scope="module")
def finished(store: FaceStore, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("runs") / "a", store, 3)


def test_a_sheet_at_every_checkpoint_shows_held_out_faces(finished: Outcome, store: FaceStore) -> None:
    folder = finished.folder.parent
    assert [p.name for p in sorted((folder / "samples").iterdir())] == ["step_00000001.png", "step_00000002.png"]
    first, second = read_sheets(folder)
    assert (first.step, first.titles) == (1, ("Original", "Reconstruction", "z, noise 0"))
    assert np.array_equal(first.tiles[:, 0], second.tiles[:, 0])
    assert not np.array_equal(first.tiles[:, 1:], second.tiles[:, 1:])
    held_out = store.of_split("val")
    for tile, row in zip(first.tiles[:, 0], (0, 1, 2), strict=True):
        original = held_out[row]["image"].numpy()[0]
        shown = np.asarray(Image.fromarray(tile).resize((32, 32), Image.Resampling.BOX))[..., 0]
        assert np.abs(shown.astype(int) - original)[2:-2, 2:-2].max() < 6


def test_sheets_change_nothing_in_the_run(finished: Outcome, store: FaceStore, tmp_path: Path) -> None:
    without = run(tmp_path / "b", store, 0)
    assert not (tmp_path / "b" / "samples").exists()
    a, b = (DiffAE.from_pretrained(outcome.folder / "ema").state_dict() for outcome in (finished, without))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_sheet_that_cannot_be_written_does_not_end_the_run(
    store: FaceStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise ImageError("cannot write it: No space left on device")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("emorph.train.samples.write_image", full)
        assert run(tmp_path / "c", store, 1, steps=1).ended_by == "budget"
    assert "no sheet was written at step 1 (cannot write it: No space left on device)" in caplog.text


def test_faces_are_spread_and_training_faces_serve_where_none_are_held_out(store: FaceStore) -> None:
    shown = shown_faces(store, SamplesConfig(n=4, split="none"))
    assert torch.equal(shown.images[1], store[4]["image"])
    few = TensorFaces(shown.images, torch.zeros(4, dtype=torch.int64))
    found = shown_faces(few, SamplesConfig(n=9))
    assert len(found.images) == 4
    assert found.landmarks is None


def test_a_rig_shows_its_buffers() -> None:
    sizes = RigConfig(
        image_size=32, model_channels=32, channel_mult=(1, 1), num_res_blocks=1, encoder_width=16, code_dim=8
    )
    rig = Rig(sizes).eval()
    x, buffers = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 9, 32, 32)
    with torch.inference_mode():
        sheet = rig_sheet(rig, x, buffers, (0, 1))
    assert sheet.rows[0].titles == ("Original", "Buffer", "Reconstruction", "Noise 0", "Noise 1")
    assert sheet.n_fixed == 2
    tile = np.asarray(sheet.rows[1].tiles[1].resize((32, 32), Image.Resampling.BOX))
    shaded = (buffers[1, :3].permute(1, 2, 0) * 255).numpy()
    assert np.abs(tile - shaded).mean() < np.abs(tile - shaded[::-1]).mean() / 3


def test_the_page_sets_steps_side_by_side(finished: Outcome, emorph: Any, tmp_path: Path) -> None:
    folder, page = finished.folder.parent, tmp_path / "page.html"
    status, out, err = emorph("train", "samples", folder, "--steps", "2,1", "-o", page)
    assert status == 0, err
    assert out == f"{page}  (2 sheets)\n"
    text = page.read_text()
    assert text.count("<img") == text.count("data:image/jpeg") == 3 * (1 + 2 * 2)
    assert text.index("step 2") < text.index("step 1<")
    assert "http" not in text
    shutil.copytree(folder / "samples", tmp_path / folder.name / "samples")
    assert len(write_page(page, [folder, tmp_path / folder.name])) == 4
    assert all(f"{parent.name}/{folder.name}, step 2" in page.read_text() for parent in (folder.parent, tmp_path))
    with pytest.raises(DataError, match=r"no sheet of step 3; it has 1, 2\."):
        read_sheets(folder, [3])
    with pytest.raises(DataError, match="holds no sheets"):
        read_sheets(tmp_path)
    assert "expected whole numbers" in emorph("train", "samples", folder, "--steps", "a")[2]


def test_tensorboard_is_named_if_asked_for_and_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert open_board(tmp_path, None, 0) is None
        assert open_board(tmp_path, False, 0) is None
        assert caplog.text == ""
        assert open_board(tmp_path, True, 0) is None
    assert "[tensorboard]" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_numbers_and_sheets(store: FaceStore, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'tensorboard'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "d", store, 1, steps=1)
    found = EventAccumulator(str(tmp_path / "d" / "tensorboard")).Reload()
    assert {"loss", "wait_share"} <= set(found.Tags()["scalars"])
    assert [event.step for event in found.Images("samples")] == [1]
