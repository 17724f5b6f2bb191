"""What there is to train: one file a task, one line in this table."""

from __future__ import annotations

import importlib

from emorph.core.errors import UnknownNameError
from emorph.train.plan import RunConfig

CONFIGS = {
    "autoencoder": "emorph.train.tasks.autoencoder:AutoencoderConfig",
    "latent": "emorph.train.tasks.latent:LatentRunConfig",
    "judge": "emorph.train.tasks.judge:JudgeRunConfig",
    "rig": "emorph.train.tasks.rig:RigRunConfig",
}


def config_class(task: str) -> type[RunConfig]:
    """The configuration of a task. Raises UnknownNameError."""
    if task not in CONFIGS:
        raise UnknownNameError("task", task, CONFIGS)
    module, name = CONFIGS[task].split(":")
    found: type[RunConfig] = getattr(importlib.import_module(module), name)
    return found
