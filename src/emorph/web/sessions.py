"""Who uses the page now: each one's photo, in memory and in a folder of their own, which go when they go.

All that computes runs in one thread, one picture after the other, so that nobody waits long behind somebody else.
"""

from __future__ import annotations

import contextlib
import contextvars
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from emorph.core.decode import opened
from emorph.core.errors import ImageError
from emorph.core.images import read_photo
from emorph.core.types import OnStep
from emorph.study.guard import Bucket
from emorph.web.editors import Editors

if TYPE_CHECKING:
    from emorph.edit.live import LivePhoto

MOST_SESSIONS = 64
IDLE_S = 1800.0  # after which a photo is forgotten, although its page was not closed
MOST_PX = 40_000_000  # of a photo: decoded, 120 MB
MOST_PX_TOGETHER = 400_000_000
PICTURES_PER_S, PICTURES_AT_ONCE = 30.0, 60  # that one page may ask for
WAITING = 3  # pictures of one page that wait; more are refused

Reason = Literal["early", "unknown", "full", "busy", "large", "no_photo"]
Result = TypeVar("Result")


class Refused(Exception):  # noqa: N818 - it is no fault of ours, and the page says so kindly
    """What was asked for cannot be had. reason: the text that says why; filled: what is filled in there."""

    def __init__(self, reason: Reason, **filled: object) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.filled = filled


class Superseded(Exception):  # noqa: N818 - no fault either
    """A picture is not wanted any more."""


class Session:
    """One open page. folder: its own, for files. live: its photo, once there is one. face: the one that is edited."""

    def __init__(self, key: str, folder: Path) -> None:
        self.key, self.folder = key, folder
        self.live: LivePhoto | None = None
        self.face = 1
        self.n_px = 0
        self.has_frames = False  # several in the photo's file, of which the first is taken
        self.newest = -1  # number of the latest picture that was asked for
        self.progress = (0, 0)  # evaluations that are done, and all
        self.waiting = 0

    @property
    def photo(self) -> LivePhoto:
        """The photo that is edited. Raises Refused while there is none."""
        if self.live is None:
            raise Refused("no_photo")
        return self.live

    @property
    def name(self) -> str:
        """Of the photo's file. Raises Refused while there is none."""
        return self.photo.photo.name

    def photo_file(self, name: str) -> Path:
        """Where a photo is put that is called so; an earlier one goes."""
        own = self.folder / "photo"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        return own / name

    def stepping(self, number: int | None = None) -> OnStep:
        """What is told of the evaluations of a picture.

        number: of its wish; once there is a later one, the drawing ends with Superseded. None is drawn to its end.
        """
        self.progress = (0, 0)

        def tell(done: int, total: int) -> None:
            self.progress = (done, total)
            if number is not None and number < self.newest:
                raise Superseded

        return tell


class Sessions:
    """All open pages, by keys that nobody can guess."""

    def __init__(self, editors: Editors, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.editors = editors
        self.root = Path(tempfile.mkdtemp(prefix="emorph-web-"))  # readable by its owner alone
        self._clock = clock
        self._open: dict[str, tuple[Session, float]] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="emorph-web")
        self._pace = Bucket(PICTURES_PER_S, PICTURES_AT_ONCE)

    def open(self) -> Session:
        """A new page. Raises Refused where there are too many."""
        with self._lock:
            self._forget_idle()
            if len(self._open) >= MOST_SESSIONS:
                raise Refused("full")
            key = secrets.token_urlsafe(16)
            folder = self.root / key
            folder.mkdir(mode=0o700)
            session = Session(key, folder)
            self._open[key] = session, self._clock()
            return session

    def of(self, key: str) -> Session:
        """The page with this key. Raises Refused for one that is not known any more, or asks too often, or too early.

        A page that is still loading has the key "".
        """
        if not key:
            raise Refused("early")
        with self._lock:
            found = self._open.get(key)
            if found is None:
                raise Refused("unknown")
            self._open[key] = found[0], self._clock()
        if not self._pace.admits(key):
            raise Refused("busy")
        return found[0]

    def close(self, key: str) -> None:
        """Forget a page and its photo."""
        with self._lock:
            self._drop(key)

    def close_all(self) -> None:
        """Forget all pages, and remove the folder."""
        self._worker.shutdown(cancel_futures=True)
        with self._lock:
            self._open.clear()
        shutil.rmtree(self.root, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._open)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something computed, in its turn; what it tells of its progress reaches whoever asked."""
        return self._worker.submit(contextvars.copy_context().run, work)

    @contextlib.contextmanager
    def waiting(self, session: Session) -> Iterator[None]:
        """While a page waits for a picture. Raises Refused where it waits for several already."""
        if session.waiting >= WAITING:
            raise Refused("busy")
        session.waiting += 1
        try:
            yield
        finally:
            session.waiting -= 1

    def take_photo(self, session: Session, path: Path) -> LivePhoto:
        """Read a photo, and find its faces; it takes the place of an earlier one. To be called in its turn.

        Raises Refused, ImageError, NoFaceError.
        """
        from emorph.edit.live import LivePhoto

        n_px = checked_size(path)
        with self._lock:
            if sum(other.n_px for other, _ in self._open.values()) - session.n_px + n_px > MOST_PX_TOGETHER:
                raise Refused("full")
        session.live, session.n_px = None, 0
        session.live = LivePhoto(self.editors.own, read_photo(path, frame=1))
        session.n_px, session.face, session.has_frames = n_px, session.live.largest, has_frames(path)
        return session.live

    def _forget_idle(self) -> None:
        now = self._clock()
        for key in [key for key, (_, seen) in self._open.items() if now - seen > IDLE_S]:
            self._drop(key)

    def _drop(self, key: str) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            found[0].live = None
            shutil.rmtree(found[0].folder, ignore_errors=True)


def has_frames(path: Path) -> bool:
    """Whether a photo's file has several frames or pages, of which one is to be chosen."""
    try:
        with opened(path):
            return False
    except ImageError:
        return True


def checked_size(path: Path) -> int:
    """How many pixels a photo has, from its header. Raises Refused for too many, ImageError for what is no picture."""
    with opened(path, 1) as image:
        width, height = image.size
    if width * height > MOST_PX:
        raise Refused("large", width=width, height=height, most=round(MOST_PX / 1e6))
    return int(width * height)
