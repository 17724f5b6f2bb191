"""The folder of a run: the configuration and plan that it starts with, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emorph.core.commands import command
from emorph.core.errors import ConfigError
from emorph.core.files import check_room
from emorph.train import checkpoint
from emorph.train.config import RunConfig
from emorph.train.logbook import cut_back
from emorph.train.plan import Plan
from emorph.train.plan_text import full_text

CONFIG_FILE = "run.toml"
PLAN_FILE, PLAN_TEXT, OUTCOME_FILE = "plan.json", "plan.txt", "outcome.json"


def check_folder(run: Path, *, resume: bool) -> None:
    """Whether the folder is as it should be, before anything is loaded.

    Raises CheckpointError if there is nothing to resume, ConfigError if there is a run already, or no way to write.
    """
    if resume:
        checkpoint.latest(run)
        return
    if checkpoint.step_folders(run):
        raise ConfigError(
            f"{run} already holds a run. Continue it with: {command('train', 'resume', run)} (to go on longer, add "
            "--epochs, --steps or --samples; or choose another 'out')"
        )
    try:
        check_room(run)
    except OSError as error:
        raise _unwritable(run, error) from None


def _unwritable(run: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{run} cannot be written ({error.strerror}); choose another 'out'.")


def begin(run: Path, config: RunConfig, plan: Plan) -> None:
    """Write the configuration and the plan of a run that begins, or that goes on to another budget.

    Its folder is made if need be. Raises ConfigError, CheckpointError.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(run, error) from None
    checkpoint.write_whole(run / CONFIG_FILE, config.to_toml())
    write_json(run / PLAN_FILE, plan.to_json())
    checkpoint.write_whole(run / PLAN_TEXT, full_text(plan) + "\n")


def tidy(run: Path, step: int, *, unfinished: bool) -> None:
    """Take away what a killed process left half done, and the log's lines that a run from ``step`` writes again."""
    checkpoint.clear_drafts(run)
    cut_back(run, step, unfinished=unfinished)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a small JSON file so that there is never half of it. Raises CheckpointError."""
    checkpoint.write_whole(path, json.dumps(values, indent=2) + "\n")
