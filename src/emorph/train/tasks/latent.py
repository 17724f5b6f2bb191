"""The latent net's training loss (Preechakul et al. 2022, App. A): the noise in z_sem, absolute error, constant beta.

The autoencoder stays as it is. Every face is encoded once; a step takes codes, normalised by their statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.device import choose_device
from emorph.core.errors import ConfigError, DataError
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.process import q_sample, rates
from emorph.models.diffae import DiffAE
from emorph.models.directions import LatentStats
from emorph.models.latent import LATENT_PROCESS, LatentNetConfig, sample_latents
from emorph.models.port import autoencoder_config, load
from emorph.models.weights import PretrainedModule, fingerprint
from emorph.train.codes import CACHE_FOLDER, Codes, encode_all, encode_share
from emorph.train.config import RunConfig
from emorph.train.sections import OptimConfig
from emorph.train.sheets import Sheet, Shown, drawn, sheet_of
from emorph.train.task import Task
from emorph.train.tasks.autoencoder import device_noise, flip_and_step

SHEET_STEPS = 20  # of the latent net
LEAST_STD = 1e-4  # a number of z_sem that never changes is left as large as it is


class LatentOptimConfig(OptimConfig):
    """The optimiser's settings; the defaults here are the official batch and weight decay."""

    batch_size: int = Field(256, gt=0)
    weight_decay: float = Field(0.01, ge=0)


class LatentRunConfig(RunConfig):
    """A training run of the latent net of a finished autoencoder.

    autoencoder: a model folder, a bundled name or a checkpoint; relative paths start at the configuration file's
    folder. init: an autoencoder with a latent net, the same autoencoder, to continue from. model: z_dim is the
    autoencoder's.
    """

    names_of_models: ClassVar[tuple[str, ...]] = ("init", "autoencoder")
    preparing: ClassVar[str] = "encoding faces"

    task: Literal["latent"] = "latent"
    autoencoder: str
    model: LatentNetConfig = LatentNetConfig()
    optim: LatentOptimConfig = LatentOptimConfig()

    @model_validator(mode="after")
    def _all_steps_alike(self) -> Self:
        if self.optim.loss_weight != "plain":
            raise ValueError(
                f"optim.loss_weight = {self.optim.loss_weight!r}: a latent net's loss counts all time steps alike; "
                "leave it out, it is read for the autoencoder and the rig"
            )
        return self

    @property
    def picture(self) -> tuple[int, int]:
        sizes = autoencoder_config(self.autoencoder)
        return sizes.image_size, sizes.image_channels

    def new_model(self) -> DiffAE:
        sizes = autoencoder_config(self.autoencoder)
        latent = self.model.model_copy(update={"z_dim": sizes.z_dim})
        return DiffAE(sizes.model_copy(update={"latent": latent}))

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> LatentTask:
        return LatentTask(self, self.codes(faces), len(faces))  # type: ignore[arg-type]  # a map-style data set

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The loss with random weights, and inputs of n samples: enough to measure a step."""
        loss = LatentLoss(self.new_model())
        z = torch.zeros(n, loss.model.config.z_dim)
        return loss, (z, torch.zeros(n, dtype=torch.int64), torch.zeros_like(z))

    def validation_task(self, faces: Dataset[Any], trained: PretrainedModule) -> LatentTask:
        """The same on validation faces, whose codes are normalised as the training faces' were."""
        task = self.build(faces, None)
        assert isinstance(trained, DiffAE)
        assert trained.latent_stats is not None
        task.z = trained.latent_stats.to(torch.device("cpu")).normalise(self.codes(faces).z)
        return task

    @property
    def cache(self) -> Path:
        """Where codes are kept, beside the run; a classifier finds them, too."""
        return Path(self.out).parent / CACHE_FOLDER

    def prepare(self, faces: FaceStore, share: tuple[int, int], on_step: OnStep | None) -> None:
        model = load(self.autoencoder).to(choose_device())
        mirror, workers = self.data.mirror, self.data.workers
        encode_share(model, faces, self.cache, share, mirror=mirror, workers=workers, on_step=on_step)

    def codes(self, faces: Dataset[Any]) -> Codes:
        """z_sem of the faces. Raises CheckpointError."""
        model = load(self.autoencoder).to(choose_device())
        return encode_all(model, faces, self.cache, mirror=self.data.mirror, workers=self.data.workers)


class LatentLoss(nn.Module):
    """The whole model, of which the latent net alone is trained, and its loss."""

    def __init__(self, model: DiffAE) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        assert model.latent_net is not None
        model.latent_net.requires_grad_(True)
        self.register_buffer("rates", rates(LATENT_PROCESS), persistent=False)
        self.rates: Tensor

    def forward(self, z0: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The mean absolute "loss". z0, noise: (B, z_dim), z0 normalised; t: int64 (B,)."""
        assert self.model.latent_net is not None
        predicted = self.model.latent_net(q_sample(z0, t, noise, self.rates), t)
        return {"loss": (predicted.float() - noise).abs().mean()}


class LatentTask(Task[DiffAE]):
    """The latent net as the training loop sees it; ``model`` is the whole autoencoder, so that it is saved as one."""

    model: DiffAE

    def __init__(self, config: LatentRunConfig, codes: Codes, n_faces: int) -> None:
        model = config.new_model()
        body = load(config.autoencoder)
        model.load_state_dict(_of_the_body(body), strict=False)
        std = codes.z.std(dim=0)
        model.latent_stats = LatentStats(codes.z.mean(dim=0), torch.where(std > LEAST_STD, std, 1.0))
        if config.init:
            model.latent_stats = _started(load(config.init), body, config.init)
        self.loss = LatentLoss(model)
        self.model = model
        self.z = model.latent_stats.normalise(codes.z)
        self.n_faces = n_faces
        self.mirror = config.data.mirror
        self.items = _Numbers(n_faces)

    def start(self, name: str) -> DiffAE:
        """A latent model; the task was built on its statistics, and refused one of another autoencoder then."""
        return load(name)

    def draw(
        self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, half of them of mirror images, time steps and noise."""
        flips, steps = zip(*(flip_and_step(seed, len(LATENT_PROCESS)) for seed in seeds), strict=True)
        rows = items["index"] + self.n_faces * (torch.tensor(flips) & self.mirror)
        noise = torch.stack([device_noise(seed, self.z.shape[1:], device) for seed in seeds])
        return self.z[rows].to(device), torch.tensor(steps, device=device), noise

    def sheet(self, model: DiffAE, shown: Shown) -> Sheet:
        """New faces: a z_sem a row, the same at every step but for what was learnt, with several noises."""
        assert model.latent_net is not None
        assert model.latent_stats is not None
        noise = seeded_noise(range(len(shown.images)), (model.config.z_dim,), model.rates.device)
        given = (sample_latents(model.latent_net, model.latent_stats, noise, SHEET_STEPS),)
        seeds = shown.seeds or (0,)
        shape = (len(noise), model.config.image_channels, *[model.config.image_size] * 2)
        columns = [drawn(model.diffusion, model.denoiser, given, shape, seed) for seed in seeds]
        return sheet_of(columns, tuple(f"Noise {seed}" for seed in seeds), n_fixed=0)


class _Numbers(Dataset[dict[str, Tensor]]):
    """The places of n codes."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"index": torch.tensor(int(index))}


def _of_the_body(model: DiffAE) -> dict[str, Tensor]:
    return {key: value for key, value in model.state_dict().items() if not key.startswith("latent_net.")}


def _started(model: DiffAE, body: DiffAE, name: str) -> LatentStats:
    """The statistics that another run's latent net works in. Raises ConfigError, DataError if it does not fit."""
    if model.latent_stats is None or model.latent_net is None:
        raise DataError(f"{name} has no latent net to continue from; leave init out.")
    if fingerprint(model.encoder) != fingerprint(body.encoder):
        raise ConfigError(f"init {name} is a latent net on another autoencoder, whose z_sem means something else.")
    return model.latent_stats
