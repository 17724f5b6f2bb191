"""The linear emotion classifier on z_sem (Preechakul et al. 2022, Sec. 5.3): encode each face once, cache, fit.

With annotations, valence and arousal are read by two linear regressors beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
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
from emorph.train.mixed_data import sets_of
from emorph.train.renamed import with_budget_apart, with_budget_in
from emorph.train.sections import DataConfig, LengthConfig
from emorph.train.seen import MEASURES, OnSeen
from emorph.train.tasks.affect import AffectScore, fit_affect, score_affect
from emorph.train.tasks.classifier_plan import planned
from emorph.train.tasks.classifier_report import METRICS_FILE, lines, metrics_json
from emorph.train.tasks.classifier_watch import watch_fit
from emorph.train.tasks.dose import dosed
from emorph.train.tasks.emotion_steps import emotion_steps
from emorph.train.tasks.fit_report import fit_lines, fit_notes
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import HeadFit, Watched, fit_head
from emorph.train.tasks.mouth import fit_mouth
from emorph.train.tasks.self_check import check_json, check_lines
from emorph.train.tasks.tried_edits import Trials, try_edits

Report = Callable[[str], OnStep | None]


class ClassifierConfig(FitConfig):
    """A run of the linear classifier, as a TOML file states it.

    model: a model folder, a bundled name or a checkpoint; relative paths start at the configuration file's folder.
    face_model: ICT-FaceKit's ict_face.npz, by which action units are read off landmarks; without it, that of
    ``emorph models get`` where [head] states units, and else none. held_out: the split that the epoch is chosen by.
    test: the split that it is measured on in the end, by which nothing was chosen; held_out if left out.
    check: so many neutral and so many happy faces of it are edited in the end; none without landmarks. budget: how long
    the layer is trained, 40 epochs if left out; what it states is kept in ``head``.
    """

    names_of_models: ClassVar[tuple[str, ...]] = ("model", "face_model")
    measures: ClassVar[tuple[str, ...]] = tuple(MEASURES)

    task: Literal["classifier"] = "classifier"
    model: str
    face_model: str | None = None
    held_out: str = "val"
    test: str | None = None
    check: int = Field(8, ge=0)
    head: HeadConfig = HeadConfig()
    budget: LengthConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _budget_as_elsewhere(cls, values: Any) -> Any:
        return with_budget_in("head", values)

    @model_validator(mode="after")
    def _two_splits(self) -> Self:
        if self.data.split is None or self.data.split == self.held_out:
            raise ValueError(
                f"data.split and held_out name the splits to train and to measure on; found {self.data.split!r} and "
                f"{self.held_out!r}, which would measure on training faces"
            )
        if self.test in (self.data.split, self.held_out):
            raise ValueError(f"test = {self.test!r} is a split that is trained or chosen by; name another")
        return self

    @model_validator(mode="after")
    def _every_face_is_encoded(self) -> Self:
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

    def face(self) -> ICT | None:
        """The face model of action units, if there are to be any. Raises MissingAssetError, CheckpointError."""
        return ICT.load(self.face_model) if self.face_model or self.head.units else None

    def stated(self) -> dict[str, Any]:
        return with_budget_apart("head", super().stated())

    def with_budget(self, *, samples: int | None = None, steps: int | None = None, epochs: float | None = None) -> Self:
        """The same with another length; its own where none is stated. Raises ConfigError for two lengths."""
        length = {"samples": samples, "steps": steps, "epochs": epochs}
        if all(amount is None for amount in length.values()):
            return self
        return self.model_copy(update={"head": HeadConfig.parse({**self.head.model_dump(), **length}, "the length")})

    def planned(self, faces: NDArray[np.int64] | int | None) -> tuple[str, dict[str, Any]]:
        """What it will do, in words and as numbers."""
        return planned(self.head, self.seed, faces, twice=self.data.mirror)

    @property
    def validation_split(self) -> str:
        return self.held_out

    def watch(self, on_seen: OnSeen, on_part: OnPart | None = None) -> None:
        """Fit the layer alone; codes are read once for all trials of a process."""

        def read() -> tuple[Codes, Codes]:
            _, _, encoded, _ = encoder_of(self, on_part)
            train = encoded("encoding", self.data.split or "", self.data.mirror)
            return train.labelled(), encoded("encoding held-out faces", self.held_out, False).labelled()

        plain = {"head": HeadConfig(confounds=self.head.confounds), "seed": 0, "test": None}  # the fit changes no code
        watch_fit(self.head, self.seed, self.model_copy(update=plain).model_dump_json(), read, on_seen)

    def fit(self, on_part: OnPart) -> list[str]:
        """Encode, train, measure, and write directions and metrics.json to ``out``."""
        result = run_classifier(self, on_part)
        edits = [] if result.trials is None else check_lines(result.trials, result.faces)
        table = lines(result.confusion, result.calibration, result.affect)
        return [*table, *fit_lines(self.head.keep, self.held_out, self.test, result.fit), *edits]


@dataclass(frozen=True)
class ClassifierResult:
    """The directions, and how they answer on held-out faces.

    confusion: rows are labels, columns answers. affect: agreement with the annotations, by name; empty without them.
    faces: training faces of each emotion. trials: edits of held-out faces, None if none were made. fit: how the layer
    came to be.
    """

    directions: Directions
    confusion: Confusion
    calibration: Calibration
    affect: dict[str, AffectScore]
    faces: Mapping[Emotion, int] = field(default_factory=dict)
    trials: Trials | None = None
    fit: HeadFit | None = None

    @property
    def accuracy(self) -> float:
        """Share of held-out faces whose label is the answer."""
        return self.confusion.accuracy


def run_classifier(config: ClassifierConfig, on_part: OnPart | None = None) -> ClassifierResult:
    """Encode what is not encoded yet, train, measure, and write directions and metrics.json to ``config.out``.

    on_part: is told how the encoding goes. Raises DataError, CheckpointError.
    """
    face = config.face()  # what is missing is said before hours of encoding
    model, faces, encoded, report = encoder_of(config, on_part)
    training = encoded("encoding", config.data.split or "", config.data.mirror)
    held_out = encoded("encoding held-out faces", config.held_out, False)
    tested = encoded("encoding test faces", config.test, False) if config.test else None
    result = train_classifier(config.head, config.seed, training, held_out, face, test=tested)
    found = np.bincount(faces.labels[faces.labels >= 0], minlength=len(Emotion))
    result = replace(result, faces={emotion: int(found[emotion]) for emotion in Emotion})
    result = _tried_out(config, model, faces, result, report)
    text = metrics_json(
        result.confusion,
        result.calibration,
        result.affect,
        {"head": config.head.model_dump(exclude_none=True)},
        None if result.trials is None else check_json(result.trials),
        {"split": config.test or config.held_out, "chosen_by": config.held_out},
    )
    fitted = FittedOn.of(config.model, model.encoder).text()
    notes = {
        METRICS_FILE: text,
        FITTED_FILE: fitted,
        **fit_notes(config.head.keep, config.held_out, config.test, result.fit),
    }
    result.directions.save_pretrained(config.out, notes=notes)
    return result


def encoder_of(
    config: ClassifierConfig, on_part: OnPart | None = None
) -> tuple[DiffAE, FaceStore, Callable[[str, str, bool], Codes], Report]:
    """The model, the training faces, what encodes a split or reads it from the cache, and what is told of it.

    The third takes what is done, the split, and whether mirror images are encoded, too.
    """
    model = load(config.model).to(choose_device())
    cache = Path(config.out).parent / CACHE_FOLDER
    size = (model.config.image_size, model.config.image_channels)
    faces = config.data.open(*size)

    def report(what: str) -> OnStep | None:
        return on_part and (lambda done, total: on_part(what, done, total))

    def encoded(what: str, split: str, mirror: bool) -> Codes:
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

    return model, faces, encoded, report


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
    config: HeadConfig,
    seed: int,
    train: Codes,
    held_out: Codes,
    face: ICT | None = None,
    *,
    test: Codes | None = None,
) -> ClassifierResult:
    """Fit the linear layer on normalised codes; the same seed gives the same weights.

    face: the face model that action units are read with; directions know none without it. held_out: chooses the epoch.
    test: measures it; held_out if left out.
    Raises DataError if a class of AffectNet's eight has no training face, or if no held-out face has a label.
    """
    stats = LatentStats(train.labelled().z.mean(dim=0), train.labelled().z.std(dim=0))
    every, codes = train, stats.normalise(train.z)
    affect = fit_affect(codes, train)
    train, held_out = train.labelled(), held_out.labelled()
    if len(held_out.z) < 2:
        raise DataError(f"{len(held_out.z)} held-out faces have a label; the classifier is measured on them.")
    z = stats.normalise(train.z)
    watched = Watched(stats.normalise(held_out.z), held_out.labels)
    fit = fit_head(config, seed, train.labels, lambda rows: z[rows], watched)
    steps = emotion_steps(codes, every, config.units, config.landmark_ridge, face)
    labels = tuple(emotion.word for emotion in Emotion)
    usual = steps.gains if config.gain is None else (config.gain,) * len(labels)
    gains = tuple(config.gains.get(word, gain) for word, gain in zip(labels, usual, strict=True))
    mouth, means = None, steps.means
    if config.lips:
        mouth, means = fit_mouth(z, train, means, config.lips, config.landmark_ridge)
    directions = Directions(
        fit.weight, fit.bias, labels, stats, means, gains, steps.landmarks, affect, mouth, steps.units
    )
    return replace(judged(directions, held_out if test is None else test.labelled()), fit=fit)


def judged(directions: Directions, held_out: Codes) -> ClassifierResult:
    """Measure directions of the eight emotions on labelled faces and, where they are annotated, their affect."""
    logits = directions.logits(held_out.z)
    true = [Emotion(int(label)) for label in held_out.labels]
    answers = confusion(tuple(Emotion), true, logits.double().softmax(dim=1).numpy())
    return ClassifierResult(
        directions, answers, calibration(logits, held_out.labels), score_affect(directions, held_out)
    )
