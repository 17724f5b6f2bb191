"""Progress of work on many photos, for programs and notebooks: a bar with the time left on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emorph.edit.batch import Failure, Watch


class Shown(Watch):
    """Shows a bar while work on many photos goes on, and each photo that failed; ends with the last photo.

    Where stderr is no terminal and no notebook, failures alone are shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (self._console.is_terminal or self._console.is_jupyter),
        )
        self._bar = self._progress.add_task("", total=None)
        self._left = 0

    def start(self, n_photos: int, n_before: int = 0) -> None:
        self._left = n_photos
        self._progress.update(self._bar, total=n_photos + n_before, completed=n_before)
        if n_photos:
            self._progress.start()

    def begin(self, name: str) -> None:
        self._progress.update(self._bar, description=name)

    def failed(self, failure: Failure) -> None:
        self._progress.console.print(str(failure), highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        self._left -= 1
        self._progress.advance(self._bar)
        if self._left <= 0:
            self.close()

    def close(self) -> None:
        """Take the bar's hands off the terminal; also where the work was stopped before its end."""
        self._progress.stop()


@contextmanager
def watched(show: bool) -> Iterator[Watch]:
    """A watch that shows a bar, or one that shows nothing."""
    if not show:
        yield Watch()
        return
    bar = Shown()
    try:
        yield bar
    finally:
        bar.close()
