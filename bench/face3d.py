"""Buffers and fits a second: FLAME's size at 256x256, and ICT-FaceKit fitted to landmarks."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from emorph.core.errors import MissingAssetError
from emorph.face3d import FLAME, ICT, fit_landmarks, neutral, render_buffers
from emorph.face3d.camera import project, screen_to_pixels
from support.measure import median_s, table, write_section

SIDE_PX = 256
ROUND, HIGH = 71, 71  # 5,041 vertices and 9,940 triangles; FLAME has 5,023 and 9,976
BATCHES = (1, 16)
FIT_BATCHES = (1, 64)
REPEATS = 7


def ellipsoid() -> tuple[Tensor, Tensor]:
    """A closed head of about FLAME's size that covers a third of the picture."""
    around = torch.arange(ROUND) * (2 * math.pi / ROUND)
    down = torch.linspace(0.05, math.pi - 0.05, HIGH)[:, None]
    x, z = down.sin() * around.cos(), down.sin() * around.sin()
    vertices = torch.stack([0.065 * x, 0.085 * down.cos().expand_as(x), 0.07 * z], dim=-1).reshape(-1, 3)
    top, here = torch.arange(HIGH - 1)[:, None] * ROUND, torch.arange(ROUND)
    there = (here + 1) % ROUND
    a, b, c, d = (corner.flatten() for corner in (top + here, top + there, top + ROUND + here, top + ROUND + there))
    return vertices, torch.cat([torch.stack([a, b, c], dim=1), torch.stack([b, d, c], dim=1)])


def head() -> FLAME:
    """FLAME's sizes and all of its steps, with made numbers: its own are licensed."""
    generator = torch.Generator().manual_seed(0)
    vertices, triangles = ellipsoid()
    n = len(vertices)

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    tensors = {
        "template": vertices,
        "shape_basis": noise(300, 3 * n) * 1e-4,
        "expression_basis": noise(100, 3 * n) * 1e-4,
        "pose_basis": noise(36, 3 * n) * 1e-4,
        "joint_weights": torch.full((5, n), 1 / n),
        "skin_weights": noise(n, 5).softmax(dim=1),
        "triangles": triangles,
        "contour_triangles": torch.zeros(79, 17, dtype=torch.int64),
        "contour_barycentric": torch.full((79, 17, 3), 1 / 3),
        "inner_triangles": torch.zeros(51, dtype=torch.int64),
        "inner_barycentric": torch.full((51, 3), 1 / 3),
        "full_triangles": torch.zeros(68, dtype=torch.int64),
        "full_barycentric": torch.full((68, 3), 1 / 3),
        "uv_coordinates": torch.rand(n, 2, generator=generator),
        "uv_triangles": triangles,
        "texture_mean": torch.rand(3, 256, 256, generator=generator),
        "texture_basis": noise(50, 3, 256, 256) * 0.01,
    }
    return FLAME(tensors, "2020")


@torch.inference_mode()
def buffers_per_s(model: FLAME, batch: int, device: torch.device) -> tuple[float, float]:
    """Faces a second from coefficients to nine channels, and the share of the picture that is covered."""
    generator = torch.Generator().manual_seed(1)
    coeffs = neutral(model, batch)
    coeffs = replace(
        coeffs,
        shape=torch.randn(batch, 100, generator=generator),
        expression=torch.randn(batch, 50, generator=generator),
        pose=torch.randn(batch, 3, generator=generator) * 0.2,
        camera=torch.tensor([[9.0, 0.0, 0.0]]).repeat(batch, 1),
        texture=torch.randn(batch, 50, generator=generator),
    ).to(device)

    def work() -> float:
        return float(render_buffers(model, coeffs, SIDE_PX).mask.mean())

    return batch / median_s(work, repeats=REPEATS), work()


@torch.inference_mode()
def fits_per_s(model: ICT, batch: int) -> float:
    """Fits a second of made faces; the number of steps is the same for all faces."""
    generator = torch.Generator().manual_seed(2)
    coeffs = neutral(model, batch)
    coeffs = replace(
        coeffs,
        shape=torch.randn(batch, 40, generator=generator) * 0.7,
        pose=torch.randn(batch, 3, generator=generator) * 0.2,
        camera=torch.tensor([[0.09, 0.0, -2.0]]).repeat(batch, 1),
    )
    seen = project(model.landmarks(model.vertices(coeffs), coeffs.pose), coeffs.camera)[..., :2]
    points = screen_to_pixels(seen, (SIDE_PX, SIDE_PX))
    return batch / median_s(lambda: fit_landmarks(model, points, SIDE_PX), repeats=REPEATS)


def main() -> None:
    """Measure and write the section "3D face"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="where buffers are rendered")
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES, help="faces rendered at once")
    parser.add_argument("--ict", type=Path, help="ict_face.npz, instead of the usual place")
    asked = parser.parse_args()
    try:
        ict = ICT.load(asked.ict)
    except MissingAssetError as error:
        print(f"bench/face3d.py needs --ict ict_face.npz: {error} RESULTS.md is left as it is.")
        return
    device = torch.device(asked.device)
    model, rows = head().to(device), []
    for batch in asked.batch:
        rate, covered = buffers_per_s(model, batch, device)
        rows.append((f"buffers, {device.type}, batch {batch}", f"{rate:.1f}"))
    rows += [(f"fits, cpu, batch {batch}", f"{fits_per_s(ict, batch):.1f}") for batch in FIT_BATCHES]
    body = f"""{len(model.faces):,} triangles at {SIDE_PX}x{SIDE_PX}, {100 * covered:.0f} % of the picture covered, from
coefficients to nine channels; ICT-FaceKit fitted to 68 landmarks with 40 identities and 53 action units.
Medians of {REPEATS} runs.

{table(["what", "faces a second"], rows)}
"""
    command = "python bench/face3d.py" + (f" --ict {asked.ict.name}" if asked.ict else "")
    write_section("3D face", command, body)


if __name__ == "__main__":
    main()
