"""68 landmarks to pose, identity and expression of a face model, one photo at a time or several of a person together.

No network is needed. The coefficients are the most probable ones: landmarks err by about the noise that the face model
tells of each, coefficients are normally distributed about the mean face, and landmarks that no face explains lose their
weight (Cauchy's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.types import FaceCoeffs
from emorph.face3d.camera import pixels_to_screen, screen_to_pixels
from emorph.face3d.model import FaceModel
from emorph.face3d.solver import CAUCHY, Solver, State

N_ITERATIONS, N_PLAIN = 12, 4  # of these the first weigh all landmarks alike

MAX_ERROR = 0.07  # in eye distances, of the mean landmark
MAX_OUTLIERS = 17  # a quarter of the landmarks
MAX_YAW_RAD, MAX_PITCH_RAD = 1.05, 0.8
MAX_IDENTITY = 2.5  # root mean square of the identity, in standard deviations


@dataclass(frozen=True)
class Fit:
    """coeffs: of B faces, in the frame that ``fit_landmarks`` was told; the light is plain, the texture empty.

    error: (B,), mean distance of the landmarks in eye distances of the fitted head, as large as it would be face on.
    points: (B, 68, 2), the model's landmarks in pixels. reasons: for each face why its fit is not to be trusted, or "".
    """

    coeffs: FaceCoeffs
    error: Tensor
    points: Tensor
    reasons: tuple[str, ...]

    @property
    def ok(self) -> Tensor:
        """Which fits can be trusted: bool (B,)."""
        return torch.tensor([not reason for reason in self.reasons], device=self.error.device)


def fit_landmarks(
    model: FaceModel,
    points: Tensor,
    side_px: int,
    *,
    n_shape: int = 40,
    persons: Sequence[int] | None = None,
    shape: Tensor | None = None,
) -> Fit:
    """The faces whose landmarks these are; a face's result does not depend on the others.

    points: (B, 68, 2), x and y in pixels of a square frame, centres at whole numbers; they may lie outside it.
    side_px: of the frame, which the camera of the result belongs to. n_shape: how many identities are sought.
    persons: a number for each face, from 0; those of one number are photos of one person, who has one shape. Several
    photos tell apart what is always there and what is expression. By default each face is a person's only one.
    shape: (1, n) of a person whom all the faces are of, known from an earlier fit; it then stays.
    Raises ShapeError; a face that cannot be fitted is named in ``Fit.reasons``.
    """
    if points.ndim != 3 or points.shape[1:] != (68, 2) or not points.is_floating_point():
        raise ShapeError(f"expected landmarks float (B, 68, 2), found {points.dtype} {tuple(points.shape)}.")
    if persons is not None and (len(persons) != len(points) or min(persons, default=0) < 0):
        raise ShapeError(f"expected a number from 0 for each of {len(points)} faces, found {list(persons)}.")
    solver = Solver(model.landmark_basis(), n_shape)
    wanted = pixels_to_screen(points, (side_px, side_px)) * points.new_tensor([1.0, -1.0])
    usable = wanted.isfinite().all(dim=-1).all(dim=-1) & (wanted.amax(dim=1) > wanted.amin(dim=1)).all(dim=-1)
    wanted = torch.where(usable[:, None, None], wanted, solver.mean_points()[:, :2])
    person = None if shape is not None else _numbered(persons, usable)
    state = solver.start(wanted, shape)
    for i in range(N_ITERATIONS):
        state = solver.step(state, wanted, person, robust=i >= N_PLAIN)
    projected, _ = solver.project(state)
    residual = (projected - wanted).norm(dim=-1) / (state.scale * solver.eye_distance)[:, None]
    in_pixels = screen_to_pixels(projected * points.new_tensor([1.0, -1.0]), (side_px, side_px))
    reasons = tuple(_reason(*row) for row in zip(*_facts(solver, state, residual, usable), strict=True))
    return Fit(solver.coeffs(state), residual.mean(dim=1), in_pixels, reasons)


def _numbered(persons: Sequence[int] | None, usable: Tensor) -> Tensor:
    """Each face's person, int64 (B,), numbered from 0 on without gaps; faces without landmarks are nobody's."""
    alone = torch.arange(len(usable), device=usable.device)
    if persons is None:
        return alone
    known = torch.tensor(list(persons), dtype=torch.int64, device=usable.device)
    own = torch.where(usable, known, alone + known.max() + 1 if len(known) else alone)
    numbers: Tensor = torch.unique(own, return_inverse=True)[1]
    return numbers


def _facts(solver: Solver, state: State, residual: Tensor, usable: Tensor) -> list[list[float]]:
    """What ``_reason`` judges, a list for each fact."""
    outliers = (residual > CAUCHY * solver.noise).sum(dim=1)
    towards = state.rotation[:, :, 2]  # where the face looks
    yaw = torch.atan2(towards[:, 0], towards[:, 2]).abs()
    pitch = torch.asin(towards[:, 1].clamp(-1, 1)).abs()
    identity = state.weights[:, : solver.n_shape].square().mean(dim=1).sqrt()
    return [fact.tolist() for fact in (usable, residual.mean(dim=1), outliers, yaw, pitch, identity)]


def _reason(usable: float, error: float, outliers: float, yaw: float, pitch: float, identity: float) -> str:
    if not usable:
        return "the landmarks are not finite, or all on one line"
    if not error <= MAX_ERROR:  # NaN, too
        return f"the landmarks are not those of a face: {100 * error:.1f} % of the eye distance off on average"
    if outliers > MAX_OUTLIERS:
        return f"{outliers:.0f} of the 68 landmarks fit no face"
    if yaw > MAX_YAW_RAD or pitch > MAX_PITCH_RAD:
        return f"the head is turned too far: {yaw * 57.3:.0f} degrees to the side, {pitch * 57.3:.0f} up or down"
    if identity > MAX_IDENTITY:
        return f"no likely face: its identity is {identity:.1f} standard deviations from the mean"
    return ""
