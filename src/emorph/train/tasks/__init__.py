"""What there is to train: one file a task, one line in this table."""

from __future__ import annotations

import importlib
from pathlib import Path

from emorph.core.config import read_toml
from emorph.core.errors import ConfigError, UnknownNameError
from emorph.train.config import TaskConfig

TASKS: dict[str, str] = {
    "autoencoder": "emorph.train.tasks.autoencoder:AutoencoderConfig",
    "latent": "emorph.train.tasks.latent:LatentRunConfig",
    "judge": "emorph.train.tasks.judge:JudgeRunConfig",
    "rig": "emorph.train.tasks.rig:RigRunConfig",
    "painter": "emorph.train.tasks.painter:PainterRunConfig",
    "classifier": "emorph.train.tasks.classifier:ClassifierConfig",
}
DEFAULT_TASK = "autoencoder"  # of a file that names none


def config_class(task: str) -> type[TaskConfig]:
    """The configuration of a task. Raises UnknownNameError."""
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    module, name = TASKS[task].split(":")
    config: type[TaskConfig] = getattr(importlib.import_module(module), name)
    return config


def read_task(path: Path) -> TaskConfig:
    """The configuration in a TOML file, of the task that it names. Raises ConfigError, UnknownNameError."""
    values = read_toml(path)
    if "search" in values:
        raise ConfigError(
            f"{path} describes a search of settings, not one run: start it with emorph train search {path}, and run "
            "the best.toml that it writes."
        )
    return config_class(str(values.get("task", DEFAULT_TASK))).read(path)
