"""What a rig is told of faces: read off made pictures, they come out as they were put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError
from emorph.core.types import FaceCoeffs, Photo
from emorph.face3d import ICT, render_buffers
from emorph.face3d.camera import crop_to_screen, deca_crop, project
from emorph.face3d.flame import FLAME
from emorph.face3d.skin import N_ANCHORS
from emorph.models.deca import crop_face
from emorph.models.rig_faces import (
    LandmarkReader,
    NetworkReader,
    in_picture,
    lit,
    open_face,
    open_reader,
    rig_buffers,
)
from golden_cases import case
from made_face import made_face, made_faces, marks
from test_face3d_buffers import with_uv
from test_face3d_skin import painted
from test_golden_flame import golden_coeffs, golden_flame

SIDE = 48


@pytest.fixture(scope="module")
def face() -> ICT:
    return made_face()


def pictures_of(face: ICT, coeffs: FaceCoeffs) -> Tensor:
    """The shaded faces before a dark background, in [-1, 1]."""
    return rig_buffers(face, coeffs, SIDE)[:, :3].clamp(0, 1) * 2 - 1


def test_landmarks_and_light_are_found_again(face: ICT) -> None:
    truth = made_faces(face, 4)
    reading = LandmarkReader(face).read(pictures_of(face, truth), marks(face, truth, SIDE))
    assert reading.reasons == ("",) * 4
    found = reading.coeffs
    assert (found.pose - truth.pose).norm(dim=1).max() < 0.12
    again = rig_buffers(face, found, SIDE)
    both = (again[:, 6:7] != 0) & (rig_buffers(face, truth, SIDE)[:, 6:7] != 0)
    error = ((again - rig_buffers(face, truth, SIDE))[:, :3].abs() * both).sum() / (3 * both.sum())
    assert error < 0.03
    dark = rig_buffers(face, replace(found, light=truth.light.flip(0)), SIDE)
    assert ((dark - rig_buffers(face, truth, SIDE))[:, :3].abs() * both).sum() / (3 * both.sum()) > 2 * error


def test_only_skin_counts_and_each_bit_by_its_area(face: ICT) -> None:
    truth = made_faces(face, 2)
    pictures, points = pictures_of(face, truth), marks(face, truth, SIDE)
    plain = lit(face, truth, pictures, points)
    around = torch.ones(2, 1, SIDE, SIDE)
    x = torch.arange(SIDE)
    for i, marked in enumerate(points):
        low, high = marked.amin(dim=0) - 3, marked.amax(dim=0) + 3
        inside = ((x >= low[1]) & (x <= high[1]))[:, None] & ((x >= low[0]) & (x <= high[0]))
        around[i, 0, inside] = 0
    painted = lit(face, truth, torch.where(around > 0, 1.0, pictures), points)
    torch.testing.assert_close(painted.light, plain.light)
    tensors = dict(face.named_buffers())
    speck = torch.tensor([[0.0, 0, 0], [1e-3, 0, 0], [0, 1e-3, 0]])  # many triangles that show hardly any skin
    spot = (face.mean[face.landmark_vertices[54]] + speck).repeat(200, 1)
    more = {"mean": torch.cat([face.mean, spot])}
    specks = torch.arange(len(face.mean), len(more["mean"])).reshape(-1, 3)
    more["triangles"] = torch.cat([face.triangles, specks])
    for basis in ("shape_basis", "expression_basis"):
        more[basis] = torch.cat([tensors[basis], torch.zeros(len(tensors[basis]), 1800)], dim=1)
    crowded = ICT({**{k: v for k, v in tensors.items() if k != "contour"}, **more}, face.unit_names)
    again = lit(crowded, truth, pictures, points)
    torch.testing.assert_close(again.light, plain.light, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(again.texture, plain.texture, atol=1e-4, rtol=1e-4)


def test_a_face_does_not_depend_on_the_others(face: ICT) -> None:
    truth = made_faces(face, 3)
    pictures, points = pictures_of(face, truth), marks(face, truth, SIDE)
    alone = LandmarkReader(face).read(pictures[1:2], points[1:2]).coeffs
    together = LandmarkReader(face).read(pictures, points).coeffs
    torch.testing.assert_close(alone.light[0], together.light[1], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(alone.expression[0], together.expression[1], atol=2e-3, rtol=1e-3)


def test_landmarks_that_are_no_face_are_named_and_do_no_harm(face: ICT) -> None:
    truth = made_faces(face, 3)
    points = marks(face, truth, SIDE)
    points[1] = float("nan")
    points[2] = points[2].flip(0)
    reading = LandmarkReader(face).read(pictures_of(face, truth), points)
    assert reading.reasons[0] == ""
    assert "not finite" in reading.reasons[1]
    assert reading.reasons[2]
    assert rig_buffers(face, reading.coeffs, SIDE).isfinite().all()


def test_skin_colour_is_the_albedo(face: ICT) -> None:
    coeffs = made_faces(face, 2)
    buffers = rig_buffers(face, coeffs, SIDE)
    shown = render_buffers(face, coeffs, SIDE, albedo=coeffs.texture)
    torch.testing.assert_close(buffers, torch.cat([shown.shaded, shown.normals, shown.albedo], dim=1))
    middle = buffers[:, 6:, SIDE // 2, SIDE // 2]
    torch.testing.assert_close(middle, coeffs.texture)


def test_a_field_of_colours_shows_more_of_a_face_than_one_colour(face: ICT) -> None:
    truth, side = made_faces(face, 3), 128
    shown = render_buffers(face, truth, side, albedo=painted(face).expand(3, -1, -1))
    pictures, points = shown.shaded.clamp(0, 1) * 2 - 1, marks(face, truth, side)
    errors = {}
    for skin, n in (("colour", 3), ("field", 3 * N_ANCHORS)):
        reader = open_reader("landmarks", face, skin=skin)  # type: ignore[arg-type]
        coeffs = reader.read(pictures, points).coeffs
        assert coeffs.texture.shape == (3, n)
        drawn = rig_buffers(face, coeffs, side)[:, :3]
        errors[skin] = float(((drawn - shown.shaded).abs() * shown.mask).mean())
    assert errors["field"] < 0.8 * errors["colour"], errors


def test_coefficients_of_a_crop_seen_from_the_picture() -> None:
    flame, coeffs = golden_flame(), golden_coeffs(case("flame"))[:3]
    points = np.random.default_rng(0).uniform(20, 90, (3, 68, 2)).astype(np.float32)
    to_crop = torch.stack([torch.from_numpy(deca_crop(row)) for row in points])
    vertices = flame.vertices(coeffs)
    expected = crop_to_screen(project(vertices, coeffs.camera), to_crop, (128, 128))[..., :2]
    seen = in_picture(coeffs, to_crop, 128)
    torch.testing.assert_close(project(vertices, seen.camera)[..., :2], expected, atol=1e-5, rtol=1e-5)


class FixedNetwork(torch.nn.Module):
    """Stands in for DECA: it knows its answer, and notes what it was shown."""

    name = "deca"

    def __init__(self, coeffs: FaceCoeffs) -> None:
        super().__init__()
        self.coeffs = coeffs

    def encode(self, crops: Tensor) -> FaceCoeffs:
        self.crops = crops
        return self.coeffs


def test_a_network_sees_its_crop_and_its_light_stays() -> None:
    flame = with_uv(golden_flame())
    tensors = dict(flame.named_buffers())
    textured = FLAME(
        {**tensors, "texture_mean": torch.full((3, 256, 256), 0.5), "texture_basis": torch.zeros(50, 3, 256, 256)},
        "2020",
    )
    coeffs = replace(golden_coeffs(case("flame"))[:2], texture=torch.zeros(2, 50))
    points = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) * 60 + 30
    pictures = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    network = FixedNetwork(coeffs)
    reading = NetworkReader(network, textured).read(pictures, points)  # type: ignore[arg-type]
    assert network.crops.shape == (2, 3, 224, 224)
    pixels = ((pictures[1] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    torch.testing.assert_close(network.crops[1:], crop_face(Photo(pixels), points[1].numpy())[0])
    torch.testing.assert_close(reading.coeffs.light, coeffs.light)
    assert reading.coeffs.encoder == "golden"
    bare = NetworkReader(network, flame).read(pictures, points).coeffs  # type: ignore[arg-type]
    assert bare.texture.shape == (2, 3)
    assert not torch.equal(bare.light, coeffs.light)
    assert rig_buffers(flame, bare, 32).shape == (2, 9, 32, 32)


def test_a_textured_model_keeps_its_colour_in_the_light() -> None:
    flame = with_uv(golden_flame())
    tensors = {
        **dict(flame.named_buffers()),
        "texture_mean": torch.full((3, 256, 256), 0.25),
        "texture_basis": torch.zeros(50, 3, 256, 256),
    }
    coeffs, points = golden_coeffs(case("flame"))[:1], torch.tensor([[[0.0, 0], [31, 0], [31, 31], [0, 31]]])
    pictures = torch.zeros(1, 3, 32, 32)  # half gray everywhere
    plain, textured = lit(flame, coeffs, pictures, points), lit(FLAME(tensors, "2020"), coeffs, pictures, points)
    torch.testing.assert_close(textured.light, plain.light * (plain.texture / 0.25)[:, None])


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: ICT) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match=r"emorph models convert generic_model\.pkl"):
        open_face("flame")
    with pytest.raises(MissingAssetError, match=r"ict_face\.npz is not there"):
        open_face("ict")
    with pytest.raises(ConfigError, match="deca gives FLAME's coefficients"):
        open_reader("deca", face)
    with pytest.raises(ConfigError, match="there is no encoder 'mica'"):
        open_reader("mica", face)
    with pytest.raises(MissingAssetError, match=r"deca_model\.tar"):
        open_reader("deca", golden_flame())
    assert open_reader("landmarks", face).face is face


def test_another_models_file_is_refused(ict_file: Path) -> None:
    with pytest.raises(CheckpointError, match="trained with faces of flame"):
        open_face("flame", ict_file)
    assert open_face("ict", ict_file).name == "ict"
