"""Sheets of emotions: every checkpoint with its own directions, rows that say epoch and step, nothing drawn twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.expressions import Emotion
from emorph.edit.latent import directions_digest
from emorph.train import emotion_sheets
from emorph.train.emotion_sheets import crop_of
from emorph.train.emotion_stages import even_rows, training_of
from emorph.train.samples_page import read_sheet
from emorph.train.tasks.autoencoder import AutoencoderConfig
from test_data import make_store
from tiny import tiny_config, tiny_model

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with both checkpoints; 32 training faces, so that a step of 4 is an eighth of an epoch."""
    from emorph.train.loop import train

    folder = tmp_path_factory.mktemp("runs")
    tiny_model().save_pretrained(folder / "tiny")  # with random weights alone, a first step leaves the encoder alone
    config = AutoencoderConfig.parse(
        {
            "init": str(folder / "tiny"),
            "out": str(folder / "ae"),
            "data": {"path": str(make_store(folder / "f.parquet", 40)), "split": "train"},
            "model": tiny_config().model_dump(),
            "optim": {"batch_size": 4, "lr": 1e-2, "ema_decay": 0.1},
            "samples": {"n": 0},
            "checkpoint": {"keep_steps": [1, 2]},
            "budget": {"steps": 2},
        }
    )
    train(config, config.open_faces(), accelerator="cpu", devices=1, show_progress=False)
    return folder / "ae"


def row_heads(page: str) -> list[str]:
    """The heads of a page's rows, whose lines are joined."""
    heads = re.findall(r'<th scope="row">(.*?)</th>', page)
    return [", ".join(re.findall(r"<span>(.*?)</span>", head)) for head in heads]


def test_the_page_has_a_row_a_checkpoint_with_its_epoch_and_step(
    run: Path, emorph: Emorph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "e.html"
    words = ("train", "sheets", run, "--faces", 2, "--fit-faces", 16, "-o", page)
    status, out, err = emorph(*words)
    assert (status, out) == (0, f"{page}  (2 checkpoints)\n"), err
    text = page.read_text()
    assert row_heads(text) == 2 * ["epoch 0.12, step 1", "epoch 0.25, step 2"]
    assert text.count("<img") == 2 * (1 + 2 * 8)
    assert 'alt="Face 2 with the emotion surprise, as drawn at epoch 0.25, step 2"' in text
    assert 'alt="Face 1 as it is"' in text
    assert "Faces of the split val" in text
    assert "http" not in text
    first, second = (read_sheet(run / "emotions" / f"step_0000000{n}.png", "ae") for n in (1, 2))
    assert first.titles == ("Original", *(emotion.title for emotion in Emotion))
    assert np.array_equal(first.tiles[:, 0], second.tiles[:, 0])
    assert not np.array_equal(first.tiles[:, 1:], second.tiles[:, 1:])

    def refuse(*args: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(emotion_sheets, "_row", refuse)
    assert emorph(*words, "--steps", "2")[0] == 0
    with pytest.raises(AssertionError, match="drawn again"):
        emorph(*words, "--strength", 0.5)


def test_each_checkpoint_has_directions_of_its_own(run: Path) -> None:
    stages = training_of(run, fit_faces=16).stages
    (first, a), (second, b) = (stage.make(None) for stage in stages)
    assert directions_digest(a) != directions_digest(b)
    assert not torch.equal(next(first.encoder.parameters()), next(second.encoder.parameters()))


def test_a_classifier_is_shown_over_its_epochs(emorph: Emorph, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    make_store(tmp_path / "faces.parquet", 40)
    (tmp_path / "c.toml").write_text(
        'task = "classifier"\nout = "runs/cls"\nmodel = "tiny"\n[data]\npath = "faces.parquet"\nsplit = "train"\n'
        "[head]\nbatch_size = 8\n"
    )
    words = (tmp_path / "c.toml", "--steps", "1,3", "--faces", 1, "-o", tmp_path / "p")
    status, _, err = emorph("train", "sheets", *words)
    assert status == 0, err
    heads = row_heads((tmp_path / "p").read_text())
    assert heads == ["epoch 1, step 8", "epoch 3, step 24"]  # 32 faces and their mirror images
    assert not (tmp_path / "runs" / "cls").exists()  # directions themselves are for train run to write


def test_what_has_no_emotions_to_show_is_refused(run: Path, emorph: Emorph) -> None:
    assert "has no checkpoint of step 7; it has 1, 2." in emorph("train", "sheets", run, "--steps", 7)[2]
    latent = Path(__file__).parents[1] / "examples" / "emorph-latent" / "latent.toml"
    assert "is a latent: sheets of emotions are drawn of" in emorph("train", "sheets", latent)[2]
    assert "expected whole numbers" in emorph("train", "sheets", run, "--steps", "a")[2]


def test_faces_to_fit_on_are_of_all_emotions_alike() -> None:
    labels = np.repeat([0, 1, 2, 3, 4, 5, 6, 7, -1], [500, 900, 90, 80, 70, 60, 50, 3, 400])
    rows = even_rows(labels, 160, seed=0)
    assert np.bincount(labels[rows], minlength=8).tolist() == [20] * 7 + [3]
    assert rows == sorted(rows)


def test_a_stored_face_is_a_crop_of_itself() -> None:
    points = torch.linspace(-1, 1, 68)[:, None].expand(68, 2)
    face = crop_of(torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4), points)
    assert face.pixels[1, 2].tolist() == [6, 6, 6]
    assert face.crop_points()[0].tolist() == [-0.5, -0.5]
    assert face.crop_points()[-1].tolist() == [3.5, 3.5]
