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
    processor_s: of the threads themselves, without what waits and without the threads that these have work done by.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    processor_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _own: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what is done inside."""
        started, around = _now(), getattr(self._own, "inside", (0.0, 0.0))
        self._own.inside = 0.0, 0.0
        try:
            yield
        finally:
            took = [now - before for now, before in zip(_now(), started, strict=True)]
            with self._lock:
                self.seconds[stage] += took[0] - self._own.inside[0]
                self.processor_s[stage] += took[1] - self._own.inside[1]
            self._own.inside = around[0] + took[0], around[1] + took[1]

    def as_facts(self) -> dict[str, dict[str, float]]:
        """Both kinds of seconds, rounded."""
        kinds = {"seconds": self.seconds, "processor_seconds": self.processor_s}
        return {name: {stage: round(values[stage], 3) for stage in STAGES} for name, values in kinds.items()}

    def each(self, stage: str, values: Iterable[Frame]) -> Iterator[Frame]:
        """The values, counting what it takes to make them."""
        iterator = iter(values)
        while True:
            with self.of(stage):
                value = next(iterator, None)
            if value is None:
                return
            yield value


def _now() -> tuple[float, float]:
    """The time, and the processor time of this thread, seconds."""
    return time.perf_counter(), time.thread_time()


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
