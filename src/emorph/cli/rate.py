"""Progress of long work with its rate and the time left: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from emorph.cli.console import say

LINE_EVERY_S = 30.0


@contextmanager
def rate(what: str) -> Iterator[Callable[[int, int, int], None]]:
    """A function that is told (done, total, done by an earlier run) and shows "what" a second, and the time left."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("", total=None, text="")
        started = last_line = time.monotonic()

        def show(done: int, total: int, before: int) -> None:
            nonlocal last_line
            now = time.monotonic()
            text = progress_text(done, total, before, now - started)
            progress.update(bar, total=float(total), completed=float(done), text=text)
            if not console.is_terminal and (done == total or now - last_line >= LINE_EVERY_S):
                say(f"{done:,} of {total:,} {what}{f', {text}' if text else ''}")
                last_line = now

        yield show


def progress_text(done: int, total: int, before: int, seconds: float) -> str:
    """ "31.2/s, ETA 2:27:03"; empty before anything was done in this run."""
    if done <= before or seconds <= 0:
        return ""
    per_s = (done - before) / seconds
    left = round((total - done) / per_s)
    return f"{per_s:,.1f}/s, ETA {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
