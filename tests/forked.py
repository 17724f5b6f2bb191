"""Processes forked from one server, which imports once what is slow to import and any test's processes need."""

from __future__ import annotations

from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext

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
]


def server() -> ForkServerContext:
    """How to start them. The first call starts the server, before a command under test starts it with fewer imports."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return context
