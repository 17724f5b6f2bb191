"""FLAME, its landmarks, camera, texture and lights against the official layer's recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.types import FaceCoeffs
from emorph.face3d import camera, lighting, texture
from emorph.face3d.convert import flame_tensors
from emorph.face3d.flame import FLAME
from emorph.face3d.model import yaw_step
from emorph.face3d.skinning import rodrigues, vertex_normals
from golden_cases import Case, case, seeded_weights


def golden_flame() -> FLAME:
    arrays = case("flame").arrays
    model = {key.removeprefix("model_"): value for key, value in arrays.items() if key.startswith("model_")}
    embedding = {key.removeprefix("lmk_"): value for key, value in arrays.items() if key.startswith("lmk_")}
    return FLAME(flame_tensors(model, embedding, "flame.npz"), version="2020")


def golden_coeffs(golden: Case) -> FaceCoeffs:
    pose = golden.input("pose")
    return FaceCoeffs(
        shape=golden.input("shape"),
        expression=golden.input("exp"),
        pose=pose[:, :3],
        jaw=pose[:, 3:],
        camera=golden.input("cam"),
        light=golden.input("light"),
        texture=torch.zeros(8, 0),
        encoder="golden",
    )


@pytest.fixture(scope="module")
def posed() -> tuple[FLAME, FaceCoeffs, Tensor]:
    flame, coeffs = golden_flame(), golden_coeffs(case("flame"))
    return flame, coeffs, flame.vertices(coeffs)


def test_vertices_and_joints(posed: tuple[FLAME, FaceCoeffs, Tensor]) -> None:
    flame, coeffs, vertices = posed
    golden = case("flame")
    golden.check("vertices", vertices)
    golden.check("joints_posed", flame.pose(coeffs).joints)
    golden.check("vertices_eyes", flame.pose(coeffs, eyes=golden.input("eye_pose")).vertices)
    still = FaceCoeffs(**{**vars(coeffs[:1]), "pose": torch.zeros(1, 3), "jaw": torch.zeros(1, 3)})
    golden.check("vertices_zero_pose", flame.vertices(still))


def test_landmarks(posed: tuple[FLAME, FaceCoeffs, Tensor]) -> None:
    flame, coeffs, vertices = posed
    golden = case("flame")
    step = yaw_step(rodrigues(coeffs.pose))
    assert np.array_equal(flame.contour_triangles[step], golden.arrays["out_dynamic_faces_idx"])
    golden.check("landmarks2d", flame.landmarks(vertices, coeffs.pose))
    golden.check("landmarks3d", flame.fixed_landmarks(vertices))


def test_camera(posed: tuple[FLAME, FaceCoeffs, Tensor]) -> None:
    flame, coeffs, vertices = posed
    golden = case("flame")
    golden.check("trans_verts", camera.project(vertices, coeffs.camera))
    raw = camera.project(vertices, coeffs.camera)[:, ::7] * torch.tensor([1.0, -1.0, -1.0])
    golden.check("orth_proj_raw", raw)
    moving = camera.project(flame.landmarks(vertices, coeffs.pose), coeffs.camera)
    golden.check("landmarks2d_projected", moving[..., :2])
    golden.check("landmarks3d_projected", camera.project(flame.fixed_landmarks(vertices), coeffs.camera))


def test_normals(posed: tuple[FLAME, FaceCoeffs, Tensor]) -> None:
    flame, coeffs, vertices = posed
    golden = case("flame")
    golden.check("vertex_normals", vertex_normals(vertices, flame.faces))
    on_screen = camera.project(vertices, coeffs.camera) + torch.tensor([0.0, 0.0, 10.0])
    golden.check("vertex_normals_trans_z10", vertex_normals(on_screen, flame.faces))


def test_lights() -> None:
    golden = case("flame")
    assert np.allclose(lighting.CONSTANTS, golden.arrays["const_sh_constant_factor"], rtol=1e-6)
    normals = torch.nn.functional.normalize(golden.input("normal_images"), dim=1).flatten(2).mT
    shaded = lighting.shade(normals, golden.input("light")).mT.unflatten(-1, (6, 6))
    golden.check("sh_shading", shaded)
    points, point_normals, lights = (golden.input(name) for name in ("points", "point_normals", "lights5"))
    golden.check("point_shading", lighting.shade_from_points(points, point_normals, lights))
    golden.check("direction_shading", lighting.shade_from_directions(point_normals, lights))


@pytest.mark.parametrize(("kind", "scale", "n_components"), [("FLAME", 255.0, 200), ("BFM", 1.0, 199)])
def test_texture(kind: str, scale: float, n_components: int) -> None:
    golden = case("flame_tex")
    spec = golden.info["config"]["dither"]
    dither = np.round(seeded_weights.uniform(spec["key"], spec["shape"], spec["seed"], lo=spec["lo"], hi=spec["hi"]))
    mean = golden.arrays["mean16"].repeat(32, 0).repeat(32, 1) + dither
    directions = golden.arrays["dir16"].repeat(32, 0).repeat(32, 1)
    if kind == "BFM":
        mean, directions = mean / 255, directions / 255
    basis = torch.zeros(512, 512, 3, n_components)
    basis[..., : directions.shape[-1]] = torch.from_numpy(directions)
    tensors = texture.texture_tensors(torch.from_numpy(mean), basis, scale=scale)
    golden.check(f"albedo_{kind}", texture.albedo(*tensors, golden.input("texcode")))
