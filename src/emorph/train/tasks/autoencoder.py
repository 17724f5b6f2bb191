"""The diffusion autoencoder's training loss (Preechakul et al. 2022, Eq. 9): the noise, given z_sem of the face.

Optionally z_sem must also tell landmarks and emotion through linear layers. On thousands of faces instead of
millions, the plain loss spends its time on light and pose before it comes to mouths.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.core.landmarks import INNER, LEFT_EYE, MIRRORED, MOUTH, RIGHT_EYE
from emorph.core.tone import face_window
from emorph.diffusion.process import LossWeight, loss_weight, q_sample, training_target
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.port import load
from emorph.train.config import RunConfig
from emorph.train.sheets import Sheet, Shown, drawn, reconstructed, sheet_of
from emorph.train.task import Task, check_started, hash_seed

MOUTH_RADIUS, EYE_RADIUS = 0.22, 0.15  # where errors of mouth and eyes count more: sigma, in half sides of the crop


class AuxConfig(Config):
    """Weights of what z_sem must also tell through one linear layer each, so that it learns expressions early.

    landmarks: mean squared error of the 51 inner landmarks, each coordinate standardised over the data set.
    labels: cross-entropy of the emotion, with classes weighted to count the same. The layers are thrown away after.
    """

    landmarks: float = Field(0.0, ge=0)
    labels: float = Field(0.0, ge=0)


class FocusConfig(Config):
    """Where in a picture an error counts: by default everywhere the same.

    The weights of a picture are then brought to a mean of 1.
    """

    outside: float = Field(
        1.0, gt=0, description="Weight of an error outside the face; inside it is 1, so that 0.5 counts half."
    )
    mouth: float = Field(
        0.0, ge=0, description="What is added to the weight around the mouth, where the data set has landmarks."
    )
    eyes: float = Field(
        0.0, ge=0, description="What is added to the weight around the eyes, where the data set has landmarks."
    )

    def weights(self, window: Tensor, landmarks: Tensor | None) -> Tensor:
        """Weights (B or 1, 1, S, S), mean 1.

        window: (S, S) of ``face_window``. landmarks: (B, 68, 2) in [-1, 1] across the picture, or None.
        """
        weights = (self.outside + (1 - self.outside) * window)[None, None]
        if landmarks is not None:
            for points, radius, weight in (
                (MOUTH, MOUTH_RADIUS, self.mouth),
                (LEFT_EYE, EYE_RADIUS, self.eyes),
                (RIGHT_EYE, EYE_RADIUS, self.eyes),
            ):
                if weight:
                    weights = weights + weight * _bump(landmarks[:, points].mean(dim=1), radius, window.shape[-1])
        return weights / weights.mean(dim=(-2, -1), keepdim=True)


class AutoencoderConfig(RunConfig):
    """A training run of the diffusion autoencoder."""

    task: Literal["autoencoder"] = "autoencoder"
    model: DiffAEConfig
    aux: AuxConfig = AuxConfig()
    focus: FocusConfig = FocusConfig()

    @property
    def picture(self) -> tuple[int, int]:
        return self.model.image_size, self.model.image_channels

    def new_model(self) -> DiffAE:
        return DiffAE(self.model)

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> AutoencoderTask:
        return AutoencoderTask(self, faces, repeats)

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        stats = LabelStats(torch.ones(len(Emotion)), torch.zeros(68, 2), torch.ones(68, 2))
        loss = AutoencoderLoss(self.model, self.optim.loss_weight, self.aux, stats, self.focus)
        side, channels = self.picture
        x0, zeros = torch.zeros(n, channels, side, side), torch.zeros(n, dtype=torch.int64)
        return loss, (x0, zeros, torch.zeros(n, 68, 2), zeros, torch.zeros_like(x0))


@dataclass(frozen=True)
class Batch:
    """One step's faces: x0 (B, C, S, S) in [-1, 1], label int64 (B,), landmarks (B, 68, 2) in [-1, 1] or None."""

    x0: Tensor
    label: Tensor
    landmarks: Tensor | None


@dataclass(frozen=True)
class LabelStats:
    """What the auxiliary losses need to know of a data set.

    class_weight: (8,), mean 1 over the samples. landmark_mean, landmark_std: (68, 2), or None without landmarks.
    """

    class_weight: Tensor
    landmark_mean: Tensor | None
    landmark_std: Tensor | None


