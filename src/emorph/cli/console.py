"""How commands talk: results on stdout, progress and troubles on stderr."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from emorph.edit.batch import Batch, Failure, FileEdit, Watch, unbroken

__all__ = [
    "Bar",
    "Items",
    "asked_command",
    "finish",
    "items",
    "mention_left_out",
    "mention_losses",
    "mention_other_faces",
    "print_json",
    "print_names",
    "print_wrapped",
    "say",
    "stopping",
    "tell_edit",
    "unbroken",
]
NAME_WIDTH = 26  # of names in a list
LINE_EVERY_S = 15.0  # where stderr is no terminal; work that is done sooner says nothing
QUIET_LOSSES = ("exact pixels", "maker notes", "XMP", "IPTC")  # usual, and nothing to be done; JSON names them


def say(message: str) -> None:
    """A line for people, on stderr."""
    typer.echo(message, err=True)


def asked_command() -> str:
    """What was typed, for reports to tell."""
    return shlex.join(["emorph", *sys.argv[1:]])


def print_json(value: Any) -> None:
    """A result for machines, on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_names(title: str, about: Mapping[str, str], indent: str = "") -> None:
    """A title, and a name with its sentence in each line, wrapped to the terminal."""
    print_wrapped(title)
    for name, sentence in about.items():
        print_wrapped(sentence, f"{indent}{name}".ljust(NAME_WIDTH - 1) + " ")


def print_wrapped(text: str, start: str = "") -> None:
    """A text after a start, in lines of the terminal's width that begin below it; paths and `commands` stay whole."""
    width = max(60, min(110, shutil.get_terminal_size().columns))
    whole = re.sub("`[^`]+`", lambda found: found[0].replace(" ", "\xa0"), text)
    wrap = textwrap.TextWrapper(width, start, " " * len(start), break_long_words=False, break_on_hyphens=False)
    typer.echo(wrap.fill(whole).replace("\xa0", " "))


class Lines:
    """Lines on stderr in place of a bar, one every LINE_EVERY_S, for logs and pipes; the first after as long.

    How fast it goes and the time left are counted from the first that was told of a work, not from an earlier run's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = self._began = clock()
        self._first = self._done = self._total = 0

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how much of something is done, if a line is due."""
        now = self._clock()
        if total != self._total or done < self._done:  # other work
            self._began, self._first, self._total = now, done, total
        self._done = done
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            say(f"{what or 'done'}: {done:,} of {total:,}{pace(done - self._first, total - done, now - self._began)}")


def pace(done: int, left: int, seconds: float) -> str:
    """ ", 31.2/s, ETA 2:27:03", below one a second ", 4.0/min, ETA ..."; empty before anything was done."""
    if done <= 0 or seconds <= 0:
        return ""
    per_s = done / seconds
    left_s = round(left / per_s)
    rate = f"{per_s:,.1f}/s" if per_s >= 1 else f"{60 * per_s:.1f}/min"
    return f", {rate}, ETA {left_s // 3600}:{left_s // 60 % 60:02d}:{left_s % 60:02d}"


