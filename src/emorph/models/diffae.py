"""The diffusion autoencoder: a face to z_sem and x_T and back (Preechakul et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import CheckpointError, UnknownNameError
from emorph.core.pretrained import locate, stated_losses
from emorph.core.tone import Tone, ToneName, tone_of
from emorph.core.types import CropSpec
from emorph.diffusion.process import Prediction, eps_from, rates
from emorph.diffusion.samplers import Denoise
from emorph.diffusion.schedule import Schedule
from emorph.models.directions import LatentStats
from emorph.models.fitted_on import weights_digest
from emorph.models.latent import LatentNet, LatentNetConfig
from emorph.models.reuse import DeepReuse, FixedZ
from emorph.models.semantic import SemanticEncoder
from emorph.models.sizes import Multipliers, check_pictures, check_side, fold, unfold
from emorph.models.unet import UNet
from emorph.models.weights import PretrainedModule, fingerprint, save_model

KIND = "diffae"
ScheduleName = Literal["linear", "cosine"]


class DiffAEConfig(Config):
    """Sizes of a diffusion autoencoder.

    image_size, image_channels: of the pictures it takes. patch_size p folds p x p pixels into channels before the
    networks and back after them; ``attention_resolutions`` are sides of the feature maps after folding.
    prediction: what the U-Net puts out; ``forward`` always returns eps. latent: the latent net, if there is one.
    crop: the part of a face that the training pictures show. tone: whether the light of a face is taken off its picture
    before the networks see it ("face", see ``emorph.core.tone``); who calls them does that. edit_steps: network
    evaluations in each direction that an edit takes unless told otherwise, None for the editor's own.
    In place of the sizes, ``preset = "ffhq128"`` names one of ``preset``; what is stated beside it comes instead of the
    preset's.
    """

    image_size: int = Field(gt=0, le=4096, description="Side of the pictures.")
    model_channels: int = Field(gt=0, le=4096, description="Channels of the U-Net at full resolution.")
    channel_mult: Multipliers = Field(
        description="Channels at each resolution, in model_channels; each halves the side."
    )
    encoder_channel_mult: Multipliers = Field(description="The same of the semantic encoder.")
    num_res_blocks: int = Field(2, gt=0, le=16, description="Residual blocks at each resolution.")
    attention_resolutions: tuple[int, ...] = Field(
        (16,), description="Sides of the feature maps, after folding, that have attention."
    )
    num_heads: int = Field(1, gt=0, description="Heads of each attention.")
    z_dim: int = Field(512, gt=0, description="Length of z_sem.")
    embed_dim: int = Field(512, gt=0, description="Length of what the blocks are told of time and z_sem.")
    image_channels: int = Field(3, gt=0, description="Channels of the pictures: 3 for colour, 1 for gray.")
    patch_size: int = Field(
        1, gt=0, description="Side of the squares of pixels that are folded into channels before the networks."
    )
    prediction: Prediction = Field(
        "eps", description="What the U-Net puts out: the noise (eps), v, or the picture (x0)."
    )
    schedule: ScheduleName = Field("linear", description="The noise schedule.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the residual blocks, while training.")
    latent: LatentNetConfig | None = None
    crop: CropSpec = CropSpec()
    tone: ToneName = Field(
        "as_is", description="face takes the light of a face off its picture before the networks see it."
    )
    edit_steps: int | None = Field(
        None, ge=2, le=999, description="Network evaluations in each direction of an edit that states none."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and "preset" in values:
            own = {key: value for key, value in values.items() if key != "preset"}
            return {**cls.preset(str(values["preset"])).model_dump(), **own}
        return values

    @model_validator(mode="after")
    def _sides_divide(self) -> Self:
        check_side(self.image_size, self.patch_size, "channel_mult", self.channel_mult)
        check_side(self.image_size, self.patch_size, "encoder_channel_mult", self.encoder_channel_mult)
        return self

    @classmethod
    def preset(cls, name: str) -> DiffAEConfig:
        """The official models: "ffhq128" (130 M samples, 128.5 M parameters) or "ffhq256" (168.5 M parameters).

        >>> config = DiffAEConfig.preset("ffhq128")
        >>> config.image_size, config.z_dim
        (128, 512)
        """
        if name not in PRESETS:
            raise UnknownNameError("preset", name, PRESETS)
        size, mult = PRESETS[name]
        return cls(
            image_size=size,
            model_channels=128,
            channel_mult=mult,
            encoder_channel_mult=(*mult, 4),
            dropout=0.1,
        )


PRESETS: dict[str, tuple[int, tuple[int, ...]]] = {
    "ffhq128": (128, (1, 1, 2, 3, 4)),
    "ffhq256": (256, (1, 1, 2, 2, 4, 4)),
}


class DiffAE(UNet, PretrainedModule):
    """Semantic encoder and conditional DDIM; state-dict keys equal the official model's without its prefix.

    losses: the networks that gave a loss while it was trained, see ``emorph.core.pretrained.stated_losses``.
    """

    kind = KIND
    config_type = DiffAEConfig
    config: DiffAEConfig

    def __init__(self, config: DiffAEConfig) -> None:
        folded = config.image_channels * config.patch_size**2
        side = config.image_size // config.patch_size
        super().__init__(
            in_channels=folded,
            out_channels=folded,
            side=side,
            model_channels=config.model_channels,
            channel_mult=config.channel_mult,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            num_heads=config.num_heads,
            embed_dim=config.embed_dim,
            z_dim=config.z_dim,
            dropout=config.dropout,
        )
        self.config = config
        self.losses: tuple[Mapping[str, Any], ...] = ()
        self.encoder = SemanticEncoder(
            in_channels=folded,
            side=side,
            model_channels=config.model_channels,
            channel_mult=config.encoder_channel_mult,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            num_heads=config.num_heads,
            z_dim=config.z_dim,
        )
        self.latent_net = LatentNet(config.latent) if config.latent else None
        self.diffusion = Schedule.linear() if config.schedule == "linear" else Schedule.cosine()
        # on the CPU also inside torch.device("meta"), where models are built to be filled from a file
        self.register_buffer("rates", rates(self.diffusion), persistent=False)
        self.rates: Tensor
        self.register_buffer("conds_mean", None, persistent=False)
        self.register_buffer("conds_std", None, persistent=False)
        self.conds_mean: Tensor | None
        self.conds_std: Tensor | None

    @property
    def latent_stats(self) -> LatentStats | None:
        """Statistics of z_sem that the latent net works in, saved beside the weights but not in ``state_dict()``."""
        if self.conds_mean is None or self.conds_std is None:
            return None
        return LatentStats(self.conds_mean, self.conds_std)

    @latent_stats.setter
    def latent_stats(self, stats: LatentStats | None) -> None:
        self.conds_mean = stats.mean if stats else None
        self.conds_std = stats.std if stats else None

    def tone(self, x: Tensor) -> Tone:
        """What is to be taken off pictures, float (B, image_channels, S, S) in [-1, 1], before this model sees them."""
        return tone_of(x, self.config.tone)

    def encode(self, x: Tensor) -> Tensor:
        """z_sem (B, z_dim) of pictures x, float (B, image_channels, S, S) in [-1, 1]. Raises ShapeError."""
        z: Tensor = self.encoder(self.seen(x))
        return z

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """The noise eps in x_t.

        x_t: float (B, image_channels, S, S); t: int64 (B,) in [0, 1000); z: (B, z_dim). Raises ShapeError.
        """
        return eps_from(self.predict(x_t, t, z), x_t, t, self.rates, self.config.prediction)

    def predict(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """The U-Net's raw output, in the space that ``config.prediction`` names; for training."""
        return unfold(super().forward(self.seen(x_t), t, z), self.config.patch_size)

    def denoiser(self, z: Tensor, *, reuse: int = 1) -> Denoise:
        """``forward`` with z fixed, for one run of a sampler: all rows share t, and z's part is computed once.

        reuse: compute deep features only at every so many evaluations, see ``emorph.models.reuse``; 1 is exact.
        """
        network = self.at(z)
        return self.denoiser_by(network.whole if reuse == 1 else DeepReuse(network, reuse, self.diffusion).evaluate)

    def denoiser_by(self, evaluate: Callable[[Tensor, Tensor], Tensor]) -> Denoise:
        """``forward`` by a function of pictures and one time step that gives the raw output, as ``FixedZ.whole``."""

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            raw = evaluate(x_t, t[:1])
            return eps_from(raw, x_t, t, self.rates, self.config.prediction)

        return denoise

    def at(self, z: Tensor) -> FixedZ:
        """The network of ``predict`` for this z (B, z_dim), whose part is computed once."""
        return _TorchAtZ(self, z)

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that tell its weights from others'."""
        return fingerprint(self)

    @property
    def encoder_digest(self) -> str:
        """What directions name that were fitted on its codes, see ``emorph.models.fitted_on``."""
        return weights_digest(self.encoder)

    def save_pretrained(self, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all."""
        stats = self.latent_stats
        exact = {"conds_mean": stats.mean.float(), "conds_std": stats.std.float()} if stats else {}
        config = self.config.model_dump(mode="json")
        save_model(folder, KIND, config, self.state_dict(), dtype=dtype, exact=exact, losses=self.losses)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """As ``PretrainedModule.from_pretrained``, and with what the folder says of losses."""
        model = super().from_pretrained(name)
        model.losses = stated_losses(locate(name))
        return model

    @classmethod
    def from_tensors(cls, config: DiffAEConfig, tensors: Mapping[str, Tensor], source: str) -> Self:
        """A model of copies of these weights, in float32 and evaluation mode; nothing is drawn at random first.

        tensors: keys as in ``state_dict()``, and conds_mean and conds_std, (z_dim,) or (1, z_dim), if there are any.
        Raises CheckpointError, naming the first key that does not fit ``source``, before memory is taken.
        """
        own = dict(tensors)
        stats: dict[str, Tensor] = {key: own.pop(key) for key in ("conds_mean", "conds_std") if key in own}
        model = super().from_tensors(config, own, source)
        if stats:
            model.latent_stats = latent_stats_from(stats, config.z_dim, source)
        return model

    def seen(self, x: Tensor) -> Tensor:
        """What the networks take of pictures (B, image_channels, S, S): folded. Raises ShapeError."""
        c = self.config
        check_pictures(x, c.image_channels, c.image_size, "this model takes float pictures in [-1, 1]")
        return fold(x, c.patch_size)


class _TorchAtZ:
    """The U-Net in torch, with z's modulations known."""

    def __init__(self, model: DiffAE, z: Tensor) -> None:
        self._model = model
        self._by_z = model.z_modulations(z)

    def whole(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self._pictures(self._model.modulated(self._model.seen(x_t), t, self._by_z))

    def with_deep(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        raw, deep = self._model.with_deep(self._model.seen(x_t), t, self._by_z)
        return self._pictures(raw), deep

    def outer(self, x_t: Tensor, t: Tensor, deep: Tensor) -> Tensor:
        return self._pictures(self._model.outer(self._model.seen(x_t), t, self._by_z, deep))

    def _pictures(self, raw: Tensor) -> Tensor:
        return unfold(raw, self._model.config.patch_size)


def latent_stats_from(tensors: Mapping[str, Tensor], z_dim: int, source: str) -> LatentStats:
    """Statistics from conds_mean and conds_std, (z_dim,) or (1, z_dim). Raises CheckpointError."""
    found = []
    for key in ("conds_mean", "conds_std"):
        if key not in tensors:
            raise CheckpointError(f"{source} does not fit: {key} is missing.")
        if tuple(tensors[key].shape) not in ((z_dim,), (1, z_dim)):
            raise CheckpointError(
                f"{source} does not fit: {key} has shape {tuple(tensors[key].shape)}, expected ({z_dim},)."
            )
        found.append(tensors[key].to(torch.float32, copy=True).reshape(z_dim))
    return LatentStats(*found)
