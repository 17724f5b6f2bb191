"""Checkpoints of a run: a folder per step, written beside and renamed, so that a crash leaves the last good one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

import torch

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import atomic_folder

STATE_FILE = "trainer.pt"


class Saveable(Protocol):
    """A module that knows how to write itself."""

    def save_pretrained(self, folder: Path | str) -> None: ...


def step_folders(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    return sorted(p for p in run.glob("step_*") if (p / STATE_FILE).exists())


def save(run: Path, step: int, model: Saveable, ema: Saveable, state: dict[str, Any], *, keep: int) -> Path:
    """Write step_NNNNNNNN with model/, ema/ and the trainer's state, then delete all but the newest ``keep``.

    Raises CheckpointError if the disk does not take it; older checkpoints are then untouched.
    """
    target = run / f"step_{step:08d}"
    try:
        with atomic_folder(target, own=("model", "ema", STATE_FILE)) as folder:
            model.save_pretrained(folder / "model")
            ema.save_pretrained(folder / "ema")
            torch.save(state, folder / STATE_FILE)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{target} could not be written ({error}). Free some disk space, then go on with: emorph train resume {run}"
        ) from error
    for old in step_folders(run)[:-keep]:
        shutil.rmtree(old)
    return target


def load_state(folder: Path) -> dict[str, Any]:
    """The trainer's state of a checkpoint; only tensors and plain values are read, nothing is executed."""
    try:
        state: dict[str, Any] = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        raise CheckpointError(
            f"{folder / STATE_FILE} is damaged ({error}); delete {folder} to use the one before."
        ) from None
    return state


def latest(run: Path) -> Path:
    """The newest checkpoint of a run. Raises CheckpointError if there is none."""
    folders = step_folders(run)
    if not folders:
        raise CheckpointError(f"{run} holds no checkpoint to resume from; start it with: emorph train run CONFIG")
    return folders[-1]
