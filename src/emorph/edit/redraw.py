"""Where landmarks go when z_sem takes a step, and a crop's pixels with them.

z_sem tells where the landmarks lie, so a step in it tells where they go. The crop is moved there before it is inverted:
x_T then holds the face as the new expression needs it, where it would else hold, say, the old smile's outlines. Where
a mouth opens there is nothing to hold but stretched lips: there the model starts from noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.types import AlignedFace, Float32, Float64
from emorph.edit.steady import drawable
from emorph.faces.bounds import in_order, with_chin_in_crop
from emorph.faces.gape import AS_THEY_COME, Openings
from emorph.faces.lids import held_lids
from emorph.faces.mouth import newly_open
from emorph.faces.turned import expressed, taken_share
from emorph.faces.warp import motion_between


@dataclass(frozen=True)
class Motions:
    """How the crops of B faces move for n targets each, in crop pixels.

    fields: (B, n, S, S, 2) of ``motion_between``. opened: (B, n, S, S) in [0, 1], where they open mouths.
    landmarks: (B, n, 68, 2), where each face's landmarks go. drawable: (B, n, S, S) in [0, 1], what an edit may draw.
    """

    fields: Float32
    opened: Float32
    landmarks: Float64
    drawable: Float32


def motions(
    faces: Sequence[AlignedFace],
    steps: Tensor,
    *,
    frontal: bool = False,
    openings: Sequence[Sequence[Openings]] | None = None,
) -> Motions:
    """The motions that bring landmarks where they should go.

    steps: (B, n, 68, 2), how far each landmark goes, in half sides of the crop. frontal: they are those of frontal
    faces, such as z_sem tells, and are foreshortened on a turned head; steps of a 3D face are so already. openings:
    what is asked of lips (of frontal faces) and lids, of each of the B faces for each of the n targets.
    """
    openings = openings or [[AS_THEY_COME] * steps.shape[1]] * len(faces)
    fields, opened, landmarks, drawn = [], [], [], []
    for face, of_face, asked in zip(faces, steps, openings, strict=True):
        before, after = crop_points(face, of_face)
        if frontal:
            goals = [expressed(before, points, each) for points, each in zip(after, asked, strict=True)]
        else:  # a rig's jaw may close all the way
            bound = [held_lids(before, in_order(before, to), each.lids) for to, each in zip(after, asked, strict=True)]
            goals = [with_chin_in_crop(before, points, face.side_px) for points in bound]
        fields.append([motion_between(before, points, face.side_px) for points in goals])
        opened.append([newly_open(before, points, face.side_px) for points in goals])
        landmarks.append(goals)
        drawn.append([drawable(before, to, new) for to, new in zip(goals, opened[-1], strict=True)])
    return Motions(*(np.array(each) for each in (fields, opened, landmarks, drawn)))


def taken_codes(z: Tensor, z_to: Tensor, points: Sequence[Float64]) -> Tensor:
    """z_to as far as each face takes an edit, which nearly in profile is a part of the way from z.

    z: (B, 1, z_dim); z_to: (B, n, z_dim). points: (68, 2) of each of the B faces, in pixels.
    """
    shares = torch.tensor([taken_share(each) for each in points], dtype=z.dtype, device=z.device)
    return torch.lerp(z, z_to, shares[:, None, None])


def crop_points(face: AlignedFace, steps: Tensor) -> tuple[Float64, Float64]:
    """Landmarks (68, 2) of a crop in its pixels, and where they go (n, 68, 2) by steps as in ``motions``."""
    points = face.crop_points()
    return points, points + steps.double().cpu().numpy() * face.side_px / 2


def move_crops(pictures: Tensor, fields: Float32, *, clamp: bool = True) -> Tensor:
    """Every picture moved by each of its fields: (B, C, S, S) and (B, n, S, S, 2) give (B, n, C, S, S).

    clamp: pictures are of [-1, 1] and stay so.

    >>> crop = torch.rand(1, 3, 8, 8)
    >>> field = np.zeros((1, 1, 8, 8, 2), np.float32)
    >>> field[..., 0] = -1.0  # every pixel comes from its neighbour on the left
    >>> moved = move_crops(crop, field)
    >>> bool(torch.allclose(moved[0, 0, :, :, 1:], crop[0, :, :, :-1], atol=1e-5))
    True
    """
    if pictures.device.type == "mps":  # older torch has no cubic grid_sample there, and this is little work
        return move_crops(pictures.cpu(), fields, clamp=clamp).to(pictures.device)
    n_faces, n_targets = fields.shape[:2]
    repeated = pictures.repeat_interleave(n_targets, dim=0)
    moved = resampled(repeated, torch.from_numpy(fields).flatten(0, 1).to(pictures.device))
    moved = moved.clamp(-1, 1) if clamp else moved
    return moved.reshape(n_faces, n_targets, *pictures.shape[1:])


def resampled(pictures: Tensor, fields: Tensor) -> Tensor:
    """Pictures (B, C, S, S) whose pixels come from where fields (B, S, S, 2) say, cubic; differentiable in both."""
    side = fields.shape[1]
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float32, device=pictures.device)] * 2, indexing="ij")
    places = torch.stack([x, y], dim=-1) + fields
    grid = (2 * places + 1) / side - 1  # grid_sample counts from the picture's edges: -1 is left of the first pixel
    moved: Tensor = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved
