"""The rig's training loss (Ding et al. 2023): the noise, given buffers of the face and its global code.

Stage 1 trains all of it on many people. Stage 2 trains the denoiser on one person's album, with the album's mean shape;
the encoder stays as it is, running statistics and all (officially those drift).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.images import unit_range
from emorph.diffusion.process import LossWeight, loss_weight, q_sample, training_target
from emorph.models.port import load_rig
from emorph.models.rig import Rig, RigConfig
from emorph.models.rig_faces import FaceReader, ReaderName, open_face, open_reader, rig_buffers
from emorph.train.plan import OptimConfig, RunConfig, existing_below
from emorph.train.task import Task
from emorph.train.tasks.autoencoder import device_noise, flip_and_step
from emorph.train.tasks.coefficients import Coefficients, read_all

CACHE_FOLDER = "coefficients"


class CoefficientsConfig(Config):
    """How the faces' coefficients are read.

    encoder: landmarks needs no network; deca and emoca give FLAME's. face_model: ict_face.npz, or a converted FLAME
    folder; network: DECA's or EMOCA's file; by default where ``emorph models list`` says.
    """

    encoder: ReaderName = "landmarks"
    face_model: str | None = None
    network: str | None = None


class RigOptimConfig(OptimConfig):
    """As everywhere, with P2 weighting."""

    loss_weight: LossWeight = "p2"


class RigRunConfig(RunConfig):
    """A training run of the rig. stage 2 starts from a rig of stage 1, ``init``."""

    task: Literal["rig"] = "rig"
    stage: int = Field(1, ge=1, le=2)
    model: RigConfig
    coefficients: CoefficientsConfig = CoefficientsConfig()
    optim: RigOptimConfig = RigOptimConfig()

    @model_validator(mode="after")
    def _stage_2_starts_somewhere(self) -> Self:
        if self.stage == 2 and not self.init:
            raise ValueError("stage 2 trains on from a rig of stage 1: set init to its folder")
        return self

    @property
    def picture(self) -> tuple[int, int]:
        return self.model.image_size, self.model.image_channels

    def new_model(self) -> Rig:
        return Rig(self.model)

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> RigTask:
        return RigTask(self, self.reader(), self.told(faces))

    def reader(self) -> FaceReader:
        """What reads the faces. Raises MissingAssetError, CheckpointError, ConfigError."""
        asked = self.coefficients
        return open_reader(asked.encoder, open_face(self.model.face, asked.face_model), asked.network)

    def told(self, faces: Dataset[Any], on_step: Callable[[int, int], None] | None = None) -> Coefficients:
        """The faces' coefficients, as the stage takes them; kept beside the run. Raises DataError."""
        cache = Path(self.out).parent / CACHE_FOLDER
        found = read_all(self.reader(), faces, mirror=self.data.mirror, cache=cache, on_step=on_step)
        return found.with_mean_shape(2 if self.data.mirror else 1) if self.stage == 2 else found

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a TOML file and make its paths absolute. Raises ConfigError."""
        config, base = super().read(path), Path(path).resolve().parent
        asked = config.coefficients
        names = {key: getattr(asked, key) for key in ("face_model", "network")}
        absolute = {key: existing_below(base, name) for key, name in names.items() if name}
        return config.model_copy(update={"coefficients": asked.model_copy(update=absolute)})


class RigLoss(nn.Module):
    """The model and its loss in one module, so that every wrapper (DDP, compile, autocast) sees one forward."""

    def __init__(self, config: RigConfig, weight: LossWeight, *, trains_encoder: bool) -> None:
        super().__init__()
        self.model = Rig(config)
        self.weight = weight
        self.trains_encoder = trains_encoder
        self.model.encoder.requires_grad_(trains_encoder)

    def train(self, mode: bool = True) -> Self:
        """An encoder that is not trained keeps its running statistics, too."""
        super().train(mode)
        self.model.encoder.train(mode and self.trains_encoder)
        return self

    def forward(self, x0: Tensor, buffers: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The weighted "loss", and the plain "error".

        x0, noise: (B, C, S, S); buffers: (B, 9, S, S); t: int64 (B,).
        """
        config, table = self.model.config, self.model.rates
        x_t = q_sample(x0, t, noise, table)
        raw = self.model.predict(x_t, t, buffers, self.model.encode(x0))
        target = training_target(x0, t, noise, table, config.prediction)
        errors = (raw.float() - target).square().mean(dim=(1, 2, 3))
        weighted = (errors * loss_weight(t, table, config.prediction, self.weight)).mean()
        return {"loss": weighted, "error": errors.mean()}


class RigTask(Task):
    """The rig as the training loop sees it."""

    model: Rig

    def __init__(self, config: RigRunConfig, reader: FaceReader, told: Coefficients) -> None:
        self.loss = RigLoss(config.model, config.optim.loss_weight, trains_encoder=config.stage == 1)
        self.model = self.loss.model
        self.watched = {"encoder": self.model.encoder} if config.stage == 1 else {}
        self.mirror = config.data.mirror
        self.told = told
        self.n_faces = len(told.known) // (2 if self.mirror else 1)
        self.usable = told.known.reshape(-1, self.n_faces).all(dim=0).numpy()
        if not self.usable.any():
            raise DataError(f"none of the {self.n_faces} faces could be read as a 3D face; check the landmarks.")
        self.face = reader.face

    def start(self, name: str) -> Rig:
        """A folder, a bundled name, a hub id or an official checkpoint."""
        return load_rig(name)

    def draw(
        self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Faces, half of them mirrored, with their buffers, rendered on the device, time steps and noise."""
        flips, steps = zip(*(flip_and_step(seed, self.model.diffusion.n_train_steps) for seed in seeds), strict=True)
        flip = torch.tensor(flips) & self.mirror
        x0 = unit_range(items["image"].to(device, non_blocking=True))
        x0 = torch.where(flip.to(device)[:, None, None, None], x0.flip(-1), x0)
        coeffs = self.told.coeffs[items["index"] + self.n_faces * flip].to(device)
        if isinstance(self.face, nn.Module):
            self.face.to(device)
        with torch.no_grad():
            buffers = rig_buffers(self.face, coeffs, self.model.config.image_size)
        noise = torch.stack([device_noise(seed, x0.shape[1:], device) for seed in seeds])
        return x0, buffers, torch.tensor(steps, device=device), noise
