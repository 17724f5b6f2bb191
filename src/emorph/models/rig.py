"""The rig: a face from its physical buffers and a global code (DiffusionRig, Ding et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.errors import ShapeError
from emorph.core.types import CropSpec
from emorph.diffusion.process import Prediction, eps_from, rates
from emorph.diffusion.samplers import Denoise
from emorph.diffusion.schedule import Schedule
from emorph.models.blocks import timestep_embedding
from emorph.models.resnet import Depth, ResNet
from emorph.models.unet import UNet
from emorph.models.weights import filled, read_model, save_model

KIND = "rig"
N_BUFFERS = 9  # shaded, normals, albedo: three channels each
Encoder = Literal["resnet18", "resnet50"]
FaceKind = Literal["flame", "ict"]
DEPTHS: dict[Encoder, Depth] = {"resnet18": 18, "resnet50": 50}
OFFICIAL_MULT: dict[int, tuple[int, ...]] = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4)}

Multipliers = Annotated[tuple[Annotated[int, Field(gt=0, le=64)], ...], Field(min_length=1, max_length=10)]


class RigConfig(Config):
    """Sizes of a rig, and the faces that it was trained on.

    encoder_width: channels of the encoder's first layer, 64 officially. channel_mult: by default the official one of
    64 or 128 px, else that of 256 px. image_channels: 1 is a rig of gray pictures; its buffers have three colours all
    the same. patch_size p folds p x p pixels into channels before the U-Net and back after it, 1 officially;
    ``attention_resolutions`` are sides of the feature maps after folding.
    prediction: what the U-Net puts out; ``forward`` always returns eps.
    crop: the part of a face that the training pictures show. face: the 3D face model that its buffers show.
    """

    image_size: int = Field(gt=0, le=4096)
    encoder: Encoder = "resnet18"
    encoder_width: int = Field(64, gt=0, le=1024)
    model_channels: int = Field(128, gt=0, le=4096)
    channel_mult: Multipliers = OFFICIAL_MULT[256]
    num_res_blocks: int = Field(2, gt=0, le=16)
    attention_resolutions: tuple[int, ...] = (16,)
    num_heads: int = Field(1, gt=0)
    code_dim: int = Field(64, gt=0)
    image_channels: Literal[1, 3] = 3
    patch_size: int = Field(1, gt=0, le=16)
    prediction: Prediction = "eps"
    dropout: float = Field(0.0, ge=0, lt=1)
    crop: CropSpec = CropSpec()
    face: FaceKind = "flame"

    @model_validator(mode="before")
    @classmethod
    def _official_mult(cls, values: Any) -> Any:
        side = values.get("image_size") if isinstance(values, dict) else None
        if isinstance(side, int) and side in OFFICIAL_MULT:
            return {"channel_mult": OFFICIAL_MULT[side], **values}
        return values

    @model_validator(mode="after")
    def _sides_divide(self) -> Self:
        divisor = self.patch_size * 2 ** (len(self.channel_mult) - 1)
        if self.image_size % divisor:
            asked = "channel_mult and patch_size ask" if self.patch_size > 1 else "channel_mult asks"
            raise ValueError(f"image_size {self.image_size} is not divisible by {divisor}, which {asked} for")
        return self


class _TimeEmbedding(nn.Sequential):
    """As the autoencoder's, under the rig's keys."""

    def __init__(self, model_channels: int, embed_dim: int) -> None:
        super().__init__(nn.Linear(model_channels, embed_dim), nn.SiLU(), nn.Linear(embed_dim, embed_dim))
        self.model_channels = model_channels

    def forward(self, t: Tensor) -> Tensor:
        embedding = timestep_embedding(t, self.model_channels).to(next(self.parameters()).dtype)
        for layer in self:
            embedding = layer(embedding)
        return embedding


class Rig(nn.Module):
    """Global encoder and conditional DDIM; state-dict keys equal the official model's."""

    def __init__(self, config: RigConfig) -> None:
        super().__init__()
        self.config = config
        embed_dim = 4 * config.model_channels
        self.denoisingUNet = UNet(
            in_channels=(config.image_channels + N_BUFFERS) * config.patch_size**2,
            out_channels=config.image_channels * config.patch_size**2,
            side=config.image_size // config.patch_size,
            model_channels=config.model_channels,
            channel_mult=config.channel_mult,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            num_heads=config.num_heads,
            embed_dim=embed_dim,
            z_dim=config.code_dim,
            dropout=config.dropout,
            z_shifts=True,
        )
        self.denoisingUNet.time_embed = _TimeEmbedding(config.model_channels, embed_dim)
        self.encoder = ResNet(DEPTHS[config.encoder], config.code_dim, width=config.encoder_width)
        self.diffusion = Schedule.linear()
        self.register_buffer("rates", rates(self.diffusion), persistent=False)
        self.rates: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """The global code (B, code_dim) of pictures x (B, image_channels, S, S) in [-1, 1]. Raises ShapeError."""
        self._check(x, self.config.image_channels, "pictures")
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
        return self._unfold(self.denoisingUNet(self._seen(x_t, buffers), t, code))

    def denoiser(self, buffers: Tensor, code: Tensor) -> Denoise:
        """``forward`` with buffers and code fixed, for a sampler: all rows share t, the code is read once."""
        by_code = self.denoisingUNet.z_modulations(code)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            raw = self._unfold(self.denoisingUNet.modulated(self._seen(x_t, buffers), t[:1], by_code))
            return eps_from(raw, x_t, t, self.rates, self.config.prediction)

        return denoise

    def save_pretrained(self, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all."""
        save_model(folder, KIND, self.config.model_dump(mode="json"), self.state_dict(), dtype=dtype)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Rig:
        """Load a folder of ``save_pretrained``, a bundled model, or a hub id, in float32 and evaluation mode.

        Official checkpoints load with ``emorph.models.load_rig``. Raises CheckpointError or UnknownNameError.
        """
        return cls.from_tensors(*read_model(name, KIND, RigConfig))

    @classmethod
    def from_tensors(cls, config: RigConfig, tensors: Mapping[str, Tensor], source: str) -> Rig:
        """A model of copies of these weights, in float32 and evaluation mode; keys as in ``state_dict()``.

        Raises CheckpointError, naming the first key that does not fit ``source``, before memory is taken.
        """
        return filled(lambda: cls(config), tensors, source)

    def _seen(self, x_t: Tensor, buffers: Tensor) -> Tensor:
        """What the U-Net takes: the noisy picture, then the buffers."""
        self._check(x_t, self.config.image_channels, "pictures")
        self._check(buffers, N_BUFFERS, "buffers")
        p, seen = self.config.patch_size, torch.cat([x_t, buffers], dim=1)
        return F.pixel_unshuffle(seen, p) if p > 1 else seen

    def _unfold(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.config.patch_size) if self.config.patch_size > 1 else x

    def _check(self, x: Tensor, channels: int, what: str) -> None:
        s = self.config.image_size
        if x.ndim != 4 or x.shape[1:] != (channels, s, s) or not x.is_floating_point():
            raise ShapeError(
                f"this rig takes float {what} (B, {channels}, {s}, {s}); found {x.dtype} {tuple(x.shape)}."
            )
