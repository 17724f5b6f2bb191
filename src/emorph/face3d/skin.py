"""A face's own colour where its model has no texture: what a photo shows of its skin, and a smooth field on the mesh.

A photo tells only the product of light and colour. The light is taken to be smooth over the normals, see
``emorph.face3d.lighting.estimate_light``; the colour field then explains what the light leaves, and is the same on the
left and on the right, as a face is and light is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.landmarks import LEFT_EYE, NOSE_RIDGE, RIGHT_EYE
from emorph.core.types import FaceCoeffs
from emorph.face3d.camera import project
from emorph.face3d.lighting import shade
from emorph.face3d.model import FaceModel, neutral
from emorph.face3d.skinning import vertex_normals

N_ANCHORS = 160  # lips and brows are told apart
_N_NEAR = 12  # anchors that a vertex's colour is mixed of
_REACH = 0.12  # of an anchor, in eye distances: about what lies between neighbours
_RIDGE = 3e-4  # pulls to the mean colour, the skin that is seen counting 1 together: what is not seen has that colour
_FACING = 0.25  # skin whose normal points less towards the viewer says little


@dataclass(frozen=True)
class SeenSkin:
    """What photos show where the vertices of B faces lie.

    colours: (B, V, 3) RGB in 0..1. normals: (B, V, 3). weights: (B, V), the area that a vertex stands for, in any unit;
    0 where no skin is seen.
    """

    colours: Tensor
    normals: Tensor
    weights: Tensor

    @classmethod
    def of(cls, face: FaceModel, coeffs: FaceCoeffs, pictures: Tensor, points: Tensor) -> SeenSkin:
        """Look at pictures (B, 3, S, S), RGB in 0..1, between the landmarks (B, 68, 2): hair and neck lie outside."""
        vertices = face.vertices(coeffs)
        on_screen = project(vertices, coeffs.camera)[:, None, :, :2]
        corners = vertices[:, face.faces]
        facing = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])[..., 2]
        area = torch.zeros_like(vertices[..., 0])
        area.index_add_(1, face.faces.flatten(), facing.clamp_min(0).repeat_interleave(3, dim=1))
        normals = vertex_normals(vertices, face.faces)
        inside = F.grid_sample(_between(points, pictures), on_screen, mode="nearest", align_corners=False)[:, 0, 0]
        colours = F.grid_sample(pictures, on_screen, mode="bilinear", align_corners=False)[:, :, 0].mT
        return cls(colours, normals, area * inside * (normals[..., 2] > _FACING))


class SkinField:
    """Colours of a mesh that change smoothly over it, told by ``N_ANCHORS`` colours. Make it with ``on``.

    weights: (V, N), what share each anchor has in a vertex's colour: of ``_N_NEAR`` it has one.
    """

    def __init__(self, weights: Tensor) -> None:
        share, near = weights.topk(_N_NEAR, dim=1)
        share = share / share.sum(dim=1, keepdim=True)
        self.weights = torch.zeros_like(weights).scatter_(1, near, share)
        # the products of two weights of a vertex, a row for each pair of anchors: what least squares adds up
        pairs = (near[:, :, None] * weights.shape[1] + near[:, None]).flatten()
        vertices = torch.arange(len(near), device=near.device).repeat_interleave(_N_NEAR**2)
        products = (share[:, :, None] * share[:, None]).flatten()
        size = (weights.shape[1] ** 2, len(near))
        self._products = torch.sparse_coo_tensor(torch.stack([pairs, vertices]), products, size, check_invariants=True)

    @classmethod
    def on(cls, face: FaceModel) -> SkinField:
        """The field of a face model, on its device: made once, since it depends on the mean face only."""
        known = _FIELDS.get(face)
        if known is None or known.weights.device != face.faces.device:
            with torch.inference_mode(False), torch.no_grad():  # whoever asks next may want gradients through it
                known = _FIELDS[face] = cls(cls._weights(face))
        return known

    @staticmethod
    def _weights(face: FaceModel) -> Tensor:
        """Anchors lie evenly on the front of the mean face, its right half folded onto the left."""
        still = neutral(face, device=face.faces.device)
        vertices = face.vertices(still)
        marks = face.landmarks(vertices, still.pose)[0]
        normals, mean = vertex_normals(vertices, face.faces)[0], vertices[0]
        eyes = (marks[LEFT_EYE].mean(dim=0) - marks[RIGHT_EYE].mean(dim=0)).norm()
        middle = marks[NOSE_RIDGE, 0].mean()  # of the nose's ridge
        folded = torch.cat([(mean[:, :1] - middle).abs(), mean[:, 1:]], dim=1)
        low, high = marks.amin(dim=0), marks.amax(dim=0)
        is_front = (normals[:, 2] > _FACING) & (folded[:, 0] <= high[0] - middle)
        is_front &= (folded[:, 1] >= low[1]) & (folded[:, 1] <= high[1] + eyes / 2)
        distances = torch.cdist(folded, _spread(folded[is_front], N_ANCHORS)) / (_REACH * eyes)
        return torch.softmax(-distances.square() / 2, dim=1)

    def colours(self, anchors: Tensor) -> Tensor:
        """Of the vertices (B, V, 3), from those of the anchors (B, N, 3)."""
        return self.weights @ anchors

    def estimate(self, seen: SeenSkin, light: Tensor, mean: Tensor) -> Tensor:
        """The anchors' colours (B, N, 3) that under light (B, 9, 3) explain what is seen; elsewhere the mean (B, 3)."""
        share = (seen.weights / seen.weights.sum(dim=1, keepdim=True).clamp_min(1e-8))[..., None]
        shading, n = shade(seen.normals, light), self.weights.shape[1]
        squares = (share * shading.square()).permute(1, 0, 2).flatten(1)  # (V, B * 3)
        normal = (self._products @ squares).mT.reshape(-1, 3, n, n)
        normal = normal + _RIDGE * torch.eye(n, dtype=normal.dtype, device=normal.device)
        left = share * shading * (seen.colours - shading * mean[:, None])
        offset = torch.linalg.solve(normal, (self.weights.mT @ left).mT)
        anchors: Tensor = mean[:, None] + offset.mT
        return anchors.clamp(0, 1)


_FIELDS: WeakKeyDictionary[FaceModel, SkinField] = WeakKeyDictionary()


def _spread(points: Tensor, n: int) -> Tensor:
    """n of the points (P, 3), each the farthest from all before it."""
    chosen = [int(points[:, 2].argmax())]
    nearest = (points - points[chosen[0]]).norm(dim=1)
    while len(chosen) < n:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=1))
    return points[chosen]


def _between(points: Tensor, like: Tensor) -> Tensor:
    """1 between the landmarks, (B, 1, S, S)."""
    import cv2  # here, so that a rig's training step can be measured without image libraries

    masks = np.zeros((len(points), 1, *like.shape[2:]), np.float32)
    limit = 4.0 * like.shape[-1]
    for mask, marks in zip(masks, points.nan_to_num(0).clamp(-limit, limit).cpu().numpy(), strict=True):
        cv2.fillConvexPoly(mask[0], cv2.convexHull(marks.round().astype(np.int32)), 1.0)
    return torch.from_numpy(masks).to(like.device)
