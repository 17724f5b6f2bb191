"""Fitting: known faces are found again, wrong landmarks are outvoted or refused, real faces are met closely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.types import FaceCoeffs
from emorph.face3d import FLAME, ICT, neutral
from emorph.face3d.camera import project, screen_to_pixels
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.model import FaceModel
from emorph.face3d.skinning import rodrigues

SIDE = 200


def seen(model: FaceModel, coeffs: FaceCoeffs) -> Tensor:
    """Landmarks in pixels of a square of SIDE."""
    on_screen = project(model.landmarks(model.vertices(coeffs), coeffs.pose), coeffs.camera)
    return screen_to_pixels(on_screen[..., :2], (SIDE, SIDE))


def made_faces(ict: ICT, n: int, yaw: float = 0.5) -> FaceCoeffs:
    generator = torch.Generator().manual_seed(n)
    pose = (torch.rand(n, 3, generator=generator) * 2 - 1) * torch.tensor([0.3, yaw, 0.5])
    return replace(
        neutral(ict, n),
        shape=torch.randn(n, 40, generator=generator) * 0.7,
        expression=(torch.rand(n, 53, generator=generator) - 0.7).clamp_min(0),
        pose=pose,
        camera=torch.tensor([0.08, 1.0, -2.0]) + torch.rand(n, 3, generator=generator) * torch.tensor([0.02, 2, 2]),
    )


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    trace = (rodrigues(a) @ rodrigues(b).mT).diagonal(dim1=1, dim2=2).sum(dim=1)
    return ((trace - 1) / 2).clamp(-1, 1).acos()


def test_made_faces_are_found_again(ict: ICT) -> None:
    truth = made_faces(ict, 24)
    points = seen(ict, truth)
    fit = fit_landmarks(ict, points, SIDE)
    assert fit.ok.all(), fit.reasons
    assert fit.error.max() < 0.03
    assert angle_between(fit.coeffs.pose, truth.pose).max() < 0.12
    assert (fit.coeffs.camera[:, 0] / truth.camera[:, 0] - 1).abs().max() < 0.1
    assert 0 <= fit.coeffs.expression.min() <= fit.coeffs.expression.max() <= 1
    eye = (points[:, 36:42].mean(dim=1) - points[:, 42:48].mean(dim=1)).norm(dim=-1)
    assert (seen(ict, fit.coeffs) - fit.points).norm(dim=-1).mean(dim=1).max() < 0.02 * eye.min()  # the same camera


def test_action_units_are_told_apart(ict: ICT) -> None:
    units = ({"jawOpen": 0.9}, {"mouthSmile_L": 0.9, "mouthSmile_R": 0.9}, {"browInnerUp_L": 1.0, "browInnerUp_R": 1.0})
    rest = replace(neutral(ict), camera=torch.tensor([[0.09, 0.0, -2.0]]))
    for wanted in units:
        made = replace(rest, expression=ict.expression(wanted))
        found = fit_landmarks(ict, seen(ict, made), SIDE).coeffs.expression[0]
        for name, value in wanted.items():
            assert found[ict.unit_names.index(name)] > 0.45 * value, name
        others = {name for unit in units for name in unit} - set(wanted)
        assert max(float(found[ict.unit_names.index(name)]) for name in others) < 0.2


def test_a_few_wrong_landmarks_are_outvoted(ict: ICT) -> None:
    truth = made_faces(ict, 8, yaw=0.2)
    points = seen(ict, truth)
    clean = fit_landmarks(ict, points, SIDE)
    points[:, [3, 20, 30, 48, 57]] += torch.tensor([25.0, -30.0])
    fit = fit_landmarks(ict, points, SIDE)
    good = [i for i in range(68) if i not in (3, 20, 30, 48, 57)]
    moved = (fit.points - clean.points)[:, good].norm(dim=-1).mean(dim=1)
    assert moved.max() < 2.5  # px, of a face of about 50 px between the eyes
    assert angle_between(fit.coeffs.pose, truth.pose).max() < 0.15


def test_a_face_does_not_depend_on_the_others(ict: ICT) -> None:
    points = seen(ict, made_faces(ict, 6))
    together = fit_landmarks(ict, points, SIDE)
    alone = fit_landmarks(ict, points[4:5], SIDE)
    assert torch.allclose(together.coeffs.shape[4], alone.coeffs.shape[0], atol=2e-3)
    assert torch.allclose(together.coeffs.camera[4], alone.coeffs.camera[0], atol=1e-3)


def test_it_says_when_it_failed(ict: ICT) -> None:
    generator = torch.Generator().manual_seed(0)
    face = seen(ict, made_faces(ict, 1, yaw=0.1))[0]
    profile = replace(made_faces(ict, 1), pose=torch.tensor([[0.0, 1.35, 0.0]]))
    line = torch.linspace(10, 100, 68)[:, None] * torch.tensor([1.0, 0.0])
    shuffled = face[torch.randperm(68, generator=generator)]
    noise = torch.rand(68, 2, generator=generator) * SIDE
    points = torch.stack([face, seen(ict, profile)[0], line, shuffled, noise, torch.full((68, 2), torch.nan)])
    fit = fit_landmarks(ict, points, SIDE)
    assert fit.ok.tolist() == [True, False, False, False, False, False]
    assert "turned too far" in fit.reasons[1]
    assert "on one line" in fit.reasons[2]
    assert "not finite" in fit.reasons[5]
    assert "not those of a face" in fit.reasons[3]
    assert fit.reasons[4]
    assert torch.allclose(fit.points[0], fit_landmarks(ict, points[:1], SIDE).points[0], atol=1e-2)
    with pytest.raises(ShapeError, match="68, 2"):
        fit_landmarks(ict, points[:, :67], SIDE)


def head_like_flame(ict: ICT) -> FLAME:
    """FLAME's structure on ICT's landmarks: the lower lip and the chin follow the jaw."""
    triangles = torch.arange(68)[:, None].expand(-1, 3)
    mean = ict.mean[ict.landmark_vertices] * 0.01
    n = len(mean)
    units = [ict.unit_names.index(name) for name in ("mouthSmile_L", "mouthSmile_R", "browInnerUp_L", "browInnerUp_R")]

    def thinned(basis: Tensor, scale: float) -> Tensor:
        return (basis.reshape(len(basis), -1, 3)[:, ict.landmark_vertices] * scale).flatten(1)

    weights = torch.zeros(n, 5)
    jaw = torch.tensor([i in (*range(4, 13), *range(55, 60), *range(65, 68)) for i in range(n)])
    weights[:, 2], weights[:, 1] = jaw.float() * 0.9, 1 - jaw.float() * 0.9
    joint_weights = torch.zeros(5, n)
    joint_weights[:2, [0, 16]] = 0.5
    joint_weights[2, [1, 15]] = 0.5
    joint_weights[3:, 27] = 1
    corner = torch.tensor([1.0, 0.0, 0.0])
    return FLAME(
        {
            "template": mean,
            "shape_basis": thinned(ict.shape_basis[:30], 0.01),
            "expression_basis": thinned(ict.expression_basis[units], 0.005),
            "pose_basis": torch.randn(36, 3 * n, generator=torch.Generator().manual_seed(0)) * 2e-4,
            "joint_weights": joint_weights,
            "skin_weights": weights,
            "triangles": triangles.clone(),
            "contour_triangles": torch.arange(17).expand(79, 17).clone(),
            "contour_barycentric": corner.expand(79, 17, 3).clone(),
            "inner_triangles": torch.arange(17, 68),
            "inner_barycentric": corner.expand(51, 3).clone(),
            "full_triangles": torch.arange(68),
            "full_barycentric": corner.expand(68, 3).clone(),
        },
        "2020",
    )


def test_flame_with_its_jaw(ict: ICT) -> None:
    flame = head_like_flame(ict)
    generator = torch.Generator().manual_seed(3)
    n = 8
    truth = replace(
        neutral(flame, n),
        shape=torch.randn(n, 30, generator=generator) * 0.5,
        pose=(torch.rand(n, 3, generator=generator) - 0.5) * torch.tensor([0.4, 0.6, 0.6]),
        jaw=torch.rand(n, 3, generator=generator) * torch.tensor([0.35, 0.0, 0.0]),
        camera=torch.tensor([[9.0, 0.0, -0.02]]).repeat(n, 1),
    )
    fit = fit_landmarks(flame, seen(flame, truth), SIDE)
    assert fit.ok.all(), fit.reasons
    assert fit.error.max() < 0.03
    opening = torch.stack([fit.coeffs.jaw[:, 0], truth.jaw[:, 0]])
    assert torch.corrcoef(opening)[0, 1] > 0.9
    assert angle_between(fit.coeffs.pose, truth.pose).max() < 0.15
    assert (seen(flame, fit.coeffs) - fit.points).abs().max() < 0.1


def test_real_faces(ict: ICT, face_pack: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(
        face_pack, columns=["landmarks68", "split", "label"], filters=[("split", "=", "val")]
    ).to_pydict()
    raw = [np.frombuffer(row, "<f2").reshape(68, 2).astype(np.float32) for row in table["landmarks68"][:200]]
    points = torch.from_numpy(np.stack(raw))
    fit = fit_landmarks(ict, points, 128)
    eye = (points[:, 36:42].mean(dim=1) - points[:, 42:48].mean(dim=1)).norm(dim=-1)
    error = (fit.points - points).norm(dim=-1).mean(dim=1) / eye
    assert fit.ok.float().mean() > 0.98
    assert error.mean() < 0.04
    assert error.quantile(0.95) < 0.056
    smile = fit.coeffs.expression[:, ict.unit_names.index("mouthSmile_L")]
    happy = torch.tensor([label == "happy" for label in table["label"][:200]])
    assert smile[happy].mean() > 3 * smile[~happy].mean()
