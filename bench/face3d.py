"""Buffers and fits a second: FLAME's size at 256x256, and ICT-FaceKit fitted to landmarks; how good the fits are.

python bench/face3d.py --data shared/data    a folder with lfw_expressions/ and ict_face.npz
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.errors import MissingAssetError
from emorph.data.store import FaceStore
from emorph.face3d import FLAME, ICT, fit_landmarks, neutral, render_buffers
from emorph.face3d.camera import project, screen_to_pixels
from support.measure import median_s, table, write_section

SIDE_PX = 256
ROUND, HIGH = 71, 71  # 5,041 vertices and 9,940 triangles; FLAME has 5,023 and 9,976
BATCHES = (1, 16)
FIT_BATCHES = (1, 64)
REPEATS = 7
CROP_PX = 128
N_ERRORS = 200


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


@dataclass(frozen=True)
class Fits:
    """Of the faces that could be fitted: error (n,) in eye distances, shape (n, K), persons (n,); of n_asked faces."""

    error: NDArray[np.float64]
    shape: NDArray[np.float64]
    persons: list[str]
    n_asked: int


def fits(face: ICT, data: Path) -> Fits:
    """Of the validation faces, evenly chosen where an error is asked for; the persons' names go along."""
    import pyarrow.parquet as pq

    store = FaceStore(data, side_px=CROP_PX, channels=1, split="val")
    names = pq.read_table(data, columns=["identity", "split"]).to_pydict()
    persons = [name for name, split in zip(names["identity"], names["split"], strict=True) if split == "val"]
    points = screen_to_pixels(torch.stack([store[i]["landmarks"] for i in range(len(store))]), (CROP_PX, CROP_PX))
    fit = fit_landmarks(face, points, CROP_PX)
    ok = fit.ok
    known = [person for person, good in zip(persons, ok.tolist(), strict=True) if good]
    return Fits(fit.error[ok].double().numpy(), fit.coeffs.shape[ok].double().numpy(), known, len(store))


def identity_auc(shape: NDArray[np.float64], persons: Sequence[str], *, cosine: bool) -> tuple[float, int, int]:
    """How often two fits of one person are closer than two of two persons (area under the ROC curve); pairs of each.

    cosine: of the angle between shapes (n, K), the set's mean face taken off, as recognisers compare descriptors; else
    the distance, in which a shape that is far from the mean is far from everyone.
    """
    names = np.unique(np.asarray(persons), return_inverse=True)[1]
    first, second = np.triu_indices(len(names), k=1)
    if cosine:
        off = shape - shape.mean(axis=0)
        shape = off / np.linalg.norm(off, axis=1, keepdims=True)
    distance = np.linalg.norm(shape[first] - shape[second], axis=1)
    same = names[first] == names[second]
    ranks = np.empty(len(distance))
    ranks[distance.argsort()] = np.arange(1, len(distance) + 1)
    n_same, n_other = int(same.sum()), int((~same).sum())
    above = ranks[same].sum() - n_same * (n_same + 1) / 2
    return 1 - above / (n_same * n_other), n_same, n_other


def fit_quality(face: ICT, data: Path) -> str:
    """What the section says of fits to the validation faces of ``data``."""
    found = fits(face, data)
    some = found.error[np.linspace(0, len(found.error) - 1, min(N_ERRORS, len(found.error))).round().astype(int)]
    auc, n_same, n_other = identity_auc(found.shape, found.persons, cosine=True)
    plain = identity_auc(found.shape, found.persons, cosine=False)[0]
    return f"""
ICT-FaceKit fitted to the landmarks of {found.n_asked} validation faces of `lfw_expressions`: {len(found.error)} fits
can be trusted. On {len(some)} of them, evenly chosen, landmarks are {100 * some.mean():.1f} % of the eye distance off
on average (95th percentile of faces: {100 * np.quantile(some, 0.95):.1f} %). Shapes of one person's photos are
closer than those of two persons' with probability {auc:.2f} by their cosine (AUC; the set's mean shape taken off),
{plain:.2f} by their distance; {n_same} and {n_other:,} pairs.
"""


def main() -> None:
    """Measure and write the section "3D face"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="where buffers are rendered")
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES, help="faces rendered at once")
    parser.add_argument("--data", type=Path, help="a folder with lfw_expressions and ict_face.npz")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/face3d.py needs faces: --data FOLDER. RESULTS.md is left as it is.")
        return
    try:
        ict = ICT.load(asked.data / "ict_face.npz")
    except MissingAssetError as error:
        print(f"bench/face3d.py needs ict_face.npz in --data: {error} RESULTS.md is left as it is.")
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
{fit_quality(ict, asked.data / "lfw_expressions" / "lfw_expressions.parquet")}"""
    write_section("3D face", f"python bench/face3d.py --data {asked.data.name}", body)


if __name__ == "__main__":
    main()
