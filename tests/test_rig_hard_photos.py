"""Photos that are hard: no face, a face turned far, a mouth that is covered. One sentence, or a sound result."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import NoFaceError
from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.edit.rig import RigEditor
from emorph.face3d import ICT, fit_landmarks, neutral
from emorph.face3d.camera import project, screen_to_pixels
from emorph.faces import find_faces
from emorph.models.rig_faces import LandmarkReader
from test_rig_edit import tiny_rig

SIDE = 256


@pytest.fixture(scope="module")
def editor(ict: ICT) -> RigEditor:
    return RigEditor(tiny_rig(), LandmarkReader(ict), device="cpu", steps=2)


def test_no_face_is_one_sentence(editor: RigEditor, photos_dir: Path) -> None:
    with pytest.raises(NoFaceError, match=r"^no face found in no_face\.jpg \(600x400 px\)\. Try a smaller --min-face"):
        editor.sources(photos_dir / "no_face.jpg")


def test_a_head_turned_far_is_fitted_or_refused_with_its_angle(ict: ICT) -> None:
    """A head of known angle: trusted up to half a profile, refused with the angle beyond 60 degrees."""
    for degrees, trusted in ((30, True), (-45, True), (75, False), (-80, False)):
        camera = torch.tensor([[0.08, 0.0, 0.0]])
        coeffs = replace(neutral(ict), pose=torch.tensor([[0.0, math.radians(degrees), 0.0]]), camera=camera)
        seen = project(ict.landmarks(ict.vertices(coeffs), coeffs.pose), coeffs.camera)[..., :2]
        fit = fit_landmarks(ict, screen_to_pixels(seen, (SIDE, SIDE)), SIDE)
        assert bool(fit.ok) == trusted, (degrees, fit.reasons)
        if trusted:
            assert math.degrees(float(fit.coeffs.pose[0, 1])) == pytest.approx(degrees, abs=6)
        else:
            assert "turned too far" in fit.reasons[0]


@pytest.mark.parametrize("name", ["sandy.jpg", "astronaut.png"])
def test_a_covered_mouth_moves_neither_head_nor_eyes(
    editor: RigEditor, photos_dir: Path, example_photo: Path, name: str
) -> None:
    """A gray box over the mouth: the detector guesses a mouth, and the fit stays a face like the one without."""
    photo = read_photo(example_photo if name == example_photo.name else photos_dir / name)
    free = editor.sources(photo)[0]
    mouth = free.aligned.landmarks.points[48:68]
    (left, top), (right, bottom) = mouth.min(axis=0) - 8, mouth.max(axis=0) + 8
    pixels = photo.pixels.copy()
    pixels[int(top) : int(bottom), int(left) : int(right)] = 128
    covered = Photo(pixels, photo.path)
    assert find_faces(covered)
    found = editor.sources(covered)[0]
    assert (found.coeffs.pose - free.coeffs.pose).abs().max() < math.radians(12)
    assert found.coeffs.shape.square().mean().sqrt() < 2
    done = editor.apply([found], free, ["expression"])
    outside = np.ones(pixels.shape[:2], bool)
    x, y = free.aligned.landmarks.points.mean(axis=0)
    reach = 2 * np.ptp(free.aligned.landmarks.points, axis=0).max()
    outside[max(0, int(y - reach)) : int(y + reach), max(0, int(x - reach)) : int(x + reach)] = False
    assert np.array_equal(done.photo.pixels[outside], pixels[outside])
    assert np.isfinite(done.after).all()
