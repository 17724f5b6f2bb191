"""FLAME 2020 and 2023: shape, expression, pose, jaw and eyes to a head of 5,023 vertices (Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from emorph.core.errors import CheckpointError
from emorph.core.landmarks import N_LANDMARKS
from emorph.core.pretrained import read_config, read_weights
from emorph.core.types import FaceCoeffs
from emorph.face3d.model import LandmarkBasis, UVMap, blend_shapes, usual_noise, yaw_step
from emorph.face3d.skinning import blend_skin, rodrigues
from emorph.face3d.texture import albedo

KIND = "flame"
PARENTS = (-1, 0, 1, 1, 1)  # global, neck, jaw, left eye, right eye
JAW = 2
N_IDENTITY = 300  # of the shape directions; the rest are expressions
N_CONTOUR = 17
LANDMARK_EXPRESSIONS = 50  # as many as DECA uses: the 68 points show no more

REQUIRED: dict[str, tuple[int | str, ...]] = {
    "template": ("V", 3),
    "shape_basis": ("S", "V3"),
    "expression_basis": ("E", "V3"),
    "pose_basis": (36, "V3"),
    "joint_weights": (5, "V"),
    "skin_weights": ("V", 5),
    "triangles": ("F", 3),
    "contour_triangles": (79, 17),
    "contour_barycentric": (79, 17, 3),
    "inner_triangles": (51,),
    "inner_barycentric": (51, 3),
    "full_triangles": (68,),
    "full_barycentric": (68, 3),
}


@dataclass(frozen=True)
class PosedHead:
    """vertices: (B, V, 3) and joints: (B, 5, 3), in metres."""

    vertices: Tensor
    joints: Tensor


class FLAME(nn.Module):
    """The head model; numbers in metres. Make it with ``load``.

    tensors: as in REQUIRED, and optionally uv_coordinates (T, 2) with uv_triangles (F, 3), texture_mean (3, 256, 256)
    with texture_basis (N, 3, 256, 256). version: "2020" or "2023"; their coefficients do not mix.
    """

    template: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    pose_basis: Tensor
    joint_weights: Tensor
    skin_weights: Tensor
    triangles: Tensor
    contour_triangles: Tensor
    contour_barycentric: Tensor
    inner_triangles: Tensor
    inner_barycentric: Tensor
    full_triangles: Tensor
    full_barycentric: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], version: str) -> None:
        super().__init__()
        check_tensors(tensors)
        self.version = version
        self.name = f"flame{version}"
        for key, tensor in tensors.items():
            self.register_buffer(key, tensor.float() if tensor.is_floating_point() else tensor.long())

    @classmethod
    def load(cls, folder: str | Path) -> FLAME:
        """From the folder that ``emorph.face3d.convert.convert_flame`` wrote. Raises CheckpointError."""
        config = read_config(Path(folder), KIND)
        return cls(read_weights(Path(folder)), str(config.get("version")))

    @property
    def faces(self) -> Tensor:
        return self.triangles

    @property
    def uv(self) -> UVMap | None:
        own = dict(self.named_buffers(remove_duplicate=False))
        return UVMap(own["uv_coordinates"], own["uv_triangles"]) if "uv_coordinates" in own else None

    @property
    def n_shape(self) -> int:
        return self.shape_basis.shape[0]

    @property
    def n_expression(self) -> int:
        return self.expression_basis.shape[0]

    def pose(self, coeffs: FaceCoeffs, *, neck: Tensor | None = None, eyes: Tensor | None = None) -> PosedHead:
        """The head that the coefficients describe.

        neck: axis-angle (B, 3), eyes: (B, 6) left then right; 0 unless given, as in DECA. Raises ShapeError.
        """
        at_rest = blend_shapes(self.template, self.shape_basis, coeffs.shape, "shape")
        offset = blend_shapes(torch.zeros_like(self.template), self.expression_basis, coeffs.expression, "expression")
        at_rest = at_rest + offset
        neck = torch.zeros_like(coeffs.pose) if neck is None else neck
        eyes = torch.zeros_like(coeffs.pose).repeat(1, 2) if eyes is None else eyes
        rotations = rodrigues(torch.stack([coeffs.pose, neck, coeffs.jaw, eyes[:, :3], eyes[:, 3:]], dim=1))
        joints = self.joint_weights @ at_rest
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bend = (rotations[:, 1:] - identity).flatten(1)  # the head's own turn bends nothing
        bent = at_rest + torch.unflatten(bend @ self.pose_basis, -1, (-1, 3))
        return PosedHead(*blend_skin(bent, joints, rotations, PARENTS, self.skin_weights))

    def vertices(self, coeffs: FaceCoeffs) -> Tensor:
        """(B, V, 3) in metres, neck and eyes straight."""
        return self.pose(coeffs).vertices

    def landmarks(self, vertices: Tensor, pose: Tensor) -> Tensor:
        """Contour points that wander with the yaw, then the 51 inner ones: (B, 68, 3)."""
        step = yaw_step(rodrigues(pose))
        inner = self.inner_triangles.expand(len(step), -1)
        triangles = torch.cat([self.contour_triangles[step], inner], dim=1)
        inner_weights = self.inner_barycentric.expand(len(step), -1, -1)
        return self._points(vertices, triangles, torch.cat([self.contour_barycentric[step], inner_weights], dim=1))

    def fixed_landmarks(self, vertices: Tensor) -> Tensor:
        """The 68 points (B, 68, 3) with the contour of a face that looks ahead.

        No part of emorph asks for them: they are here for DECA's recorded numbers (``tests/test_golden_flame.py``).
        """
        triangles = self.full_triangles.expand(len(vertices), -1)
        return self._points(vertices, triangles, self.full_barycentric.expand(len(vertices), -1, -1))

    def _points(self, vertices: Tensor, triangles: Tensor, barycentric: Tensor) -> Tensor:
        """vertices: (B, V, 3), triangles: (B, L), barycentric: (B, L, 3); returns (B, L, 3)."""
        corners = self.triangles[triangles]  # (B, L, 3)
        row = torch.arange(len(vertices), device=vertices.device)[:, None, None]
        return (vertices[row, corners] * barycentric[..., None]).sum(dim=2)

    def albedo(self, texture: Tensor) -> Tensor | None:
        """(B, 3, 256, 256) of texture coefficients (B, n), if FLAME's texture was converted with the model."""
        own = dict(self.named_buffers(remove_duplicate=False))
        if "texture_mean" not in own:
            return None
        return albedo(own["texture_mean"], own["texture_basis"], texture)

    def landmark_basis(self) -> LandmarkBasis:
        """With DECA's 100 shapes, 50 expressions and the jaw."""
        n_shape, n_expression = min(100, self.n_shape), min(LANDMARK_EXPRESSIONS, self.n_expression)
        jaw_rows = self.pose_basis[9 * (JAW - 1) : 9 * JAW]
        terms = [self.template.reshape(1, -1), self.shape_basis[:n_shape], self.expression_basis[:n_expression]]
        linear = torch.unflatten(torch.cat([*terms, jaw_rows]), -1, (-1, 3))  # (Q, V, 3)
        unbent = torch.cat([linear[:-9], torch.zeros_like(linear[-9:])])
        joints = torch.einsum("jv,qvc->jcq", self.joint_weights, unbent)
        corners = self.triangles[torch.cat([self.contour_triangles.flatten(), self.inner_triangles])]
        barycentric = torch.cat([self.contour_barycentric.flatten(0, 1), self.inner_barycentric])
        follows = barycentric * self.skin_weights[corners, JAW]  # (P, 3)
        points = linear[:, corners]  # (Q, P, 3 corners, 3)
        n_contour = self.contour_triangles.numel()
        contour = torch.arange(n_contour, device=corners.device).reshape(-1, N_CONTOUR)
        inner = torch.arange(n_contour, len(corners), device=corners.device).expand(len(contour), -1)
        return LandmarkBasis(
            still=torch.einsum("qpkc,pk->pcq", points, barycentric - follows),
            moving=torch.einsum("qpkc,pk->pcq", points, follows),
            share=follows.sum(dim=1),
            pivot=joints[JAW],
            root=joints[0],
            candidates=torch.cat([contour, inner], dim=1),
            sigma=torch.ones(n_shape + n_expression, device=corners.device),
            n_shape=n_shape,
            bounded=False,
            has_jaw=True,
            offset=self.template.new_zeros(N_LANDMARKS, 3),
            noise=usual_noise(self.template),
        )


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError, naming the first tensor that is missing, of another shape, or points nowhere."""
    sizes: dict[str, int] = {}
    for key, expected in REQUIRED.items():
        if key not in tensors:
            raise CheckpointError(f"the FLAME model has no {key}; convert its files again.")
        shape = tuple(tensors[key].shape)
        known = [size if isinstance(size, int) else sizes.get(size) for size in expected]
        if len(shape) != len(expected) or any(k not in (None, n) for k, n in zip(known, shape, strict=True)):
            wanted = [name if size is None else size for name, size in zip(expected, known, strict=True)]
            raise CheckpointError(f"the FLAME model does not fit: {key} has shape {shape}, expected {wanted}.")
        sizes.update({name: n for name, n in zip(expected, shape, strict=True) if isinstance(name, str)})
        sizes["V3"] = 3 * sizes["V"]
    for key in REQUIRED:
        limit = sizes["V"] if key == "triangles" else sizes["F"]
        if key.endswith("triangles") and not 0 <= int(tensors[key].min()) <= int(tensors[key].max()) < limit:
            raise CheckpointError(f"the FLAME model does not fit: {key} points outside the mesh.")
