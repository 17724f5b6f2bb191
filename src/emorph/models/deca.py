"""DECA: a face's crop to FLAME coefficients, and to the fine relief of its skin (Feng et al. 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.images import to_tensor
from emorph.core.pretrained import locate
from emorph.core.types import FaceCoeffs, Float32, Photo
from emorph.face3d.camera import CROP_SIDE_PX, deca_crop, deca_crops
from emorph.models.deca_file import FaceEncoderFile
from emorph.models.resnet import ResNet
from emorph.models.weights import filled

CODE_SIZES = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
N_CODE = sum(CODE_SIZES.values())
N_DETAIL = 128
RELIEF_SCALE = 0.01
_LATER_NORM_EPS = 0.8  # officially given where BatchNorm2d takes its eps


class CodeEncoder(nn.Module):
    """A ResNet-50 and two linear layers: pictures (B, 3, 224, 224) in [0, 1] to (B, n_outputs)."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.encoder = ResNet(50)
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(self.encoder(x))
        return code


class ReliefDecoder(nn.Module):
    """Jaw, expression and detail code (B, 181) to a relief in the UV map, (B, 1, 256, 256) in metres."""

    def __init__(self) -> None:
        super().__init__()
        n_in = 3 + CODE_SIZES["expression"] + N_DETAIL
        self.l1 = nn.Sequential(nn.Linear(n_in, 128 * 8 * 8))
        widths = (128, 128, 64, 64, 32, 16)
        blocks: list[nn.Module] = [nn.BatchNorm2d(widths[0])]
        for n_from, n_to in itertools.pairwise(widths):
            blocks += [
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Conv2d(n_from, n_to, 3, padding=1),
                nn.BatchNorm2d(n_to, _LATER_NORM_EPS),
                nn.LeakyReLU(0.2),
            ]
        self.conv_blocks = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 3, padding=1), nn.Tanh())

    def forward(self, jaw: Tensor, expression: Tensor, detail: Tensor) -> Tensor:
        code = torch.cat([jaw, expression, detail], dim=1)
        relief: Tensor = self.conv_blocks(self.l1(code).reshape(-1, 128, 8, 8)) * RELIEF_SCALE
        return relief


class DecaEncoder(nn.Module):
    """The three networks of ``deca_model.tar``, with its keys."""

    name = "deca"

    def __init__(self) -> None:
        super().__init__()
        self.E_flame = CodeEncoder(N_CODE)
        self.E_detail = CodeEncoder(N_DETAIL)
        self.D_detail = ReliefDecoder()

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """From the official file; its path, or its name of ``emorph models list``.

        Raises MissingAssetError, with the page to get it from, and CheckpointError.
        """
        return cls.from_file(FaceEncoderFile.read(locate(name)))

    @classmethod
    def from_file(cls, file: FaceEncoderFile) -> Self:
        """A model of copies of a file's weights, in evaluation mode. Raises CheckpointError."""
        if file.kind != cls.name:
            raise CheckpointError(f"{file.name} is {file.kind.upper()}'s, but {cls.name.upper()} is needed here.")
        return cls.from_tensors(file.weights, file.name)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], source: str) -> Self:
        """As ``from_file``; keys as in ``state_dict()``."""
        return filled(cls, tensors, source)

    def encode(self, crops: Tensor) -> FaceCoeffs:
        """Coefficients of crops (B, 3, 224, 224) in [-1, 1], see ``crop_face``. Raises ShapeError."""
        return split_code(self.E_flame(unit_crops(crops)), self.name)

    def relief(self, crops: Tensor, coeffs: FaceCoeffs) -> Tensor:
        """How far the skin stands out, (B, 1, 256, 256) in metres in the UV map with v downwards. Raises ShapeError."""
        relief: Tensor = self.D_detail(coeffs.jaw, coeffs.expression, self.E_detail(unit_crops(crops)))
        return relief


def split_code(code: Tensor, encoder: str) -> FaceCoeffs:
    """The 236 numbers (B, 236) of E_flame, by what they mean."""
    parts = dict(zip(CODE_SIZES, torch.split(code, list(CODE_SIZES.values()), dim=1), strict=True))
    return FaceCoeffs(
        shape=parts["shape"],
        expression=parts["expression"],
        pose=parts["pose"][:, :3],
        jaw=parts["pose"][:, 3:],
        camera=parts["camera"],
        light=parts["light"].reshape(-1, 9, 3),
        texture=parts["texture"],
        encoder=encoder,
    )


def unit_crops(crops: Tensor) -> Tensor:
    """Crops in [-1, 1] as DECA takes them, in [0, 1]. Raises ShapeError."""
    side = CROP_SIDE_PX
    if crops.ndim != 4 or crops.shape[1:] != (3, side, side) or not crops.is_floating_point():
        found = f"{crops.dtype} {tuple(crops.shape)}"
        raise ShapeError(f"expected float crops (B, 3, {side}, {side}) in [-1, 1], found {found}.")
    return crops / 2 + 0.5


def crop_face(photo: Photo, points: Float32) -> tuple[Tensor, Tensor]:
    """What DECA looks at: the crop (1, 3, 224, 224) in [-1, 1], black outside the photo, and its map.

    points: (68, 2) landmarks in photo pixels. The map (1, 3, 3) float64 takes photo pixels to crop pixels.
    Bilinear, without smoothing where the photo is larger, as officially. Raises ShapeError.
    """
    photo_to_crop = torch.from_numpy(deca_crop(points))[None]
    return _cut(to_tensor(photo.pixels), photo_to_crop), photo_to_crop


def crop_faces(pictures: Tensor, points: Tensor) -> Tensor:
    """``crop_face`` of B pictures that need not be of 8 bits: gradients flow back to them.

    pictures: float (B, 3, H, W) in [-1, 1]; points: (B, 68, 2), in their pixels. Returns (B, 3, 224, 224).
    """
    return _cut(pictures, deca_crops(points))


def _cut(pictures: Tensor, to_crop: Tensor) -> Tensor:
    """What maps (B, 3, 3) from pixels to crop pixels show of pictures, black outside."""
    height, width = pictures.shape[-2:]
    back = torch.linalg.inv(to_crop)
    line = torch.arange(CROP_SIDE_PX, dtype=torch.float64, device=back.device)
    x, y = (line * back[:, axis, axis, None] + back[:, axis, 2, None] for axis in (0, 1))
    columns, rows = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
    across = columns[:, None].expand(-1, CROP_SIDE_PX, -1)
    grid = torch.stack([across, rows[:, :, None].expand_as(across)], dim=-1).to(pictures.dtype)
    lifted = pictures + 1  # so that what lies outside is black
    return F.grid_sample(lifted, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1
