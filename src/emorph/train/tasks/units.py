"""Action units in z_sem and in the landmarks: read off a data set's landmarks by a 3D face model, fitted within people.

Emotions of which a data set has few faces are then told by their action units, which all of its faces teach.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.expressions import Emotion
from emorph.core.landmarks import INNER, JAW, LEFT_EYE, RIGHT_EYE, STABLE
from emorph.face3d.action_units import emotion_units
from emorph.face3d.ict import ICT
from emorph.models.unit_axes import UnitAxes
from emorph.train.codes import Codes
from emorph.train.tasks.class_means import within_people
from emorph.train.tasks.confounds import standardised

N_SHAPE = 20  # identities that are told apart: 93 % of the variance of ICT-FaceKit's
EXPRESSION_SIGMA = 0.4  # how far action units usually are from 0, all alike: none is to be read more readily
TURN_SIGMA_RAD = (0.3, 0.2, 0.1)  # of heads in photos: across, up and down, and what is left of the tilt
PLACE_SIGMA = 0.1  # of scale and place, relative to the face, after faces are laid on one skull
INNER_NOISE, CONTOUR_NOISE = 0.025, 0.08  # of detectors, in eye distances
GAZE = "eyeLook"  # units that move no landmark
MIXING = 0.1  # how freely a unit's step may borrow of the others', against its landmarks: relative ridges
PLAIN = 1e-3
LEAST_SEEN = 0.1  # of a unit: what is read of hardly visible ones is not blown up further


@dataclass(frozen=True)
class UnitReader:
    """The most probable action units, identity and pose behind landmarks, as one linear map.

    names: of U action units. read: float64 (U + n, 136), from landmarks on one skull, less ``mean`` (136,), to units
    and to n numbers of who it is and how the head is held. moves: (U, 136), how far each unit moves the landmarks of
    the mean face, in half sides of the crop.
    """

    names: tuple[str, ...]
    mean: Tensor
    read: Tensor
    moves: Tensor

    def __call__(self, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Units (N, U) and the rest (N, n) of landmarks on one skull, (N, 68, 2)."""
        found = (landmarks.double().flatten(1) - self.mean) @ self.read.T
        return found[:, : len(self.names)], found[:, len(self.names) :]

    @property
    def resolution(self) -> Tensor:
        """What is read where one unit is shown in full, (U, U + n): less than 1 of it, and some of its neighbours."""
        return self.moves @ self.read.T


def unit_reader(face: ICT, landmarks: Tensor) -> UnitReader:
    """The reader for faces like these. landmarks: (N, 68, 2) on one skull, x and y downwards in half sides of the crop.

    Landmarks are linear in what moves them as long as heads turn little; coefficients are normally distributed, as in
    ``emorph.face3d.fit``.
    """
    basis = face.landmark_basis()
    points = basis.still[basis.candidates[0]].double()  # (68, 3, 1 + shapes + units), looking ahead
    kept = [i for i, name in enumerate(face.unit_names) if not name.startswith(GAZE)]
    n_shape = min(N_SHAPE, basis.n_shape)
    mean, shapes = points[..., 0], points[..., 1 : 1 + n_shape]
    units = points[..., [1 + basis.n_shape + i for i in kept]]
    scale, eye_distance = _laid_on(mean, landmarks.double().mean(dim=0))
    across, up, towards = (mean - mean.mean(dim=0)).unbind(dim=1)
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    turns = torch.stack([_flat(towards, zero), _flat(zero, -towards), _flat(-up, across)], dim=1)
    places = torch.stack([_flat(across, up), _flat(one, zero), _flat(zero, one)], dim=1)
    moves = scale * torch.cat([_columns(units), _columns(shapes), turns, places], dim=1)
    prior = torch.tensor(
        [EXPRESSION_SIGMA] * len(kept) + [1.0] * n_shape + [*TURN_SIGMA_RAD] + [PLACE_SIGMA] * 3, dtype=torch.float64
    )
    noise = torch.full((68, 2), INNER_NOISE * eye_distance, dtype=torch.float64)
    noise[JAW] = CONTOUR_NOISE * eye_distance
    weighted = moves / noise.flatten()[:, None].square()
    read = torch.linalg.solve(weighted.T @ moves + prior.square().reciprocal().diag(), weighted.T)
    names = tuple(face.unit_names[i] for i in kept)
    return UnitReader(names, landmarks.double().mean(dim=0).flatten(), read, moves[:, : len(kept)].T.contiguous())


