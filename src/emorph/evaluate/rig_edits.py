"""How far apart two faces of a 3D face model are: in expression, pose and light. For edits through a rig's buffers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from emorph.core.errors import ShapeError
from emorph.core.types import FaceCoeffs
from emorph.face3d.lighting import shade
from emorph.face3d.skinning import rodrigues

VERIFIED = 0.6  # dlib's distance under which two photos are taken for one person (King 2017)
_N_NORMALS = 256


@dataclass(frozen=True)
class CoeffDistance:
    """Between two faces of one face model.

    expression: mean absolute difference of the expression's coefficients (AED). pose_deg: the angle between the heads.
    light: mean absolute difference of the shading on a ball's front; even light is 1 on a face without a texture.
    """

    expression: float
    pose_deg: float
    light: float


def coeff_distance(a: FaceCoeffs, b: FaceCoeffs) -> CoeffDistance:
    """The distance between two single faces. Raises ShapeError for several, or for faces of two models."""
    if len(a) != 1 or len(b) != 1 or a.expression.shape != b.expression.shape:
        found = f"{tuple(a.expression.shape)} and {tuple(b.expression.shape)}"
        raise ShapeError(f"expected one face of one face model each, found expressions {found}.")
    turns = [rodrigues(face.pose.double().cpu()) for face in (a, b)]
    half_chord = float((turns[0] - turns[1]).norm()) / math.sqrt(8)  # sin(angle / 2); the cosine is blind near 0
    normals = ball()
    shadings = [shade(normals, face.light.double().cpu()) for face in (a, b)]
    return CoeffDistance(
        expression=float((a.expression - b.expression).abs().mean()),
        pose_deg=math.degrees(2 * math.asin(min(half_chord, 1.0))),
        light=float((shadings[0] - shadings[1]).abs().mean()),
    )


def ball() -> torch.Tensor:
    """Normals (1, N, 3) spread evenly over the half of a ball that faces the viewer (Fibonacci's lattice)."""
    i = torch.arange(_N_NORMALS, dtype=torch.float64)
    z = (i + 0.5) / _N_NORMALS
    angle = i * math.pi * (3 - math.sqrt(5))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1)[None]
