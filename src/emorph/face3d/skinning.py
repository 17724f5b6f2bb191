"""Rotations from axis-angle, linear blend skinning, and the normals of a mesh."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ANGLE_EPS = 1e-8  # FLAME adds it to the components inside the norm only, so that a zero rotation has a direction


def rodrigues(axis_angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3) in radians.

    >>> quarter = rodrigues(torch.tensor([0.0, 0.0, torch.pi / 2]))  # around z
    >>> [round(value) for value in (quarter @ torch.tensor([1.0, 0.0, 0.0])).tolist()]
    [0, 1, 0]
    """
    angle = (axis_angle + _ANGLE_EPS).norm(dim=-1, keepdim=True)
    k = skew(axis_angle / angle)
    sin, cos = angle.sin()[..., None], angle.cos()[..., None]
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    turn: Tensor = identity + sin * k + (1 - cos) * (k @ k)
    return turn


def skew(vector: Tensor) -> Tensor:
    """The matrices (..., 3, 3) whose product with x is the cross product of ``vector`` (..., 3) with x."""
    x, y, z = vector.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)


def axis_angle_of(rotation: Tensor) -> Tensor:
    """Axis-angle (..., 3) of rotation matrices (..., 3, 3); the angle is below pi.

    >>> turn = torch.tensor([0.1, -0.2, 0.3])
    >>> bool(torch.allclose(axis_angle_of(rodrigues(turn)), turn, atol=1e-6))
    True
    """
    twice_sin = torch.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        dim=-1,
    )
    length = twice_sin.norm(dim=-1, keepdim=True)
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True)
    angle = torch.atan2(length, trace - 1)
    return torch.where(length > 1e-7, angle / length.clamp_min(1e-7), torch.full_like(length, 0.5)) * twice_sin


def blend_skin(
    vertices: Tensor, joints: Tensor, rotations: Tensor, parents: tuple[int, ...], weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Vertices moved by their joints, and the joints moved by theirs (Loper et al. 2015, eq. 2 to 4).

    vertices: (B, V, 3) and joints: (B, J, 3), at rest. rotations: (B, J, 3, 3), each relative to its parent.
    parents: index of each joint's parent, -1 for the root, which is joint 0; a parent comes before its children.
    weights: (V, J). Returns (B, V, 3) and (B, J, 3).
    """
    turned, placed = [rotations[:, 0]], [joints[:, 0]]
    for joint, parent in enumerate(parents[1:], start=1):
        offset = joints[:, joint] - joints[:, parent]
        placed.append(placed[parent] + (turned[parent] @ offset[..., None])[..., 0])
        turned.append(turned[parent] @ rotations[:, joint])
    rotation, posed = torch.stack(turned, dim=1), torch.stack(placed, dim=1)
    shift = posed - (rotation @ joints[..., None])[..., 0]
    transforms = torch.cat([rotation, shift[..., None]], dim=-1).flatten(2)  # (B, J, 12)
    of_vertex = torch.unflatten(weights @ transforms, -1, (3, 4))
    moved = (of_vertex[..., :3] @ vertices[..., None])[..., 0] + of_vertex[..., 3]
    return moved, posed


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, V, 3), the mean of the adjoining triangles' weighted by area.

    vertices: (B, V, 3). faces: int64 (F, 3), counter-clockwise seen from outside.
    """
    corner = [vertices.index_select(1, faces[:, i]) for i in range(3)]
    of_face = torch.linalg.cross(corner[1] - corner[0], corner[2] - corner[0])
    total = torch.zeros_like(vertices)
    for i in range(3):
        total = total.index_add(1, faces[:, i], of_face)
    return F.normalize(total, dim=-1, eps=1e-6)
