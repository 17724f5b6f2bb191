"""A small network that reads ICT-FaceKit's coefficients off a face: who it is (shape) and what it does (expression).

It learns what ``emorph.face3d.fit`` finds from 68 landmarks, and that photos of one person have one shape; unlike the
fit it needs no landmarks, and has a gradient in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.types import CropSpec
from emorph.models.face_window import evened, gray_window
from emorph.models.trunk import Trunk, TrunkConfig
from emorph.models.weights import PretrainedModule

KIND = "shape-net"


class ShapeNetConfig(Config):
    """Sizes of the network.

    n_shape: identities, in standard deviations. units: names of the action units, each 0..1. crop, image_size: what it
    looks at, and at which side. trained_on: the sets whose photos it saw, such as "lfw/train".
    """

    trunk: TrunkConfig = TrunkConfig()
    n_shape: int = Field(40, gt=0, le=100)
    units: tuple[str, ...] = Field(min_length=1, max_length=100)
    image_size: int = Field(48, ge=32, le=256)
    crop: CropSpec = CropSpec()
    trained_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadShape:
    """Of B faces: shape (B, n_shape) in standard deviations, expression (B, n_units) of about 0..1."""

    shape: Tensor
    expression: Tensor


class ShapeNet(PretrainedModule):
    """A trunk and a linear layer; gray, because shape is no colour."""

    kind = KIND
    config_type = ShapeNetConfig
    config: ShapeNetConfig

    def __init__(self, config: ShapeNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk)
        self.head = nn.Linear(config.trunk.channels[-1], config.n_shape + len(config.units))

    def forward(self, x: Tensor, crop: CropSpec = CropSpec()) -> ReadShape:
        """The coefficients of faces x, float (B, 1 or 3, S, S) in [-1, 1], S any side of 16 px or more.

        crop: what the pictures show of FFHQ's square; a model's own stands in its configuration. Raises ShapeError.
        """
        seen = gray_window(x, crop, self.config.crop, self.config.image_size)
        found = self.head(self.trunk(evened(seen)))
        return ReadShape(found[:, : self.config.n_shape], found[:, self.config.n_shape :])
