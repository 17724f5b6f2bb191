"""Regularised Gauss-Newton on many faces at once: from 68 landmarks to the most probable coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.landmarks import INNER, LEFT_EYE, RIGHT_EYE
from emorph.core.types import FaceCoeffs
from emorph.face3d.lighting import CONSTANTS
from emorph.face3d.model import LandmarkBasis, yaw_step
from emorph.face3d.skinning import axis_angle_of, rodrigues

MAX_TURN_RAD = 0.6  # of one iteration
CAUCHY = 2.4  # noises at which a landmark's weight is halved
JAW_SIGMA_RAD = (0.2, 0.02, 0.02)  # opening, and to the sides

N_PASSES = 3

N_POSE = 6  # rotation 3, log scale, translation 2
_HELD = 1e6  # prior weight of a coefficient that stays at its bound


@dataclass(frozen=True)
class State:
    """rotation (B, 3, 3), scale (B,), shift (B, 2) on the screen, weights (B, K), jaw (B, 3)."""

    rotation: Tensor
    scale: Tensor
    shift: Tensor
    weights: Tensor
    jaw: Tensor


class Solver:
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
        self.offset, self.noise = basis.offset, basis.noise
        self.precision = torch.diag(self.sigma.square().reciprocal())
        if basis.correlation is not None:
            units = slice(n_shape, n_shape + len(basis.correlation))
            deviations = self.sigma[units]
            covariance = basis.correlation * deviations[:, None] * deviations
            self.precision[units, units] = torch.linalg.inv(covariance.double()).to(covariance.dtype)
        pairs = torch.tensor(basis.rivals, dtype=torch.int64).reshape(-1, 2) + n_shape
        self.rivals = torch.zeros_like(self.precision, dtype=torch.bool)  # (K, K): which of two rule each other out
        self.rivals[pairs[:, 0], pairs[:, 1]] = self.rivals[pairs[:, 1], pairs[:, 0]] = True
        mean = self.mean_points()
        self.eye_distance = (mean[LEFT_EYE].mean(dim=0) - mean[RIGHT_EYE].mean(dim=0)).norm()

    @property
    def n_linear(self) -> int:
        return len(self.sigma) - (3 if self.has_jaw else 0)

    def mean_points(self) -> Tensor:
        """(68, 3) of the mean face, looking ahead."""
        chosen = self.candidates[0]
        return (self.still[chosen] + self.moving[chosen])[..., 0] - self.root[:, 0] + self.offset

    def start(self, wanted: Tensor, shape: Tensor | None = None) -> State:
        """The pose of the mean face that explains the inner landmarks best, by linear least squares.

        shape: (1, n_shape) that the faces begin with; by default the mean one.
        """
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
        if shape is not None:
            weights[:, : self.n_shape] = shape[:, : self.n_shape]
        return State(u @ (sign[..., None] * v), scale, affine[:, :, 3], weights, wanted.new_zeros(len(wanted), 3))

    def _local(self, state: State) -> tuple[Tensor, Tensor]:
        """Landmarks before the head turns (B, 68, 3), and their derivatives by weights and jaw (B, 68, 3, K)."""
        chosen = self.candidates[yaw_step(state.rotation)]
        still, root = self.still[chosen], self.root
        if not self.has_jaw:
            linear = still - root
            q = torch.cat([torch.ones_like(state.weights[:, :1]), state.weights], dim=1)
            return (linear @ q[:, None, :, None])[..., 0] + self.offset, linear[..., 1:]
        share = self.share[chosen][..., None, None]

        def blended(jaw: Tensor) -> tuple[Tensor, Tensor]:
            turn = rodrigues(jaw)
            bend = (turn - torch.eye(3, dtype=jaw.dtype, device=jaw.device)).flatten(1)
            q = torch.cat([torch.ones_like(bend[:, :1]), state.weights, bend], dim=1)
            linear = still + turn[:, None] @ (self.moving[chosen] - share * self.pivot) + share * self.pivot - root
            return (linear @ q[:, None, :, None])[..., 0] + self.offset, linear

        points, linear = blended(state.jaw)
        by_jaw = []
        for i in range(3):
            nudge = torch.zeros_like(state.jaw)
            nudge[:, i] = 1e-2
            by_jaw.append((blended(state.jaw + nudge)[0] - blended(state.jaw - nudge)[0]) / 2e-2)
        return points, torch.cat([linear[..., 1:-9], torch.stack(by_jaw, dim=-1)], dim=-1)

    def project(self, state: State) -> tuple[Tensor, Tensor]:
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

    def step(self, state: State, wanted: Tensor, persons: Tensor | None, *, robust: bool) -> State:
        """One iteration towards the most probable coefficients; faces of one number in ``persons`` share a shape.

        persons: None where all keep the shape that they have.
        """
        hessian, gradient = self.normal_equations(state, wanted, robust=robust)
        now = self.values(state)
        shape = now[:, : self.n_shape]
        if not self.bounded:
            return self._moved(state, now, self._solved(hessian, gradient, shape, persons), robust=robust)
        held, goal = self._held(now, gradient[:, N_POSE:]), now
        for _ in range(N_PASSES):  # of an active set: what would leave its bounds stops there, and the rest makes up
            pull = _HELD * held
            stiff, pulled = hessian.clone(), gradient.clone()
            stiff.diagonal(dim1=1, dim2=2)[:, N_POSE:] += pull
            pulled[:, N_POSE:] += pull * (goal - now)
            change = self._solved(stiff, pulled, shape, persons)
            values = now + change[:, N_POSE:]
            outside = (values < 0) | (values > 1)
            outside[:, : self.n_shape] = False
            goal = torch.where(outside, values.clamp(0, 1), goal)
            held = held | outside
        return self._moved(state, now, change, robust=robust)

    def values(self, state: State) -> Tensor:
        """Shape, expression and, if there is one, the jaw: (B, K)."""
        return torch.cat([state.weights, state.jaw], dim=1) if self.has_jaw else state.weights

    def normal_equations(self, state: State, wanted: Tensor, *, robust: bool) -> tuple[Tensor, Tensor]:
        """Of landmarks and expression, without the shape's prior: (B, 6 + K, 6 + K) and its right side (B, 6 + K)."""
        projected, jacobian = self.project(state)
        noise = self.noise * (state.scale * self.eye_distance)[:, None]
        residual = wanted - projected
        importance = noise.square().reciprocal()
        if robust:
            importance = importance / (1 + (residual.norm(dim=-1) / (CAUCHY * noise)).square())
        weighted = (jacobian * importance[..., None, None]).flatten(1, 2)
        hessian = weighted.mT @ jacobian.flatten(1, 2)
        gradient = (weighted.mT @ residual.flatten(1)[..., None])[..., 0]
        prior = self.precision.clone()
        prior[: self.n_shape] = 0
        gradient[:, N_POSE:] -= self.values(state) @ prior
        hessian[:, N_POSE:, N_POSE:] += prior
        hessian.diagonal(dim1=1, dim2=2)[:, :N_POSE] *= 1 + 1e-6
        return hessian, gradient

    def _solved(self, hessian: Tensor, gradient: Tensor, shape: Tensor, persons: Tensor | None) -> Tensor:
        """The change (B, 6 + K); what is each photo's own is eliminated before the shape is solved for."""
        n = gradient.shape[1]
        shared = torch.arange(N_POSE, N_POSE + self.n_shape, device=hessian.device)
        own = torch.tensor([i for i in range(n) if not N_POSE <= i < N_POSE + self.n_shape], device=hessian.device)
        rest = torch.linalg.cholesky_ex(hessian[:, own][:, :, own])[0]
        coupling = torch.cat([hessian[:, own][:, :, shared], gradient[:, own, None]], dim=2)
        solved = torch.cholesky_solve(coupling, rest)
        by_shape, alone = solved[..., :-1], solved[..., -1]
        if persons is None:
            return torch.zeros_like(gradient).index_copy(1, own, alone)
        across = coupling[..., :-1].mT
        left = hessian[:, shared][:, :, shared] - across @ by_shape
        right = gradient[:, shared] - (across @ alone[..., None])[..., 0]
        n_persons = int(persons.max()) + 1 if len(persons) else 0
        left = left.new_zeros(n_persons, *left.shape[1:]).index_add(0, persons, left)
        right = right.new_zeros(n_persons, self.n_shape).index_add(0, persons, right)
        prior = self.sigma[: self.n_shape].square().reciprocal()
        left.diagonal(dim1=1, dim2=2).add_(prior)
        right -= prior * shape.new_zeros(n_persons, self.n_shape).index_copy(0, persons, shape)
        step = torch.cholesky_solve(right[..., None], torch.linalg.cholesky_ex(left)[0])[..., 0][persons]
        change = torch.empty_like(gradient)
        change[:, shared] = step
        change[:, own] = alone - (by_shape @ step[..., None])[..., 0]
        return change

    def _held(self, now: Tensor, gradient: Tensor) -> Tensor:
        """1 for expressions that are at a bound and want to go beyond it, or whose rival is there."""
        held = ((now <= 0) & (gradient < 0)) | ((now >= 1) & (gradient > 0))
        held |= (now <= 0) & ((now > 0)[:, None] & self.rivals).any(dim=2)
        held[:, : self.n_shape] = False
        return held

    def _moved(self, state: State, now: Tensor, change: Tensor, *, robust: bool) -> State:
        turn = change[:, :3]
        turn = turn * (MAX_TURN_RAD / turn.norm(dim=-1, keepdim=True).clamp_min(MAX_TURN_RAD))
        values = now + change[:, N_POSE:]
        if self.bounded:
            values = torch.cat([values[:, : self.n_shape], values[:, self.n_shape :].clamp(0, 1)], dim=1)
            values = self._without_weaker_rivals(values) if robust else values
        jaw = values[:, self.n_linear :] if self.has_jaw else state.jaw
        return State(
            rotation=rodrigues(turn) @ state.rotation,
            scale=state.scale * change[:, 3].clamp(-0.5, 0.5).exp(),
            shift=state.shift + change[:, 4:6],
            weights=values[:, : self.n_linear],
            jaw=jaw,
        )

    def _without_weaker_rivals(self, values: Tensor) -> Tensor:
        """Of two units that pull one part of the face in opposite ways, the one that is less unusual is none."""
        unusual = values / self.sigma
        weaker = ((unusual[:, :, None] < unusual[:, None]) & self.rivals).any(dim=2)
        return torch.where(weaker, torch.zeros_like(values), values)

    def coeffs(self, state: State) -> FaceCoeffs:
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
