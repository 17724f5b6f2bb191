"""The published code of the diffusion autoencoder, in a checkout that the user has, as something to measure."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emorph.diffusion.samplers import ddim_invert, ddim_sample
from emorph.models.diffae import DiffAE, DiffAEConfig

TRAIN_STEPS = 1000
LATENT_NET = "latent_net."  # keys of a part that edits do not use; the published model of that name needs options
WHY_CHARACTERS = 300  # of an error; that of weights that do not fit lists every key


class Plain:
    """emorph's own exact path without any speed-up: whole evaluations of one time step, DDIM, nothing kept."""

    name = "emorph, plain"

    def __init__(self, model: DiffAE) -> None:
        self.model = model

    def encode(self, x: Tensor) -> Tensor:
        return self.model.encode(x)

    def unet(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        eps: Tensor = self.model(x_t, t, z)
        return eps

    def invert(self, x: Tensor, z: Tensor, n_steps: int) -> Tensor:
        schedule = self.model.diffusion.respaced(n_steps)
        return ddim_invert(lambda x_t, t: self.unet(x_t, t, z), x, schedule)

    def render(self, x_T: Tensor, z: Tensor, n_steps: int) -> Tensor:
        schedule = self.model.diffusion.respaced(n_steps)
        return ddim_sample(lambda x_t, t: self.unet(x_t, t, z), x_T, schedule)


class Published:
    """The published networks and samplers, as its ``LitModel`` calls them: encode_stochastic(T), render(T)."""

    name = "published code"

    def __init__(self, code: Path, config: DiffAEConfig, weights: Mapping[str, Tensor]) -> None:
        """Raises SystemExit for a folder that is not that code, sizes that it has not, or code that fails here."""
        if config.patch_size != 1 or config.prediction != "eps" or config.schedule != "linear":
            raise SystemExit("the published code has no model of these sizes; measure ffhq128 or ffhq256.")
        if not (code / "model" / "unet_autoenc.py").is_file() or not (code / "diffusion" / "diffusion.py").is_file():
            raise SystemExit(f"{code} is no checkout of the published code: it has no model/unet_autoenc.py.")
        sys.path.insert(0, str(code.resolve()))
        try:
            self._networks: Any = importlib.import_module("model.unet_autoenc")
            self._samplers: Any = importlib.import_module("diffusion.diffusion")
            self._base: Any = importlib.import_module("diffusion.base")
            self._choices: Any = importlib.import_module("choices")
            self._model: Any = self._built(config).eval().requires_grad_(False)
            own = {key: value for key, value in weights.items() if not key.startswith(LATENT_NET)}
            self._model.load_state_dict(own, strict=True)
            self._sampler(2)
        except Exception as error:  # foreign code that is older than what it runs on fails in any way
            why = " ".join(f"{type(error).__name__}: {error}".split())[:WHY_CHARACTERS]
            raise SystemExit(
                f"the published code in {code} does not work here ({why}); install the versions that it asks for."
            ) from None

    def encode(self, x: Tensor) -> Tensor:
        z: Tensor = self._model.encoder(x)
        return z

    def unet(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        eps: Tensor = self._model(x_t, t, cond=z).pred
        return eps

    def invert(self, x: Tensor, z: Tensor, n_steps: int) -> Tensor:
        found = self._sampler(n_steps).ddim_reverse_sample_loop(self._model, x, model_kwargs={"cond": z})
        x_T: Tensor = found["sample"]
        return x_T

    def render(self, x_T: Tensor, z: Tensor, n_steps: int) -> Tensor:
        found: Tensor = self._sampler(n_steps).sample(model=self._model, noise=x_T, model_kwargs={"cond": z})
        return found

    def _built(self, config: DiffAEConfig) -> Any:
        return self._networks.BeatGANsAutoencConfig(
            image_size=config.image_size,
            in_channels=config.image_channels,
            out_channels=config.image_channels,
            model_channels=config.model_channels,
            channel_mult=config.channel_mult,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            num_heads=config.num_heads,
            embed_channels=config.embed_dim,
            dropout=config.dropout,
            resblock_updown=True,
            resnet_two_cond=True,
            enc_out_channels=config.z_dim,
            enc_channel_mult=config.encoder_channel_mult,
            enc_num_res_block=config.num_res_blocks,
            enc_pool="adaptivenonzero",
        ).make_model()

    def _sampler(self, n_steps: int) -> Any:
        c = self._choices
        steps = self._samplers.space_timesteps(num_timesteps=TRAIN_STEPS, section_counts=f"ddim{n_steps}")
        return self._samplers.SpacedDiffusionBeatGansConfig(
            gen_type=c.GenerativeType.ddim,
            model_type=c.ModelType.autoencoder,
            betas=self._base.get_named_beta_schedule("linear", TRAIN_STEPS),
            model_mean_type=c.ModelMeanType.eps,
            model_var_type=c.ModelVarType.fixed_large,
            loss_type=c.LossType.mse,
            rescale_timesteps=False,
            fp16=False,
            use_timesteps=steps,
        ).make_sampler()


def random_weights(model: DiffAE, seed: int = 0) -> None:
    """Fill a model with weights that keep the size of what passes through, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:  # norms' weights are around 1, biases around 0
                is_norm = name.endswith("weight")
                parameter.copy_(0.1 * noise + is_norm)
