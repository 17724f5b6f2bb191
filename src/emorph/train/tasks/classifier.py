"""The linear emotion classifier on z_sem (Preechakul et al. 2022, Sec. 5.3): encode each face once, cache, fit.

With annotations, valence and arousal are read by two linear regressors beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from emorph.core.device import choose_device
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.evaluate.metrics.emotion import Confusion, confusion
from emorph.face3d.ict import ICT
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions, LatentStats
from emorph.models.fitted_on import FITTED_FILE, FittedOn
from emorph.models.port import load
from emorph.train.calibration import Calibration, calibration
from emorph.train.codes import CACHE_FOLDER, Codes, encode_all
from emorph.train.config import FitConfig, OnPart
from emorph.train.renamed import with_budget_in
from emorph.train.sections import DataConfig, LengthConfig
from emorph.train.tasks.affect import AffectScore, fit_affect, score_affect
from emorph.train.tasks.classifier_report import METRICS_FILE, lines, metrics_json
from emorph.train.tasks.dose import dosed
from emorph.train.tasks.emotion_steps import emotion_steps
from emorph.train.tasks.head import HeadConfig, fit_layer
from emorph.train.tasks.mouth import fit_mouth
from emorph.train.tasks.self_check import check_json, check_lines
from emorph.train.tasks.tried_edits import Trials, try_edits

Report = Callable[[str], OnStep | None]


class ClassifierConfig(FitConfig):
    """A run of the linear classifier, as a TOML file states it.

    model: a model folder, a bundled name or a checkpoint; relative paths start at the configuration file's folder.
    face_model: ICT-FaceKit's ict_face.npz, by which action units are read off landmarks; without it, that of
    ``emorph models get`` where [head] states units, and else none. held_out: the split that it is measured on.
    check: so many neutral and so many happy faces of it are edited in the end; none without landmarks. budget: how long
    the layer is trained, 40 epochs if left out; what it states is kept in ``head``.
    """

    names_of_models: ClassVar[tuple[str, ...]] = ("model", "face_model")

    task: Literal["classifier"] = "classifier"
    model: str
    face_model: str | None = None
    held_out: str = "val"
    check: int = Field(8, ge=0)
    head: HeadConfig = HeadConfig()
    budget: LengthConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _budget_as_elsewhere(cls, values: Any) -> Any:
        return with_budget_in("head", values)

    @model_validator(mode="after")
    def _two_splits(self) -> ClassifierConfig:
        if self.data.split is None or self.data.split == self.held_out:
            raise ValueError(
                f"data.split and held_out name the splits to train and to measure on; found {self.data.split!r} and "
                f"{self.held_out!r}, which would measure on training faces"
            )
        return self

    def face(self) -> ICT | None:
        """The face model of action units, if there are to be any. Raises MissingAssetError, CheckpointError."""
        return ICT.load(self.face_model) if self.face_model or self.head.units else None

    @model_validator(mode="after")
    def _every_face_is_encoded(self) -> ClassifierConfig:
        own = {
            "balance": "emotions are made equal by head.balance",
            "class_power": "emotions are made equal by head.balance",
            "assumed_faces": "a classifier's plan takes their number from --faces",
        }
        for key, instead in own.items():
            if getattr(self.data, key) != DataConfig.model_fields[key].default:
                raise ValueError(f"data.{key} does nothing here, where faces are encoded once: leave it out; {instead}")
        return self

    def planned(self, faces: int | None) -> tuple[str, dict[str, Any]]:
        """What it will do, in words and as numbers. faces: labelled ones; None if unknown."""
        head, twice = self.head, self.data.mirror
        codes = None if faces is None else faces * (2 if twice else 1)
        steps = None if codes is None else head.epochs * -(-codes // head.batch_size)
        counted = ", of faces that are not there yet"
        if codes is not None:
            counted = f": {faces:,} faces{' and their mirror images' if twice else ''}, {steps:,} steps"
        text = (
            f"a linear classifier on codes of faces that are encoded once and kept; {head.epochs} epochs of batch "
            f"{head.batch_size}{counted}. It takes about a minute after encoding."
        )
        sizes = {"epochs": head.epochs, "batch_size": head.batch_size}
        return text, {"faces": faces, "codes": codes, **sizes, "steps": steps}

    def fit(self, on_part: OnPart) -> list[str]:
        """Encode, train, measure, and write directions and metrics.json to ``out``."""
        result = run_classifier(self, on_part)
        edits = [] if result.trials is None else check_lines(result.trials, result.faces)
        return [*lines(result.confusion, result.calibration, result.affect), *edits]


@dataclass(frozen=True)
class ClassifierResult:
    """The directions, and how they answer on held-out faces.

    confusion: rows are labels, columns answers. affect: agreement with the annotations, by name; empty without them.
    faces: training faces of each emotion. trials: edits of held-out faces, None if none were made.
    """

    directions: Directions
    confusion: Confusion
    calibration: Calibration
    affect: dict[str, AffectScore]
    faces: Mapping[Emotion, int] = field(default_factory=dict)
    trials: Trials | None = None

    @property
    def accuracy(self) -> float:
        """Share of held-out faces whose label is the answer."""
        return self.confusion.accuracy


def run_classifier(config: ClassifierConfig, on_part: OnPart | None = None) -> ClassifierResult:
    """Encode what is not encoded yet, train, measure, and write directions and metrics.json to ``config.out``.

    on_part: is told how the encoding goes. Raises DataError, CheckpointError.
    """
    face = config.face()  # what is missing is said before hours of encoding
    model = load(config.model).to(choose_device())
    cache = Path(config.out).parent / CACHE_FOLDER
    size = (model.config.image_size, model.config.image_channels)
    faces = config.data.open(*size)

    def report(what: str) -> OnStep | None:
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

    training = encoded("encoding", config.data.split or "", mirror=config.data.mirror)
    held_out = encoded("encoding held-out faces", config.held_out, mirror=False)
    result = train_classifier(config.head, config.seed, training, held_out, face)
    found = np.bincount(faces.labels[faces.labels >= 0], minlength=len(Emotion))
    result = replace(result, faces={emotion: int(found[emotion]) for emotion in Emotion})
    result = _tried_out(config, model, faces, result, report)
    text = metrics_json(
        result.confusion,
        result.calibration,
        result.affect,
        {"head": config.head.model_dump()},
        None if result.trials is None else check_json(result.trials),
    )
    fitted = FittedOn.of(config.model, model.encoder).text()
    result.directions.save_pretrained(config.out, notes={METRICS_FILE: text, FITTED_FILE: fitted})
    return result


def _tried_out(
    config: ClassifierConfig, model: DiffAE, faces: FaceStore, result: ClassifierResult, report: Report
) -> ClassifierResult:
    """The result with its gains chosen on training faces, and with edits of held-out ones, where these are asked."""
    head, directions = config.head, result.directions
    if directions.landmarks is None:
        return result
    if head.dose:
        stated = directions.labels if head.gain is not None else tuple(head.gains)
        directions = dosed(model, directions, faces, head.dose, stated, report("choosing the dose"))
    trials = None
    if config.check:
        held_out = faces.of_split(config.held_out)
        trials = try_edits(model, directions, held_out, config.check, (1.0,), on_step=report("editing held-out faces"))
    return replace(result, directions=directions, trials=trials)


def train_classifier(
    config: HeadConfig, seed: int, train: Codes, held_out: Codes, face: ICT | None = None
) -> ClassifierResult:
    """Fit the linear layer on normalised codes; the same seed gives the same weights.

    face: the face model that action units are read with; directions know none without it.

    Raises DataError if a class of AffectNet's eight has no training face, or if no held-out face has a label.
    """
    stats = LatentStats(train.labelled().z.mean(dim=0), train.labelled().z.std(dim=0))
    every, codes = train, stats.normalise(train.z)
    affect = fit_affect(codes, train)
    train, held_out = train.labelled(), held_out.labelled()
    if len(held_out.z) < 2:
        raise DataError(f"{len(held_out.z)} held-out faces have a label; the classifier is measured on them.")
    z = stats.normalise(train.z)
    weight, bias = fit_layer(config, seed, train.labels, lambda rows: z[rows])
    steps = emotion_steps(codes, every, config.units, config.landmark_ridge, face)
    labels = tuple(emotion.word for emotion in Emotion)
    usual = steps.gains if config.gain is None else (config.gain,) * len(labels)
    gains = tuple(config.gains.get(word, gain) for word, gain in zip(labels, usual, strict=True))
    mouth, means = None, steps.means
    if config.lips:
        mouth, means = fit_mouth(z, train, means, config.lips, config.landmark_ridge)
    directions = Directions(weight, bias, labels, stats, means, gains, steps.landmarks, affect, mouth, steps.units)
    return judged(directions, held_out)


def judged(directions: Directions, held_out: Codes) -> ClassifierResult:
    """Measure directions of the eight emotions on labelled faces and, where they are annotated, their affect."""
    logits = directions.logits(held_out.z)
    true = [Emotion(int(label)) for label in held_out.labels]
    answers = confusion(tuple(Emotion), true, logits.double().softmax(dim=1).numpy())
    return ClassifierResult(
        directions, answers, calibration(logits, held_out.labels), score_affect(directions, held_out)
    )
