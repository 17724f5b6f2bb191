"""68 landmarks to pose, identity and expression of a face model, by regularised Gauss-Newton on many faces at once.

No network is needed. The coefficients are the most probable ones: landmarks err by about INNER_NOISE, coefficients are
normally distributed about the mean face, and landmarks that no face explains lose their weight (Cauchy's).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.landmarks import INNER, JAW, LEFT_EYE, N_LANDMARKS, RIGHT_EYE
from emorph.core.types import FaceCoeffs
from emorph.face3d.camera import pixels_to_screen, screen_to_pixels
from emorph.face3d.lighting import CONSTANTS
from emorph.face3d.model import FaceModel, LandmarkBasis, yaw_step
from emorph.face3d.skinning import axis_angle_of, rodrigues

INNER_NOISE, CONTOUR_NOISE = 0.025, 0.06  # in eye distances; a detector guesses the contour worse
N_ITERATIONS, N_PLAIN = 12, 4  # of these the first weigh all landmarks alike
MAX_TURN_RAD = 0.6  # of one iteration
CAUCHY = 2.4  # noises at which a landmark's weight is halved
JAW_SIGMA_RAD = (0.2, 0.02, 0.02)  # opening, and to the sides

MAX_ERROR = 0.07  # in eye distances, of the mean landmark
MAX_OUTLIERS = 17  # a quarter of the landmarks
MAX_YAW_RAD, MAX_PITCH_RAD = 1.05, 0.8
MAX_IDENTITY = 2.5  # root mean square of the identity, in standard deviations

_N_POSE = 6  # rotation 3, log scale, translation 2
_HELD = 1e6  # prior weight of a coefficient that stays at its bound


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


def fit_landmarks(model: FaceModel, points: Tensor, side_px: int, *, n_shape: int = 40) -> Fit:
    """The faces whose landmarks these are; a face's result does not depend on the others.

    points: (B, 68, 2), x and y in pixels of a square frame, centres at whole numbers; they may lie outside it.
    side_px: of the frame, which the camera of the result belongs to. n_shape: how many identities are sought.
    Raises ShapeError; a face that cannot be fitted is named in ``Fit.reasons``.
    """
    if points.ndim != 3 or points.shape[1:] != (68, 2) or not points.is_floating_point():
        raise ShapeError(f"expected landmarks float (B, 68, 2), found {points.dtype} {tuple(points.shape)}.")
    solver = _Solver(model.landmark_basis(), n_shape)
    wanted = pixels_to_screen(points, (side_px, side_px)) * points.new_tensor([1.0, -1.0])
    usable = wanted.isfinite().all(dim=-1).all(dim=-1) & (wanted.amax(dim=1) > wanted.amin(dim=1)).all(dim=-1)
    wanted = torch.where(usable[:, None, None], wanted, solver.mean_points()[:, :2])
    state = solver.start(wanted)
    for i in range(N_ITERATIONS):
        state = solver.step(state, wanted, robust=i >= N_PLAIN)
    projected, _ = solver.project(state)
    residual = (projected - wanted).norm(dim=-1) / (state.scale * solver.eye_distance)[:, None]
    in_pixels = screen_to_pixels(projected * points.new_tensor([1.0, -1.0]), (side_px, side_px))
    reasons = tuple(_reason(*row) for row in zip(*_facts(solver, state, residual, usable), strict=True))
    return Fit(solver.coeffs(state), residual.mean(dim=1), in_pixels, reasons)


@dataclass(frozen=True)
class _State:
    """rotation (B, 3, 3), scale (B,), shift (B, 2) on the screen, weights (B, K), jaw (B, 3)."""

    rotation: Tensor
    scale: Tensor
    shift: Tensor
    weights: Tensor
    jaw: Tensor


class _Solver:
    """The model's landmarks about the joint that the head turns on, and one step of Gauss-Newton."""

    def __init__(self, basis: LandmarkBasis, n_shape: int) -> None:
        n_shape = min(n_shape, basis.n_shape)
        n_used = len(basis.sigma)
        keep = torch.tensor([*range(n_shape + 1), *range(basis.n_shape + 1, basis.still.shape[-1])])
        keep = keep.to(basis.still.device)
        self.still, self.moving = basis.still[..., keep], basis.moving[..., keep]
        self.pivot, self.root = basis.pivot[:, keep], basis.root[:, keep]
        self.share, self.candidates = basis.share, basis.candidates
        self.sigma = basis.sigma[keep[1 : n_used - basis.n_shape + n_shape + 1] - 1]
        self.n_shape, self.bounded, self.has_jaw = n_shape, basis.bounded, basis.has_jaw
        if self.has_jaw:
            self.sigma = torch.cat([self.sigma, self.sigma.new_tensor(JAW_SIGMA_RAD)])
        noise = self.sigma.new_full((N_LANDMARKS,), INNER_NOISE)
        noise[JAW] = CONTOUR_NOISE
        self.noise = noise
        mean = self.mean_points()
        self.eye_distance = (mean[LEFT_EYE].mean(dim=0) - mean[RIGHT_EYE].mean(dim=0)).norm()

    @property
    def n_linear(self) -> int:
        return len(self.sigma) - (3 if self.has_jaw else 0)

    def mean_points(self) -> Tensor:
        """(68, 3) of the mean face, looking ahead."""
        chosen = self.candidates[0]
        return (self.still[chosen] + self.moving[chosen])[..., 0] - self.root[:, 0]

    def start(self, wanted: Tensor) -> _State:
        """The pose of the mean face that explains the inner landmarks best, by linear least squares."""
        mean = self.mean_points()[INNER]
        design = torch.cat([mean, torch.ones_like(mean[:, :1])], dim=1)
        affine = (torch.linalg.pinv(design) @ wanted[:, INNER]).mT  # (B, 2, 4)
        across, up = affine[:, 0, :3], affine[:, 1, :3]
        scale = ((across.norm(dim=-1) + up.norm(dim=-1)) / 2).clamp_min(1e-6)
        rows = torch.stack([across, up, torch.linalg.cross(across, up) / scale[:, None]], dim=1)
        u, _, v = torch.linalg.svd(rows)
        sign = torch.ones_like(u[:, 0])
        sign[:, 2] = torch.linalg.det(u @ v)
        weights = wanted.new_zeros(len(wanted), self.n_linear)
        return _State(u @ (sign[..., None] * v), scale, affine[:, :, 3], weights, wanted.new_zeros(len(wanted), 3))

    def _local(self, state: _State) -> tuple[Tensor, Tensor]:
        """Landmarks before the head turns (B, 68, 3), and their derivatives by weights and jaw (B, 68, 3, K)."""
        chosen = self.candidates[yaw_step(state.rotation)]
        still, root = self.still[chosen], self.root
        if not self.has_jaw:
            linear = still - root
            q = torch.cat([torch.ones_like(state.weights[:, :1]), state.weights], dim=1)
            return (linear @ q[:, None, :, None])[..., 0], linear[..., 1:]
        share = self.share[chosen][..., None, None]

        def blended(jaw: Tensor) -> tuple[Tensor, Tensor]:
            turn = rodrigues(jaw)
            bend = (turn - torch.eye(3, dtype=jaw.dtype, device=jaw.device)).flatten(1)
            q = torch.cat([torch.ones_like(bend[:, :1]), state.weights, bend], dim=1)
            linear = still + turn[:, None] @ (self.moving[chosen] - share * self.pivot) + share * self.pivot - root
            return (linear @ q[:, None, :, None])[..., 0], linear

        points, linear = blended(state.jaw)
        by_jaw = []
        for i in range(3):
            nudge = torch.zeros_like(state.jaw)
            nudge[:, i] = 1e-2
            by_jaw.append((blended(state.jaw + nudge)[0] - blended(state.jaw - nudge)[0]) / 2e-2)
        return points, torch.cat([linear[..., 1:-9], torch.stack(by_jaw, dim=-1)], dim=-1)

    def project(self, state: _State) -> tuple[Tensor, Tensor]:
        """Landmarks on the screen, y upwards (B, 68, 2), and derivatives by pose and weights (B, 68, 2, 6 + K)."""
        local, by_weights = self._local(state)
        scale = state.scale[:, None, None]
        turned = scale * (local @ state.rotation.mT)
        x, y, z = turned.unbind(dim=-1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        of_x = torch.stack([zero, z, -y, x, one, zero], dim=-1)  # by rotation about x, y, z; log scale; shift
        of_y = torch.stack([-z, zero, x, y, zero, one], dim=-1)
        by_pose = torch.stack([of_x, of_y], dim=-2)
        by_weights = (scale * state.rotation[:, :2])[:, None] @ by_weights
        return turned[..., :2] + state.shift[:, None], torch.cat([by_pose, by_weights], dim=-1)

    def step(self, state: _State, wanted: Tensor, *, robust: bool) -> _State:
        """One iteration towards the most probable coefficients."""
        projected, jacobian = self.project(state)
        noise = self.noise * (state.scale * self.eye_distance)[:, None]
        residual = wanted - projected
        importance = noise.square().reciprocal()
        if robust:
            importance = importance / (1 + (residual.norm(dim=-1) / (CAUCHY * noise)).square())
        weighted = (jacobian * importance[..., None, None]).flatten(1, 2)
        hessian = weighted.mT @ jacobian.flatten(1, 2)
        gradient = (weighted.mT @ residual.flatten(1)[..., None])[..., 0]
        now = torch.cat([state.weights, state.jaw], dim=1) if self.has_jaw else state.weights
        prior = self.sigma.square().reciprocal().expand_as(now)
        gradient[:, _N_POSE:] -= prior * now
        if self.bounded:
            prior = prior + _HELD * self._held(now, gradient[:, _N_POSE:])
        hessian.diagonal(dim1=1, dim2=2)[:, _N_POSE:] += prior
        hessian.diagonal(dim1=1, dim2=2)[:, :_N_POSE] *= 1 + 1e-6
        change = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky_ex(hessian)[0])[..., 0]
        return self._moved(state, now, change)

    def _held(self, now: Tensor, gradient: Tensor) -> Tensor:
        """1 for expressions that are at a bound and want to go beyond it."""
        held = ((now <= 0) & (gradient < 0)) | ((now >= 1) & (gradient > 0))
        held[:, : self.n_shape] = False
        return held.to(now.dtype)

    def _moved(self, state: _State, now: Tensor, change: Tensor) -> _State:
        turn = change[:, :3]
        turn = turn * (MAX_TURN_RAD / turn.norm(dim=-1, keepdim=True).clamp_min(MAX_TURN_RAD))
        values = now + change[:, _N_POSE:]
        if self.bounded:
            values = torch.cat([values[:, : self.n_shape], values[:, self.n_shape :].clamp(0, 1)], dim=1)
        jaw = values[:, self.n_linear :] if self.has_jaw else state.jaw
        return _State(
            rotation=rodrigues(turn) @ state.rotation,
            scale=state.scale * change[:, 3].clamp(-0.5, 0.5).exp(),
            shift=state.shift + change[:, 4:6],
            weights=values[:, : self.n_linear],
            jaw=jaw,
        )

    def coeffs(self, state: _State) -> FaceCoeffs:
        """In the camera's terms: the model turns about its own root, which lies where its identity puts it."""
        bend = (rodrigues(state.jaw) - torch.eye(3, device=state.jaw.device)).flatten(1)
        terms = [torch.ones_like(state.weights[:, :1]), state.weights, *([bend] if self.has_jaw else [])]
        root = torch.cat(terms, dim=1) @ self.root[:2].mT
        shift = state.shift / state.scale[:, None] - root
        light = state.scale.new_zeros(len(state.scale), 9, 3)
        light[:, 0] = 1 / CONSTANTS[0]
        return FaceCoeffs(
            shape=state.weights[:, : self.n_shape],
            expression=state.weights[:, self.n_shape :],
            pose=axis_angle_of(state.rotation),
            jaw=state.jaw,
            camera=torch.cat([state.scale[:, None], shift], dim=1),
            light=light,
            texture=state.scale.new_zeros(len(state.scale), 0),
            encoder="landmarks",
        )


def _facts(solver: _Solver, state: _State, residual: Tensor, usable: Tensor) -> list[list[float]]:
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
