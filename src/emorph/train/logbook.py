"""What a run writes down: stats.jsonl, a line every few seconds, and a progress bar with an ETA on stderr."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Scalars = dict[str, float]
EVERY_SECONDS = 10.0


class Logbook:
    """Means of what ``add`` is given, written to ``run``/stats.jsonl every EVERY_SECONDS and at the end."""

    def __init__(self, run: Path, total_steps: int, start_step: int, *, show: bool = True) -> None:
        self.path = run / "stats.jsonl"
        self._sums: dict[str, float] = defaultdict(float)
        self._n = 0
        self._place = (start_step, 0, 0.0)
        self._last = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
        )
        self._bar = self._progress.add_task("training", total=total_steps, completed=start_step)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._n:
            self._flush(*self._place, time.monotonic())
        self._progress.stop()

    def add(self, step: int, samples: int, epoch: float, scalars: Scalars) -> None:
        """Record one step; wait_share is the share of time spent waiting for data."""
        for key, value in scalars.items():
            self._sums[key] += value
        self._n += 1
        self._place = (step, samples, epoch)
        self._progress.update(self._bar, completed=step)
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._flush(step, samples, epoch, now)

    def _flush(self, step: int, samples: int, epoch: float, now: float) -> None:
        means = {key: total / self._n for key, total in self._sums.items()}
        seconds = max(now - self._last, 1e-6)
        row = {
            "step": step,
            "samples": samples,
            "epoch": round(epoch, 4),
            **{key: round(value, 6) for key, value in means.items() if not key.endswith("_s")},
            "wait_share": round(self._sums["wait_s"] / seconds, 4),
            "steps_per_s": round(self._n / seconds, 3),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._progress.update(
            self._bar,
            description=f"epoch {epoch:.2f}  loss {means.get('loss', float('nan')):.4f}  wait {row['wait_share']:.1%}",
        )
        self._sums.clear()
        self._n, self._last = 0, now
