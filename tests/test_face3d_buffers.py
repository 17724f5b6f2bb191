"""Camera, crops and the physical buffers on made and real meshes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import MissingAssetError, ShapeError
from emorph.core.types import FaceCoeffs
from emorph.face3d import ICT, PhotoFrame, neutral, render_buffers
from emorph.face3d.buffers import sample_texture
from emorph.face3d.camera import (
    centre_of,
    crop_to_screen,
    deca_crop,
    keep_centred,
    pixels_to_screen,
    project,
    screen_to_pixels,
)
from emorph.face3d.flame import FLAME
from emorph.face3d.lighting import estimate_light, shade
from emorph.face3d.raster import rasterize
from emorph.face3d.skinning import rodrigues, vertex_normals
from golden_cases import case
from made_face import triangles
from test_golden_flame import golden_coeffs, golden_flame


@pytest.fixture(scope="module")
def head() -> tuple[FLAME, FaceCoeffs]:
    return golden_flame(), golden_coeffs(case("flame"))


def dense_buffers(model: FLAME, coeffs: FaceCoeffs, size: int, texture: Tensor) -> Tensor:
    """(B, 9, S, S) by the definition, pixel after pixel, with grid_sample for the texture and no shortcuts."""
    vertices = model.vertices(coeffs)
    normals, uv = vertex_normals(vertices, model.faces), model.uv
    assert uv is not None
    on_screen = project(vertices, coeffs.camera)
    fragments = rasterize(on_screen, model.faces, size)
    seen, out = triangles(fragments), torch.zeros(len(coeffs), 9, size, size)
    grid = torch.full((len(coeffs), size, size, 2), 5.0)
    for b, i, j in (seen >= 0).nonzero().tolist():
        corners = on_screen[b, model.faces[seen[b, i, j]]].double()
        centre = torch.tensor([(2 * j + 1) / size - 1, (2 * i + 1) / size - 1, 1.0], dtype=torch.float64)
        flat = torch.cat([corners[:, :2], torch.ones(3, 1)], dim=1)
        weights = torch.linalg.solve(flat.T, centre).clamp(0, 1)
        weights = (weights / weights.sum()).float()
        out[b, 3:6, i, j] = weights @ normals[b, model.faces[seen[b, i, j]]]
        u, v = weights @ uv.coordinates[uv.faces[seen[b, i, j]]]
        grid[b, i, j] = torch.stack([u * 2 - 1, 1 - v * 2])
    out[:, 6:] = F.grid_sample(texture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    light = shade(out[:, 3:6].flatten(2).mT, coeffs.light).mT.unflatten(-1, (size, size))
    out[:, :3] = out[:, 6:] * light
    return out


def with_uv(model: FLAME) -> FLAME:
    tensors = dict(model.named_buffers())
    generator = torch.Generator().manual_seed(4)
    tensors["uv_coordinates"] = torch.rand(250, 2, generator=generator)
    tensors["uv_triangles"] = torch.randint(250, (len(model.faces), 3), generator=generator)
    return FLAME(tensors, "2020")


def test_buffers_equal_their_definition(head: tuple[FLAME, FaceCoeffs]) -> None:
    model, coeffs = with_uv(head[0]), head[1][:3]
    texture = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    found = render_buffers(model, coeffs, 40, albedo=texture)
    expected = dense_buffers(model, coeffs, 40, texture)
    assert found.mask.mean() > 0.1
    assert found.stacked().shape == (3, 9, 40, 40)
    assert (found.stacked() - expected).abs().max() < 2e-4
    assert torch.equal(found.mask[:, 0], (expected.abs().sum(dim=1) > 0).float())


def test_one_colour_and_no_colour(head: tuple[FLAME, FaceCoeffs]) -> None:
    model, coeffs = head
    colours = torch.rand(8, 3, generator=torch.Generator().manual_seed(6))
    found = render_buffers(model, coeffs, 24, albedo=colours)
    assert torch.allclose(found.albedo, colours[..., None, None] * found.mask)
    with pytest.raises(MissingAssetError, match="no texture of its own"):
        render_buffers(model, coeffs, 24)
    with pytest.raises(MissingAssetError, match="no UV map"):
        render_buffers(model, coeffs, 24, albedo=torch.rand(8, 3, 16, 16))
    tensors = dict(with_uv(model).named_buffers())
    tensors["texture_mean"], tensors["texture_basis"] = torch.rand(3, 256, 256), torch.rand(4, 3, 256, 256)
    own = FLAME(tensors, "2020")
    coeffs = replace(coeffs, texture=torch.rand(8, 2))
    picture = own.albedo(coeffs.texture)
    assert picture is not None
    assert torch.equal(render_buffers(own, coeffs, 24).albedo, render_buffers(own, coeffs, 24, albedo=picture).albedo)


def test_normals_point_at_the_viewer(ict: ICT) -> None:
    coeffs = replace(neutral(ict), camera=torch.tensor([[0.09, 0.0, 0.0]]))
    found = render_buffers(ict, coeffs, 64, albedo=torch.ones(1, 3))
    assert (found.normals[:, 2][found.mask[:, 0] > 0] > -0.2).all()
    left, right = found.normals[0, 0, :, :32].sum(), found.normals[0, 0, :, 32:].sum()
    assert left < 0 < right
    assert found.normals[0, 1, :20].sum() > 0  # the forehead is above, and looks up


def test_gradients_reach_the_coefficients(head: tuple[FLAME, FaceCoeffs]) -> None:
    model, coeffs = head
    names = ("shape", "expression", "pose", "jaw", "camera", "light")
    leaves = {name: getattr(coeffs, name)[:2].clone().requires_grad_() for name in names}
    found = render_buffers(model, replace(coeffs[:2], **leaves), 24, albedo=torch.ones(2, 3))
    (found.stacked() * torch.rand(2, 9, 24, 24)).sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None, name
        assert leaf.grad.isfinite().all(), name
        if name != "camera":  # one colour and normals before the camera: only the outline depends on it
            assert leaf.grad.abs().max() > 0, name


def test_pixels_and_screen() -> None:
    points = torch.tensor([[0.0, 0.0], [19.0, 9.0], [9.5, 4.5]])
    expected = torch.tensor([[1 / 20 - 1, 1 / 10 - 1], [39 / 20 - 1, 19 / 10 - 1], [0.0, 0.0]])
    assert torch.allclose(pixels_to_screen(points, (10, 20)), expected)
    assert torch.allclose(screen_to_pixels(expected, (10, 20)), points, atol=1e-5)


def test_deca_crop() -> None:
    points = np.full((68, 2), 150, np.float32)
    points[0], points[1] = (100, 50), (220, 210)
    matrix = deca_crop(points)
    size = int((120 + 160) / 2 * 1.1 * 1.25)
    corners = np.array([[160 - size / 2, 130 - size / 2, 1], [160 + size / 2, 130 + size / 2, 1]])
    assert np.allclose((matrix @ corners.T).T[:, :2], [[0, 0], [223, 223]])
    with pytest.raises(ShapeError, match="finite"):
        deca_crop(np.full((68, 2), np.nan, np.float32))
    with pytest.raises(ShapeError, match="less than a pixel"):
        deca_crop(np.zeros((68, 2), np.float32))


def test_a_crop_rendered_in_the_photo_lies_where_it_was_cut(head: tuple[FLAME, FaceCoeffs]) -> None:
    model, coeffs = head[0], head[1][:1]
    points = np.full((68, 2), 200, np.float32)
    points[0], points[1] = (160, 140), (280, 280)
    matrix = torch.from_numpy(deca_crop(points))[None]
    on_crop = project(model.vertices(coeffs), coeffs.camera)
    on_photo = crop_to_screen(on_crop, matrix, (410, 430))
    in_photo = (on_photo[..., :2] + 1) / 2 * torch.tensor([430.0, 410.0])
    in_crop = (torch.cat([in_photo, torch.ones_like(in_photo[..., :1])], dim=-1).double() @ matrix.mT)[..., :2]
    assert torch.allclose(in_crop.float(), (on_crop[..., :2] / 2 + 0.5) * 224, atol=1e-3)
    photo = render_buffers(model, coeffs, (410, 430), albedo=torch.ones(1, 3), frame=PhotoFrame(matrix, (410, 430)))
    rows, columns = photo.mask[0, 0].nonzero().unbind(dim=1)
    low, high = in_photo[0].min(dim=0).values, in_photo[0].max(dim=0).values
    assert (rows.min() - low[1]).abs() < 2 > (columns.max() + 1 - high[0]).abs()


def test_the_face_stays_centred_when_the_pose_changes(ict: ICT) -> None:
    coeffs = replace(neutral(ict), camera=torch.tensor([[0.09, 0.3, -0.2]]))
    before = ict.landmarks(ict.vertices(coeffs), coeffs.pose)
    turned = replace(coeffs, pose=torch.tensor([[0.1, 0.5, 0.05]]))
    after = ict.landmarks(ict.vertices(turned), turned.pose)
    centred = keep_centred(turned, after, before)
    assert (centre_of(after) - centre_of(before)).norm() > 1
    found = centre_of(project(after, centred.camera) * torch.tensor([1.0, -1.0, -1.0]) / 0.09)
    expected = centre_of(project(before, coeffs.camera) * torch.tensor([1.0, -1.0, -1.0]) / 0.09)
    assert torch.allclose(found, expected, atol=1e-4)
    assert rodrigues(centred.pose).isfinite().all()


def test_textures_are_sampled_as_grid_sample_does() -> None:
    generator = torch.Generator().manual_seed(7)
    texture, uv = torch.rand(2, 3, 8, 12, generator=generator), torch.rand(2, 50, 2, generator=generator) * 1.2 - 0.1
    grid = torch.stack([uv[..., 0] * 2 - 1, 1 - uv[..., 1] * 2], dim=-1)[:, None]
    expected = F.grid_sample(texture, grid, align_corners=False)[:, :, 0].mT.reshape(100, 3)
    row = torch.arange(2).repeat_interleave(50)
    assert torch.allclose(sample_texture(texture, row, uv.reshape(100, 2)), expected, atol=1e-6)


def test_a_known_light_is_found() -> None:
    generator = torch.Generator().manual_seed(8)
    normals = F.normalize(torch.randn(2, 4000, 3, generator=generator), dim=-1)
    light = torch.randn(2, 9, 3, generator=generator) * 0.2
    light[:, 0] += 3
    skin = torch.tensor([[0.8, 0.6, 0.5], [0.3, 0.2, 0.15]])
    colours = skin[:, None] * shade(normals, light)
    weights = (normals[..., 2] > -0.5).float()
    found, colour = estimate_light(colours, normals, weights)
    again = colour[:, None] * shade(normals, found)
    error = ((again - colours).abs() * weights[..., None]).max()
    assert error < 0.08
    assert (shade(normals, found) * weights[..., None]).sum(dim=1) / weights.sum(dim=1)[:, None] == pytest.approx(
        torch.ones(2, 3), abs=0.02
    )
