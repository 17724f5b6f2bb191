"""EMOCA v1 and v2: DECA with an expression encoder of its own that keeps the emotion (Danecek et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from emorph.core.types import FaceCoeffs
from emorph.models.deca import CODE_SIZES, CodeEncoder, DecaEncoder, unit_crops


class EmocaEncoder(DecaEncoder):
    """The four networks of an EMOCA checkpoint, with its keys behind ``deca.``.

    Shape, pose, jaw, camera, texture and light are DECA's; only the expression is its own, as in both releases.
    """

    name = "emoca"

    def __init__(self) -> None:
        super().__init__()
        self.E_expression = CodeEncoder(CODE_SIZES["expression"])

    def encode(self, crops: Tensor) -> FaceCoeffs:
        """Coefficients of crops (B, 3, 224, 224) in [-1, 1], as ``DecaEncoder.encode``. Raises ShapeError."""
        return replace(super().encode(crops), expression=self.E_expression(unit_crops(crops)))
