"""What is far too dark is brightened before anything looks at it; what is not is left alone to the bit."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emorph.core.exposure import LIT_FACE, MOST_GAIN, _percentile, brightened, face_gain, photo_gain
from emorph.core.images import write_image
from emorph.core.records import SeenFace
from emorph.core.types import Landmarks, Photo
from emorph.evaluate.judges.asked import CropPlan
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.evaluate.measure.look import Task, View, landmarks_of, look
from emorph.face3d import ICT
from emorph.face3d.lighting import estimate_light
from emorph.face3d.photo import fit_photo
from emorph.faces.detect import find_faces
from emorph.models.judge import Judge
from made_face import made_face, made_faces, marks

GAINS = (0.2, 0.35, 0.7, 1.3)
FEW = (0.06, 0.2)


def exposed(photo: Photo, *gains: float) -> Photo:
    """As a file holds it: rounded, cut off at 255."""
    return replace(photo, pixels=np.rint(photo.pixels * np.array(gains)).clip(0, 255).astype(np.uint8))


def looked(photo: Photo, folder: Path, gain: float, edit_gain: float | None = None) -> dict[str, SeenFace]:
    """What the evaluation has on record of the photo under a gain, and of an edit of it."""
    views = []
    for name, g in (("source", gain), ("edit", edit_gain or gain)):
        path = folder / f"{name}-{g}-{gain}.png"
        changed = exposed(photo, g).pixels.copy()
        if name == "edit":
            changed[:4, :4] = 0
        write_image(path, changed)
        views.append(View(name, path, None, ("crop",)))
    found = look(Task(views[0], (views[1],), {"crop": CropPlan("box", 64)}))
    assert all(not face.trouble for face in found.faces)
    return {face.id: face for face in found.faces}


def test_a_usual_photo_is_left_alone_to_the_bit(photo: Photo, landmarks: Landmarks) -> None:
    assert photo_gain(photo.pixels) == 1
    assert face_gain(photo.pixels, landmarks.box) == 1
    assert brightened(photo.pixels, 1.0) is photo.pixels


@pytest.mark.parametrize("gain", [0.05, 0.12, 0.3])
def test_a_dark_face_is_brought_to_one_level(photo: Photo, landmarks: Landmarks, gain: float) -> None:
    dark = exposed(photo, gain)
    left, top, right, bottom = landmarks.box
    lit = brightened(dark.pixels, face_gain(dark.pixels, landmarks.box))
    assert np.percentile(lit[top:bottom, left:right].max(axis=2), 95) == pytest.approx(LIT_FACE, abs=6)


def test_black_and_empty_pictures_have_a_gain(photo: Photo) -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert photo_gain(black) == MOST_GAIN
    assert brightened(black, MOST_GAIN).max() == 0
    assert face_gain(photo.pixels, (-50, -50, -2, -2)) == 1
    assert find_faces(Photo(np.zeros((64, 64, 3), np.uint8))) == []


@pytest.mark.parametrize("gain", FEW)
def test_a_face_in_the_dark_is_found_where_it_is(photo: Photo, landmarks: Landmarks, gain: float) -> None:
    found = find_faces(exposed(photo, gain))[0]
    eyes = np.linalg.norm(landmarks.points[36:42].mean(axis=0) - landmarks.points[42:48].mean(axis=0))
    assert np.linalg.norm(found.points - landmarks.points, axis=1).mean() < 0.04 * eyes
    assert found.score == pytest.approx(landmarks.score, abs=0.3)


@pytest.mark.parametrize("gain", FEW)
def test_judges_and_recognisers_see_a_dark_face_as_a_bright_one(photo: Photo, tmp_path: Path, gain: float) -> None:
    bright, dark = looked(photo, tmp_path, 1.0), looked(photo, tmp_path, gain)
    assert bright["source"].gain == 1 < dark["source"].gain == dark["edit"].gain
    moved = np.linalg.norm(np.subtract(bright["source"].descriptor, dark["source"].descriptor))
    unlit = np.linalg.norm(
        np.subtract(bright["source"].descriptor, descriptor_of(exposed(photo, gain), landmarks_of(bright["source"])))
    )
    assert moved < min(0.2, 0.8 * unlit)


def test_an_edit_that_darkens_is_not_brightened(photo: Photo, tmp_path: Path) -> None:
    found = looked(photo, tmp_path, 1.0, edit_gain=0.2)
    assert found["source"].gain == found["edit"].gain == 1


@pytest.mark.parametrize("gains", [(g, g, g) for g in GAINS] + [(1.0, 0.7, 0.4), (0.5, 0.8, 1.0)])
def test_the_bundled_judge_depends_on_no_exposure(
    photo: Photo, landmarks: Landmarks, gains: tuple[float, float, float]
) -> None:
    judge = Judge.from_pretrained()
    a, b = (crop_for(judge, each, landmarks) for each in (photo, exposed(photo, *gains)))
    p, q = judge_crops(judge, [a, b])
    assert np.abs(p - q).sum() / 2 < 0.1
    assert p.argmax() == q.argmax()


def test_light_and_skin_of_a_fit_go_with_the_exposure() -> None:
    g = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(1, 300, 3, generator=g) + torch.tensor([0.0, 0, 2]), dim=-1)
    colours, weights = 0.2 + 0.3 * torch.rand(1, 300, 3, generator=g), torch.rand(1, 300, generator=g)
    light, skin = estimate_light(colours, normals, weights)
    for gain in (torch.tensor(0.2), torch.tensor(2.0), torch.tensor([0.9, 0.5, 0.3])):
        other, dark = estimate_light(colours * gain, normals, weights)
        assert torch.allclose(other, light, atol=1e-4)
        assert torch.allclose(dark, skin * gain, atol=1e-5)


@pytest.mark.parametrize("gain", GAINS)
def test_a_fit_to_a_photo_has_the_same_face_and_light(photo: Photo, gain: float) -> None:
    face: ICT = made_face()
    points = 150 + 0.4 * (marks(face, made_faces(face, 1), 256)[0].numpy() - 128)  # over the example's face
    where = Landmarks(points.astype(np.float32), (179, 83, 267, 171), 1.0)
    a, b = (fit_photo(face, each, where) for each in (photo, exposed(photo, gain)))
    for name in ("shape", "expression", "pose", "jaw", "camera"):
        assert torch.equal(getattr(a.fit.coeffs, name), getattr(b.fit.coeffs, name))
    apart = (a.fit.coeffs.light - b.fit.coeffs.light).norm() / a.fit.coeffs.light.norm()
    assert apart < (0.03 if gain < 1 else 0.2)  # above 1 the photo's highlights are cut off
    mask = (a.buffers.mask > 0).expand_as(a.buffers.albedo) & (a.buffers.albedo > 0.05)
    if gain < 1:
        assert (b.buffers.albedo[mask] / a.buffers.albedo[mask]).median() == pytest.approx(gain, rel=0.05)


def test_brightening_is_of_levels_not_of_files(photo: Photo) -> None:
    """A gain read off a JPEG of the dark photo is about the same."""
    dark = exposed(photo, 0.2)
    stream = io.BytesIO()
    Image.fromarray(dark.pixels).save(stream, "JPEG", quality=90)
    again = np.asarray(Image.open(stream).convert("RGB"))
    assert photo_gain(again) == pytest.approx(photo_gain(dark.pixels), rel=0.05)


def test_percentiles_by_counting_are_numpys() -> None:
    rng = np.random.default_rng(0)
    for size, n_levels in ((1, 256), (2, 256), (7, 3), (400, 256), (401, 90)):
        levels = rng.integers(0, n_levels, (size, 1)).astype(np.uint8)
        for percentile in (25, 95, 99):
            assert _percentile(levels, percentile) == pytest.approx(np.percentile(levels, percentile), abs=1e-9)
