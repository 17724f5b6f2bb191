"""What a run writes down: stats.jsonl, a line every few steps, and progress with an ETA on stderr."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from emorph.core.commands import command
from emorph.core.errors import CheckpointError
from emorph.train.checkpoint import write_whole
from emorph.train.tensorboard import Board

Scalars = dict[str, float]
STATS_FILE = "stats.jsonl"
SHOW_EVERY_S = 2.0
LINE_EVERY_S = 60.0  # where stderr is no terminal, such as in a batch job's log


class Logbook:
    """Means of what ``add`` is given, written to ``run``/stats.jsonl every ``every_steps`` steps and at the end.

    Which steps a line covers depends on their numbers alone: with what ``partial`` told when the checkpoint was saved,
    a resumed run writes the lines that it would have written without the stop. board: gets the same lines.
    """

    def __init__(
        self,
        run: Path,
        total_steps: int,
        start_step: int,
        *,
        show: bool = True,
        every_steps: int = 10,
        partial: Mapping[str, Any] | None = None,
        board: Board | None = None,
    ) -> None:
        self.run, self.path, self.board = run, run / STATS_FILE, board
        self.total_steps, self.every_steps = total_steps, every_steps
        self._sums: dict[str, float] = defaultdict(float, (partial or {}).get("sums", {}))
        self._n: int = (partial or {}).get("n", 0)
        self._seconds: float = (partial or {}).get("seconds", 0.0)
        self._place: tuple[int, int, float] = (partial or {}).get("place", (start_step, 0, 0.0))
        self._last = self._shown = self._lined = time.monotonic()
        self._line_step = start_step
        console = Console(stderr=True)
        self._show, self._lines = show, show and not console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not show or self._lines,
        )
        self._bar = self._progress.add_task("training", total=total_steps, completed=start_step)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._n and kind is None:
            self._flush(*self._place)

    @property
    def partial(self) -> dict[str, Any]:
        """Sums of the steps that no line holds yet, for the checkpoint."""
        return {"sums": dict(self._sums), "n": self._n, "seconds": self._seconds, "place": self._place}

    def tell(self, sentence: str) -> None:
        """Say beside the bar, or in its place, what is going on that is no step."""
        if self._show:
            self._progress.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def add(self, step: int, samples: int, epoch: float, scalars: Scalars) -> None:
        """Record one step; of the scalars, wait_s is the time spent waiting for data."""
        now = time.monotonic()
        for key, value in scalars.items():
            self._sums[key] += value
        self._n += 1
        self._seconds += now - self._last
        self._last = now
        self._place = (step, samples, epoch)
        if now - self._shown >= SHOW_EVERY_S or step == self.total_steps:
            self._shown = now
            self._progress.update(self._bar, completed=step, description=self._in_words(epoch))
        if self._lines and now - self._lined >= LINE_EVERY_S:
            self._say_line(step, epoch, now)
        if step % self.every_steps == 0:
            self._flush(step, samples, epoch)

    def _in_words(self, epoch: float) -> str:
        mean_loss = self._sums.get("loss", float("nan")) / self._n
        waited = self._sums.get("wait_s", 0.0) / max(self._seconds, 1e-6)
        return f"epoch {epoch:.2f}  loss {mean_loss:.4f}  waiting for data {waited:.1%}"

    def _say_line(self, step: int, epoch: float, now: float) -> None:
        step_s = (now - self._lined) / (step - self._line_step)
        left = round((self.total_steps - step) * step_s)
        self._progress.console.print(
            f"step {step:,} of {self.total_steps:,}  {self._in_words(epoch)}  {step_s:.3g} s a step  "
            f"ETA {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}",
            highlight=False,
            soft_wrap=True,
        )
        self._lined, self._line_step = now, step

    def _flush(self, step: int, samples: int, epoch: float) -> None:
        seconds = max(self._seconds, 1e-6)
        row = {
            "step": step,
            "samples": samples,
            "epoch": round(epoch, 4),
            # nine digits tell two float32 apart
            **{k: float(f"{total / self._n:.9g}") for k, total in self._sums.items() if not k.endswith("_s")},
            "wait_share": round(self._sums.get("wait_s", 0.0) / seconds, 4),
            "steps_per_s": round(self._n / seconds, 3),
        }
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise CheckpointError(
                f"{self.path} could not be written ({error.strerror}). Free some disk space, then continue with: "
                f"{command('train', 'resume', self.run)}"
            ) from None
        if self.board:
            self.board.scalars(row)
        self._sums.clear()
        self._n, self._seconds = 0, 0.0


def cut_back(run: Path, step: int, *, unfinished: bool) -> None:
    """Take out of stats.jsonl what a run that continues from ``step`` will write again.

    Those are the lines after it, half lines of a process that was killed, and, where the checkpoint holds the sums of
    an ``unfinished`` line, the one at ``step`` itself, with which the run ended early.
    """
    path = run / STATS_FILE
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row_step = json.loads(line)["step"]
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        if line.endswith("\n") and (row_step < step or (row_step == step and not unfinished)):
            kept.append(line)
    write_whole(path, "".join(kept))
