"""How commands talk: results on stdout, progress and troubles on stderr."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from emorph.core.errors import EmorphError

Failure = tuple[str, EmorphError]  # of which item, and why
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory")


def say(message: str) -> None:
    """A line for people, on stderr."""
    typer.echo(message, err=True)


def print_json(value: Any) -> None:
    """A result for machines, on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


class Items:
    """Progress over several items of ``steps`` each, and the list of those that failed."""

    def __init__(self, progress: Progress, n_items: int) -> None:
        self._progress = progress
        self._n_items = n_items
        self._done = 0
        self._bar = progress.add_task("", total=float(n_items))
        self.failures: list[Failure] = []

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """Work on one item; an EmorphError inside, or too little memory, is its failure, and the work goes on."""
        self._progress.update(self._bar, description=name)
        try:
            yield
        except EmorphError as error:
            self._note(name, error)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            self._note(name, _too_large(error))
        self._done += 1
        self._progress.update(self._bar, completed=self._done)

    def _note(self, name: str, error: EmorphError) -> None:
        self.failures.append((name, error))
        line = _with_name(name, error)
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def step(self, done: int, total: int) -> None:
        """Part of the present item is done."""
        self._progress.update(self._bar, completed=self._done + done / total)

    def named_step(self, what: str, done: int, total: int) -> None:
        """Part of the present item, called ``what``, is done; the bar is that part's."""
        self._progress.update(self._bar, description=what, completed=done, total=total)

    def finish(self) -> None:
        """List what failed and end with exit status 1, if anything did."""
        if not self.failures:
            return
        if self._n_items > 1:
            say(f"{len(self.failures)} of {self._n_items} failed:")
            for name, error in self.failures:
                say(f"  {_with_name(name, error)}")
        raise typer.Exit(1)


def _with_name(name: str, error: EmorphError) -> str:
    text = str(error)
    return text if name in text else f"{name}: {text}"


def _lacks_memory(error: BaseException) -> bool:
    """Whether it is Python's, a GPU's or, by its text alone, a CPU tensor's failed allocation."""
    kind, text = type(error).__name__, str(error).lower()
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or bool(_NO_MEMORY.search(text))


def _too_large(error: BaseException) -> EmorphError:
    said = f" ({first.rstrip('.')})" if (first := str(error).partition("\n")[0].strip()) else ""
    return EmorphError(
        f"there is not enough memory for it{said}. Make the picture smaller, take fewer faces at a time (--face), "
        "or another --device."
    )


def mention_other_faces(name: str, n_faces: int, face: str) -> None:
    """Say that there was a choice, where the user may not know."""
    if face == "largest" and n_faces > 1:
        say(f"{name} has {n_faces} faces; the largest was edited. Choose with --face left, all, or 1 to {n_faces}.")


@contextmanager
def items(n_items: int) -> Iterator[Items]:
    """A progress bar with an ETA on stderr, silent where stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield Items(progress, n_items)


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold Ctrl-C back until what is inside is done, so that no file is written without the record that tells of it."""
    own = signal.getsignal(signal.SIGINT)
    if own in (signal.SIG_IGN, None) or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, own)
        if held:  # also where what is inside failed: who stops a folder does not mean one photo of it
            raise KeyboardInterrupt


@contextmanager
def stopping(left: str) -> Iterator[None]:
    """Have Ctrl-C say what it leaves, where that is not whole results. left: a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(left) from None
