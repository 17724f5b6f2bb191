"""A photo that is edited again and again: drawings are those of Editor.edit, and sketches come near them for less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from emorph.core.errors import NoFaceError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo, Target, UInt8
from emorph.edit import live as live_module
from emorph.edit.live import PREVIEW_PX, LivePhoto
from emorph.edit.pipeline import Editor
from tiny import tiny_editor

HAPPY, SURPRISE = Target(Emotion.HAPPY), Target(Emotion.SURPRISE)


@pytest.fixture(scope="module")
def bundled() -> Editor:
    """The bundled model, which moves landmarks, with few steps."""
    return Editor.from_pretrained("emorph-base", device="cpu", steps=2)


def counted(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes every evaluation of the denoiser, by the rows of its batch."""
    seen: list[int] = []
    original = editor.model.denoiser

    def denoiser(z: torch.Tensor, reuse: int = 1) -> Callable[..., torch.Tensor]:
        evaluate = original(z, reuse=reuse)

        def noted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return evaluate(x, t)

        return noted

    monkeypatch.setattr(editor.model, "denoiser", denoiser)
    return seen


def apart(a: UInt8, b: UInt8) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


def test_what_is_drawn_is_what_the_editor_draws(bundled: Editor, photo: Photo) -> None:
    live = LivePhoto(bundled, photo)
    drawn = live.draw(1, SURPRISE)
    wanted = bundled.edit(photo, to="surprise")
    assert (drawn.photo.pixels == wanted.photo.pixels).all()
    assert drawn.mask == wanted.mask
    (finished,) = live.finished(1, [SURPRISE])
    assert (finished.photo.pixels == wanted.photo.pixels).all()
    assert finished.n_faces == 1


def test_a_sketch_comes_near_and_runs_no_denoiser(
    bundled: Editor, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LivePhoto(bundled, photo)
    alone = live.sketch(1, SURPRISE).photo.pixels
    live.draw(1, SURPRISE)
    half = replace(SURPRISE, strength=0.5)
    wanted = live.draw(1, half).photo.pixels
    live = LivePhoto(bundled, photo)
    live.draw(1, SURPRISE)
    evaluations = counted(bundled, monkeypatch)
    sketch = live.sketch(1, half).photo.pixels
    assert evaluations == []
    assert 0 < apart(sketch, wanted) < 0.5 * apart(photo.pixels, wanted)
    assert apart(alone, photo.pixels) > 0  # pixels move before anything is drawn


def test_at_strength_0_it_is_the_photo(bundled: Editor, photo: Photo) -> None:
    live = LivePhoto(bundled, photo)
    for make in (live.draw, live.sketch):
        assert (make(1, replace(HAPPY, strength=0.0)).photo.pixels == photo.pixels).all()


def test_where_nothing_moves_the_noise_is_found_once(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The diffusion autoencoder's own path: a step of a slider costs the decoding alone."""
    editor = tiny_editor(channels=3, steps=4)
    wanted = editor.edit(photo, to="happy").photo.pixels
    live = LivePhoto(editor, photo)
    evaluations = counted(editor, monkeypatch)
    drawn = live.draw(1, HAPPY).photo.pixels
    first = len(evaluations)
    assert np.abs(drawn.astype(int) - wanted).max() <= 1
    live.draw(1, replace(HAPPY, strength=0.7))
    assert len(evaluations) - first == editor.steps < first


def test_a_sketch_of_what_was_drawn_is_nearly_that(photo: Photo) -> None:
    live = LivePhoto(tiny_editor(channels=3), photo)
    drawn = live.draw(1, HAPPY).photo.pixels
    assert apart(live.sketch(1, HAPPY).photo.pixels, drawn) < 0.2 * apart(drawn, photo.pixels)


def test_a_large_photo_is_shown_small_and_finished_large(bundled: Editor, photo: Photo) -> None:
    large = Photo(np.kron(photo.pixels, np.ones((3, 3, 1), np.uint8)))
    live = LivePhoto(bundled, large)
    assert max(live.preview.pixels.shape) == PREVIEW_PX
    assert live.draw(1, HAPPY).photo.pixels.shape == live.preview.pixels.shape
    (finished,) = live.finished(1, [HAPPY])
    assert finished.photo.pixels.shape == large.pixels.shape
    assert (finished.photo.pixels[:60] == large.pixels[:60]).all()


def test_numbers_are_those_of_the_command(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces count from the left, with those that cannot be edited, and without those that are none."""

    def face(left: int, score: float = 1.0, doubt: str = "", side: int = 50) -> Landmarks:
        return Landmarks(np.zeros((68, 2), np.float32), (left, 10, left + side, 10 + side), score, doubt)

    found = [face(300, side=60), face(10, doubt="turned"), face(200, score=0.0), face(100)]
    monkeypatch.setattr(live_module, "find_faces", lambda *_, **__: found)
    live = LivePhoto(tiny_editor(), photo)
    assert {number: one.box[0] for number, one in live.faces.items()} == {2: 100, 3: 300}
    assert (live.largest, live.n_left_out) == (3, 1)
    with pytest.raises(NoFaceError, match="no face 1; there are 2, 3"):
        live.finished(1, [HAPPY])


def test_only_what_the_model_knows(photo: Photo) -> None:
    editor = tiny_editor()
    assert editor.directions is not None
    editor.directions = replace(editor.directions, labels=("happy", *"bcdefgh"))
    live = LivePhoto(editor, photo)
    for make in (live.draw, live.sketch):
        with pytest.raises(UnknownNameError, match="emotion 'surprise' is not known"):
            make(1, SURPRISE)


def test_the_oldest_pictures_go(photo: Photo) -> None:
    live = LivePhoto(tiny_editor(steps=2), photo)
    for i in range(live_module.MOST_DRAWN + 2):
        live.draw(1, replace(HAPPY, strength=0.1 * (i + 1)))
    assert len(live._known[1].drawn) == live_module.MOST_DRAWN
