"""Training the painter: v of the hidden part of a mouth, from new pairs of every face each time."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.errors import DataError
from emorph.core.landmarks import MIRRORED
from emorph.data.memory import Sample
from emorph.data.mouths import STORED_PX, STORED_UNITS
from emorph.data.store import FaceStore
from emorph.diffusion.process import q_sample, training_target
from emorph.models.painter import N_WISHES, VIEW_CHANNELS, Painter, PainterConfig, view_of, wishes
from emorph.train.config import RunConfig
from emorph.train.task import Task, check_started, hash_seed
from emorph.train.tasks.painter_pairs import OPEN_GAP, Mouth, Pair, PairConfig, make_pair
from emorph.train.tasks.painter_steps import FewStepsConfig, FewStepsLoss

COLOUR_WEIGHT = 0.5  # of the error of colours, against 1 for brightness
GAP_OF_ONE = 0.10  # units of the face: a mouth open so far counts once, a wider one in proportion
LEAST_OPEN, MOST_OPEN = 0.7, 4.0
NEVER_COARSER = -1.5  # log2 of the photo's pixels per crop pixel, below which no difference is made


class PainterRunConfig(RunConfig):
    """A training run of the painter, on a pack of ``emorph.data.mouths``.

    pairs: how they are made. closed_weight: how often a closed mouth is drawn, against 1 for one that is open by
    GAP_OF_ONE. set_weights: factors by source_set, for the sets that are sharper than others. noises: time steps and
    noises that one pair is learnt at in one step: it costs a third of what the network does with it. few_steps: learn
    a finished painter's paintings, to need fewer evaluations than it does; start from its weights (init).
    """

    task: Literal["painter"] = "painter"
    model: PainterConfig = PainterConfig()
    pairs: PairConfig = PairConfig()
    closed_weight: float = Field(0.35, ge=0)
    set_weights: dict[str, float] = Field(default_factory=dict)
    noises: int = Field(2, gt=0)
    few_steps: FewStepsConfig | None = None

    @property
    def picture(self) -> tuple[int, int]:
        return round(self.model.width_px * STORED_UNITS / self.model.width_units), 3

    def new_model(self) -> Painter:
        return Painter(self.model)

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> PainterTask:
        return PainterTask(self, cast(FaceStore, faces))

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        width, height = self.model.size
        x = torch.zeros(n, 3, height, width)
        view = torch.ones(n, VIEW_CHANNELS, height, width)
        return PainterLoss(self.model), (x, view, torch.zeros(n, N_WISHES), torch.zeros(n, dtype=torch.int64), x)


class PainterLoss(nn.Module):
    """The painter and its loss in one module."""

    def __init__(self, config: PainterConfig) -> None:
        super().__init__()
        self.model = Painter(config)

    def forward(self, x0: Tensor, view: Tensor, wish: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The mean over hidden pixels. x0: (B, 3, H, W) in RGB; noise: like x0; view, wish: as ``Painter`` takes them;
        t: int64 (B,).
        """
        table, hidden = self.model.rates, view[:, 3:4]
        x0 = self.model.from_rgb(x0)
        raw = self.model(q_sample(x0, t, noise, table), t, view, wish)
        errors = (raw.float() - training_target(x0, t, noise, table, "v")).square() * hidden
        of_channels = errors.sum(dim=(0, 2, 3)) / hidden.sum().clamp(min=1)
        light, colour = of_channels[0], of_channels[1:].mean()
        return {"loss": (light + COLOUR_WEIGHT * colour) / (1 + COLOUR_WEIGHT), "light": light, "colour": colour}


def _loss_of(config: PainterRunConfig) -> PainterLoss | FewStepsLoss:
    if config.few_steps is None:
        return PainterLoss(config.model)
    teacher = Painter.from_pretrained(config.few_steps.teacher)
    check_started(teacher.config, config.model, ("width_px", "height_px", "width_units"), config.few_steps.teacher)
    return FewStepsLoss(config.model, config.few_steps, teacher)


