"""What a rig can change of a face: its expression, pose, light, looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from emorph.core.errors import ConfigError, ShapeError, UnknownNameError
from emorph.core.landmarks import EXPRESSIVE
from emorph.core.types import AlignedFace, FaceCoeffs, Photo
from emorph.face3d.action_units import on_screen
from emorph.face3d.camera import keep_centred, pixels_to_screen
from emorph.face3d.model import FaceModel
from emorph.face3d.skinning import axis_angle_of, rodrigues

Part = Literal["expression", "pose", "light", "code"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class RigFace:
    """A face as a rig knows it.

    aligned: its crop of ``photo``, which has ``n_faces``. picture: (1, C, S, S) in [-1, 1]. coeffs: of one face, in
    the crop's frame. code: (1, code_dim).
    """

    photo: Photo
    n_faces: int
    aligned: AlignedFace
    picture: Tensor
    coeffs: FaceCoeffs
    code: Tensor


@dataclass(frozen=True)
class Look:
    """What a face should look like.

    coeffs: of one face in its crop's frame. code: (1, code_dim), what the coefficients do not tell. parts: those that
    may differ from the face's own. beyond: (1, 68, 3), how far landmarks go besides, in the face model's unit, before
    the head is turned; None is nowhere. light_inside: of an open mouth, as ``light_inside`` of
    ``emorph.faces.mouth_crop`` tells it; None if that is not known. turned_deg: how far the head is turned.
    asked_deg: how far it would be turned if the photo's pixels reached that far.
    """

    coeffs: FaceCoeffs
    code: Tensor
    parts: tuple[Part, ...]
    beyond: Tensor | None = None
    light_inside: float | None = None
    turned_deg: float = 0.0
    asked_deg: float = 0.0


def check_parts(parts: Iterable[str]) -> tuple[Part, ...]:
    """The parts in their order, each once. Raises UnknownNameError, ConfigError if there is none.

    >>> check_parts(["light", "expression", "light"])
    ('expression', 'light')
    """
    asked = set(parts)
    for part in asked:
        if part not in PARTS:
            raise UnknownNameError("part", part, PARTS)
    if not asked:
        raise ConfigError(f"name what to take over: {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in asked)


def look_like(
    face_model: FaceModel,
    own: RigFace,
    target: RigFace,
    parts: tuple[Part, ...],
    *,
    most_deg: float = 180.0,
    neutral: RigFace | None = None,
) -> Look:
    """A face with parts of a target's. most_deg: as for ``taken_over``.

    neutral: the target's person without an expression, of the same shape (``PhotoReader.as_one_person``). What is taken
    over is then how the target differs from it, also where no expression of the face model explains that.
    """
    given, beyond = target.coeffs, None
    if neutral is not None and "expression" in parts:
        given = replace(
            given,
            expression=moved_as(face_model, own.coeffs.expression, neutral.coeffs.expression, given.expression),
            jaw=own.coeffs.jaw + given.jaw - neutral.coeffs.jaw,
        )
        beyond = unexplained(face_model, target) - unexplained(face_model, neutral)
    coeffs = taken_over(face_model, own.coeffs, given, parts, most_deg=most_deg)
    return Look(
        coeffs,
        target.code if "code" in parts else own.code,
        parts,
        beyond=beyond,
        turned_deg=turn_deg(own.coeffs.pose, coeffs.pose),
        asked_deg=turn_deg(own.coeffs.pose, target.coeffs.pose) if "pose" in parts else 0.0,
    )


def taken_over(
    face_model: FaceModel, source: FaceCoeffs, target: FaceCoeffs, parts: Sequence[Part], *, most_deg: float = 180.0
) -> FaceCoeffs:
    """The source's coefficients with parts of the target's; a turned head stays where it was in the picture.

    most_deg: how far the head is turned towards the target's pose at most.
    """
    result = source
    if "expression" in parts:
        result = replace(result, expression=target.expression, jaw=target.jaw)
    if "light" in parts:
        result = replace(result, light=target.light)
    if "pose" in parts:
        before = face_model.landmarks(face_model.vertices(result), result.pose)
        result = replace(result, pose=turned(source.pose, target.pose, most_deg))
        result = keep_centred(result, face_model.landmarks(face_model.vertices(result), result.pose), before)
    return result


def moved_as(face_model: FaceModel, own: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """An expression (1, n) changed as another one from ``start`` to ``end``, within what the model's may be."""
    moved = own + end - start
    return moved.clamp(0, 1) if face_model.landmark_basis().bounded else moved


def unexplained(face_model: FaceModel, face: RigFace) -> Tensor:
    """How far brows, lids and mouth lie from where the face's coefficients have them: (1, 68, 3), see ``Look``."""
    points = torch.from_numpy(face.aligned.crop_points())[None]
    return unexplained_points(face_model, face.coeffs, points, face.aligned.side_px)


def unexplained_points(face_model: FaceModel, coeffs: FaceCoeffs, points: Tensor, side_px: int) -> Tensor:
    """As ``unexplained``, of B faces: (B, 68, 3). points: (B, 68, 2), landmarks in pixels of the square frame."""
    shown = on_screen(face_model, coeffs)
    off = (pixels_to_screen(points.to(shown), (side_px, side_px)) - shown) * shown.new_tensor([1.0, -1.0])
    of_face = (off / coeffs.camera[:, :1, None]) @ rodrigues(coeffs.pose)[:, :2]
    chosen = torch.zeros_like(of_face)
    chosen[:, list(EXPRESSIVE)] = of_face[:, list(EXPRESSIVE)]
    return chosen


def turn_deg(pose: Tensor, other: Tensor) -> float:
    """The angle between two heads, (1, 3) axis-angle each."""
    return math.degrees(float(_turn(pose, other).norm()))


def turned(pose: Tensor, goal: Tensor, most_deg: float) -> Tensor:
    """``pose`` turned towards ``goal``, (1, 3) axis-angle each, the shortest way and by ``most_deg`` at most.

    >>> ahead, left = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]])
    >>> round(turn_deg(ahead, left)), round(turn_deg(ahead, turned(ahead, left, most_deg=20.0)))
    (57, 20)
    """
    turn = _turn(pose, goal)
    angle = math.degrees(float(turn.norm()))
    if angle <= most_deg:
        return goal
    return axis_angle_of(rodrigues(turn * (most_deg / angle)) @ rodrigues(pose))


def _turn(pose: Tensor, goal: Tensor) -> Tensor:
    return axis_angle_of(rodrigues(goal) @ rodrigues(pose).mT)


def mean_shape(faces: Sequence[RigFace]) -> Tensor:
    """The shape (1, n) of one person, from several photos. Raises ShapeError if there is none."""
    if not faces:
        raise ShapeError("a mean shape needs at least one face, and none is given.")
    return torch.cat([face.coeffs.shape for face in faces]).mean(dim=0, keepdim=True)