class AutoencoderLoss(nn.Module):
    """The model and its loss in one module, so that every wrapper (DDP, compile, autocast) sees one forward."""

    def __init__(
        self,
        config: DiffAEConfig,
        weight: LossWeight,
        aux: AuxConfig,
        stats: LabelStats,
        focus: FocusConfig | None = None,
    ) -> None:
        super().__init__()
        self.model = DiffAE(config)
        self.weight = weight
        self.aux = aux
        self.focus = focus or FocusConfig()
        self.heads = nn.ModuleDict()
        if aux.landmarks:
            self.heads["landmarks"] = nn.Linear(config.z_dim, 2 * (INNER.stop - INNER.start))
        if aux.labels:
            self.heads["labels"] = nn.Linear(config.z_dim, len(Emotion))
        self.class_weight: Tensor
        self.landmark_mean: Tensor | None
        self.landmark_std: Tensor | None
        self.window: Tensor
        self.register_buffer("window", face_window(config.image_size), persistent=False)
        for name, value in vars(stats).items():  # on the loss's device: a copy at each step would wait for it
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, x0: Tensor, label: Tensor, landmarks: Tensor | None, t: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        """Scalar losses: "loss" is the weighted sum, the rest its parts.

        x0, label, landmarks: as in Batch (Fabric takes no frozen dataclass); t: int64 (B,); noise: like x0.
        """
        config, table = self.model.config, self.model.rates
        x_t = q_sample(x0, t, noise, table)
        z = self.model.encode(x0)
        raw = self.model.predict(x_t, t, z)
        target = training_target(x0, t, noise, table, config.prediction)
        weights = self.focus.weights(self.window, landmarks)
        errors = (self.distance(raw.float(), target) * weights).mean(dim=(1, 2, 3))
        parts = {"diffusion": (errors * loss_weight(t, table, config.prediction, self.weight)).mean()}
        total = parts["diffusion"]
        if self.aux.landmarks and landmarks is not None:
            parts["landmarks"] = self._landmark_error(z, landmarks)
            total = total + self.aux.landmarks * parts["landmarks"]
        if self.aux.labels:
            logits = self.heads["labels"](z).float()
            each = F.cross_entropy(logits, label.clamp(min=0), reduction="none", label_smoothing=0.1)
            parts["labels"] = (each * self.class_weight[label] * (label >= 0)).mean()  # -1 is a face without a label
            total = total + self.aux.labels * parts["labels"]
        return {"loss": total, **parts}

    def distance(self, raw: Tensor, target: Tensor) -> Tensor:
        """How far the U-Net's output is from what it should be, at each pixel (B, C, S, S): the squared difference."""
        return (raw - target).square()

    def _landmark_error(self, z: Tensor, landmarks: Tensor) -> Tensor:
        if self.landmark_mean is None or self.landmark_std is None:
            return z.new_zeros(())
        standard = (landmarks - self.landmark_mean) / self.landmark_std
        read = self.heads["landmarks"](z).float()
        return F.mse_loss(read, standard[:, INNER].flatten(1))