def fit_units(z: Tensor, codes: Codes, reader: UnitReader, landmarks: Tensor, landmark_map: Tensor) -> UnitAxes:
    """Action units in z_sem, at equal person, pose, light and source.

    z: (N, z_dim), the codes, normalised; landmarks: theirs on one skull, (N, 68, 2). landmark_map: (68, 2, z_dim), by
    which an edit moves them. A unit's step is the regression of z on what is read of it; as landmarks alone do not tell
    all units apart, it is then mixed with the others' until it moves the landmarks as the face model says.
    """
    units, rest = reader(landmarks)
    others = standardised(torch.cat([rest, codes.confounds.double()], dim=1))
    design = torch.cat([torch.ones_like(units[:, :1]), units / EXPRESSION_SIGMA, others], dim=1)
    slopes = within_people(design, z, codes.persons).coefficients[1 : 1 + units.shape[1]] / EXPRESSION_SIGMA
    steps = reader.resolution[:, : units.shape[1]] @ slopes
    patterns = _calibrated(steps, reader, landmark_map.flatten(0, 1).double())
    weight, bias = _read_off(z, units, patterns, codes.labels)
    return UnitAxes(reader.names, *(tensor.float().contiguous() for tensor in (weight, bias, patterns)))


def within_expressions(landmark_map: Tensor, reader: UnitReader) -> Tensor:
    """The map (68, 2, z_dim) without what no action unit does: no edit widens a skull or turns a head."""
    moves = reader.moves.T
    whole = landmark_map.flatten(0, 1).double()
    kept: Tensor = moves @ torch.linalg.solve(_ridged(moves.T @ moves, PLAIN), moves.T @ whole)
    return kept.view_as(landmark_map).to(landmark_map.dtype)


def emotion_offset(face: ICT, emotion: Emotion, axes: UnitAxes) -> Tensor:
    """How a neutral face's normalised z_sem moves to an emotion's action units, (z_dim,)."""
    values = unit_values(face, emotion, axes.names)
    offset: Tensor = values.to(axes.patterns) @ axes.patterns
    return offset


def unit_values(face: ICT, emotion: Emotion, names: tuple[str, ...]) -> Tensor:
    """The action units of an emotion, float64 (U,)."""
    units = emotion_units(face, emotion)
    return torch.tensor([units.get(name, 0.0) for name in names], dtype=torch.float64)


def _calibrated(steps: Tensor, reader: UnitReader, landmark_map: Tensor) -> Tensor:
    """Steps (U, z_dim), mixed so that the map moves the inner landmarks as the units do; the contour may follow."""
    inner = torch.zeros(68, 2, dtype=torch.bool)
    inner[INNER] = True
    now = (landmark_map @ steps.T)[inner.flatten()]  # (102, U)
    missing = reader.moves.T[inner.flatten()] - now
    mixing: Tensor = torch.linalg.solve(_ridged(now.T @ now, MIXING), now.T @ missing)
    return steps + mixing.T @ steps


def _read_off(z: Tensor, units: Tensor, patterns: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (U, z_dim) and bias (U,): they see a unit's own step as 1, and none of it in the average neutral face."""
    x, y = z.double() - z.double().mean(dim=0), units - units.mean(dim=0)
    weight = torch.linalg.solve(_ridged(x.T @ x, PLAIN), x.T @ y).T
    seen = (weight * patterns).sum(dim=1, keepdim=True)
    weight = weight / seen.clamp(min=LEAST_SEEN)
    neutral = labels == Emotion.NEUTRAL
    rest = z.double()[neutral].mean(dim=0) if neutral.any() else z.double().mean(dim=0)
    return weight, -weight @ rest


def _ridged(gram: Tensor, share: float) -> Tensor:
    return gram + share * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)


def _laid_on(mean: Tensor, landmarks: Tensor) -> tuple[float, float]:
    """Half sides of the crop for one unit of the face model, and the distance between the eyes in half sides."""
    fixed = list(STABLE)
    model, found = mean[fixed, :2], landmarks[fixed]
    spread = [(points - points.mean(dim=0)).square().sum().sqrt() for points in (model, found)]
    eyes = landmarks[RIGHT_EYE].mean(dim=0) - landmarks[LEFT_EYE].mean(dim=0)
    return float(spread[1] / spread[0]), float(eyes.norm())


def _flat(across: Tensor, up: Tensor) -> Tensor:
    """(136,) of movements (68,) across and upwards: x and y downwards, point by point."""
    return torch.stack([across, -up], dim=1).flatten()


def _columns(shapes: Tensor) -> Tensor:
    """(136, n) of shapes (68, 3, n)."""
    return (shapes[:, :2] * shapes.new_tensor([1.0, -1.0])[:, None]).flatten(0, 1)
