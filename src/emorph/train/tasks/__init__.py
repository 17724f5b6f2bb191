"""What there is to train: one file a task, one line in this table."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from emorph.core.commands import command
from emorph.core.config import read_toml
from emorph.core.errors import ConfigError, UnknownNameError
from emorph.train.config import TaskConfig
from emorph.train.renamed import old_names

TASKS: dict[str, str] = {
    "autoencoder": "emorph.train.tasks.autoencoder:AutoencoderConfig",
    "latent": "emorph.train.tasks.latent:LatentRunConfig",
    "judge": "emorph.train.tasks.judge:JudgeRunConfig",
    "rig": "emorph.train.tasks.rig:RigRunConfig",
    "painter": "emorph.train.tasks.painter:PainterRunConfig",
    "expression": "emorph.train.tasks.expression:ExpressionConfig",
    "classifier": "emorph.train.tasks.classifier:ClassifierConfig",
}
ABOUT: dict[str, str] = {
    "autoencoder": "A diffusion autoencoder: a face as numbers (z_sem), and pictures from them.",
    "latent": "A net that draws new z_sem, and so new faces, with an autoencoder that is there.",
    "judge": "A network that names emotions, to measure edits with.",
    "rig": "A rig, which draws faces by a 3D face: of many people, or of one person's album.",
    "painter": "A painter of the inside of mouths, at the photo's own size.",
    "expression": "An autoencoder that is there, trained to edit expressions (Steps 1 and 2).",
    "classifier": "Directions: eight emotions, valence and arousal in the z_sem of an autoencoder.",
}
DEFAULT_TASK = "autoencoder"  # of a file that names none


def config_class(task: str) -> type[TaskConfig]:
    """The configuration of a task. Raises UnknownNameError."""
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    module, name = TASKS[task].split(":")
    config: type[TaskConfig] = getattr(importlib.import_module(module), name)
    return config


def read_task(path: Path, tell: Callable[[str], None] = lambda sentence: None) -> TaskConfig:
    """The configuration in a TOML file, of the task that it names. Raises ConfigError, UnknownNameError.

    tell: is told of old names in it, which are still read.
    """
    values = read_toml(path)
    if "search" in values:
        raise ConfigError(
            f"{path} describes a search of settings, not one run: start it with `{command('train', 'search', path)}`, "
            "and run the best.toml that it writes."
        )
    task = str(values.get("task", DEFAULT_TASK))
    config = config_class(task).read(path)
    for sentence in old_names(task, values):
        tell(f"{path}: {sentence}")
    return config
