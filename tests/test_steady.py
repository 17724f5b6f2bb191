"""What an edit may draw: expressions, and neither hair nor light."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emorph.core.landmarks import BROWS, EYES, MOUTH, NOSE
from emorph.core.types import Landmarks, Photo, Target
from emorph.edit.change import CropChange, paste_all
from emorph.edit.pipeline import Editor
from emorph.edit.steady import DEEPEST, MOVED_SHARE, drawable, expressive, features, held_steady, on_skin, softened
from emorph.faces import align
from test_redraw import editor as moving_editor  # the fixture
from tiny import tiny_config

SIDE = 128
__all__ = ["moving_editor"]


@pytest.fixture(scope="module")
def points(photo: Photo, landmarks: Landmarks) -> np.ndarray:
    return align(photo, landmarks, SIDE, tiny_config().crop).crop_points()


@pytest.fixture(scope="module")
def share(points: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(expressive(points, SIDE))[None, None]


def test_features_are_expressive_and_hair_is_not(points: np.ndarray, share: torch.Tensor) -> None:
    x, y = np.rint(points).astype(int).T
    for part in (EYES, MOUTH, BROWS):
        assert share[0, 0, y[part], x[part]].min() > 0.5
    eyes = int(points[EYES, 1].mean())
    above = int(2.2 * points[BROWS, 1].min() - 1.2 * eyes)  # more than a brow's height above the brows
    assert share[0, 0, : max(above, 1)].max() < 0.5
    assert share[0, 0, 0].max() == 0
    assert share[0, 0, :, 0].max() == 0


def test_what_has_moved_is_hardly_drawn_over(points: np.ndarray) -> None:
    shut = np.zeros((SIDE, SIDE), np.float32)
    share, around = drawable(points, points, shut), expressive(points, SIDE)
    x, y = np.rint(points).astype(int).T
    for part in (EYES, MOUTH, BROWS, NOSE):
        assert features(points, SIDE)[y[part], x[part]].min() > 0.5
        assert (share[y[part], x[part]] <= around[y[part], x[part]] * (0.5 + MOVED_SHARE / 2) + 1e-6).all()
    for eye, corner in ((41, 48), (46, 54)):  # cheeks, where folds come and go
        x, y = np.rint(points[[eye, corner]].mean(axis=0)).astype(int)
        assert share[y, x] == pytest.approx(around[y, x], rel=1e-4)
        assert around[y, x] > 0.5
    np.testing.assert_allclose(drawable(points, points, np.ones_like(shut)), around)  # what opens is drawn


def test_light_stays_and_an_opening_mouth_is_kept(points: np.ndarray, share: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    before = 0.4 * torch.rand(1, 3, SIDE, SIDE, generator=generator) - 0.2
    ramp = torch.linspace(-1, 1, SIDE)
    light = torch.stack(
        [
            0.2 + 0.1 * ramp.expand(SIDE, SIDE),
            -0.1 * ramp[:, None].expand(SIDE, SIDE),
            0 * ramp + 0.15 * torch.ones(SIDE, SIDE),
        ]
    )
    mouth = torch.zeros(SIDE, SIDE)
    x, y = np.rint(points[MOUTH].mean(axis=0)).astype(int)
    mouth[y - 6 : y + 6, x - 10 : x + 10] = -0.5
    steady = held_steady(before, before + light + mouth, share)
    kept = (steady - before)[0]
    inside = mouth < 0
    torch.testing.assert_close(kept[:, inside], torch.full((3, int(inside.sum())), -0.5), atol=0.06, rtol=0)
    assert kept[:, ~inside].abs().max() < 0.06  # the light is gone
    assert float(kept[:, share[0, 0] == 0].abs().max()) == 0  # and what is no expression is the photo's own
    assert torch.equal(held_steady(before, before, share), before)


def test_hair_over_the_face_is_not_drawn_over(share: torch.Tensor) -> None:
    skin = 0.3 + 0.1 * torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    fringe = skin.clone()
    fringe[1, :, 40:50] = -0.7
    like = on_skin(fringe, share.expand(2, -1, -1, -1))
    assert like.shape == (2, 1, SIDE, SIDE)
    assert like[0].min() > 0.95  # a face without any
    assert like[1, 0, 43:47].max() < 0.05
    assert like[1, 0, 60:].min() > 0.95
    assert torch.equal(on_skin(fringe[1:], share), like[1:])
    assert on_skin(fringe, torch.zeros_like(like)).min() > 0.999  # no skin is expected anywhere


def test_no_patches_are_drawn_on_skin() -> None:
    before = torch.zeros(1, 3, 8, 8)
    after = before.clone()
    after[..., :4] = -0.9  # a patch
    after[..., 6:] = 0.05  # a fold's edge
    opened = torch.zeros(1, 1, 8, 8)
    opened[..., :2] = 1
    found = softened(before, after, opened)
    torch.testing.assert_close(found[..., :2], after[..., :2])
    assert -DEEPEST <= found[..., 2:4].min() < found[..., 2:4].max() + 1e-6 < -0.9 * DEEPEST
    torch.testing.assert_close(found[..., 6:], after[..., 6:], atol=0.002, rtol=0)


def test_rows_do_not_depend_on_each_other(share: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    before, after = (torch.rand(2, 1, SIDE, SIDE, generator=generator) - 0.5 for _ in range(2))
    both = held_steady(before, after, share.expand(2, -1, -1, -1))
    torch.testing.assert_close(both[1:], held_steady(before[1:], after[1:], share))


def test_an_edit_draws_nothing_outside(moving_editor: Editor, photo: Photo) -> None:
    face = moving_editor.faces(photo)[0]
    change = moving_editor.changes([face], [Target.parse("surprise")])[0][0]
    allowed = np.maximum(*(expressive(each, face.side_px) for each in (face.crop_points(), change.landmarks)))
    drawn = np.abs(change.after - change.before).max(axis=-1)
    assert drawn[allowed == 0].max() < 1e-3
    assert drawn[allowed > 0.9].max() > 1


def test_a_photo_in_black_and_white_stays_so(photo: Photo, landmarks: Landmarks) -> None:
    light = np.repeat(photo.pixels.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    light[:4, :4] = [200, 30, 30]  # a stamp in its corner
    for own, stays in ((Photo(light), True), (photo, False)):
        face = align(own, landmarks, 64)
        drawn = own.pixels.copy()
        drawn[120:140, 200:230] = [90, 40, 60]  # lips, as a model has them
        mixed = CropChange.nothing(face.pixels.astype(np.float32))
        result = paste_all(own, [face], [mixed], lambda *_, drawn=drawn: Photo(drawn)).pixels
        np.testing.assert_array_equal(result[:100], own.pixels[:100])
        assert (np.ptp(result[120:140, 200:230], axis=2).max() == 0) == stays
        assert result[130, 210].mean() == pytest.approx(57 if stays else 63.3, abs=1)
