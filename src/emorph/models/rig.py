"""The rig: a face from its physical buffers and a global code (DiffusionRig, Ding et al., CVPR 2023)."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from emorph.core.config import Config
from emorph.core.types import CropSpec
from emorph.diffusion.process import Prediction, eps_from, rates
from emorph.diffusion.samplers import Denoise
from emorph.diffusion.schedule import Schedule
from emorph.models.resnet import Depth, ResNet
from emorph.models.sizes import Multipliers, check_pictures, check_side, fold, unfold
from emorph.models.unet import UNet
from emorph.models.weights import PretrainedModule

KIND = "rig"
N_BUFFERS = 9  # shaded, normals, albedo: three channels each
TAKES_PICTURES = "this rig takes float pictures in [-1, 1]"
Encoder = Literal["resnet18", "resnet50"]
FaceKind = Literal["flame", "ict"]
Skin = Literal["colour", "field"]
DEPTHS: dict[Encoder, Depth] = {"resnet18": 18, "resnet50": 50}
OFFICIAL_MULT: dict[int, tuple[int, ...]] = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4)}


class RigConfig(Config):
    """Sizes of a rig, and the faces that it was trained on.

    encoder_width: channels of the encoder's first layer, 64 officially. channel_mult: by default the official one of
    64 or 128 px, else that of 256 px. image_channels: 1 is a rig of gray pictures; its buffers have three colours all
    the same. patch_size p folds p x p pixels into channels before the U-Net and back after it, 1 officially;
    ``attention_resolutions`` are sides of the feature maps after folding.
    prediction: what the U-Net puts out; ``forward`` always returns eps.
    crop: the part of a face that the training pictures show. face: the 3D face model that its buffers show.
    skin: what its buffers show as albedo where that model has no texture, one colour or a smooth field of colours.
    """

    image_size: int = Field(gt=0, le=4096, description="Side of the pictures.")
    encoder: Encoder = Field("resnet18", description="The network of the global code.")
    encoder_width: int = Field(64, gt=0, le=1024)
    model_channels: int = Field(128, gt=0, le=4096, description="Channels of the U-Net at full resolution.")
    channel_mult: Multipliers = Field(
        OFFICIAL_MULT[256],
        description="Channels at each resolution, in model_channels; by default the official ones of the size.",
    )
    num_res_blocks: int = Field(2, gt=0, le=16, description="Residual blocks at each resolution.")
    attention_resolutions: tuple[int, ...] = Field(
        (16,), description="Sides of the feature maps, after folding, that have attention."
    )
    num_heads: int = Field(1, gt=0, description="Heads of each attention.")
    code_dim: int = Field(64, gt=0, description="Length of the global code.")
    image_channels: Literal[1, 3] = 3
    patch_size: int = Field(1, gt=0, le=16, description="Side of the squares of pixels folded into channels.")
    prediction: Prediction = "eps"
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the residual blocks, while training.")
    crop: CropSpec = CropSpec()
    face: FaceKind = "flame"
    skin: Skin = "colour"

    @model_validator(mode="before")
    @classmethod
    def _official_mult(cls, values: Any) -> Any:
        side = values.get("image_size") if isinstance(values, dict) else None
        if isinstance(side, int) and side in OFFICIAL_MULT:
            return {"channel_mult": OFFICIAL_MULT[side], **values}
        return values

    @model_validator(mode="after")
    def _sides_divide(self) -> Self:
        check_side(self.image_size, self.patch_size, "channel_mult", self.channel_mult)
        return self


class Rig(PretrainedModule):
    """Global encoder and conditional DDIM; state-dict keys equal the official model's."""

    kind = KIND
    config_type = RigConfig
    config: RigConfig

    def __init__(self, config: RigConfig) -> None:
        super().__init__()
        self.config = config
        self.denoisingUNet = UNet(
            in_channels=(config.image_channels + N_BUFFERS) * config.patch_size**2,
            out_channels=config.image_channels * config.patch_size**2,
            side=config.image_size // config.patch_size,
            model_channels=config.model_channels,
            channel_mult=config.channel_mult,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            num_heads=config.num_heads,
            embed_dim=4 * config.model_channels,
            z_dim=config.code_dim,
            dropout=config.dropout,
            z_shifts=True,
            nested_time=False,
        )
        self.encoder = ResNet(DEPTHS[config.encoder], config.code_dim, width=config.encoder_width)
        self.diffusion = Schedule.linear()
        self.register_buffer("rates", rates(self.diffusion), persistent=False)
        self.rates: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """The global code (B, code_dim) of pictures x (B, image_channels, S, S) in [-1, 1]. Raises ShapeError."""
        check_pictures(x, self.config.image_channels, self.config.image_size, TAKES_PICTURES)
        code: Tensor = self.encoder(x.expand(-1, 3, -1, -1))
        return code

    def forward(self, x_t: Tensor, t: Tensor, buffers: Tensor, code: Tensor) -> Tensor:
        """The noise eps in x_t.

        x_t: float (B, image_channels, S, S); t: int64 (B,) in [0, 1000); buffers: float (B, 9, S, S), see
        ``PhysicalBuffers.stacked``; code: (B, code_dim). Raises ShapeError.
        """
        return eps_from(self.predict(x_t, t, buffers, code), x_t, t, self.rates, self.config.prediction)

    def predict(self, x_t: Tensor, t: Tensor, buffers: Tensor, code: Tensor) -> Tensor:
        """The U-Net's raw output, in the space that ``config.prediction`` names; for training."""
        return unfold(self.denoisingUNet(self._seen(x_t, buffers), t, code), self.config.patch_size)

    def denoiser(self, buffers: Tensor, code: Tensor) -> Denoise:
        """``forward`` with buffers and code fixed, for a sampler: all rows share t, the code is read once."""
        by_code = self.denoisingUNet.z_modulations(code)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            raw = self.denoisingUNet.modulated(self._seen(x_t, buffers), t[:1], by_code)
            raw = unfold(raw, self.config.patch_size)
            return eps_from(raw, x_t, t, self.rates, self.config.prediction)

        return denoise

    def _seen(self, x_t: Tensor, buffers: Tensor) -> Tensor:
        """What the U-Net takes: the noisy picture, then the buffers."""
        c = self.config
        check_pictures(x_t, c.image_channels, c.image_size, TAKES_PICTURES)
        check_pictures(buffers, N_BUFFERS, c.image_size, "this rig takes float buffers")
        return fold(torch.cat([x_t, buffers], dim=1), c.patch_size)
