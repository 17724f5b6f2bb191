"""``emorph web`` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from support.people import SRC, free_port, wait_for


class ServedPage:
    """A running page; a context manager. options: of the command. env: on top of the environment."""

    def __init__(self, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.port, self._options, self._env = free_port(), options, dict(env or {})
        self.address = f"http://127.0.0.1:{self.port}/"
        self.said = ""  # on stderr, once it has ended
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ServedPage:
        command = [sys.executable, "-m", "emorph", "web", "--no-browser", "--port", str(self.port), *self._options]
        path = os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path, **self._env}, stderr=subprocess.PIPE, text=True
        )
        wait_for(self._process, self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def stop(self, how: signal.Signals) -> None:
        """End the process."""
        if self._process is not None:
            self._process.send_signal(how)
            self.said += self._process.communicate()[1]
            self._process = None
