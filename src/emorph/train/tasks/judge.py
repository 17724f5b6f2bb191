"""Training the judge: cross-entropy on small gray faces, a little turned, moved, relit and partly hidden each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.data.store import FaceStore
from emorph.evaluate.judges.own import judge_crops
from emorph.evaluate.metrics.emotion import Confusion, confusion
from emorph.models.judge import Judge, JudgeConfig
from emorph.models.weights import PretrainedModule
from emorph.train.config import RunConfig
from emorph.train.seen import MEASURES
from emorph.train.task import Task, hash_seed

N_DRAWS = 13  # random numbers that one changed picture takes


class AugmentConfig(Config):
    """How far a training picture is changed; every number is the largest change, drawn evenly on both sides.

    turn_deg: rotation. zoom, stretch: log of the scale, and of width over height. shift: in sides of the picture.
    gamma: log of the exponent on brightness. noise: standard deviation, of a range of 2. hide_share: how many pictures
    get a rectangle of hide_px (least, most) a side blotted out. mix: how far two pictures are mixed (mixup, Zhang et
    al. 2018, the parameter of its Beta distribution; 0 is never).
    """

    turn_deg: float = Field(15.0, ge=0)
    zoom: float = Field(0.15, ge=0)
    stretch: float = Field(0.06, ge=0)
    shift: float = Field(0.06, ge=0)
    gamma: float = Field(0.4, ge=0)
    noise: float = Field(0.08, ge=0)
    hide_share: float = Field(0.5, ge=0, le=1)
    hide_px: tuple[int, int] = Field((6, 18), description="Least and most side of the hidden rectangle.")
    mix: float = Field(0.2, ge=0)


class JudgeRunConfig(RunConfig):
    """A training run of the judge.

    held_out: the split that it is measured on afterwards. class_weight_power: a class counts
    (largest class / own class) ** power times in the loss, classes counted as they are drawn.
    """

    measures: ClassVar[tuple[str, ...]] = tuple(MEASURES)

    task: Literal["judge"] = "judge"
    model: JudgeConfig
    held_out: str = "val"
    augment: AugmentConfig = AugmentConfig()
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="What of a label is spread over all of them.")
    class_weight_power: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _no_time_steps(self) -> Self:
        if self.optim.loss_weight != "plain":
            raise ValueError(
                f"optim.loss_weight = {self.optim.loss_weight!r} weights the time steps of a diffusion model, and a "
                "judge has none: leave it out; class_weight_power weights the emotions"
            )
        return self

    @property
    def picture(self) -> tuple[int, int]:
        return self.model.image_size, 1

    def new_model(self) -> Judge:
        return Judge(self.model)

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> JudgeTask:
        return JudgeTask(self, faces, repeats)

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        side, channels = self.picture
        return JudgeLoss(self), (torch.zeros(n, channels, side, side), torch.ones(n, len(self.model.labels)))

    @property
    def validation_split(self) -> str:
        return self.held_out

    def judge_faces(self, model: PretrainedModule, faces: FaceStore) -> dict[str, NDArray[np.float64]]:
        """Whether each face's label is the answer; NaN for a face without a label that the judge knows."""
        assert isinstance(model, Judge)
        rows = [
            i for i, label in enumerate(faces.labels) if label >= 0 and Emotion(int(label)) in model.config.emotions
        ]
        answers = judge_crops(model, [unit_range(faces[i]["image"][None])[0] for i in rows]).argmax(axis=1)
        right = np.full(len(faces), np.nan)
        right[rows] = [model.config.emotions[k].value == faces.labels[i] for i, k in zip(rows, answers, strict=True)]
        return dict.fromkeys(MEASURES, right)

    def closing_report(self, model: Path) -> Sequence[str]:
        """How well the judge knows the held-out faces."""
        held_out = self.data.with_split(self.held_out).open(*self.picture)
        return recall_lines(held_out_confusion(Judge.from_pretrained(model), held_out))


class JudgeLoss(nn.Module):
    """The judge and its cross-entropy in one module."""

    def __init__(self, config: JudgeRunConfig) -> None:
        super().__init__()
        self.model = Judge(config.model)
        self.smoothing = config.label_smoothing

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """x: (B, 1, S, S) in [-1, 1]; target: (B, n_labels), shares of each label times the sample's weight."""
        weight = target.sum(dim=1, keepdim=True)
        share = target / weight
        smooth = (1 - self.smoothing) * share + self.smoothing / target.shape[1]
        log_p = self.model(x).float().log_softmax(dim=1)
        right = log_p.argmax(dim=1) == target.argmax(dim=1)
        return {"loss": -(weight * smooth * log_p).sum(dim=1).mean(), "accuracy": right.float().mean()}


