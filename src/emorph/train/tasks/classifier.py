"""The linear emotion classifier on z_sem (Preechakul et al. 2022, Sec. 5.3): encode each face once, cache, fit.

With annotations, valence and arousal are read by two linear regressors beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from emorph.core.config import Config
from emorph.core.device import choose_device
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import STABLE
from emorph.evaluate.metrics.emotion import Confusion, confusion
from emorph.models.directions import Directions, LatentStats
from emorph.models.port import load
from emorph.train.calibration import Calibration, calibration
from emorph.train.codes import CACHE_FOLDER, Codes, encode_all
from emorph.train.config import FitConfig, OnPart
from emorph.train.draws import KnownFaces
from emorph.train.mixed_data import sets_of
from emorph.train.sections import DataConfig
from emorph.train.seen import MEASURES, OnSeen
from emorph.train.tasks.affect import AffectScore, fit_affect, score_affect
from emorph.train.tasks.class_means import class_means, guarded
from emorph.train.tasks.classifier_plan import planned
from emorph.train.tasks.classifier_report import METRICS_FILE, lines, metrics_json
from emorph.train.tasks.fit_report import fit_lines, fit_notes
from emorph.train.tasks.head_fit import HeadFit, OnPoint, Watched, fit_head
from emorph.train.tasks.mouth import fit_mouth, ridge_regression

Balance = Literal["weights", "sampling", "none"]
DEFAULT_EPOCHS = 40.0


class HeadConfig(Config):
    """How the linear layer is trained: AdamW over the cached codes.

    epochs, samples, steps: how long, one of the three; 40 epochs if none is stated. A mirror image is a sample, too.
    keep: which epoch's layer is kept: the last one's, or the best one's by a measure on the held-out faces.
    balance: how rare emotions come to count as much as common ones: by weights in the loss, by being drawn more often
    (as many draws an epoch as faces), or not at all.
    gain, gains: what strength 1 means, in distances between class means, for all emotions and for some by their words;
    stored with the directions.
    confounds: columns of the data set whose differences are no expression (such as where a picture comes from); they
    are taken out of the class means, as light and head pose always are.
    lips: the gap between the inner lips, in distances between the eyes, that some emotions are to have by their words.
    Their edits then close a broad smile as they close a small one, and open a mouth no further.
    landmark_ridge: of the linear map from codes to landmarks, which data sets with landmarks give.
    """

    epochs: float | None = Field(None, gt=0)
    samples: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    keep: Literal["last", "mean_recall", "accuracy"] = "mean_recall"
    batch_size: int = Field(256, gt=0)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    balance: Balance = "weights"
    gain: float = Field(1.0, gt=0)
    gains: dict[str, Annotated[float, Field(gt=0)]] = Field({})
    confounds: tuple[str, ...] = ()
    lips: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({})
    landmark_ridge: float = Field(30.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_usual(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        stated = [unit for unit in ("epochs", "samples", "steps") if values.get(unit) is not None]
        if len(stated) > 1:
            raise ValueError(f"state one of epochs, samples and steps; found {' and '.join(stated)}")
        return values if stated else {**values, "epochs": DEFAULT_EPOCHS}

    @field_validator("gains", "lips")
    @classmethod
    def _known(cls, by_word: dict[str, float]) -> dict[str, float]:
        words = [emotion.word for emotion in Emotion]
        if unknown := sorted(set(by_word) - set(words)):
            raise ValueError(f"{unknown[0]!r} is not an emotion; known are {', '.join(words)}")
        return by_word


class ClassifierConfig(FitConfig):
    """A run of the linear classifier, as a TOML file states it.

    model: a model folder, a bundled name or a checkpoint; relative paths start at the configuration file's folder.
    held_out: the split that the epoch is chosen by. test: the split that it is measured on in the end, by which nothing
    was chosen; without one it is measured on held_out.
    """

    names_of_models: ClassVar[tuple[str, ...]] = ("model",)
    measures: ClassVar[tuple[str, ...]] = tuple(MEASURES)

    task: Literal["classifier"] = "classifier"
    model: str
    held_out: str = "val"
    test: str | None = None
    head: HeadConfig = HeadConfig()

    @model_validator(mode="after")
    def _two_splits(self) -> ClassifierConfig:
        if self.data.split is None or self.data.split == self.held_out:
            raise ValueError(
                f"data.split and held_out name the splits to train and to measure on; found {self.data.split!r} and "
                f"{self.held_out!r}, which would measure on training faces"
            )
        if self.test in (self.data.split, self.held_out):
            raise ValueError(f"test = {self.test!r} is a split that is trained or chosen by; name another")
        return self

    @model_validator(mode="after")
    def _every_face_is_encoded(self) -> ClassifierConfig:
        own = {
            "balance": "emotions are made equal by head.balance",
            "class_power": "emotions are made equal by head.balance",
            "assumed_faces": "a classifier's plan takes their number from --faces",
            "weight": "every face of every set counts",
        }
        for key, instead in own.items():
            default = DataConfig.model_fields[key].default
            if any(getattr(one, key) != default for one in sets_of(self.data)):
                raise ValueError(f"data.{key} does nothing here, where faces are encoded once: leave it out; {instead}")
        return self

    def with_budget(self, *, samples: int | None = None, steps: int | None = None, epochs: float | None = None) -> Self:
        """The same with another length; its own where none is stated. Raises ConfigError for two lengths."""
        length = {"samples": samples, "steps": steps, "epochs": epochs}
        if all(amount is None for amount in length.values()):
            return self
        return self.model_copy(update={"head": HeadConfig.parse({**self.head.model_dump(), **length}, "the length")})

    def planned(self, known: KnownFaces | None) -> tuple[str, dict[str, Any]]:
        """What it will do, in words and as numbers."""
        return planned(self, known)

    @property
    def validation_split(self) -> str:
        return self.held_out

    def watch(self, on_seen: OnSeen, on_part: OnPart | None = None) -> None:
        """Fit the layer alone; codes are read once for all trials of a process."""
        from emorph.train.tasks.classifier_watch import watch_fit  # which encodes as this file does

        watch_fit(self, on_seen, on_part)

    def fit(self, on_part: OnPart) -> list[str]:
        """Encode, train, measure, and write directions and metrics.json to ``out``."""
        result = run_classifier(self, on_part)
        return [*lines(result.confusion, result.calibration, result.affect), *fit_lines(self, result.fit)]


@dataclass(frozen=True)
class ClassifierResult:
    """The directions, and how they answer on held-out faces.

    confusion: rows are labels, columns answers. affect: agreement with the annotations, by name; empty without them.
    fit: how the layer came to be.
    """

    directions: Directions
    confusion: Confusion
    calibration: Calibration
    affect: dict[str, AffectScore]
    fit: HeadFit | None = None

    @property
    def accuracy(self) -> float:
        """Share of held-out faces whose label is the answer."""
        return self.confusion.accuracy


def run_classifier(config: ClassifierConfig, on_part: OnPart | None = None) -> ClassifierResult:
    """Encode what is not encoded yet, train, measure, and write directions and metrics.json to ``config.out``.

    on_part: is told how the encoding goes. Raises DataError, CheckpointError.
    """
    encoded = encoder_of(config, on_part)
    training = encoded("encoding", config.data.split or "", mirror=config.data.mirror)
    held_out = encoded("encoding held-out faces", config.held_out, mirror=False)
    tested = encoded("encoding test faces", config.test, mirror=False) if config.test else None
    result = train_classifier(config.head, config.seed, training, held_out, test=tested)
    settings = {"head": config.head.model_dump(exclude_none=True)}
    splits = {"split": config.test or config.held_out, "chosen_by": config.held_out}
    text = metrics_json(result.confusion, result.calibration, result.affect, settings, splits)
    result.directions.save_pretrained(config.out, notes={METRICS_FILE: text, **fit_notes(config, result.fit)})
    return result


def encoder_of(config: ClassifierConfig, on_part: OnPart | None = None) -> Callable[..., Codes]:
    """What encodes a split's faces, or reads them from the cache: (what is done, split, *, mirror) -> codes."""
    model = load(config.model).to(choose_device())
    cache = Path(config.out).parent / CACHE_FOLDER
    size = (model.config.image_size, model.config.image_channels)
    faces = config.data.open(*size)

    def report(what: str) -> Callable[[int, int], None] | None:
        return on_part and (lambda done, total: on_part(what, done, total))

    def encoded(what: str, split: str, *, mirror: bool) -> Codes:
        chosen = faces if split == config.data.split else faces.of_split(split)
        return encode_all(
            model,
            chosen,
            cache,
            mirror=mirror,
            confounds=config.head.confounds,
            workers=config.data.workers,
            on_step=report(what),
        )

    return encoded


