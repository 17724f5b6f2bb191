"""The rig's training loss (Ding et al. 2023): the noise, given buffers of the face and its global code.

Stage 1 trains all of it on many people. Stage 2 trains the denoiser on one person's album, with the album's mean shape;
the encoder stays as it is, running statistics and all (officially those drift).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.images import unit_range
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.diffusion.process import LossWeight, loss_weight, q_sample, training_target
from emorph.models.rig import N_BUFFERS, Rig, RigConfig
from emorph.models.rig_faces import FaceReader, ReaderName, open_face, open_reader, rig_buffers
from emorph.models.rig_start import start_rig
from emorph.train.config import RunConfig, existing_below
from emorph.train.sections import OptimConfig
from emorph.train.sheets import Sheet, Shown, drawn, reconstructed, sheet_of
from emorph.train.task import Task, check_started
from emorph.train.tasks.autoencoder import device_noise, flip_and_step
from emorph.train.tasks.coefficients import Coefficients, read_all, read_faces, read_share

CACHE_FOLDER = "coefficients"
NORMAL_X = 3  # of the nine channels


class CoefficientsConfig(Config):
    """How the faces' coefficients are read.

    encoder: landmarks needs no network; deca and emoca give FLAME's. face_model: ict_face.npz, by default where
    ``emorph models list`` says, or a converted FLAME folder, which has no usual place. network: DECA's or EMOCA's file,
    by default where ``emorph models list`` says.
    keep_buffers: render each face once and keep its buffers in memory as 16-bit numbers (18 S² bytes a face), which
    without a GPU saves much of a small rig's time.
    """

    encoder: ReaderName = "landmarks"
    face_model: str | None = None
    network: str | None = None
    keep_buffers: bool = False


class RigOptimConfig(OptimConfig):
    """The optimiser's settings; the default here is P2 weighting.

    code_dropout: the share of samples that get no code, so that the rig learns to obey the buffers instead; officially
    none.
    """

    loss_weight: LossWeight = "p2"
    code_dropout: float = Field(0.0, ge=0, lt=1)


class RigRunConfig(RunConfig):
    """A training run of the rig. stage 2 starts from a rig of stage 1, ``init``."""

    preparing: ClassVar[str] = "fitting 3D faces"
    unusable: ClassVar[str] = "could not be read as 3D faces"

    task: Literal["rig"] = "rig"
    stage: int = Field(
        1, ge=1, le=2, description="1 learns many people; 2 learns one person's album, the denoiser alone, from init."
    )
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

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        loss = RigLoss(self.model, self.optim.loss_weight, trains_encoder=self.stage == 1)
        side, channels = self.picture
        x0, buffers = torch.zeros(n, channels, side, side), torch.zeros(n, N_BUFFERS, side, side)
        return loss, (x0, buffers, torch.zeros(n, dtype=torch.int64), torch.zeros_like(x0))

    def reader(self) -> FaceReader:
        """What reads the faces. Raises MissingAssetError, CheckpointError, ConfigError."""
        asked = self.coefficients
        face = open_face(self.model.face, asked.face_model)
        return open_reader(asked.encoder, face, asked.network, skin=self.model.skin)

    @property
    def cache(self) -> Path:
        """Where coefficients are kept, beside the run."""
        return Path(self.out).parent / CACHE_FOLDER

    def prepare(self, faces: FaceStore, share: tuple[int, int], on_step: OnStep | None) -> None:
        read_share(self.reader(), faces, self.cache, share, workers=self.data.workers, on_step=on_step)

    def told(self, faces: Dataset[Any]) -> Coefficients:
        """The faces' coefficients, as the stage takes them. Raises DataError."""
        told = read_all(self.reader(), faces, cache=self.cache, workers=self.data.workers)
        return told.with_mean_shape() if self.stage == 2 else told

    def placed(self, base: Path) -> Self:
        """The same with absolute paths, relative ones starting at ``base``."""
        config = super().placed(base)
        asked = config.coefficients
        names = {key: getattr(asked, key) for key in ("face_model", "network")}
        absolute = {key: existing_below(base, name) for key, name in names.items() if name}
        return config.model_copy(update={"coefficients": asked.model_copy(update=absolute)})


