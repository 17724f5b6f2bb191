"""Processes forked from one server, which imports and reads once what is slow and any test's processes need."""

from __future__ import annotations

import os
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest import mock

PRELOADED = [
    "emorph.cli.main",
    "emorph.edit.files",
    "emorph.models.port",
    "emorph.evaluate.measure.run",
    "emorph.train.loop",
    "emorph.train.tasks.autoencoder",
    "emorph.train.search.run",
    "lightning_fabric",
    "datasets",
    "optuna.storages._rdb.models",
    "sqlalchemy.dialects.sqlite",
    "alembic.command",
    "scipy.stats",
    "distributed.worker",
    "faces_loaded",
]


def server() -> ForkServerContext:
    """How to start them. The first call starts the server, before a command under test starts it with fewer imports."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    places = filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parent)])
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(places)}):  # the server has no other path of ours
        forkserver.ensure_running()
    return context