def train_classifier(
    config: HeadConfig,
    seed: int,
    train: Codes,
    held_out: Codes,
    *,
    test: Codes | None = None,
    on_point: OnPoint | None = None,
) -> ClassifierResult:
    """Fit the linear layer on normalised codes; the same seed gives the same weights.

    held_out: chooses the epoch. test: measures it; held_out if left out. on_point: is told how the fit goes.

    Raises DataError if a class of AffectNet's eight has no training face, or if no held-out face has a label.
    """
    stats = LatentStats(train.labelled().z.mean(dim=0), train.labelled().z.std(dim=0))
    affect = fit_affect(stats.normalise(train.z), train)
    train, held_out = train.labelled(), held_out.labelled()
    if len(held_out.z) < 2:
        raise DataError(f"{len(held_out.z)} held-out faces have a label; the classifier is measured on them.")
    z = stats.normalise(train.z)
    watched = Watched(stats.normalise(held_out.z), held_out.labels)
    fit = fit_head(config, seed, train.labels, lambda rows: z[rows], watched, on_point)
    means = expression_means(z, train)
    labels = tuple(emotion.word for emotion in Emotion)
    gain = tuple(config.gains.get(word, config.gain) for word in labels) if config.gains else config.gain
    points = None if train.landmarks is None else landmark_map(z, train.landmarks, config.landmark_ridge)
    mouth = None
    if config.lips:
        mouth, means = fit_mouth(z, train, means, config.lips, config.landmark_ridge)
    directions = Directions(fit.weight, fit.bias, labels, stats, means, gain, points, affect, mouth)
    return replace(judged(directions, held_out if test is None else test.labelled()), fit=fit)


