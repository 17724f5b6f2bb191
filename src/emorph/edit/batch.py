"""Work on many photos: one that fails does not end the others, and one file is never there without its record."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emorph.core.errors import EmorphError
from emorph.core.files import said_of
from emorph.core.records import EditRecord

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory")


@dataclass(frozen=True)
class FileEdit:
    """What one photo became.

    files: as written; the last is the one to look at. n_faces: how many the photo has, changed or not; 0 if it was
    done before. records: of what was written, one a strength. made: what the files say of how they were made.
    remark: a sentence that whoever asked for it should read, or "". kept, lost: what the files have, and have not, of
    what the photo's own file held besides pixels. n_edited: how many faces were changed; score: the detector's, of the
    least sure of these. Both are empty as ``n_faces`` is.
    """

    source: Path
    files: tuple[Path, ...]
    seconds: float
    n_faces: int
    records: tuple[EditRecord, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    n_edited: int = 0
    score: float | None = None


@dataclass(frozen=True)
class Failure:
    """A photo that could not be changed, by its name, and why."""

    name: str
    error: EmorphError

    def __str__(self) -> str:
        return said_of(self.name, str(self.error))


@dataclass(frozen=True)
class FileReport:
    """What became of many photos, in their order. n_before: of the edits, those that an earlier run had done.

    remark: of one file that holds them all, a sentence that whoever asked for it should read, or "".
    """

    edits: tuple[FileEdit, ...]
    failures: tuple[Failure, ...]
    n_before: int = 0
    remark: str = ""


class Watch:
    """Is told how work on many photos goes, and does nothing about it; a subclass may show it."""

    def start(self, n_photos: int, n_before: int = 0) -> None:
        """Work on ``n_photos`` photos begins; ``n_before`` more were done by an earlier run."""

    def done_before(self, edits: Sequence[FileEdit]) -> None:
        """What an earlier run had done, if anything."""

    def begin(self, name: str) -> None:
        """Work on one of them begins."""

    def step(self, done: int, total: int) -> None:
        """Part of it is done."""

    def written(self, edit: FileEdit) -> None:
        """Its files are written."""

    def failed(self, failure: Failure) -> None:
        """It could not be changed; the work goes on."""

    def end(self) -> None:
        """Work on it has ended, either way."""


class Batch:
    """The failures of work on many photos, and who is told about them."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch or Watch()
        self.failures: list[Failure] = []

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """Work on one photo; an EmorphError inside, or too little memory, is its failure, and the work goes on."""
        self.watch.begin(name)
        try:
            yield
        except EmorphError as error:
            self._note(name, error)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            self._note(name, _too_large(error))
        self.watch.end()

    def _note(self, name: str, error: EmorphError) -> None:
        self.failures.append(Failure(name, error))
        self.watch.failed(self.failures[-1])


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold Ctrl-C back until what is inside is done, so that no file is written without its record."""
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


def _lacks_memory(error: BaseException) -> bool:
    """Whether it is Python's, a GPU's or, by its text alone, a CPU tensor's failed allocation."""
    kind, text = type(error).__name__, str(error).lower()
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or bool(_NO_MEMORY.search(text))


def _too_large(error: BaseException) -> EmorphError:
    said = f" ({first.rstrip('.')})" if (first := str(error).partition("\n")[0].strip()) else ""
    return EmorphError(
        f"there is not enough memory for it{said}. Make the picture smaller, change fewer faces at a time (--face), "
        "or choose another --device."
    )