class AutoencoderTask(Task[DiffAE]):
    """The diffusion autoencoder as the training loop sees it. loss_type: what a variant of the task replaces."""

    loss_type: ClassVar[type[AutoencoderLoss]] = AutoencoderLoss

    model: DiffAE

    def __init__(self, config: AutoencoderConfig, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> None:
        stats = label_stats(faces, len(faces), config.aux, repeats)  # type: ignore[arg-type]  # a map-style data set
        self.loss = self.loss_type(config.model, config.optim.loss_weight, config.aux, stats, config.focus)
        self.model = self.loss.model
        self.watched = {"encoder": self.model.encoder}
        self.mirror = config.data.mirror

    def start(self, name: str) -> DiffAE:
        """A folder, a bundled name, a hub id or an official checkpoint. Raises ConfigError for another prediction."""
        model = load(name)
        check_started(model.config, self.model.config, ("prediction", "tone"), name)
        return model

    def draw(
        self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
        """Faces, half of them mirrored, with labels, landmarks, time steps and noise."""
        n_steps = self.model.diffusion.n_train_steps
        flips, steps = zip(*(flip_and_step(seed, n_steps) for seed in seeds), strict=True)
        landmarks = items["landmarks"].to(device, non_blocking=True) if "landmarks" in items else None
        x0 = unit_range(items["image"].to(device, non_blocking=True))
        x0 = self.model.tone(x0).take_off(x0)
        batch = Batch(x0, items["label"].to(device, non_blocking=True), landmarks)
        if self.mirror:
            batch = mirrored(batch, torch.tensor(flips, device=device))
        noise = torch.stack([device_noise(seed, x0.shape[1:], device) for seed in seeds])
        return batch.x0, batch.label, batch.landmarks, torch.tensor(steps, device=device), noise

    def sheet(self, model: DiffAE, shown: Shown) -> Sheet:
        """Each face, its reconstruction, and its z_sem with other noises."""
        x = unit_range(shown.images.to(model.rates.device))
        tone = model.tone(x)
        seen = tone.take_off(x)
        given = (model.encode(seen),)
        columns = [reconstructed(model.diffusion, model.denoiser, given, seen)]
        columns += [drawn(model.diffusion, model.denoiser, given, x.shape, seed) for seed in shown.seeds]
        titles = ("Original", "Reconstruction", *(f"z, noise {seed}" for seed in shown.seeds))
        return sheet_of([x, *map(tone.put_back, columns)], titles, n_fixed=1)


def _bump(centre: Tensor, radius: float, side_px: int) -> Tensor:
    """A Gaussian of height 1 around each centre (B, 2) in [-1, 1], (B, 1, S, S)."""
    at = (torch.arange(side_px, device=centre.device) + 0.5) * (2 / side_px) - 1
    across, down = ((at - centre[:, axis, None]).square() for axis in (0, 1))
    return torch.exp((across[:, None, None, :] + down[:, None, :, None]) / (-2 * radius**2))


def flip_and_step(seed: int, n_steps: int) -> tuple[bool, int]:
    """Whether a sample is mirrored, and its time step."""
    generator = torch.Generator().manual_seed(seed)
    flip, step = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return flip < 0.5, int(step * n_steps)


def device_noise(seed: int, shape: torch.Size, device: torch.device) -> Tensor:
    """Drawn on the device, unlike ``seeded_noise``: a run's noise must be fast, an edit's the same everywhere."""
    generator = torch.Generator(device).manual_seed(hash_seed(seed, 1))
    return torch.randn(shape, generator=generator, device=device)


def mirrored(batch: Batch, flip: Tensor) -> Batch:
    """The batch with the faces of ``flip`` (B,) bool mirrored, landmarks and all."""
    x0 = torch.where(flip[:, None, None, None], batch.x0.flip(-1), batch.x0)
    landmarks = batch.landmarks
    if landmarks is not None:
        landmarks = torch.where(flip[:, None, None], mirrored_landmarks(landmarks), landmarks)
    return Batch(x0, batch.label, landmarks)


def mirrored_landmarks(landmarks: Tensor) -> Tensor:
    """Landmarks (B, 68, 2), in [-1, 1] across the picture, of the mirrored picture."""
    swapped = landmarks.index_select(1, _mirrored_order(landmarks.device))
    return torch.stack([-swapped[..., 0], swapped[..., 1]], dim=-1)


@functools.cache
def _mirrored_order(device: torch.device) -> Tensor:
    """MIRRORED, copied to a device once."""
    with torch.inference_mode(False):
        return torch.tensor(MIRRORED, device=device)


def label_stats(faces: Dataset[Any], n_faces: int, aux: AuxConfig, repeats: NDArray[np.float64] | None) -> LabelStats:
    """Class weights and landmark statistics of a data set, as a run meets it.

    repeats: (n_faces,), how often each face comes in an epoch; None is once. Raises DataError if landmarks are missing.
    """
    n_classes = len(Emotion)
    counts = np.ones(n_classes)
    if aux.labels:
        labels: NDArray[np.int64] = faces.labels  # type: ignore[attr-defined]
        known = labels >= 0
        shares = None if repeats is None else repeats[known]
        counts = np.bincount(labels[known], weights=shares, minlength=n_classes).astype(np.float64)
    weight = torch.tensor(counts.sum() / (n_classes * np.maximum(counts, 1)), dtype=torch.float32)
    if not aux.landmarks:
        return LabelStats(weight, None, None)
    rows = np.random.default_rng(0).permutation(n_faces)[:2000]  # enough for a mean to 2 % of a standard deviation
    samples = [faces[int(i)] for i in rows]
    if "landmarks" not in samples[0]:
        raise DataError("[aux] landmarks is set, but the data set has no column 'landmarks68'.")
    points = torch.stack([sample["landmarks"] for sample in samples])
    points = torch.cat([points, mirrored_landmarks(points)])
    return LabelStats(weight, points.mean(dim=0), points.std(dim=0).clamp(min=1e-3))
