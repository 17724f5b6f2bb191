"""Fits that tell expression from shape: bounds and rivals hold, and photos of one person share a shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.types import FaceCoeffs
from emorph.data.mouths import held_out
from emorph.face3d import ICT, fit, fit_landmarks, neutral
from emorph.face3d.ict_prior import RIVALS
from emorph.face3d.skinning import rodrigues
from made_face import made_face, made_faces, marks

SIDE = 200


EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"mouthSmile_L": 0.6, "mouthSmile_R": 0.6, "mouthLowerDown_L": 0.3, "mouthLowerDown_R": 0.3},
    {"jawOpen": 0.4, "browOuterUp_L": 0.5, "browOuterUp_R": 0.5},
)


def album(face: ICT, n_persons: int, n_photos: int) -> tuple[FaceCoeffs, list[int]]:
    """Photos of made persons, each with other expressions and poses; and whose each is."""
    coeffs = made_faces(face, n_persons * n_photos, seed=4)
    persons = [i for i in range(n_persons) for _ in range(n_photos)]
    return replace(coeffs, shape=1.5 * coeffs.shape[[i * n_photos for i in persons]]), persons


def jittered(points: Tensor, px: float) -> Tensor:
    return points + px * torch.randn(points.shape, generator=torch.Generator().manual_seed(1))


def test_photos_of_one_person_share_a_shape() -> None:
    face = made_face()
    truth, persons = album(face, n_persons=8, n_photos=3)
    points = jittered(marks(face, truth, SIDE), 1.0)
    together = fit_landmarks(face, points, SIDE, persons=persons)
    shapes = together.coeffs.shape.reshape(8, 3, -1)
    assert torch.equal(shapes[:, 0], shapes[:, 1])
    assert torch.equal(shapes[:, 0], shapes[:, 2])
    assert (shapes[1:, 0] - shapes[:-1, 0]).abs().max() > 0.3
    assert together.error.max() < 0.06


def test_several_photos_tell_shape_and_expression_better_than_one(ict: ICT) -> None:
    generator = torch.Generator().manual_seed(7)
    persons = [i for i in range(6) for _ in range(3)]
    truth = replace(
        neutral(ict, 18),
        shape=(torch.randn(6, 40, generator=generator) * 0.7)[persons],
        expression=torch.cat([ict.expression(units) for units in EXPRESSIONS] * 6),
        pose=(torch.rand(18, 3, generator=generator) - 0.5) * 0.4,
        camera=torch.tensor([[0.08, 0.0, -2.0]]).repeat(18, 1),
    )
    points = jittered(marks(ict, truth, SIDE), 0.3)
    alone, together = fit_landmarks(ict, points, SIDE), fit_landmarks(ict, points, SIDE, persons=persons)
    for of in ("shape", "expression"):
        off = [float((getattr(each.coeffs, of) - getattr(truth, of)).square().mean()) for each in (together, alone)]
        assert off[0] < 0.95 * off[1], of


def test_a_person_does_not_depend_on_the_others_nor_on_a_photo_without_points() -> None:
    face = made_face()
    truth, persons = album(face, n_persons=3, n_photos=2)
    points = marks(face, truth, SIDE)
    names = [7, 7, 0, 0, 4, 4]  # any numbers do
    together = fit_landmarks(face, points, SIDE, persons=names)
    pair = fit_landmarks(face, points[2:4], SIDE, persons=[0, 0])
    torch.testing.assert_close(together.coeffs.shape[2:4], pair.coeffs.shape, atol=2e-3, rtol=1e-3)
    spoilt = torch.cat([points[2:4], torch.full((1, 68, 2), torch.nan)])
    again = fit_landmarks(face, spoilt, SIDE, persons=[0, 0, 0])
    torch.testing.assert_close(again.coeffs.shape[:2], pair.coeffs.shape, atol=2e-3, rtol=1e-3)
    assert again.ok.tolist() == [True, True, False]
    for wrong in (persons[:-1], [-1, *persons[1:]]):
        with pytest.raises(ShapeError, match="a number from 0 for each of 6 faces"):
            fit_landmarks(face, points, SIDE, persons=wrong)


def test_further_iterations_change_nothing(ict: ICT, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units at their bounds do not make the fit cycle."""
    generator = torch.Generator().manual_seed(5)
    truth = replace(
        neutral(ict, 8),
        shape=torch.randn(8, 40, generator=generator) * 0.7,
        expression=(torch.rand(8, 53, generator=generator) - 0.6).clamp_min(0),
        camera=torch.tensor([[0.08, 0.0, -2.0]]).repeat(8, 1),
    )
    points = jittered(marks(ict, truth, SIDE), 0.5)
    first = fit_landmarks(ict, points, SIDE)
    monkeypatch.setattr(fit, "N_ITERATIONS", 40)
    last = fit_landmarks(ict, points, SIDE)
    assert (first.points - last.points).abs().max() < 0.25  # px, of about 50 between the eyes
    assert (first.coeffs.expression - last.coeffs.expression).abs().max() < 0.1
    assert float(first.coeffs.expression.min()) >= 0
    assert float(first.coeffs.expression.max()) <= 1


