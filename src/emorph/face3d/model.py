"""What every 3D face model can do, whoever made it: coefficients to vertices, and vertices to 68 landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.landmarks import JAW, N_LANDMARKS
from emorph.core.types import FaceCoeffs
from emorph.face3d.lighting import CONSTANTS


@dataclass(frozen=True)
class UVMap:
    """Where a mesh lies in its texture.

    coordinates: float (T, 2) in [0, 1], u to the right and v upwards. faces: int64 (F, 3), indices into them, for each
    corner of each triangle of the mesh.
    """

    coordinates: Tensor
    faces: Tensor


class FaceModel(Protocol):
    """A face model: its numbers are vertices in its own unit, x to the image right, y up, z towards the viewer.

    faces: int64 (F, 3), counter-clockwise seen from outside.
    """

    name: str

    @property
    def faces(self) -> Tensor: ...

    @property
    def uv(self) -> UVMap | None: ...

    @property
    def n_shape(self) -> int: ...

    @property
    def n_expression(self) -> int: ...

    def vertices(self, coeffs: FaceCoeffs) -> Tensor:
        """(B, V, 3), posed, before the camera."""
        ...

    def landmarks(self, vertices: Tensor, pose: Tensor) -> Tensor:
        """The 68 points (B, 68, 3) of posed vertices; those of the contour depend on the head's pose (B, 3)."""
        ...

    def albedo(self, texture: Tensor) -> Tensor | None:
        """The picture (B, 3, T, T) of texture coefficients, RGB, v downwards; None if the model has no texture."""
        ...

    def landmark_basis(self) -> LandmarkBasis:
        """The 68 points as a function of the coefficients, for fitting."""
        ...


@dataclass(frozen=True)
class LandmarkBasis:
    """Landmarks before the head is turned, linear in q = (1, shape, expression, jaw's rotation matrix - 1).

    A point is ``still(q) + R (moving(q) - pivot(q) * share) + pivot(q) * share`` with the jaw's rotation R.
    still, moving: float (P, 3, Q) of P candidate points. share: float (P,), how much of the point follows the jaw.
    pivot: float (3, Q), the jaw's joint. root: float (3, Q), the joint that the head turns about.
    candidates: int64 (K, 68), the points that are landmarks at yaw step k, see ``yaw_step``.
    sigma: float (n_shape + n_expression,), how far coefficients usually are from 0. bounded: the expressions are 0..1.
    has_jaw: whether the jaw turns at all; the last nine of Q are there only then.
    offset: float (68, 3), added to each landmark: how far from its point detectors mark it.
    noise: float (68,), how far they miss it, in eye distances.
    rivals: pairs of expressions of which no face shows both. correlation: of the expressions (n, n); None without any.
    """

    still: Tensor
    moving: Tensor
    share: Tensor
    pivot: Tensor
    root: Tensor
    candidates: Tensor
    sigma: Tensor
    n_shape: int
    bounded: bool
    has_jaw: bool
    offset: Tensor
    noise: Tensor
    rivals: tuple[tuple[int, int], ...] = ()
    correlation: Tensor | None = None


INNER_NOISE, CONTOUR_NOISE = 0.025, 0.06  # in eye distances, where it is not known of each landmark


def usual_noise(like: Tensor) -> Tensor:
    """float (68,): a detector guesses the contour worse than the inner points."""
    noise = like.new_full((N_LANDMARKS,), INNER_NOISE)
    noise[JAW] = CONTOUR_NOISE
    return noise


MAX_YAW_STEP = 39  # degrees: the contour is tabled for -39 .. 39


def yaw_step(rotation: Tensor) -> Tensor:
    """Row of the contour's table for a head turned by (B, 3, 3): int64 (B,).

    0..39 are degrees to the image right, 40..78 are 1..39 to the left.
    Halves are rounded to even, angles beyond the table are clamped (as FLAME's official layer does it).
    """
    across = torch.sqrt(rotation[:, 0, 0].square() + rotation[:, 1, 0].square())
    yaw_deg = torch.rad2deg(torch.atan2(-rotation[:, 2, 0], across))
    step = yaw_deg.round().clamp(-MAX_YAW_STEP, MAX_YAW_STEP)
    return torch.where(step < 0, MAX_YAW_STEP - step, step).long()


def neutral(model: FaceModel, batch: int = 1, device: torch.device | str = "cpu") -> FaceCoeffs:
    """The mean face, looking ahead, under a plain white light and a camera of scale 1."""

    def zeros(*size: int) -> Tensor:
        return torch.zeros(batch, *size, device=device)

    camera, light = zeros(3), zeros(9, 3)
    camera[:, 0] = 1
    light[:, 0] = 1 / CONSTANTS[0]
    return FaceCoeffs(
        shape=zeros(model.n_shape),
        expression=zeros(model.n_expression),
        pose=zeros(3),
        jaw=zeros(3),
        camera=camera,
        light=light,
        texture=zeros(0),
        encoder="neutral",
    )


def blend_shapes(mean: Tensor, basis: Tensor, weights: Tensor, what: str) -> Tensor:
    """mean (V, 3) plus the weighted shapes: (B, V, 3).

    basis: (N, V * 3). weights: (B, n <= N); shapes beyond n count as 0. Raises ShapeError.
    """
    if weights.ndim != 2 or weights.shape[1] > basis.shape[0]:
        found = tuple(weights.shape)
        raise ShapeError(f"{what} coefficients have shape {found}; (B, at most {basis.shape[0]}) is expected.")
    offset = weights @ basis[: weights.shape[1]]
    return mean + torch.unflatten(offset, -1, (-1, 3))
