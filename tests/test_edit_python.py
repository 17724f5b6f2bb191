"""Folders, several strengths and codes from Python: in three lines, resumed, and as arrays."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from emorph import Emotion, Target
from emorph.core.errors import CheckpointError, ConfigError, EmorphError
from emorph.edit.codes_of_files import FileCodes
from emorph.edit.progress import Shown
from emorph.models.fitted_on import FittedOn
from tiny import tiny_editor


@pytest.fixture
def folder(example_photo: Path, tmp_path: Path) -> Path:
    """Two photos with a face and one without."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(example_photo, photos / name)
    from PIL import Image

    Image.new("RGB", (80, 80)).save(photos / "b.png")
    return photos


def test_strengths_share_an_encoding_and_give_a_list(example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tiny_editor(steps=2)
    encoded: list[int] = []
    encode = editor.model.encode
    monkeypatch.setattr(editor.model, "encode", lambda x: encoded.append(len(x)) or encode(x))
    edits = editor.edit(example_photo, to="happy", strength=[0.5, 1.0])
    assert encoded == [1]
    assert [edit.target.strength for edit in edits] == [0.5, 1.0]
    alone = editor.edit(example_photo, to="happy", strength=0.5)
    assert (alone.photo.pixels == edits[0].photo.pixels).all()
    assert (edits[0].photo.pixels != edits[1].photo.pixels).any()
    assert repr(edits[0])[:67] == "Edit(astronaut.png, 512x512 px: happy at strength 0.5, 1 of 1 face,"
    assert len(repr(edits[0])) < 80
    with pytest.raises(ConfigError, match=r"edit_many takes a list, as in \['happy'\]; edit takes one"):
        editor.edit_many(example_photo, "happy")
    several = editor.edit_many(example_photo, ["happy", Target(Emotion.SAD, 0.0)])
    assert (several[0].photo.pixels == edits[1].photo.pixels).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strength": 50}, "strength 50 is not a number from -3 to 3"),
        ({"strength": float("nan")}, "strength nan is not a number"),
        ({"strength": "abc"}, "strength 'abc' is not a number"),
        ({"strength": [0.5, "1"]}, "strength '1' is not a number"),
        ({"strength": np.array(0.5)}, r"strength array\(0.5\) is not a number"),
        ({"strength": []}, "strength is an empty list; give a number"),
        ({"photo": None}, "a photo is a file, a PIL image or an array of its pixels, found None"),
        ({"to": 1.5}, "an emotion's word or a blend, found 1.5"),
    ],
)
def test_wrong_arguments_are_a_sentence(example_photo: Path, given: dict[str, Any], said: str) -> None:
    editor, asked = tiny_editor(steps=2), {"photo": example_photo, "to": "happy", **given}
    with pytest.raises(EmorphError, match=said):
        editor.edit(**asked)
    if "strength" in given:
        with pytest.raises(ConfigError, match=said):
            editor.edit_folder(example_photo, "nowhere", to="happy", strength=given["strength"], progress=False)


def test_a_folder_is_edited_and_resumed(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    editor = tiny_editor(steps=2)
    report = editor.edit_folder(folder, tmp_path / "out", to="sad")
    assert [edit.source.name for edit in report.edits] == ["a.png", "c.png"]
    assert [failure.name for failure in report.failures] == ["b.png"]
    assert "b.png" in capfd.readouterr().err
    again = editor.edit_folder(str(folder), tmp_path / "out", to="sad", progress=False)
    assert (again.n_before, len(again.edits)) == (2, 2)
    assert len((tmp_path / "out" / "edits.jsonl").read_text().splitlines()) == 2
    strip = editor.edit_folder([folder / "a.png"], tmp_path / "strip", to="sad", strength=[0.5, 1], progress=False)
    assert [path.name for path in strip.edits[0].files] == ["a_sad_0.5.png", "a_sad_1.png", "a_sad_0.5-1_strip.png"]


def test_codes_of_a_folder_are_an_array_with_its_photos(folder: Path, example_photo: Path, tmp_path: Path) -> None:
    editor = tiny_editor()
    codes = editor.encode_folder(folder, progress=False)
    assert (codes.z_sem.shape, codes.z_sem.dtype) == ((2, 32), np.float32)
    assert [path.name for path in codes.files] == ["a.png", "c.png"]
    assert [failure.name for failure in codes.failures] == ["b.png"]
    expected = editor.encode(editor.faces(example_photo)).z_sem[0].numpy()
    np.testing.assert_allclose(codes.z_sem[1], expected, rtol=1e-5)
    assert codes.fitted_on == FittedOn.of("tiny", editor.model.encoder)
    codes.save(tmp_path / "codes.npz")
    read = FileCodes.load(tmp_path / "codes.npz")
    assert (read.z_sem == codes.z_sem).all()
    assert (read.files, read.fitted_on) == (codes.files, codes.fitted_on)
    with torch.no_grad():
        next(editor.model.encoder.parameters()).add_(1.0)
    with pytest.raises(CheckpointError, match="was fitted on tiny"):
        read.fitted_on.check("codes.npz", "another", editor.model.encoder_digest)


def test_damaged_codes_are_named(tmp_path: Path) -> None:
    (tmp_path / "no.npz").write_bytes(b"PK")
    np.savez(tmp_path / "short.npz", z_sem=np.zeros((2, 3), np.float32), files=["a"], model="m", weights="w")
    np.savez(tmp_path / "pickled.npz", z_sem=np.array([{}]), files=["a"], model="m", weights="w")
    for name in ("no", "short", "pickled", "absent"):
        with pytest.raises(CheckpointError, match=rf"{name}\.npz"):
            FileCodes.load(tmp_path / f"{name}.npz")


def test_a_bar_counts_photos_and_lets_go_of_the_terminal() -> None:
    text = io.StringIO()
    shown = Shown(Console(file=text, force_terminal=True, width=80))
    shown.start(2, 1)
    for name in ("a.jpg", "b.jpg"):
        shown.begin(name)
        shown.end()
    assert "3/3" in text.getvalue()
    assert "\x1b[?25h" in text.getvalue()  # the cursor is back
    assert json.dumps(text.getvalue()).count("b.jpg")
