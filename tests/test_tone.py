"""The light of a face is taken off before a model sees it, so that a dark photo is edited as a bright one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emorph.core.expressions import Emotion
from emorph.core.tone import SPREAD, ToneName, face_window, tone_of
from emorph.core.types import Landmarks, Photo, Target
from emorph.edit.pipeline import Editor
from emorph.models.diffae import DiffAE
from tiny import tiny_directions, tiny_editor


def pictures(n: int, channels: int = 3) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 0.4 * torch.randn(n, channels, 32, 32, generator=g).clamp(-1, 1) + 0.1


@pytest.mark.parametrize("channels", [1, 3])
def test_exposure_changes_nothing(channels: int) -> None:
    x = pictures(3, channels)
    dark = 0.2 * (x + 1) - 1  # a fifth of the levels
    bright, dim = (tone_of(p).take_off(p) for p in (x, dark))
    assert torch.allclose(bright, dim, atol=1e-5)
    window = face_window(32, x.device)
    gray = (
        bright if channels == 1 else torch.einsum("bchw,c->bhw", bright, torch.tensor([0.299, 0.587, 0.114]))[:, None]
    )
    spread = ((gray.square() * window).sum(dim=(-2, -1)) / window.sum()).sqrt()
    assert torch.allclose(spread, torch.full_like(spread, SPREAD), rtol=0.02)


def test_what_was_taken_off_comes_back_for_one_picture_or_several() -> None:
    x = pictures(2)
    tone = tone_of(x)
    seen = tone.take_off(x)
    assert torch.allclose(tone.put_back(seen)[seen.abs() < 1], x[seen.abs() < 1], atol=1e-6)
    rows = torch.stack([seen, -seen], dim=1)
    assert torch.equal(tone.put_back(rows)[:, 0], tone.put_back(seen))


def test_as_it_is_is_bit_for_bit() -> None:
    x = pictures(2)
    tone = tone_of(x, "as_is")
    assert torch.equal(tone.take_off(x), x)
    assert torch.equal(tone.put_back(x), x)


def test_a_dark_photo_gets_the_same_edit_darker(photo: Photo, landmarks: Landmarks) -> None:
    share = 0.5
    dark = replace(photo, pixels=np.rint(photo.pixels * share).astype(np.uint8))

    def wrong(tone: ToneName) -> float:
        """How far the dark photo's change is from the photo's own, darker, in sizes of the latter."""
        plain = tiny_editor()
        model = DiffAE(plain.model.config.model_copy(update={"tone": tone}))
        model.load_state_dict(plain.model.state_dict())
        editor = Editor(model, tiny_directions(), model_id="tiny", device="cpu", steps=3)
        bright, dim = (
            editor.changes(editor.align(each, [landmarks]), [Target(Emotion.HAPPY)])[0][0] for each in (photo, dark)
        )
        expected = share * (bright.after - bright.before)
        return float(np.abs(dim.after - dim.before - expected).mean() / np.abs(expected).mean())

    assert wrong("face") < 0.3  # a random network makes much of the rounding to whole levels
    assert wrong("as_is") > 3 * wrong("face")
