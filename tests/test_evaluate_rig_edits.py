"""Distances between coefficients: what differs is measured in its own unit, and the rest is 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.types import AlignedFace, FaceCoeffs, Landmarks, Photo
from emorph.evaluate.measure import rig_edits
from emorph.evaluate.measure.rig_edits import LostPair, PairScore, PairScores, ball, coeff_distance
from emorph.face3d import neutral
from emorph.face3d.lighting import CONSTANTS
from made_face import made_face, made_faces


def test_each_distance_sees_its_own_part_alone() -> None:
    face = made_face()
    own = neutral(face)
    assert coeff_distance(own, own) == coeff_distance(own, replace(own, shape=own.shape + 1, texture=torch.ones(1, 3)))
    smiling = coeff_distance(own, replace(own, expression=own.expression + torch.tensor([[0.3, 0.0, 0.0]])))
    assert (smiling.expression, smiling.pose_deg, smiling.light) == (pytest.approx(0.1), 0, 0)
    turned = coeff_distance(own, replace(own, pose=torch.tensor([[0.0, math.radians(20), 0.0]])))
    assert turned.pose_deg == pytest.approx(20, abs=1e-4)
    assert (turned.expression, turned.light) == (0, 0)
    brighter = own.light.clone()
    brighter[:, 0] += 0.2 / CONSTANTS[0]
    assert coeff_distance(own, replace(own, light=brighter)).light == pytest.approx(0.2, abs=1e-6)


def test_the_ball_faces_the_viewer() -> None:
    normals = ball()
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(1, normals.shape[1], dtype=torch.float64))
    assert normals[..., 2].min() > 0
    torch.testing.assert_close(
        normals.mean(dim=1)[0], torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64), atol=0.01, rtol=0
    )


def test_several_faces_are_refused() -> None:
    faces = made_faces(made_face(), 2)
    with pytest.raises(ShapeError, match="one face of one face model"):
        coeff_distance(faces, faces)


@dataclass(frozen=True)
class Face:
    """A face in a photo that shows one brightness, by which the made recogniser below knows it."""

    photo: Photo
    aligned: AlignedFace
    coeffs: FaceCoeffs


def _face(name: str, brightness: int, coeffs: FaceCoeffs) -> Face:
    pixels = np.full((4, 4, 3), brightness, np.uint8)
    landmarks = Landmarks(np.zeros((68, 2), np.float32), (0, 0, 4, 4), 1.0)
    return Face(Photo(pixels, Path(name)), AlignedFace(pixels, np.eye(3), landmarks), coeffs)


def test_pairs_are_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three photos: a result that reached its target as another person, one half way, one that is lost."""

    def describe(photo: Photo, landmarks: Landmarks) -> np.ndarray:
        return np.array([photo.pixels.mean() / 100], np.float32)

    monkeypatch.setattr(rig_edits, "descriptor_of", describe)
    own = neutral(made_face())
    a, b, c = own, replace(own, expression=own.expression + 0.4), replace(own, expression=own.expression + 1.0)
    faces = [_face("a", 0, a), _face("b", 100, b), _face("c", 200, c)]
    half = replace(own, expression=own.expression + 0.2)
    results = {(0, 1): _face("a", 50, half), (0, 2): _face("a", 200, c)}

    def reread(edit: tuple[int, int]) -> Face:
        if edit not in results:
            raise NoFaceError("the face is not found again.")
        return results[edit]

    scores = PairScores(faces, reread)
    assert scores.means() is None
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0)):
        scores.add(i, j, (i, j))
    near, far, lost = scores.rows
    assert isinstance(near, PairScore)
    assert isinstance(far, PairScore)
    assert lost == LostPair("b", "a", "the face is not found again.")
    assert (near.source, near.target, far.target) == ("a", "b", "c")
    assert (near.before.expression, near.after.expression) == (pytest.approx(0.4), pytest.approx(0.2))
    assert (near.identity_distance, near.verified, near.pair_distance) == (0.5, True, 1.0)
    assert (far.identity_distance, far.verified, far.after.expression) == (2.0, False, 0.0)
    mean = scores.means()
    assert mean is not None
    assert (mean.verified, mean.n_pairs) == (0.5, 2)
    assert mean.before.expression == pytest.approx(0.7)
    assert mean.after.expression == pytest.approx(0.1)