class JudgeTask(Task[Judge]):
    """The judge as the training loop sees it. Raises DataError for a label that the judge is not to know."""

    model: Judge

    def __init__(self, config: JudgeRunConfig, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> None:
        self.loss = JudgeLoss(config)
        self.model = self.loss.model
        self.augment = config.augment
        self.mirror = config.data.mirror
        self.row = label_rows(config.model)
        labels = torch.as_tensor(faces.labels)  # type: ignore[attr-defined]
        if (labels < 0).any():
            raise DataError(f"{int((labels < 0).sum())} faces have no label; a judge learns from labelled faces alone.")
        strange = sorted({Emotion(k).word for k in set(labels.tolist()) if self.row[k] < 0})
        if strange:
            raise DataError(f"the data hold faces labelled {', '.join(strange)}, which model.labels does not name.")
        drawn = None if repeats is None else torch.from_numpy(repeats)  # rare ones come more often: not to lift twice
        counts = torch.bincount(self.row[labels], drawn, len(config.model.labels)).float().clamp(min=1)
        self.weight = (counts.max() / counts) ** config.class_weight_power

    def start(self, name: str) -> Judge:
        """A folder, a bundled name or a hub id."""
        return Judge.from_pretrained(name)

    def draw(self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Changed pictures and their targets. Two pictures that are mixed are neighbours in the micro-batch."""
        x = unit_range(items["image"])
        draws = torch.stack([_uniform(seed, N_DRAWS) for seed in seeds])
        if not self.mirror:
            draws[:, 0] = 1.0
        x = augmented(x, draws, torch.stack([_noise(seed, x.shape[1:]) for seed in seeds]), self.augment)
        row = self.row[items["label"]]
        target = F.one_hot(row, len(self.weight)).float() * self.weight[row][:, None]
        if self.augment.mix and len(x) > 1:
            share = torch.tensor([_beta(seed, self.augment.mix) for seed in seeds])
            share = torch.maximum(share, 1 - share)
            x = share[:, None, None, None] * x + (1 - share)[:, None, None, None] * x.roll(1, 0)
            target = share[:, None] * target + (1 - share)[:, None] * target.roll(1, 0)
        return x.to(device), target.to(device)


def label_rows(config: JudgeConfig) -> Tensor:
    """The judge's output for each of AffectNet's codes, int64 (8,); -1 where it has none."""
    emotions = config.emotions
    return torch.tensor([emotions.index(e) if e in emotions else -1 for e in Emotion])


def held_out_confusion(judge: Judge, faces: FaceStore) -> Confusion:
    """The judge's answers on labelled faces; those of emotions that it does not know are left out."""
    rows = [i for i, label in enumerate(faces.labels) if label >= 0 and Emotion(int(label)) in judge.config.emotions]
    probabilities = judge_crops(judge, [unit_range(faces[i]["image"][None])[0] for i in rows])
    return confusion(judge.config.emotions, [Emotion(int(faces.labels[i])) for i in rows], probabilities)


def recall_lines(answers: Confusion) -> list[str]:
    """Recall of each emotion, and the accuracy over all, for people."""
    recalls = [(emotion, *answers.recall(emotion)) for emotion in answers.emotions]
    lines = [f"{emotion.word:<10} recall {recall:6.1%}  (n = {n})" for emotion, recall, n in recalls]
    return [*lines, f"{'all':<10} accuracy {answers.accuracy:.1%}  (n = {int(answers.counts.sum())})"]


def augmented(x: Tensor, draws: Tensor, noise: Tensor, config: AugmentConfig) -> Tensor:
    """Pictures x (B, 1, S, S) in [-1, 1], changed as ``draws`` (B, N_DRAWS) in [0, 1) and ``noise`` (like x) say."""
    flip, turn, zoom, stretch, across, down, gamma, loud, hide, height, width, top, left = draws.unbind(1)
    x = _moved(
        x,
        flip=torch.where(flip < 0.5, -1.0, 1.0),
        turn_rad=_both_sides(turn) * math.radians(config.turn_deg),
        scale=torch.exp(_both_sides(zoom) * config.zoom),
        stretch=torch.exp(_both_sides(stretch) * config.stretch),
        shift=torch.stack([_both_sides(across), _both_sides(down)], dim=1) * config.shift,
    )
    exponent = torch.exp(_both_sides(gamma) * config.gamma)[:, None, None, None]
    x = 2 * ((x + 1) / 2).clamp(0, 1) ** exponent - 1
    x = x + noise * (loud * config.noise)[:, None, None, None]
    least, most = config.hide_px
    sizes = torch.stack([height, width], dim=1) * (most - least) + least
    middles = torch.stack([top, left], dim=1) * x.shape[-1]
    hidden = _rectangles(middles, sizes, x.shape[-1]) & (hide < config.hide_share)[:, None, None, None]
    return torch.where(hidden, x.mean(dim=(1, 2, 3), keepdim=True), x)


def _moved(x: Tensor, *, flip: Tensor, turn_rad: Tensor, scale: Tensor, stretch: Tensor, shift: Tensor) -> Tensor:
    cos, sin = torch.cos(turn_rad) * scale, torch.sin(turn_rad) * scale
    across = torch.stack([cos * flip * stretch, -sin, 2 * shift[:, 0]], dim=1)
    down = torch.stack([sin * flip, cos / stretch, 2 * shift[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _rectangles(middles: Tensor, sizes: Tensor, side_px: int) -> Tensor:
    """bool (B, 1, S, S): within ``sizes`` / 2 of ``middles``, both (B, 2) as (row, column)."""
    index = torch.arange(side_px) + 0.5
    near = (index - middles[..., None]).abs() < sizes[..., None] / 2
    return (near[:, 0, :, None] & near[:, 1, None, :])[:, None]


def _both_sides(draw: Tensor) -> Tensor:
    return 2 * draw - 1


def _uniform(seed: int, n: int) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed))


def _noise(seed: int, shape: torch.Size) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(hash_seed(seed, 1)))


def _beta(seed: int, parameter: float) -> float:
    return float(np.random.default_rng(seed).beta(parameter, parameter))