def test_no_face_shows_two_rivals(ict: ICT) -> None:
    generator = torch.Generator().manual_seed(6)
    truth = replace(
        neutral(ict, 8),
        expression=torch.rand(8, 53, generator=generator) * 0.4,
        camera=torch.tensor([[0.08, 0.0, -2.0]]).repeat(8, 1),
    )
    found = fit_landmarks(ict, jittered(marks(ict, truth, SIDE), 1.0), SIDE).coeffs.expression
    assert len(ict.rivals) > len(RIVALS)
    for one, other in ict.rivals:
        both = torch.minimum(found[:, one], found[:, other])
        assert both.max() == 0, (ict.unit_names[one], ict.unit_names[other])


def test_marks_turn_with_the_head(ict: ICT) -> None:
    """Where detectors mark a landmark beside its vertex is told in the head's own frame."""
    turned = replace(neutral(ict), pose=torch.tensor([[0.1, 0.0, 0.4]]))
    ahead = ict.landmarks(ict.vertices(neutral(ict)), torch.zeros(1, 3))
    torch.testing.assert_close(ict.landmarks(ict.vertices(turned), turned.pose), ahead @ rodrigues(turned.pose).mT)
    vertices = ict.mean[ict.landmark_vertices]
    eye = (vertices[36:42].mean(dim=0) - vertices[42:48].mean(dim=0)).norm()
    beside = (ahead[0] - vertices).norm(dim=-1) / eye
    assert 0.01 < beside.mean() < 0.06
    torch.testing.assert_close(ict.sigma[ict.unit_names.index("jawLeft")], ict.sigma[ict.unit_names.index("jawRight")])


@pytest.fixture(scope="module")
def london(shared_file: Callable[[str], Path]) -> tuple[Tensor, Tensor]:
    """Landmarks (n, 68, 2) of held-out people, neutral and smiling, in crops of 512 px."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path, people = shared_file("faces/london.parquet"), {}
    columns = ["identity", "source_set", "split", "label", "landmarks68"]
    for row in parquet.read_table(path, columns=columns).to_pylist():
        if held_out(row["identity"], row["source_set"], row["split"]):
            points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float32)
            people.setdefault(row["identity"], {})[row["label"]] = points
    pairs = [people[name] for name in sorted(people) if len(people[name]) == 2]
    calm, happy = (torch.from_numpy(np.stack([pair[label] for pair in pairs])) for label in ("neutral", "happy"))
    return calm, happy


def test_a_smile_moves_the_corners_and_not_the_jaw(ict: ICT, london: tuple[Tensor, Tensor]) -> None:
    """Of people whose photos told the prior nothing."""
    n = len(london[0])
    found = fit_landmarks(ict, torch.cat(london), 512)
    paired = fit_landmarks(ict, torch.cat(london), 512, persons=[*range(n), *range(n)])
    assert n == 35
    assert found.ok.all()
    assert found.error.mean() < 0.018
    for each, least_smile, most_jaw in ((found, 0.2, 0.07), (paired, 0.22, 0.04)):
        units = each.coeffs.expression
        smile = units[:, [i for i, name in enumerate(ict.unit_names) if name.startswith("mouthSmile")]].mean(dim=1)
        jaw = units[:, ict.unit_names.index("jawOpen")]
        rise = _rise(london[1]) - _rise(london[0])
        assert smile[:n].mean() < 0.05
        assert smile[n:].mean() > least_smile
        assert torch.corrcoef(torch.stack([smile[n:] - smile[:n], rise]))[0, 1] > 0.75
        assert abs(float((jaw[n:] - jaw[:n]).mean())) < most_jaw


def _rise(points: Tensor) -> Tensor:
    """How near the corners of mouths are to the eyes, (n,), in eye distances and below 0."""
    eyes, corners = points[:, 36:48].mean(dim=1), points[:, [48, 54]].mean(dim=1)
    unit = (points[:, 36:42].mean(dim=1) - points[:, 42:48].mean(dim=1)).norm(dim=-1)
    return -(eyes - corners).norm(dim=-1) / unit
