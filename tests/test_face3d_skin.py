"""The skin's own colour as a smooth field: what is painted on a made face is read off its picture again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from emorph.core.types import FaceCoeffs
from emorph.face3d import ICT, neutral, render_buffers
from emorph.face3d.lighting import estimate_light
from emorph.face3d.skin import N_ANCHORS, SeenSkin, SkinField
from made_face import made_face, made_faces, marks

SIDE = 128
LIPS = slice(48, 60)


@pytest.fixture(scope="module")
def face() -> ICT:
    return made_face()


@pytest.fixture(scope="module")
def field(face: ICT) -> SkinField:
    return SkinField.on(face)


def painted(face: ICT) -> Tensor:
    """Colours (V, 3): skin, with red lips that fade into it."""
    lips = face.mean[face.landmark_vertices[LIPS]]
    near = torch.exp(-torch.cdist(face.mean, lips).amin(dim=1).square() / 2)[:, None]
    return near * torch.tensor([0.7, 0.25, 0.25]) + (1 - near) * torch.tensor([0.7, 0.55, 0.45])


def read(face: ICT, field: SkinField, coeffs: FaceCoeffs, colours: Tensor) -> tuple[SeenSkin, Tensor, Tensor]:
    """What is seen of painted faces, the mean colour, and the field's colours of the vertices."""
    pictures = render_buffers(face, coeffs, SIDE, albedo=colours.expand(len(coeffs), -1, -1)).shaded
    seen = SeenSkin.of(face, coeffs, pictures, marks(face, coeffs, SIDE))
    light, mean = estimate_light(seen.colours, seen.normals, seen.weights)
    return seen, mean, field.colours(field.estimate(seen, light, mean))


def test_painted_lips_are_found_again(face: ICT, field: SkinField) -> None:
    coeffs, colours = made_faces(face, 3), painted(face)
    seen, mean, found = read(face, field, coeffs, colours)
    for weights, one, own in zip(seen.weights, mean, found, strict=True):
        share = (weights / weights.sum())[:, None]
        # the light of a photo is told from the skin's colour up to a factor only
        off = ((own / (share * own).sum(dim=0) - colours / (share * colours).sum(dim=0)).abs() * share).sum()
        flat = ((1 - colours / (share * colours).sum(dim=0)).abs() * share).sum()
        assert off < 0.5 * flat
        lips = own[face.landmark_vertices[LIPS]].mean(dim=0)
        assert lips[1] < 0.8 * one[1]


def test_what_is_not_seen_has_the_mean_colour(face: ICT, field: SkinField) -> None:
    _, mean, found = read(face, field, made_faces(face, 2), painted(face))
    top = face.mean[:, 1].argmax()  # above the brows, where no landmark lies
    torch.testing.assert_close(found[:, top], mean, atol=0.02, rtol=0)


def test_the_field_is_the_same_on_the_left_and_on_the_right(face: ICT, field: SkinField) -> None:
    anchors = torch.rand(1, N_ANCHORS, 3, generator=torch.Generator().manual_seed(0))
    colours = field.colours(anchors)[0]
    mirror = torch.cdist(face.mean * torch.tensor([-1.0, 1, 1]), face.mean).argmin(dim=1)
    is_grid = torch.arange(len(mirror)) < face.landmark_vertices.min()
    torch.testing.assert_close(colours[is_grid], colours[mirror[is_grid]], atol=1e-3, rtol=0)
    torch.testing.assert_close(field.colours(torch.ones(1, N_ANCHORS, 3)), torch.ones(1, len(face.mean), 3))


def test_a_field_that_was_first_used_for_reading_lets_gradients_through() -> None:
    face = made_face()
    with torch.inference_mode():
        SkinField.on(face)
    field = SkinField.on(face)
    assert SkinField.on(face) is field
    anchors = torch.rand(1, N_ANCHORS, 3, requires_grad=True)
    coeffs = made_faces(face, 1)
    render_buffers(face, coeffs, 32, albedo=field.colours(anchors)).shaded.sum().backward()
    assert anchors.grad is not None
    assert anchors.grad.abs().sum() > 0


def test_a_dark_photo_and_one_without_skin_give_finite_colours(face: ICT, field: SkinField) -> None:
    coeffs = neutral(face)
    points = marks(face, made_faces(face, 1), SIDE)
    for where in (points, points + 10 * SIDE):  # the landmarks of the second lie outside
        seen = SeenSkin.of(face, coeffs, torch.zeros(1, 3, SIDE, SIDE), where)
        light, mean = estimate_light(seen.colours, seen.normals, seen.weights)
        assert field.estimate(seen, light, mean).isfinite().all()