class Bar(Watch):
    """A progress bar over several items. on_written: is called with what each photo became, and its remark is said.

    lines: say the same in place of a bar that nobody sees.
    """

    def __init__(
        self,
        progress: Progress,
        n_items: int,
        on_written: Callable[[FileEdit], None] | None = None,
        lines: Lines | None = None,
    ) -> None:
        self._progress = progress
        self._on_written = on_written
        self._lines = lines
        self._done, self._total, self._name = 0, n_items, ""
        self._bar = progress.add_task("", total=float(n_items))

    def start(self, n_photos: int, n_before: int = 0) -> None:
        self._done, self._total = 0, n_photos
        self._progress.update(self._bar, total=float(n_photos), completed=0)

    def done_before(self, edits: Sequence[FileEdit]) -> None:
        last = edits[0].files[-1]
        where, them = (f": {last}", "it") if len(edits) == 1 else (f", in {last.parent}", "them")
        say(f"{len(edits)} already done{where}; use --again to redo {them}.")

    def begin(self, name: str) -> None:
        self._name = name
        self._progress.update(self._bar, description=name)

    def step(self, done: int, total: int) -> None:
        self._progress.update(self._bar, completed=self._done + done / total)
        if self._lines and self._total == 1:
            self._lines.tell(self._name, done, total)

    def named_step(self, what: str, done: int, total: int) -> None:
        """Part of the present item, called ``what``, is done; the bar is that part's."""
        self._progress.update(self._bar, description=what, completed=done, total=total)
        if self._lines:
            self._lines.tell(what, done, total)

    def written(self, edit: FileEdit) -> None:
        if self._on_written:
            self._on_written(edit)
        if edit.remark:
            say(edit.remark)

    def failed(self, failure: Failure) -> None:
        self._progress.console.print(str(failure), highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        self._done += 1
        self._progress.update(self._bar, completed=self._done)
        if self._lines and self._done < self._total:
            self._lines.tell(self._name, self._done, self._total)


class Items(Batch):
    """Several items with a progress bar, and the list of those that failed."""

    def __init__(self, bar: Bar, n_items: int) -> None:
        super().__init__(bar)
        self.n_items = n_items
        self.step, self.named_step = bar.step, bar.named_step

    def finish(self) -> None:
        """List what failed and end with exit status 1, if anything did."""
        finish(self.failures, self.n_items)


def finish(failures: Sequence[Failure], n_items: int) -> None:
    """Name what failed of ``n_items``, for reasons that were said, and end with exit status 1, if anything did."""
    if not failures:
        return
    if n_items > 1:
        say(f"{len(failures)} of {n_items} failed: {', '.join(failure.name for failure in failures)}.")
    raise typer.Exit(1)


def mention_other_faces(edit: FileEdit, face: str, verb: str = "edited") -> None:
    """Say that there was a choice, where the user may not know."""
    if face == "largest" and edit.n_faces > 1:
        say(
            f"{edit.source} has {edit.n_faces} faces; the largest was {verb}. "
            f"Choose with --face left, all, or 1 to {edit.n_faces}."
        )


def tell_edit(face: str, as_json: bool, done: FileEdit) -> None:
    """Say what became of one photo. face: which of its faces were asked for. as_json: what is printed is said later."""
    mention_other_faces(done, face)
    mention_losses(done)
    if not as_json:
        typer.echo(f"{done.files[-1]}  ({_counted(done, face)}{done.seconds:.1f} s)")


def _counted(edit: FileEdit, face: str) -> str:
    """How many of a photo's faces were changed, where all were asked for: "5 of 5 faces, "."""
    return f"{edit.n_edited} of {edit.n_faces} faces, " if face == "all" and edit.n_faces > 1 else ""


def faces_of(edit: FileEdit) -> dict[str, int | float | None]:
    """How many faces a photo has, how many were changed, and the detector's score of the least sure of these."""
    score = None if edit.score is None else round(edit.score, 4)
    return {"n_faces": edit.n_faces, "n_edited": edit.n_edited, "score": score}


def mention_losses(edit: FileEdit) -> None:
    """Say what of the photo its result does not have, where people would look for it."""
    lost = [what for what in edit.lost if what not in QUIET_LOSSES]
    if lost:
        say(f"{edit.files[0].name} does not keep of {edit.source.name}: {', '.join(lost)}.")


def mention_left_out(photos: Sequence[Path]) -> None:
    """Say what in the folders among the photos is no picture."""
    from emorph.edit.paths import left_out

    for sentence in left_out(photos):
        say(sentence)


@contextmanager
def items(n_items: int, on_written: Callable[[FileEdit], None] | None = None) -> Iterator[Items]:
    """A progress bar with an ETA on stderr; where that is no terminal, a line now and then."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield Items(Bar(progress, n_items, on_written, None if console.is_terminal else Lines()), n_items)


@contextmanager
def stopping(left: str) -> Iterator[None]:
    """Have Ctrl-C say what it leaves, where that is not whole results. left: a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(left) from None
