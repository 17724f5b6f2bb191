"""Processes of their own that need not import torch first: a server imports once, and is forked for each.

As cold as ``python -m emorph`` in all but that: own folder, environment, arguments, streams and exit status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from forked import server


def run_warm(
    job: Sequence[str] | str, folder: Path, env: Mapping[str, str], limit_s: float, source: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the ``emorph`` command with these words, or a Python program. Raises TimeoutExpired, as ``subprocess.run``.

    folder: to run in. env: the whole environment. source: where emorph is imported from, if not from where it was.
    """
    streams = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
    process = server().Process(target=_begin, args=(job, str(folder), dict(env), list(map(str, streams)), source))
    process.start()
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(job, limit_s)
    out, err = (path.read_text(encoding="utf-8") for path in streams)
    return subprocess.CompletedProcess(job, process.exitcode or 0, out, err)


def _begin(
    job: Sequence[str] | str, folder: str, env: Mapping[str, str], streams: Sequence[str], source: Path | None
) -> None:
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    if source is not None:
        sys.path.insert(0, str(source))
        for name in [name for name in sys.modules if name.partition(".")[0] == "emorph"]:
            del sys.modules[name]
    sys.path.insert(0, "")  # as of a program that is given with -c
    if isinstance(job, str):
        sys.argv = ["-c"]
        exec(compile(job, "<program>", "exec"), {"__name__": "__main__"})
        return
    from emorph.cli.main import main

    sys.argv = ["emorph", *job]
    main()
