"""Checkpoints of a run: a folder per step, written beside and renamed, so that a crash leaves the last good one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError

from emorph.core.commands import command
from emorph.core.errors import CheckpointError
from emorph.core.files import replace_file
from emorph.core.pretrained import atomic_folder
from emorph.train.resources import size

STATE_FILE = "trainer.pt"


class Saveable(Protocol):
    """A module that knows how to write itself."""

    def save_pretrained(self, folder: Path | str) -> None: ...


def step_folders(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    return sorted(p for p in run.glob("step_*") if (p / STATE_FILE).exists())


def save(
    run: Path,
    step: int,
    model: Saveable,
    ema: Saveable,
    state: dict[str, Any],
    *,
    keep: int,
    keep_steps: Sequence[int] = (),
) -> Path:
    """Write step_NNNNNNNN with model/, ema/ and the trainer's state, then delete what is not to be kept.

    The newest ``keep`` stay, and those of ``keep_steps`` besides.
    Raises CheckpointError if the disk does not take it; older checkpoints are then untouched.
    """
    target = run / f"step_{step:08d}"
    try:
        with atomic_folder(target, own=("model", "ema", STATE_FILE)) as folder:
            model.save_pretrained(folder / "model")
            ema.save_pretrained(folder / "ema")
            torch.save(state, folder / STATE_FILE)
            _reach_the_disk(folder)
    except (CheckpointError, OSError, RuntimeError, SafetensorError) as error:
        again = (
            command("train", "resume", run)
            if step_folders(run)
            else "the same emorph train run, as nothing was saved yet"
        )
        reason = _why_not(error.__cause__ or error, run)
        raise CheckpointError(
            f"{target} could not be written ({reason}). Free some disk space, then continue with: {again}"
        ) from error
    passing = [folder for folder in step_folders(run) if step_of(folder) not in keep_steps]
    for old in passing[:-keep]:
        trash = old.replace(old.with_name(f".{old.name}.old"))  # a half-deleted folder would look like a checkpoint
        shutil.rmtree(trash, ignore_errors=True)
    return target


def _why_not(error: BaseException, run: Path) -> str:
    """The system's reason; torch and safetensors do not hand it on, so what is free has to tell."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{size(shutil.disk_usage(run).free)} are free there; {str(error).splitlines()[0]}"


def step_of(folder: Path) -> int:
    """The step that a checkpoint's folder is named by."""
    return int(folder.name.removeprefix("step_"))


def clear_drafts(run: Path) -> None:
    """Delete what a killed process left half written or half deleted."""
    for draft in (*run.glob(".step_*"), *run.glob(".*.part")):
        shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that there is never half of it. Raises CheckpointError."""
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror}); make room, or choose another."
        ) from None


def _reach_the_disk(folder: Path) -> None:
    """Wait until the files would outlive a power cut: else the new name may be there without what it names."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def load_state(folder: Path, *, in_part: bool = False) -> dict[str, Any]:
    """The trainer's state of a checkpoint; only tensors and plain values are read, nothing is executed.

    in_part: tensors stay in the file, and are read where they are used. The optimiser's are most of it.
    """
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=in_part)
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        raise CheckpointError(f"{path} is damaged ({error}); delete {folder} to use the one before.") from None
    return state


def latest(run: Path) -> Path:
    """The newest checkpoint of a run. Raises CheckpointError if there is none."""
    folders = step_folders(run)
    if not folders:
        raise CheckpointError(f"{run} holds no checkpoint to resume from; start it with: emorph train run CONFIG")
    return folders[-1]