class RigLoss(nn.Module):
    """The model and its loss in one module, so that every wrapper (DDP, compile, autocast) sees one forward."""

    def __init__(
        self, config: RigConfig, weight: LossWeight, *, trains_encoder: bool, code_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.model = Rig(config)
        self.weight = weight
        self.code_dropout = code_dropout
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
        code = self.model.encode(x0)
        if self.training and self.code_dropout:
            code = code * (torch.rand(len(code), 1, device=code.device) >= self.code_dropout)
        raw = self.model.predict(x_t, t, buffers, code)
        target = training_target(x0, t, noise, table, config.prediction)
        errors = (raw.float() - target).square().mean(dim=(1, 2, 3))
        weighted = (errors * loss_weight(t, table, config.prediction, self.weight)).mean()
        return {"loss": weighted, "error": errors.mean()}


class RigTask(Task[Rig]):
    """The rig as the training loop sees it."""

    model: Rig

    def __init__(self, config: RigRunConfig, reader: FaceReader, told: Coefficients) -> None:
        self.loss = RigLoss(
            config.model,
            config.optim.loss_weight,
            trains_encoder=config.stage == 1,
            code_dropout=config.optim.code_dropout,
        )
        self.model = self.loss.model
        self.watched = {"encoder": self.model.encoder} if config.stage == 1 else {}
        self.mirror = config.data.mirror
        self.told = told
        self.usable = told.known.numpy()
        if not self.usable.any():
            raise DataError(f"none of the {len(told.known)} faces could be read as a 3D face; check the landmarks.")
        self.face = reader.face
        self.reader = reader
        self.stage = config.stage
        self._shown: tuple[Tensor, Tensor] | None = None
        self.kept: dict[int, Tensor] | None = {} if config.coefficients.keep_buffers else None

    def start(self, name: str) -> Rig:
        """A folder, a bundled name, a hub id or an official checkpoint; of an autoencoder the U-Net is taken.

        Raises ConfigError for a rig that was trained for something else.
        """
        rig = start_rig(name, self.model.config)
        kept = ("prediction", "face", *(("skin",) if self.stage == 2 else ()))  # stage 1 may learn other buffers
        check_started(rig.config, self.model.config, kept, name)
        return rig

    def draw(
        self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Faces, half of them mirrored, with their buffers, rendered on the device, time steps and noise."""
        flips, steps = zip(*(flip_and_step(seed, self.model.diffusion.n_train_steps) for seed in seeds), strict=True)
        flip = (torch.tensor(flips) & self.mirror).to(device)[:, None, None, None]
        x0 = unit_range(items["image"].to(device, non_blocking=True))
        x0 = torch.where(flip, x0.flip(-1), x0)
        buffers = self._buffers(items["index"], device)
        buffers = torch.where(flip, mirrored(buffers), buffers)
        noise = torch.stack([device_noise(seed, x0.shape[1:], device) for seed in seeds])
        return x0, buffers, torch.tensor(steps, device=device), noise

    def sheet(self, model: Rig, shown: Shown) -> Sheet | None:
        """Faces, their buffers, and what the rig makes of these; None if no face of the sheet can be read."""
        if shown.landmarks is None:
            return None
        if self._shown is None:
            self._shown = self._read(shown.images, shown.landmarks, model.config.image_size)
        x, buffers = (tensor.to(model.rates.device) for tensor in self._shown)
        return rig_sheet(model, x, buffers, shown.seeds) if len(x) else None

    def _read(self, images: Tensor, points: Tensor, side_px: int) -> tuple[Tensor, Tensor]:
        """Pictures and buffers of the faces that can be read, in stage 2 with the album's shape."""
        if isinstance(self.face, nn.Module):
            self.face.cpu()  # the next step takes it back to where it trains
        x = unit_range(images)
        coeffs, known = read_faces(self.reader, x.expand(-1, 3, -1, -1), points)
        if self.stage == 2:
            coeffs = replace(coeffs, shape=self.told.coeffs.shape[:1].expand_as(coeffs.shape))
        return x[known], rig_buffers(self.face, coeffs[known], side_px)

    @torch.no_grad()
    def _buffers(self, rows: Tensor, device: torch.device) -> Tensor:
        """Of these rows of ``told``, (B, 9, S, S)."""
        if isinstance(self.face, nn.Module):
            self.face.to(device)
        if self.kept is None:
            return self._rendered(rows, device)
        new = rows[[int(row) not in self.kept for row in rows]]
        if len(new):
            self.kept.update(zip(new.tolist(), self._rendered(new, device).half(), strict=True))
        return torch.stack([self.kept[row] for row in rows.tolist()]).float()

    def _rendered(self, rows: Tensor, device: torch.device) -> Tensor:
        return rig_buffers(self.face, self.told.coeffs[rows].to(device), self.model.config.image_size)


def rig_sheet(model: Rig, x: Tensor, buffers: Tensor, seeds: Sequence[int]) -> Sheet:
    """Each face, the shaded buffer, its reconstruction, and the buffers with other noises.

    x: (n, C, S, S) in [-1, 1]; buffers: (n, 9, S, S).
    """
    given = (buffers, model.encode(x))
    columns = [reconstructed(model.diffusion, model.denoiser, given, x)]
    columns += [drawn(model.diffusion, model.denoiser, given, x.shape, seed) for seed in seeds]
    titles = ("Original", "Buffer", "Reconstruction", *(f"Noise {seed}" for seed in seeds))
    return sheet_of([x, 2 * buffers[:, :3] - 1, *columns], titles, n_fixed=2)


def mirrored(buffers: Tensor) -> Tensor:
    """Buffers (B, 9, S, S) of the mirrored faces: the picture is turned round, and so are the normals' x."""
    signs = buffers.new_ones(buffers.shape[1])
    signs[NORMAL_X] = -1
    return buffers.flip(-1) * signs[:, None, None]
