"""Ctrl-C during a run: finish the step, save, and end; a second one ends at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

ONE_REQUEST_S = 1.0  # torchrun hands on the signal that its whole group has got already


class StopRequest:
    """While it is entered, the first SIGINT or SIGTERM sets ``requested``; a later one is a KeyboardInterrupt.

    Those within ONE_REQUEST_S of the first are the same request.
    """

    def __init__(self) -> None:
        self.requested = False
        self._requested_at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python handles signals there only
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._requested_at = True, time.monotonic()
        elif time.monotonic() - self._requested_at > ONE_REQUEST_S:
            raise KeyboardInterrupt
