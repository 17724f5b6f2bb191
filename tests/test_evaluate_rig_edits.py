"""Distances between coefficients: what differs is measured in its own unit, and the rest is 0."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from emorph.core.errors import ShapeError
from emorph.evaluate.rig_edits import ball, coeff_distance
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
