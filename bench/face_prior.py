"""Estimate what is usual of ICT-FaceKit's faces in photos: the prior that fits to landmarks start from.

python bench/face_prior.py --data shared/data [--out src/emorph/face3d/ict_prior.safetensors]
    a folder with faces/lfw.parquet, faces/london.parquet and ict_face.npz

Expectation maximisation on persons with several photos, each person with one shape: what differs between their photos
is expression. Estimated are where detectors mark a landmark beside its vertex (on neutral faces), how far they miss it,
and the covariance of the action units: within the photos of one label, and between the labels and neutral.
Persons held out of the packs are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.stats import truncnorm
from torch import Tensor

from emorph.core.landmarks import MIRRORED
from emorph.data.mouths import held_out
from emorph.face3d import ICT
from emorph.face3d.camera import pixels_to_screen
from emorph.face3d.fit import N_ITERATIONS, N_PLAIN
from emorph.face3d.ict_prior import FILE, SIGMA
from emorph.face3d.model import LandmarkBasis, usual_noise
from emorph.face3d.solver import CAUCHY, N_POSE, Solver, State

PACKS = {"lfw": 144, "london": 512}  # sides of their crops
N_SHAPE = 40
N_ROUNDS = 3
OFFSET_STEPS = 3  # of each round
NEUTRAL_SIGMA = 0.25  # of the units' deviation, on faces that were labelled neutral
MOST_PHOTOS = 3  # of one person
MIN_FACES = 40  # of a label, that it counts
STRENGTH = 2.0  # of a marked expression, over the average of what has its label
HALF_NORMAL = 1 - 2 / np.pi  # variance of a normal unit that is cut off at 0, over what it would be otherwise
FLOOR = 0.15  # of a unit's deviation: the packs hardly show some of them
DEPTH_WEIGHT = 0.5  # of an offset towards the viewer, which faces seen from the front do not show


@dataclass(frozen=True)
class Faces:
    """points: (B, 68, 2) on the screen, y upwards. persons: int64 (B,). labels: a word for each."""

    points: Tensor
    persons: Tensor
    labels: list[str]

    def of(self, chosen: Tensor) -> Faces:
        """Those faces, their persons numbered anew."""
        persons = torch.unique(self.persons[chosen], return_inverse=True)[1]
        return Faces(self.points[chosen], persons, [self.labels[i] for i in chosen.tolist()])


def read_faces(data: Path, n_persons: int) -> Faces:
    """Labelled photos of persons who have several, by another label where there is one."""
    rng = np.random.default_rng(0)
    points, names, labels = [], [], []
    for pack, side_px in PACKS.items():
        people: dict[str, list[dict[str, Any]]] = {}
        columns = ["landmarks68", "identity", "source_set", "split", "label"]
        for row in pq.read_table(data / "faces" / f"{pack}.parquet", columns=columns).to_pylist():
            out = row["split"] != "train" or held_out(row["identity"], row["source_set"], row["split"])
            if row["label"] and not out:
                people.setdefault(row["identity"], []).append(row)
        several = [name for name in sorted(people) if len({row["label"] for row in people[name]}) > 1]
        for name in rng.permutation(several)[:n_persons]:
            rows = people[name]
            order = sorted(rng.permutation(len(rows)), key=lambda i: rows[i]["label"] in ("neutral", "happy"))
            for i in [*order[:1], *order[:0:-1]][:MOST_PHOTOS]:
                raw = np.frombuffer(rows[i]["landmarks68"], "<f2").reshape(68, 2).astype(np.float32)
                points.append(pixels_to_screen(torch.from_numpy(raw), (side_px, side_px)))
                names.append(name)
                labels.append(rows[i]["label"])
    persons = np.unique(names, return_inverse=True)[1]
    return Faces(torch.stack(points) * torch.tensor([1.0, -1.0]), torch.from_numpy(persons), labels)


def solve(basis: LandmarkBasis, mean_shape: Tensor, faces: Faces) -> tuple[Solver, State]:
    """Fitted with shapes about a mean shape (N_SHAPE,)."""
    solver = Solver(basis, N_SHAPE)
    solver.still = solver.still.clone()
    solver.still[..., 0] += solver.still[..., 1 : N_SHAPE + 1] @ mean_shape
    state = solver.start(faces.points)
    for i in range(N_ITERATIONS):
        state = solver.step(state, faces.points, faces.persons, robust=i >= N_PLAIN)
    return solver, state


def offset_step(basis: LandmarkBasis, mean_shape: Tensor, neutral: Faces) -> tuple[Tensor, Tensor]:
    """What neutral faces add to the offsets (68, 3), by weighted least squares, and to the mean shape.

    The mean shape of the photos' persons is free, so that it does not become an offset.
    """
    calm = basis.sigma.clone()
    calm[basis.n_shape :] *= NEUTRAL_SIGMA
    solver, state = solve(replace(basis, sigma=calm), mean_shape, neutral)
    residual = neutral.points - solver.project(state)[0]
    error = residual.norm(dim=-1) / (state.scale * solver.eye_distance)[:, None]
    weight = 1 / (1 + (error / (CAUCHY * solver.noise)).square()) / state.scale.square()[:, None]
    turn = state.rotation[:, :2] * state.scale[:, None, None]
    left = torch.einsum("bl,bij,bik->ljk", weight, turn, turn)
    right = torch.einsum("bl,bij,bli->lj", weight, turn, residual)
    total = (weight * state.scale.square()[:, None]).sum(dim=0)
    left = left + total[:, None, None] * torch.diag(torch.tensor([1e-3, 1e-3, DEPTH_WEIGHT]))
    offset = torch.linalg.solve(left, right[..., None])[..., 0]
    offset = (offset + offset[list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0])) / 2
    return offset, state.weights[:, :N_SHAPE].mean(dim=0)


def posterior(solver: Solver, state: State, faces: Faces) -> tuple[NDArray[Any], NDArray[Any], Tensor]:
    """Mean (B, n) and covariance (B, n, n) of the units, normal and cut off at 0 and 1; and that of all numbers."""
    hessian, gradient = (each.double() for each in solver.normal_equations(state, faces.points, robust=True))
    units = slice(N_POSE + N_SHAPE, None)
    hessian.diagonal(dim1=1, dim2=2)[:, N_POSE : N_POSE + N_SHAPE] += 1
    covariance = torch.linalg.inv(hessian)
    mode, pull = state.weights[:, N_SHAPE:].double(), gradient[:, units]
    alone = hessian.diagonal(dim1=1, dim2=2)[:, units].reciprocal()
    centre = torch.where((mode <= 0) & (pull < 0), mode + alone * pull, mode).numpy()
    of_units = covariance[:, units, units].numpy()
    deviation = np.sqrt(np.diagonal(of_units, axis1=1, axis2=2))
    low, high = -centre / deviation, (1 - centre) / deviation
    mean, variance = truncnorm.stats(low, high, loc=centre, scale=deviation, moments="mv")
    shrunk = np.sqrt(np.maximum(variance, 0)) / deviation
    return np.clip(mean, 0, 1), of_units * shrunk[:, :, None] * shrunk[:, None, :], covariance


def units_covariance(mean: NDArray[Any], spread: NDArray[Any], labels: Sequence[str]) -> NDArray[Any]:
    """Of the units (n, n) about the neutral face: within labels, and each label's way from neutral as a factor."""
    words = np.array(labels)
    chosen = [word for word in np.unique(words) if (words == word).sum() >= MIN_FACES]
    calm = mean[words == "neutral"].mean(axis=0)
    total = FLOOR**2 * np.eye(mean.shape[1])
    for word in chosen:
        of_label = words == word
        centred = mean[of_label] - mean[of_label].mean(axis=0)
        of_faces = centred.T @ centred / of_label.sum() + spread[of_label].mean(axis=0)
        total += of_faces / HALF_NORMAL / len(chosen)
        way = mean[of_label].mean(axis=0) - calm
        total += STRENGTH**2 * np.outer(way, way)
    return total


