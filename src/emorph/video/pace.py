"""How long the parts of a film's edit take, and how fast its frames pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from emorph.video.frames import Frame

STAGES = ("decode", "detect", "edit", "paste", "encode")

Tell = Callable[[str, int, int], None]
"""Called with what is done at present, with its pace, how many frames of it are done, and about how many there are."""


@dataclass
class Clock:
    """Seconds spent in each of STAGES; a stage inside another counts for itself alone.

    Threads that work side by side may share a clock: each counts its own seconds.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _own: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what is done inside."""
        started, around = time.perf_counter(), getattr(self._own, "inside", 0.0)
        self._own.inside = 0.0
        try:
            yield
        finally:
            took = time.perf_counter() - started
            with self._lock:
                self.seconds[stage] += took - self._own.inside
            self._own.inside = around + took

    def each(self, stage: str, values: Iterable[Frame]) -> Iterator[Frame]:
        """The values, counting what it takes to make them."""
        iterator = iter(values)
        while True:
            with self.of(stage):
                value = next(iterator, None)
            if value is None:
                return
            yield value


class Pace:
    """Counts frames, and tells how many a second are done."""

    def __init__(self, what: str, total: int, tell: Tell | None) -> None:
        self._what, self._total, self._tell = what, total, tell
        self._done, self._started = 0, time.perf_counter()

    @property
    def done(self) -> int:
        """Frames that have passed."""
        return self._done

    def __call__(self, n: int) -> None:
        self._done += n
        if self._tell:
            pace = self._done / max(time.perf_counter() - self._started, 1e-6)
            self._tell(f"{self._what}, {pace:.1f} frames/s", self._done, max(self._total, self._done))

    def passed(self, frame: Frame) -> Frame:
        """The same frame, counted."""
        self(1)
        return frame
