"""The mouth's shape in z_sem: read off a face, and given the one that belongs to an emotion.

A step between class means closes the average smile, not a broad one. What a face's mouth has beyond the average is
partly the person and partly the expression; the latter part is taken back here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.landmarks import LEFT_EYE, LIP_GAPS, MOUTH_CORNERS, RIGHT_EYE

MEASURES = ("gap", "width", "lift")


def mouth_shape(landmarks: Tensor) -> Tensor:
    """Three measures of a mouth, in distances between the eyes, (..., 3).

    landmarks: (..., 68, 2) (x, y) of an upright face, such as an aligned crop's.
    gap: between the inner lips. width: between the corners. lift: of the corners, above the upper lip's inner edge.
    """
    eyes = landmarks[..., RIGHT_EYE, :].mean(dim=-2) - landmarks[..., LEFT_EYE, :].mean(dim=-2)
    gap = torch.stack([landmarks[..., low, 1] - landmarks[..., up, 1] for up, low in LIP_GAPS], dim=-1).mean(dim=-1)
    width = (landmarks[..., MOUTH_CORNERS[1], :] - landmarks[..., MOUTH_CORNERS[0], :]).norm(dim=-1)
    lift = landmarks[..., 62, 1] - landmarks[..., list(MOUTH_CORNERS), 1].mean(dim=-1)
    shape: Tensor = torch.stack([gap, width, lift], dim=-1) / eyes.norm(dim=-1, keepdim=True)
    return shape


@dataclass(frozen=True)
class MouthAxes:
    """How ``mouth_shape`` is read off normalised z_sem, and how z_sem goes with it.

    weight (3, z_dim), bias (3,): they read it. patterns (3, z_dim): the step that changes one measure by 1 and leaves
    the others, but for the gap's, with which width and lift go as they do when mouths open. share (3,): of a mouth's
    difference from what is expected, the part that is expression, not the person. wanted (K, 3): the shape that belongs
    to each class; NaN in a class whose edits leave the mouth to the class means.
    """

    weight: Tensor
    bias: Tensor
    patterns: Tensor
    share: Tensor
    wanted: Tensor

    def read(self, z: Tensor) -> Tensor:
        """The shape (..., 3) of normalised z_sem (..., z_dim)."""
        return z @ self.weight.T + self.bias

    def knows(self, row: int) -> bool:
        """Whether a class has a mouth of its own."""
        return bool(self.wanted[row].isfinite().all())

    def correction(self, z: Tensor, expected: Tensor, row: int) -> Tensor:
        """The step (..., z_dim) that takes back what mouths have beyond those of a class.

        z: normalised, where an edit towards class ``row`` would lead. expected: the shape (..., 3) that it would give
        an average face. The lips' gap is to be the class's own, with width and lift as they go with it; else they are
        to be as expected, so that a class's gain goes beyond its mean.
        """
        jaw = self.weight @ self.patterns[0]  # (3,), what a step of the gap does: 1, and what goes with it
        goal = expected + (self.wanted[row, :1] - expected[..., :1]) * jaw
        missing = goal - self.read(z)
        beside = torch.cat([missing[..., :1], missing[..., 1:] - missing[..., :1] * jaw[1:]], dim=-1)
        return (self.share * beside) @ self.patterns

    def to(self, device: torch.device | str) -> MouthAxes:
        """The same on a device."""
        return MouthAxes(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored."""
        return {f"mouth.{name}": tensor for name, tensor in vars(self).items()}
