"""Mouths: measured, read off z_sem, closed or opened as an emotion wants them, and coloured inside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph import Emotion
from emorph.core.errors import DataError, ShapeError
from emorph.core.images import luminance
from emorph.core.types import AlignedFace, Photo, Target
from emorph.edit import latent
from emorph.faces import mouth, newly_open, paste, paste_change
from emorph.faces.mouth import SKIN_SHARE, inside_tint
from emorph.models.directions import Directions
from emorph.models.mouth import MouthAxes, mouth_shape
from emorph.train.codes import Codes
from emorph.train.tasks.classifier import train_classifier
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.mouth import expression_share, fit_mouth
from tiny import tiny_directions

SIDE = 64
Z_DIM = 24
N = 1600
LOWER_LIP = [65, 66, 67, 55, 56, 57, 58, 59]
INNER_LIPS = slice(60, 68)


@pytest.fixture(scope="module")
def points(face: AlignedFace) -> np.ndarray:
    return face.crop_points()


@pytest.fixture(scope="module")
def codes(points: np.ndarray) -> Codes:
    """Faces whose first three numbers of z are the gap, the width and the lift of the mouth; four photos a person."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(N, Z_DIM, generator=generator)
    labels = torch.arange(N) % 8
    z[:, 5:13] += 3 * torch.nn.functional.one_hot(labels, 8)  # what tells the classes apart is not the mouth
    mean = torch.from_numpy(points).float() * 2 / SIDE - 1
    landmarks = mean.repeat(N, 1, 1)
    landmarks[:, LOWER_LIP, 1] += 0.1 * z[:, :1]
    landmarks[:, 48, 0] -= 0.05 * z[:, 1]
    landmarks[:, 54, 0] += 0.05 * z[:, 1]
    landmarks[:, [48, 54], 1] -= 0.06 * z[:, 2:3]
    return Codes(z, labels, torch.zeros(N, 0), landmarks, persons=torch.arange(N) // 32)


@pytest.fixture(scope="module")
def axes(codes: Codes) -> MouthAxes:
    return fit_mouth(codes.z, codes, torch.zeros(8, Z_DIM), {"sad": 0.02, "surprise": 0.4}, 1e-3)[0]


def test_opening_lips_change_the_gap_alone(points: np.ndarray) -> None:
    before = torch.from_numpy(points)
    after = before.clone()
    after[LOWER_LIP, 1] += 5
    eyes = (before[42:48].mean(dim=0) - before[36:42].mean(dim=0)).norm()
    step = mouth_shape(after) - mouth_shape(before)
    torch.testing.assert_close(step, torch.tensor([5 / float(eyes), 0, 0], dtype=step.dtype))
    torch.testing.assert_close(mouth_shape(3 * before), mouth_shape(before))


def test_the_corners_of_a_mouth_follow_the_jaw(codes: Codes, axes: MouthAxes) -> None:
    """In these faces the gap tells nothing of the rest; where corners sink with it, its step sinks them, too."""
    torch.testing.assert_close(axes.patterns[0] @ axes.weight.T, torch.tensor([1.0, 0, 0]), atol=0.1, rtol=0)
    assert codes.landmarks is not None
    sinking = codes.landmarks.clone()
    sinking[:, [48, 54], 1] += 0.04 * codes.z[:, :1]
    faces = dataclasses.replace(codes, landmarks=sinking)
    found = fit_mouth(codes.z, faces, torch.zeros(8, Z_DIM), {"sad": 0.02}, 1e-3)[0]
    gap, _, lift = found.patterns[0] @ found.weight.T
    assert gap == pytest.approx(1, abs=1e-3)
    assert lift == pytest.approx(-0.4, abs=0.05)  # 0.04 for 0.1
    whole = dataclasses.replace(found, share=torch.ones(3))
    expected = torch.tensor([[0.12, 0.9, 0.03]])
    for own in (codes.z[:1], codes.z[1:2]):  # whatever a face's own mouth is, corners sink for its class's gap alone
        after = whole.read(own + whole.correction(own, expected, Emotion.SAD))
        torch.testing.assert_close(after, torch.tensor([[0.02, 0.9, 0.03 - 0.1 * float(lift)]]), atol=0.02, rtol=0)


def test_a_shape_is_read_and_changed_by_itself(codes: Codes, axes: MouthAxes) -> None:
    assert codes.landmarks is not None
    torch.testing.assert_close(axes.read(codes.z), mouth_shape(codes.landmarks), atol=0.01, rtol=0)
    torch.testing.assert_close(axes.patterns[1:] @ axes.weight.T, torch.eye(3)[1:], atol=1e-4, rtol=0)
    for k, pattern in enumerate(axes.patterns):  # each measure has a number of z of its own
        assert pattern[k].abs() > 5 * pattern[3:].abs().max()


def test_steps_are_those_at_equal_light_within_an_emotion(codes: Codes) -> None:
    """Mouths that are open are lit, and so are whole emotions; what a code tells of light is no part of the step."""
    noise = torch.randn(N, generator=torch.Generator().manual_seed(5))
    light = codes.z[:, 0] + 0.5 * noise
    z = codes.z.clone()
    z[:, 20] = light
    lit = dataclasses.replace(codes, z=z, confounds=(light + 6 * (codes.labels % 2))[:, None])
    found = fit_mouth(z, lit, torch.zeros(8, Z_DIM), {"sad": 0.02}, 1e-3)[0]
    assert found.patterns[0, 20].abs() < 0.1 * found.patterns[0, 0].abs()


def test_what_differs_between_a_persons_photos_is_expression(codes: Codes) -> None:
    generator = torch.Generator().manual_seed(1)
    persons = torch.arange(4000) // 8
    own, now = torch.randn(500, 2, generator=generator)[persons], torch.randn(4000, 2, generator=generator)
    labels = torch.zeros(4000, dtype=torch.int64)
    made = Codes(now, labels, torch.zeros(4000, 0), persons=persons)
    share = expression_share(torch.stack([now[:, 0] + own[:, 0], now[:, 1]], dim=1), made)
    torch.testing.assert_close(share, torch.tensor([0.5, 1.0]), atol=0.05, rtol=0)
    unknown = dataclasses.replace(made, persons=None)
    torch.testing.assert_close(expression_share(now, unknown), torch.ones(2))


def _directions(axes: MouthAxes, means: Tensor) -> Directions:
    base = tiny_directions(Z_DIM)
    stats = dataclasses.replace(base.stats, mean=torch.zeros(Z_DIM), std=torch.ones(Z_DIM))
    return dataclasses.replace(base, stats=stats, means=means, mouth=axes)


def test_broad_and_small_smiles_close_alike(codes: Codes, axes: MouthAxes) -> None:
    """With the whole difference taken for expression, every mouth ends at the gap that is wanted; others stay free."""
    whole = dataclasses.replace(axes, share=torch.ones(3))
    directions = _directions(whole, torch.zeros(8, Z_DIM))
    faces = codes.z[:50]
    gaps = whole.read(faces)[:, 0]
    assert gaps.std() > 0.1
    sad, half, happy = latent.edited_codes(
        faces, directions, [Target(Emotion.SAD), Target(Emotion.SAD, 0.5), Target(Emotion.HAPPY)]
    ).unbind(dim=1)
    torch.testing.assert_close(whole.read(sad)[:, 0], torch.full((50,), 0.02), atol=1e-3, rtol=0)
    torch.testing.assert_close(whole.read(half)[:, 0], (gaps + 0.02) / 2, atol=1e-3, rtol=0)
    torch.testing.assert_close(happy, faces)
    partly = dataclasses.replace(axes, share=torch.tensor([0.5, 0.5, 0.5]))
    kept = latent.edited_codes(faces, _directions(partly, torch.zeros(8, Z_DIM)), [Target(Emotion.SAD)])[:, 0]
    torch.testing.assert_close(whole.read(kept)[:, 0], (gaps + 0.02) / 2, atol=1e-3, rtol=0)


def test_mouths_survive_the_disk(axes: MouthAxes, tmp_path: Path) -> None:
    directions = _directions(axes, torch.zeros(8, Z_DIM))
    directions.save_pretrained(tmp_path / "d")
    again = Directions.from_pretrained(tmp_path / "d").mouth
    assert again is not None
    for name, tensor in vars(axes).items():
        torch.testing.assert_close(getattr(again, name), tensor, equal_nan=True)
    assert [again.knows(row) for row in range(8)] == [word in ("sad", "surprise") for word in directions.labels]
    with pytest.raises(ShapeError, match=r"mouth.share must be \(3,\)"):
        _directions(dataclasses.replace(axes, share=torch.ones(2)), torch.zeros(8, Z_DIM))


def test_the_classifier_learns_mouths_where_it_is_told_lips(codes: Codes) -> None:
    found = train_classifier(HeadConfig(epochs=2, lips={"anger": 0.03}), 0, codes, codes).directions
    assert found.mouth is not None
    assert found.means is not None
    assert float(found.mouth.read(found.means[Emotion.ANGER])[0]) == pytest.approx(0.03, abs=1e-3)
    without = dataclasses.replace(codes, landmarks=None)
    with pytest.raises(DataError, match="landmarks68"):
        train_classifier(HeadConfig(epochs=1, lips={"anger": 0.03}), 0, without, without)
    same = dataclasses.replace(codes, landmarks=codes.landmarks[:1].expand(N, -1, -1))  # type: ignore[index]
    with pytest.raises(DataError, match="do not differ"):
        train_classifier(HeadConfig(epochs=1, lips={"anger": 0.03}), 0, same, same)
    with pytest.raises(ValueError, match="'angry' is not an emotion"):
        HeadConfig(lips={"angry": 0.1})


def test_only_what_opens_is_new(points: np.ndarray) -> None:
    lips = points.copy()
    middle = lips[INNER_LIPS, 1].mean()
    lips[INNER_LIPS, 1] = middle
    opened = points.copy()
    opened[[65, 66, 67], 1] += 6
    found = newly_open(lips, opened, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = np.array([(found * x).sum(), (found * y).sum()]) / found.sum()
    np.testing.assert_allclose(centre, opened[INNER_LIPS].mean(axis=0), atol=1.5)
    assert found.max() == pytest.approx(1, abs=0.01)
    assert not newly_open(opened, lips, SIDE).any()
    half = newly_open(points, opened, SIDE)  # that mouth smiles: its teeth stay, and the dark opens below them
    assert 0 < half.sum() < found.sum()
    assert (half * y).sum() / half.sum() > centre[1]


@pytest.mark.parametrize("shift", [(0, 0), (-29, 3), (0, 27), (70, 0), (0, -90)])
def test_an_open_mouth_is_drawn_in_its_own_box_alone(
    points: np.ndarray, shift: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it lies, also partly or wholly outside the crop, it is the one of a larger crop."""
    opened = points.copy()
    opened[[65, 66, 67], 1] += 6
    margin = 2 * SIDE
    wide = newly_open(points + margin, opened + margin, SIDE + 2 * margin)
    monkeypatch.setattr(mouth, "SOFT_SHARE", mouth.SOFT_SHARE * (SIDE + 2 * margin) / SIDE)
    drawn: list[tuple[int, ...]] = []
    resize = mouth.cv2.resize
    monkeypatch.setattr(mouth.cv2, "resize", lambda fine, *a, **k: drawn.append(fine.shape) or resize(fine, *a, **k))
    found = newly_open(points + shift, opened + shift, SIDE)
    start_y, start_x = margin - shift[1], margin - shift[0]
    np.testing.assert_allclose(found, wide[start_y : start_y + SIDE, start_x : start_x + SIDE], atol=1e-6)
    width, height = np.ptp(opened[INNER_LIPS], axis=0)
    assert all(h <= 8 * (height + 3) and w <= 8 * (width + 3) for h, w in drawn)


def test_gray_is_weighed_in_one_way() -> None:
    gray = luminance(torch.eye(3)[None, :, None])  # red, green and blue side by side
    np.testing.assert_array_equal(mouth.REC601, gray.flatten().numpy())
    assert paste.REC601 is mouth.REC601


def test_new_teeth_take_no_colour_from_the_lips(face: AlignedFace, photo: Photo, points: np.ndarray) -> None:
    tint = inside_tint(photo, face)
    assert tint[0] > 1 > tint[2]
    assert tint @ [0.299, 0.587, 0.114] == pytest.approx(1, abs=1e-3)
    gray = Photo(np.repeat(photo.pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2))
    np.testing.assert_allclose(inside_tint(gray, face), 1, atol=SKIN_SHARE * 1e-3)
    red = Photo(photo.pixels.copy())
    red.pixels[..., 1:] //= 4
    before = np.full((SIDE, SIDE, 1), 90, np.uint8)
    opened = np.ones((SIDE, SIDE), np.float32)
    still = np.zeros((SIDE, SIDE, 2), np.float32)
    plain, coloured = (
        paste_change(red, face, before, before + 20, motion=still, opened=mask).pixels.astype(int)
        for mask in (None, opened)
    )
    x, y = np.rint(face.landmarks.points[INNER_LIPS].mean(axis=0)).astype(int)
    inside_plain, inside_coloured = plain[y, x], coloured[y, x]
    assert inside_plain[0] - inside_plain[1] > 60
    assert inside_coloured[0] - inside_coloured[1] < 0.7 * (inside_plain[0] - inside_plain[1])
    with pytest.raises(ShapeError, match="opened"):
        paste_change(photo, face, before, before, opened=opened[:9])
