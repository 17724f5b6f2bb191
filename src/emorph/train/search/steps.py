"""Watching a run of steps: at ten of its checkpoints, how the averaged weights do on validation faces."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.models.weights import PretrainedModule, load_strictly
from emorph.train.checkpoint import load_state, step_folders
from emorph.train.codes import PERSON_COLUMN
from emorph.train.config import OnPart, RunConfig
from emorph.train.draws import KnownFaces
from emorph.train.loop import train
from emorph.train.plan import plan_of
from emorph.train.sections import CheckpointConfig, LogConfig
from emorph.train.seen import OnSeen, Seen
from emorph.train.task import hash_seed

LOOKS = 10
MOST_FACES = 512  # validation faces, evenly spread, that losses are measured on
NOISE_SEED = 7  # of every face's noise and time step: the same for all settings


def watch_steps(config: RunConfig, on_seen: OnSeen, on_part: OnPart | None = None) -> None:
    """Train in ``config.out``, from its last checkpoint if there is one, and tell ``on_seen`` at each look.

    What the run has written is deleted when it is done; a search keeps settings and numbers, no weights.
    """
    run = Path(config.out)
    faces = config.open_faces()
    plan = plan_of(config, KnownFaces.read(config.data, faces))
    steps, epoch_size = plan.steps, plan.epoch_size or 1
    held_out = config.data.with_split(config.validation_split).open(*config.picture)
    config = config.model_copy(
        update={
            "checkpoint": CheckpointConfig(every_steps=-(-steps // LOOKS), keep=1),
            "samples": config.samples.model_copy(update={"n": 0}),
            "log": LogConfig(every_steps=config.log.every_steps, tensorboard=False),
        }
    )

    def look(folder: Path, average: PretrainedModule) -> None:
        step = int(folder.name.split("_")[1])
        judged = config.judge_faces(average, held_out)
        rows = spread(len(held_out), MOST_FACES) if judged is None else np.arange(len(held_out))
        numbers = judged if judged is not None else losses_of_faces(config, average, folder, held_out, rows)
        persons = persons_of(held_out)[rows]
        epoch = step * config.optim.batch_size / epoch_size
        on_seen(Seen(step / steps, epoch, step, numbers, held_out.labels[rows], persons))

    def reading(title: str) -> nullcontext[OnStep | None]:
        return nullcontext(on_part and partial(on_part, title))

    saved = step_folders(run)
    if saved:  # killed perhaps between a save and the look at it
        look(saved[-1], type(config.new_model()).from_pretrained(saved[-1] / "ema"))
    try:
        outcome = train(
            config,
            faces,
            resume=bool(saved),
            devices=1,
            show_progress=False,
            reading=reading,
            on_checkpoint=look,
        )
    except Exception:
        shutil.rmtree(run, ignore_errors=True)
        raise
    if outcome.ended_by == "interrupted":
        raise KeyboardInterrupt
    shutil.rmtree(run, ignore_errors=True)


@torch.no_grad()
def losses_of_faces(
    config: RunConfig, trained: PretrainedModule, folder: Path, faces: FaceStore, rows: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Each face's losses, (n,) by name, with the same noise for all settings. folder: the checkpoint of ``trained``."""
    task = config.validation_task(faces, trained)
    own = {f"model.{key}": value for key, value in trained.state_dict().items()}
    load_strictly(task.loss, own | load_state(folder, in_part=True)["heads"], str(folder))
    device = next(trained.parameters()).device
    task.loss.to(device).eval()
    items = faces if task.items is None else task.items
    found: dict[str, list[float]] = {}
    for row in rows:
        inputs = task.draw(default_collate([items[int(row)]]), [hash_seed(NOISE_SEED, int(row))], device)
        for name, value in task.loss(*inputs).items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def persons_of(faces: FaceStore) -> NDArray[np.int64]:
    """One number a person, int64 (n,); a face without a name is a person of its own."""
    if PERSON_COLUMN not in faces.columns:
        return np.arange(len(faces))
    numbers: dict[Any, int] = {}
    names = faces.column(PERSON_COLUMN)
    return np.array([numbers.setdefault(name or ("face", i), len(numbers)) for i, name in enumerate(names)], np.int64)


def spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n places, evenly spread."""
    kept = min(n, most)
    places: NDArray[np.int64] = (np.arange(kept) * n) // max(kept, 1)
    return places
