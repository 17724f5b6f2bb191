"""A made 3D face with ICT-FaceKit's structure, for tests that need no file of anyone's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emorph.core.types import FaceCoeffs
from emorph.face3d import ICT, neutral
from emorph.face3d.camera import project, screen_to_pixels
from emorph.face3d.raster import Fragments


def triangles(fragments: Fragments) -> Tensor:
    """The nearest triangle of each pixel, -1 for none: int64 (B, H, W)."""
    return fragments.picture(fragments.face[:, None] + 1)[:, 0] - 1


UNITS = ("mouthSmile", "jawOpen", "browUp")


def _landmarks() -> Tensor:
    """(68, 2) in centimetres, y up."""
    turn = torch.linspace(0, torch.pi, 17)
    contour = torch.stack([-6.5 * turn.cos(), 1 - 9 * turn.sin()], dim=1)
    brow = torch.tensor([[-5.0, 3.6], [-4.2, 4.2], [-3.2, 4.4], [-2.2, 4.2], [-1.3, 3.8]])
    nose = torch.tensor([[0.0, 2.5], [0, 1.4], [0, 0.3], [0, -0.8]])
    base = torch.tensor([[-1.4, -1.6], [-0.7, -1.9], [0, -2.0], [0.7, -1.9], [1.4, -1.6]])
    eye = torch.tensor([[-4.2, 2.3], [-3.5, 2.8], [-2.6, 2.8], [-1.8, 2.3], [-2.6, 1.9], [-3.5, 1.9]])
    other_eye = eye[[3, 2, 1, 0, 5, 4]] * torch.tensor([-1.0, 1.0])
    round_mouth = torch.linspace(torch.pi, -torch.pi, 13)[:12]
    mouth = torch.stack([2.4 * round_mouth.cos(), -4.5 + 0.9 * round_mouth.sin()], dim=1)
    round_lips = torch.linspace(torch.pi, -torch.pi, 9)[:8]
    lips = torch.stack([1.7 * round_lips.cos(), -4.5 + 0.3 * round_lips.sin()], dim=1)
    return torch.cat([contour, brow, brow.flip(0) * torch.tensor([-1.0, 1.0]), nose, base, eye, other_eye, mouth, lips])


def _raised(flat: Tensor) -> Tensor:
    """The face's surface above (N, 2): (N, 3)."""
    x, y = flat.unbind(dim=1)
    bulge = 8 * (1 - (x / 8) ** 2 - (y / 12) ** 2).clamp_min(0).sqrt()
    nose = 1.8 * torch.exp(-((x / 0.9) ** 2) - ((y + 0.9) / 1.3) ** 2)
    return torch.stack([x, y, bulge + nose], dim=1)


def made_face() -> ICT:
    """A head of a grid of vertices, with the landmarks as vertices of their own."""
    n_columns, n_rows = 25, 29
    across, up = torch.linspace(-7, 7, n_columns), torch.linspace(-9, 9, n_rows)
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1).flatten(0, 1)
    mean = _raised(torch.cat([grid, _landmarks()]))
    index = torch.arange(len(grid)).reshape(n_rows, n_columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = torch.cat([torch.stack([a, b, c], -1).reshape(-1, 3), torch.stack([a, c, d], -1).reshape(-1, 3)])
    x, y, z = mean.unbind(dim=1)
    still = torch.zeros_like(x)

    def near(to_x: float, to_y: float, width: float) -> Tensor:
        return torch.exp(-(((x - to_x) / width) ** 2) - ((y - to_y) / width) ** 2)

    shapes = [(0.06 * x, still, still), (still, 0.05 * y, still), (still, still, 0.06 * z)]
    corner = near(-2.4, -4.5, 1.2), near(2.4, -4.5, 1.2)
    below = torch.sigmoid(-(y + 4.5) * 4) * (z > 0)
    units = [
        (0.9 * (corner[1] - corner[0]), 0.9 * (corner[0] + corner[1]), still),
        (still, -2.2 * below, still),
        (still, 1.0 * (near(-3.2, 4.2, 1.5) + near(3.2, 4.2, 1.5)), still),
    ]
    tensors = {
        "mean": mean,
        "shape_basis": torch.stack([torch.stack(s, dim=1).flatten() for s in shapes]),
        "expression_basis": torch.stack([torch.stack(u, dim=1).flatten() for u in units]),
        "triangles": triangles,
        "uv_coordinates": (mean[:, :2] - mean[:, :2].amin(dim=0)) / 20,
        "uv_triangles": triangles,
        "landmark_vertices": torch.arange(len(grid), len(mean)),
    }
    return ICT(tensors, UNITS)


def made_faces(face: ICT, n: int, seed: int = 0) -> FaceCoeffs:
    """Faces that all lie well inside their square picture, under different lights, of different skins."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    light = neutral(face, n).light
    light[:, 1:4] = (rand(n, 3, 1) - 0.5) * 0.5
    return replace(
        neutral(face, n),
        shape=rand(n, 3) * 2 - 1,
        expression=rand(n, 3) * torch.tensor([0.8, 0.8, 0.8]),
        pose=(rand(n, 3) - 0.5) * torch.tensor([0.3, 0.6, 0.3]),
        camera=torch.tensor([0.085, 0.0, 0.6]) + (rand(n, 3) - 0.5) * torch.tensor([0.01, 1.0, 1.0]),
        light=light,
        texture=0.3 + 0.5 * rand(n, 3),
    )


def marks(face: ICT, coeffs: FaceCoeffs, side_px: int) -> Tensor:
    """Landmarks (B, 68, 2) in pixels of the picture."""
    on_screen = project(face.landmarks(face.vertices(coeffs), coeffs.pose), coeffs.camera)
    return screen_to_pixels(on_screen[..., :2], (side_px, side_px))


def write_made_face(path: Path) -> Path:
    """The made head as a file like ICT-FaceKit's."""
    face = made_face()
    n = len(face.mean)
    np.savez(
        path,
        neutral=face.mean.numpy(),
        tris=face.triangles.numpy(),
        uv=face.uv_coordinates.numpy(),
        uv_tris=face.uv_triangles.numpy(),
        id_basis=face.shape_basis.reshape(-1, n, 3).numpy(),
        exp_basis=face.expression_basis.reshape(-1, n, 3).numpy(),
        exp_names=np.array(face.unit_names),
        landmarks68=face.landmark_vertices.numpy(),
    )
    return path