def mirrored_units(names: Sequence[str]) -> list[int]:
    """The column of each unit on the other side."""
    swap = {"_L": "_R", "_R": "_L"}
    ends = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
    return [names.index(ends.get(name, name[:-2] + swap[name[-2:]] if name[-2:] in swap else name)) for name in names]


def noise_of(solver: Solver, state: State, faces: Faces, covariance: Tensor) -> Tensor:
    """(68,), in eye distances: of residuals, and of what the fit took of them."""
    places, jacobian = solver.project(state)
    size = (state.scale * solver.eye_distance)[:, None]
    error = (faces.points - places).norm(dim=-1) / size
    weight = 1 / (1 + (error / (CAUCHY * solver.noise)).square())
    slopes = jacobian.double()
    taken = torch.einsum("blij,bjk,blik->bl", slopes, covariance, slopes) / size.square()
    square = ((weight * error.square() + taken) / 2).mean(dim=0)
    noise: Tensor = ((square + square[list(MIRRORED)]) / 2).sqrt().float()
    return noise


def estimate(model: ICT, faces: Faces) -> LandmarkBasis:
    """The landmarks' basis with the prior that the faces show. The noise is that of the first round.

    Later ones would take what the model cannot show, which lies alike in many faces, for certain.
    """
    n = model.n_expression
    basis = model.landmark_basis()
    plain = torch.cat([basis.sigma[: basis.n_shape], basis.sigma.new_full((n,), SIGMA)])
    still = torch.zeros_like(basis.offset)
    basis = replace(basis, sigma=plain, offset=still, noise=usual_noise(plain), correlation=torch.eye(n))
    neutral = faces.of(torch.tensor([i for i, label in enumerate(faces.labels) if label == "neutral"]))
    mean_shape, other = torch.zeros(N_SHAPE), mirrored_units(model.unit_names)
    for number in range(N_ROUNDS):
        for _ in range(OFFSET_STEPS):
            offset, shape = offset_step(basis, mean_shape, neutral)
            basis, mean_shape = replace(basis, offset=basis.offset + offset), mean_shape + shape
        solver, state = solve(basis, mean_shape, faces)
        mean, spread, covariance = posterior(solver, state, faces)
        of_units = units_covariance(mean, spread, faces.labels)
        of_units = (of_units + of_units[other][:, other]) / 2
        deviation = np.sqrt(np.diag(of_units))
        if number == 0:
            basis = replace(basis, noise=noise_of(solver, state, faces, covariance))
        sigma = torch.cat([plain[: basis.n_shape], torch.from_numpy(deviation).float()])
        correlation = torch.from_numpy(of_units / np.outer(deviation, deviation)).float()
        basis = replace(basis, sigma=sigma, correlation=correlation)
        happy = np.array(faces.labels) == "happy"
        smile = mean[happy][:, [i for i, name in enumerate(model.unit_names) if "Smile" in name]].mean()
        print(f"round {number + 1}: smile of happy faces {smile:.2f}, median sigma {np.median(deviation):.2f}")
    return basis


def main() -> None:
    """Estimate, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--persons", type=int, default=200, help="of each pack, at most")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/face_prior.py needs faces: --data FOLDER. Nothing is written.")
        return
    model = ICT.load(asked.data / "ict_face.npz")
    faces = read_faces(asked.data, asked.persons)
    counts = {word: faces.labels.count(word) for word in sorted(set(faces.labels))}
    print(f"{len(faces.labels)} faces of {len(set(faces.persons.tolist()))} persons: {counts}")
    basis = estimate(model, faces)
    assert basis.correlation is not None
    tensors = {
        "sigma": basis.sigma[basis.n_shape :].contiguous(),
        "correlation": basis.correlation.contiguous(),
        "offset": basis.offset.contiguous(),
        "noise": basis.noise.contiguous(),
        "landmark_vertices": model.landmark_vertices.to(torch.int32).contiguous(),
    }
    save_file(tensors, asked.out, metadata={"faces": str(len(faces.labels))})
    print(asked.out)


if __name__ == "__main__":
    main()