def expression_means(z: Tensor, train: Codes) -> Tensor:
    """The mean code of each emotion at equal person, light and pose, (8, z_dim). z: ``train.z``, normalised."""
    found = class_means(z, train.labels, len(Emotion), persons=train.persons, confounds=train.confounds, own=train.own)
    faces = train.labels if train.own is None else train.labels[train.own]
    return guarded(found, torch.bincount(faces, minlength=len(Emotion))).to(z.dtype)


def landmark_map(z: Tensor, landmarks: Tensor, ridge: float) -> Tensor:
    """How landmarks move with the code: ridge regression. z: (N, z_dim), normalised; landmarks: (N, 68, 2).

    They move against the skull, and not with the crop, whose size goes by where the mouth is.
    Returns (68, 2, z_dim).
    """
    weight, _ = ridge_regression(z.double(), on_one_skull(landmarks.double()).flatten(1), ridge)
    return weight.reshape(landmarks.shape[1], 2, -1).to(z.dtype).contiguous()


def on_one_skull(landmarks: Tensor) -> Tensor:
    """Landmarks (N, 68, 2), each face moved, turned and sized so that what no expression moves lies as on the mean."""
    complexes = torch.view_as_complex(landmarks.contiguous())
    fixed = complexes[:, list(STABLE)]
    middle = fixed.mean(dim=1, keepdim=True)
    mean = (fixed - middle).mean(dim=0, keepdim=True)
    turn = ((fixed - middle).conj() * mean).sum(dim=1, keepdim=True) / (fixed - middle).abs().square().sum(1, True)
    return torch.view_as_real((complexes - middle) * turn + middle.mean())


def judged(directions: Directions, held_out: Codes) -> ClassifierResult:
    """Measure directions of the eight emotions on labelled faces and, where they are annotated, their affect."""
    logits = directions.logits(held_out.z)
    true = [Emotion(int(label)) for label in held_out.labels]
    answers = confusion(tuple(Emotion), true, logits.double().softmax(dim=1).numpy())
    return ClassifierResult(
        directions, answers, calibration(logits, held_out.labels), score_affect(directions, held_out)
    )
