"""Expression and pose from landmarks, checked on a real face's points and on a turned average head."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.types import Landmarks
from emorph.evaluate.metrics.fidelity import psnr
from emorph.evaluate.metrics.geometry import (
    STABLE,
    STABLE_MM,
    expression_distance,
    head_pose,
    mae_outside,
    pose_distance,
    psnr_outside,
)


@pytest.fixture(scope="module")
def face(landmarks: Landmarks) -> Tensor:
    """(1, 68, 2) of the example photo."""
    return torch.from_numpy(landmarks.points)[None]


def moved(points: Tensor, angle: float, scale: float) -> Tensor:
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return scale * points @ turn.to(points) + torch.tensor([40.0, -7.0]).to(points)


def rotation(axis: int, angle: float) -> Tensor:
    i, j = [(1, 2), (0, 2), (0, 1)][axis]
    found = torch.eye(3, dtype=torch.float64)
    found[i, i] = found[j, j] = math.cos(angle)
    found[i, j], found[j, i] = -math.sin(angle), math.sin(angle)
    return found


def projected(turn: Tensor, scale: float = 2.3, head: Tensor | None = None) -> Tensor:
    """An average head's landmarks under weak perspective, (1, 68, 2); points that are not looked at stay random."""
    points = torch.rand(1, 68, 2, dtype=torch.float64) * 100
    head = torch.tensor(STABLE_MM, dtype=torch.float64) if head is None else head
    points[0, list(STABLE)] = scale * (head @ turn.T)[:, :2] + torch.tensor([100.0, 80.0])
    return points


def test_position_size_and_roll_are_no_expression(face: Tensor) -> None:
    assert float(expression_distance(face, moved(face, 0.5, 0.3))) < 1e-5
    assert float(expression_distance(face, face)) < 1e-7


def test_an_opened_mouth_counts_as_far_as_it_moved(face: Tensor) -> None:
    lower_lip, span = [55, 56, 57, 58, 59, 66], float((face[0, 45] - face[0, 36]).norm())
    opened = face.clone()
    opened[0, lower_lip, 1] += 12
    expected = 12 * 6 / 38 / span  # six of 38 points
    assert float(expression_distance(face, opened)) == pytest.approx(expected, rel=1e-4)
    assert float(expression_distance(opened, face)) == pytest.approx(expected, rel=1e-4)
    assert float(expression_distance(face, moved(opened, -0.4, 1.7))) == pytest.approx(expected, rel=1e-3)


def test_a_mirrored_face_is_not_rotated_onto_itself(face: Tensor) -> None:
    mirrored = face * torch.tensor([-1.0, 1.0])
    assert float(expression_distance(face, mirrored)) > 0.2


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["nod", "turn", "tilt"])
@pytest.mark.parametrize("angle", [-0.6, -0.1, 0.02, 0.5])
def test_pose_of_a_turned_head(axis: int, angle: float) -> None:
    turn = rotation(axis, angle)
    torch.testing.assert_close(head_pose(projected(turn))[0], turn, atol=2e-3, rtol=0)


def test_pose_of_a_head_turned_about_all_axes_and_its_distance() -> None:
    first = rotation(0, 0.2) @ rotation(1, -0.4) @ rotation(2, 0.3)
    between = rotation(1, 0.25)
    a, b = projected(first), projected(between @ first, scale=0.7)
    torch.testing.assert_close(head_pose(a)[0], first, atol=2e-3, rtol=0)
    assert float(pose_distance(a, b)) == pytest.approx(0.25, abs=2e-3)
    assert float(pose_distance(a, a)) < 1e-6
    assert float(pose_distance(torch.cat([a, b]), torch.cat([a, a]))[1]) == pytest.approx(0.25, abs=2e-3)


def test_the_angle_between_poses_hardly_depends_on_the_head() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        head = torch.tensor(STABLE_MM, dtype=torch.float64)
        head = head + 3 * torch.randn(head.shape, generator=generator, dtype=torch.float64)
        a, b = (projected(rotation(1, angle), head=head) for angle in (-0.1, 0.15))
        assert float(pose_distance(a, b)) == pytest.approx(0.25, abs=0.06)


def test_tilting_a_real_face_tilts_its_pose(face: Tensor) -> None:
    tilted = torch.cat([moved(face, angle, 1.3) for angle in (-0.4, 0.05, 0.4)])
    found = pose_distance(face.expand(3, -1, -1), tilted)
    np.testing.assert_allclose(found.numpy(), [0.4, 0.05, 0.4], atol=1e-3)


def test_landmarks_that_are_no_face_are_refused(face: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"expected landmarks \(B, 68, 2\), found \(68, 2\)"):
        head_pose(face[0])
    with pytest.raises(ShapeError, match="span a face"):
        pose_distance(face, torch.zeros(1, 68, 2))
    with pytest.raises(ShapeError, match="span a face"):
        expression_distance(face, face / 0)
    with pytest.raises(ShapeError, match="found 1 and 2"):
        expression_distance(face, face.repeat(2, 1, 1))


def test_only_the_outside_counts() -> None:
    torch.manual_seed(0)
    a = torch.rand(2, 3, 16, 16)
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    b = torch.where(mask.bool(), 1 - a, a)
    assert mae_outside(a, b, mask, data_range=1).tolist() == [0, 0]
    assert psnr_outside(a, b, mask, data_range=1).tolist() == [math.inf, math.inf]
    b[1, :, :4] = a[1, :, :4] + 0.1
    found = mae_outside(a, b, mask.bool(), data_range=1)
    assert found.tolist() == pytest.approx([0, 0.1 * 64 / 192], abs=1e-6)
    everywhere = torch.zeros_like(mask)
    torch.testing.assert_close(psnr_outside(a, b, everywhere, data_range=1), psnr(a, b, data_range=1))


def test_masks_that_do_not_fit_are_refused() -> None:
    a = torch.rand(2, 3, 16, 16)
    with pytest.raises(ShapeError, match=r"expected a mask of shape \(2, 1, 16, 16\)"):
        mae_outside(a, a, torch.zeros(2, 3, 16, 16), data_range=1)
    with pytest.raises(ShapeError, match="covers a whole picture"):
        mae_outside(a, a, torch.ones(2, 1, 16, 16), data_range=1)
    with pytest.raises(ShapeError, match=r"a mask in \[0, 1\]"):
        mae_outside(a, a, torch.full((2, 1, 16, 16), 255.0), data_range=1)
