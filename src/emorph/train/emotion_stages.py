"""What a sheet of emotions is drawn with at each stage of a training: a model, and directions fitted on it.

Directions of another checkpoint mean nothing to this one, so each gets its own, fitted on some faces of every emotion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emorph.core.device import choose_device
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.types import OnStep
from emorph.data.memory import TensorFaces
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.port import load
from emorph.train.checkpoint import step_folders, step_of
from emorph.train.codes import CACHE_FOLDER, Codes, encode_all
from emorph.train.run_folder import CONFIG_FILE, PLAN_FILE
from emorph.train.tasks import read_task
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.classifier import ClassifierConfig, train_classifier
from emorph.train.tasks.head import HeadConfig

FOLDER = "emotions"
DEFAULT_EPOCHS = (1, 5, 20, 40)  # of a classifier


@dataclass(frozen=True)
class Stage:
    """One checkpoint of an autoencoder, or one length of a classifier's training.

    number: the step, or the epoch, that names its file. words: how a row calls it. make(on_step): its model and its
    directions; on_step is told how the encoding of faces goes.
    """

    number: int
    words: str
    make: Callable[[OnStep | None], tuple[DiffAE, Directions]]


@dataclass(frozen=True)
class Training:
    """A training with its stages, and the faces that it knows.

    folder: where its sheets lie. held_out: the split that faces are shown of, if there is one.
    """

    name: str
    folder: Path
    faces: FaceStore
    held_out: str
    stages: tuple[Stage, ...]


def training_of(place: Path, *, fit_faces: int, numbers: Sequence[int] | None = None) -> Training:
    """The training in a run's folder, or of a classifier's file.

    fit_faces: how many faces a checkpoint's directions are fitted on, as many of every emotion as there are. numbers:
    steps of a run, or epochs of a classifier. Raises ConfigError, DataError.
    """
    config = read_task(place / CONFIG_FILE if place.is_dir() else place)
    if isinstance(config, AutoencoderConfig) and place.is_dir():
        return _of_run(place, config, fit_faces, numbers)
    if isinstance(config, ClassifierConfig):
        return _of_classifier(place, config, numbers or DEFAULT_EPOCHS)
    raise ConfigError(
        f"{place} is a {config.task}: sheets of emotions are drawn of the folder of an autoencoder's run, or of a "
        "classifier's file."
    )


def _of_run(run: Path, config: AutoencoderConfig, fit_faces: int, steps: Sequence[int] | None) -> Training:
    folders = {step_of(folder): folder for folder in step_folders(run)}
    if not folders:
        raise ConfigError(f"{run} holds no checkpoint yet.")
    if steps and (missing := [step for step in steps if step not in folders]):
        raise ConfigError(f"{run} has no checkpoint of step {missing[0]}; it has {', '.join(map(str, folders))}.")
    faces = config.open_faces()
    rows = even_rows(faces.labels, fit_faces, seed=config.seed)
    some: list[TensorFaces] = []  # read once, when the first checkpoint needs them

    def directions(model: DiffAE, on_step: OnStep | None) -> Directions:
        if not some:
            some.append(_picked(faces, rows))
        codes = encode_all(model, some[0], None, mirror=config.data.mirror, on_step=on_step)
        return train_classifier(HeadConfig(), config.seed, codes, codes).directions

    def make(folder: Path) -> Callable[[OnStep | None], tuple[DiffAE, Directions]]:
        def loaded(on_step: OnStep | None) -> tuple[DiffAE, Directions]:
            model = load(folder / "ema").to(choose_device())
            return model, directions(model, on_step)

        return loaded

    epochs = _epochs_a_step(run)
    stages = [
        Stage(step, f"{'' if epochs is None else f'epoch {step * epochs:.2f}, '}step {step:,}", make(folders[step]))
        for step in steps or folders
    ]
    return Training(run.resolve().name, run / FOLDER, faces, config.samples.split, tuple(stages))


def _of_classifier(file: Path, config: ClassifierConfig, epochs: Sequence[int]) -> Training:
    model = load(config.model).to(choose_device())
    faces = config.data.open(model.config.image_size, model.config.image_channels)
    read: list[Codes] = []

    def make(n: int) -> Callable[[OnStep | None], tuple[DiffAE, Directions]]:
        def fitted(on_step: OnStep | None) -> tuple[DiffAE, Directions]:
            if not read:
                cache = Path(config.out).parent / CACHE_FOLDER
                confounds = config.head.confounds
                read.append(
                    encode_all(model, faces, cache, mirror=config.data.mirror, confounds=confounds, on_step=on_step)
                )
            length = {"epochs": float(n), "samples": None, "steps": None, "keep": "last"}
            head = config.head.model_copy(update=length)
            return model, train_classifier(head, config.seed, read[0], read[0], config.face()).directions

        return fitted

    n_codes = int((faces.labels >= 0).sum()) * (2 if config.data.mirror else 1)
    a_round = -(-n_codes // config.head.batch_size)
    stages = [Stage(n, f"epoch {n}, step {n * a_round:,}", make(n)) for n in epochs]
    out = Path(config.out)
    beside = out.with_name(f"{out.name}_{FOLDER}")  # the folder of directions holds nothing else
    return Training(file.stem, beside, faces, config.held_out, tuple(stages))


def even_rows(labels: Any, n: int, *, seed: int) -> list[int]:
    """About n rows, of every emotion as many as of the others where there are so many; in order."""
    generator, chosen = np.random.default_rng(seed), []
    for emotion in Emotion:
        own = np.flatnonzero(labels == emotion.value)
        chosen += generator.permutation(own)[: max(1, n // len(Emotion))].tolist()
    return sorted(int(row) for row in chosen)


def _picked(faces: FaceStore, rows: Sequence[int]) -> TensorFaces:
    items = [faces[row] for row in rows]
    points = torch.stack([item["landmarks"] for item in items]) if "landmarks" in items[0] else None
    return TensorFaces(torch.stack([item["image"] for item in items]), torch.stack([i["label"] for i in items]), points)


def _epochs_a_step(run: Path) -> float | None:
    """What of an epoch a step is, by the run's own plan; None if that does not tell."""
    try:
        plan = json.loads((run / PLAN_FILE).read_text(encoding="utf-8"))
        return float(plan["batch_size"]) / float(plan["epoch_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