class PainterTask(Task[Painter]):
    """The painter as the training loop sees it. Raises DataError for faces without landmarks."""

    def __init__(self, config: PainterRunConfig, faces: FaceStore) -> None:
        if "landmarks68" not in faces.columns or "unit_px" not in faces.columns:
            raise DataError(f"{faces.path} is no pack of mouths: prepare one with emorph.data.mouths.prepare_mouths.")
        self.config = config
        self.loss = _loss_of(config)
        self.model = self.loss.model
        self.faces = faces
        raw = b"".join(faces.column("landmarks68"))
        scale = faces.side_px / STORED_PX
        self.points = (np.frombuffer(raw, "<f2").reshape(-1, 68, 2).astype(np.float64) + 0.5) * scale - 0.5
        self.unit_px = faces.side_px / STORED_UNITS
        self.sharpness = np.log2(np.array(faces.column("unit_px")) / self.unit_px)
        self.gaps = np.linalg.norm(self.points[:, 66] - self.points[:, 62], axis=1) / self.unit_px
        self.open, self.closed = np.flatnonzero(self.gaps >= OPEN_GAP), np.flatnonzero(self.gaps < OPEN_GAP / 2)
        if not len(self.open) or not len(self.closed):
            raise DataError(
                f"{faces.path} needs open and closed mouths; found {len(self.open)} and {len(self.closed)}."
            )
        self.items = _Weighted(faces, self._weights())

    def start(self, name: str) -> Painter:
        """A folder or a hub id; of another resolution, too, as all layers are convolutions, or with fewer blocks."""
        model = Painter.from_pretrained(name)
        check_started(model.config, self.model.config, ("width_units", "patch_size", "channels"), name)
        blocks = self.model.config.blocks
        if any(own < theirs for own, theirs in zip(blocks, model.config.blocks, strict=True)):
            check_started(model.config, self.model.config, ("blocks",), name)
        return model.deeper(blocks)

    def draw(
        self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Pairs of these faces, time steps and noise."""
        indices = items["index"].tolist()
        images = items["image"].permute(0, 2, 3, 1).numpy()
        pairs, known = [], []
        for index, pixels, seed in zip(indices, images, seeds, strict=True):
            rng = np.random.default_rng(seed)
            own = Mouth(pixels, self.points[index], self.unit_px)
            if self.config.data.mirror and rng.random() < 0.5:
                own = mirrored_mouth(own)
            donor_of = functools.partial(self._donor, rng=rng)
            pairs.append(make_pair(own, donor_of, self.config.model.size, self.config.pairs, rng))
            known.append(rng.random() < self.config.pairs.known_share)
        n_noises = self.config.noises
        draws = [hash_seed(seed, 1 + k) for k in range(n_noises) for seed in seeds]
        generators = [torch.Generator().manual_seed(draw) for draw in draws]
        x0, view = (each.repeat(n_noises, 1, 1, 1) for each in tensors(pairs))
        noise = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in generators])
        steps = self.model.diffusion.n_train_steps
        t = torch.cat([torch.randint(steps, (1,), generator=generator) for generator in generators])
        wish = wishes(
            torch.tensor([self._sharpness(i, pair) for i, pair in zip(indices, pairs, strict=True)]),
            torch.tensor([pair.light for pair in pairs], dtype=torch.float32),
            torch.tensor(known, dtype=torch.float32),
        )
        every = (x0, view, wish.repeat(n_noises, 1), t, noise)
        return tuple(each.to(device) for each in every)  # type: ignore[return-value]  # mypy counts no generator

    def _sharpness(self, index: int, pair: Pair) -> float:
        return float(np.clip(min(self.sharpness[index], -math.log2(pair.coarser)), NEVER_COARSER, 0))

    def _donor(self, is_open: bool, rng: np.random.Generator) -> Mouth:
        index = int(rng.choice(self.open if is_open else self.closed))
        pixels = self.faces[index]["image"].permute(1, 2, 0).numpy()
        return Mouth(pixels, self.points[index], self.unit_px)

    def _weights(self) -> NDArray[np.float64]:
        by_gap: NDArray[np.float64] = np.where(
            self.gaps < OPEN_GAP / 2,
            self.config.closed_weight,
            np.clip(self.gaps / GAP_OF_ONE, LEAST_OPEN, MOST_OPEN),
        )
        factors = self.config.set_weights
        if not factors:
            return by_gap
        by_set: NDArray[np.float64] = np.array([factors.get(name, 1.0) for name in self.faces.column("source_set")])
        return by_gap * by_set


def tensors(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """What was there (B, 3, H, W), and what a painter sees (B, VIEW_CHANNELS, H, W)."""
    pictures = [torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs])) for name in ("truth", "seen")]
    truth, seen = (picture.permute(0, 3, 1, 2).contiguous() for picture in pictures)
    masks = [
        torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs]))[:, None].float()
        for name in ("hidden", "kept", "inner", "outer")
    ]
    return truth, view_of(seen, *masks)


def mirrored_mouth(mouth: Mouth) -> Mouth:
    """The mouth in a mirror."""
    points = mouth.points[list(MIRRORED)].copy()
    points[:, 0] = mouth.pixels.shape[1] - 1 - points[:, 0]
    return Mouth(np.ascontiguousarray(mouth.pixels[:, ::-1]), points, mouth.unit_px)


class _Weighted(Dataset[Sample]):
    """As many items as there are faces, in which a face comes in proportion to its weight.

    Item i is the face at (i + 0.5) / n of the weights' running sum, so that an epoch draws none more often than its
    weight asks for, rounded.
    """

    def __init__(self, faces: FaceStore, weights: NDArray[np.float64]) -> None:
        self.faces = faces
        edges = np.cumsum(weights) / weights.sum()
        n = len(weights)
        self.chosen = np.minimum(np.searchsorted(edges, (np.arange(n) + 0.5) / n), n - 1)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        return self.faces[int(self.chosen[index])]
