"""ICT-FaceKit: an open face model with named action units (Li et al. 2020, MIT licence)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emorph.core.assets import official
from emorph.core.commands import command
from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError, UnknownNameError
from emorph.core.files import NPZ_ERRORS
from emorph.core.landmarks import JAW
from emorph.core.stand_ins import refuse_stand_in
from emorph.core.types import FaceCoeffs
from emorph.face3d.ict_prior import prior_of
from emorph.face3d.model import MAX_YAW_STEP, LandmarkBasis, UVMap, blend_shapes, yaw_step
from emorph.face3d.skinning import rodrigues

ASSET = "ict-facekit"

_KEYS = ("neutral", "tris", "uv", "uv_tris", "id_basis", "exp_basis", "exp_names", "landmarks68")
_SLIDING = (*range(7), *range(10, 17))  # of the contour; the chin stays
_BAND_CM = 0.3  # half width of the strip of skin that a contour point slides along
_STAYS_OUTSIDE = 0.7  # a sliding point keeps this share of its distance from the middle: it never reaches the nose


class ICT(nn.Module):
    """The face model; numbers in about centimetres, expressions are action units of 0..1. Make it with ``load``.

    It has no jaw and no neck: the mouth opens with the unit jawOpen, and ``FaceCoeffs.jaw`` is not used.
    """

    mean: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    triangles: Tensor
    uv_coordinates: Tensor
    uv_triangles: Tensor
    landmark_vertices: Tensor
    contour: Tensor
    offset: Tensor
    noise: Tensor
    sigma: Tensor
    correlation: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], unit_names: tuple[str, ...]) -> None:
        super().__init__()
        self.name = "ict"
        self.unit_names = unit_names
        for key, tensor in tensors.items():
            self.register_buffer(key, tensor)
        self.register_buffer("contour", self._contour_table())
        prior = prior_of(unit_names, self.landmark_vertices)
        self.rivals = prior.rivals
        for key in ("offset", "noise", "sigma", "correlation"):
            self.register_buffer(key, getattr(prior, key))

    @classmethod
    def load(cls, path: str | Path | None = None) -> ICT:
        """From ``ict_face.npz``; without a path, from the folder for files that the user gets.

        Raises MissingAssetError, with the page to get it from, or CheckpointError.
        """
        path = Path(path).expanduser() if path is not None else official(ASSET)
        if path is None or not path.is_file():
            raise MissingAssetError(
                f"there is no file {path}; ICT-FaceKit's model is a file ict_face.npz, which "
                f"`{command('models', 'get', ASSET)}` makes."
            )
        refuse_stand_in(path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                lacking = [key for key in _KEYS if key not in archive.files]
                if lacking:
                    raise CheckpointError(f"{path.name} is not ICT-FaceKit's model: it has no {lacking[0]}.")
                arrays = {key: archive[key] for key in _KEYS}
        except NPZ_ERRORS as error:
            why = str(error).partition(" If you trust")[0]  # numpy's advice to run what is in the file
            raise CheckpointError(f"{path.name} is damaged or not an .npz file ({why}); get it again.") from None
        _check(arrays, path.name)
        names = tuple(str(name) for name in arrays["exp_names"])
        floats = {
            key: torch.from_numpy(arrays[key].astype(np.float32)) for key in _KEYS if arrays[key].dtype.kind == "f"
        }
        whole = {key: torch.from_numpy(arrays[key].astype(np.int64)) for key in _KEYS if arrays[key].dtype.kind == "i"}
        tensors = {
            "mean": floats["neutral"],
            "shape_basis": floats["id_basis"].flatten(1),
            "expression_basis": floats["exp_basis"].flatten(1),
            "triangles": whole["tris"],
            "uv_coordinates": floats["uv"],
            "uv_triangles": whole["uv_tris"],
            "landmark_vertices": whole["landmarks68"],
        }
        return cls(tensors, names)

    @property
    def faces(self) -> Tensor:
        return self.triangles

    @property
    def uv(self) -> UVMap | None:
        return UVMap(self.uv_coordinates, self.uv_triangles)

    @property
    def n_shape(self) -> int:
        return self.shape_basis.shape[0]

    @property
    def n_expression(self) -> int:
        return self.expression_basis.shape[0]

    def expression(self, units: Mapping[str, float]) -> Tensor:
        """Coefficients (1, 53) of named action units: {"mouthSmile_L": 0.8}. Raises UnknownNameError, ShapeError."""
        row = torch.zeros(1, self.n_expression)
        for name, value in units.items():
            if name not in self.unit_names:
                raise UnknownNameError("action unit", name, self.unit_names)
            if not 0 <= value <= 1:
                raise ShapeError(f"action unit {name} is {value}; it lies from 0 to 1.")
            row[0, self.unit_names.index(name)] = value
        return row

    def vertices(self, coeffs: FaceCoeffs) -> Tensor:
        """(B, V, 3), turned about the origin. Raises ShapeError."""
        still = blend_shapes(self.mean, self.shape_basis, coeffs.shape, "shape")
        none = torch.zeros_like(self.mean)
        still = still + blend_shapes(none, self.expression_basis, coeffs.expression, "expression")
        return still @ rodrigues(coeffs.pose).mT

    def landmarks(self, vertices: Tensor, pose: Tensor) -> Tensor:
        """(B, 68, 3), where detectors mark them: of a turned head, the contour's far side is where the cheek ends."""
        turn = rodrigues(pose)
        chosen = self._candidates()[yaw_step(turn)]
        return vertices.gather(1, chosen[..., None].expand(-1, -1, 3)) + self.offset @ turn.mT

    def albedo(self, texture: Tensor) -> Tensor | None:
        """None: the release has no texture."""
        return None

    def landmark_basis(self) -> LandmarkBasis:
        """Of all identities and action units; only the vertices that are a landmark at some yaw."""
        used, candidates = torch.unique(self._candidates(), return_inverse=True)
        rows = torch.cat([self.mean.reshape(1, -1), self.shape_basis, self.expression_basis])
        rows = torch.unflatten(rows, -1, (-1, 3))
        still = rows[:, used].permute(1, 2, 0).contiguous()
        none = still.new_zeros(3, still.shape[-1])
        ones = still.new_ones(self.n_shape)
        return LandmarkBasis(
            still=still,
            moving=torch.zeros_like(still),
            share=still.new_zeros(len(used)),
            pivot=none,
            root=none,
            candidates=candidates,
            sigma=torch.cat([ones, self.sigma]),
            n_shape=self.n_shape,
            bounded=True,
            has_jaw=False,
            offset=self.offset,
            noise=self.noise,
            rivals=self.rivals,
            correlation=self.correlation,
        )

    def _candidates(self) -> Tensor:
        """Vertex of each landmark at each yaw step: int64 (79, 68)."""
        inner = self.landmark_vertices[self.contour.shape[1] :]
        return torch.cat([self.contour, inner.expand(len(self.contour), -1)], dim=1)

    def _contour_table(self) -> Tensor:
        """int64 (79, 17): the contour's vertices for 0..39 and -1..-39 degrees of yaw, on the mean face."""
        own = self.landmark_vertices[JAW]
        table = own.repeat(2 * MAX_YAW_STEP + 1, 1)
        for i in _SLIDING:
            strip = self._strip(i)
            side = 1 if i > 8 else -1  # a head turned to the image right hides its cheek there
            for degrees in range(1, MAX_YAW_STEP + 1):
                yaw = torch.tensor(float(side * degrees)).deg2rad()
                x, _, z = self.mean[strip].unbind(dim=-1)
                outermost = (side * (x * yaw.cos() + z * yaw.sin())).argmax()
                table[degrees if side > 0 else MAX_YAW_STEP + degrees, i] = strip[outermost]
        return table

    def _strip(self, i: int) -> Tensor:
        """The vertices that contour point ``i`` may slide over, from the jaw line towards the nose.

        The strip runs half way between level and across the jaw line: detectors follow the cheek about so.
        """
        line = self.mean[self.landmark_vertices[JAW]]
        point = line[i]
        jaw = torch.nn.functional.normalize(line[min(i + 1, 16)] - line[max(i - 1, 0)], dim=0)
        along = torch.nn.functional.normalize(jaw + jaw.new_tensor([0.0, 1.0, 0.0]) * jaw[1].sign(), dim=0)
        offset = self.mean - point
        near = (offset @ along).abs() < _BAND_CM
        outside = self.mean[:, 0] * point[0].sign() > _STAYS_OUTSIDE * point[0].abs()
        strip = torch.nonzero(near & outside & (offset[:, 2] >= 0)).flatten()
        return torch.cat([self.landmark_vertices[i : i + 1], strip])


def _check(arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    n_vertices, n_faces, n_units = len(arrays["neutral"]), len(arrays["tris"]), len(arrays["exp_names"])
    expected = {
        "neutral": (n_vertices, 3),
        "tris": (n_faces, 3),
        "uv": (len(arrays["uv"]), 2),
        "uv_tris": (n_faces, 3),
        "id_basis": (len(arrays["id_basis"]), n_vertices, 3),
        "exp_basis": (n_units, n_vertices, 3),
        "landmarks68": (68,),
    }
    for key, shape in expected.items():
        if arrays[key].shape != shape or arrays[key].dtype.kind not in "fi":
            raise CheckpointError(
                f"{name} does not fit: {key} is {arrays[key].dtype} {arrays[key].shape}, not {shape}."
            )
    for key, limit in (("tris", n_vertices), ("landmarks68", n_vertices), ("uv_tris", len(arrays["uv"]))):
        if not 0 <= arrays[key].min() <= arrays[key].max() < limit:
            raise CheckpointError(f"{name} does not fit: {key} points outside the mesh.")
