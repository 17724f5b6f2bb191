"""One thread that writes: what arrives together is committed together, and acknowledged after that.

A commit waits for the disk. Two hundred people who answer at once would wait for two hundred such waits; so all that
has arrived meanwhile shares one transaction, in which each piece still succeeds or fails alone.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from emorph.study.store import Store

MOST_AT_ONCE = 256
T = TypeVar("T")
_Job = tuple[Callable[[Store], Any], "Future[Any]"]


class Commits:
    """The writing thread of a study's file. Raises DataError if the file cannot be opened."""

    def __init__(self, study: Path) -> None:
        self._store = Store(study)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="study-commits", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Store], T]) -> Future[T]:
        """Have ``work`` done inside a transaction; the result is there once it is committed."""
        result: Future[T] = Future()
        self._jobs.put((work, result))
        return result

    async def do(self, work: Callable[[Store], T]) -> T:
        """As ``submit``, awaited; what ``work`` raises is raised, and then nothing of it was written."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Finish what was submitted and close the file."""
        self._jobs.put(None)
        self._thread.join()
        self._store.close()

    def _work(self) -> None:
        is_open = True
        while is_open:
            jobs = [self._jobs.get()]
            while len(jobs) < MOST_AT_ONCE and not self._jobs.empty():
                jobs.append(self._jobs.get())
            is_open = None not in jobs
            self._commit([job for job in jobs if job is not None])

    def _commit(self, jobs: list[_Job]) -> None:
        """Do all jobs in one transaction; nobody is answered before it is committed."""
        jobs = [(work, result) for work, result in jobs if result.set_running_or_notify_cancel()]
        done: list[Callable[[], None]] = []
        try:
            with self._store.transaction():
                done += [self._tried(work, result) for work, result in jobs]
        except Exception as error:  # the disk is full, say: then none of it was written, and all must hear of it
            for _, result in jobs:
                result.set_exception(error)
            return
        for answer in done:
            answer()

    def _tried(self, work: Callable[[Store], Any], result: Future[Any]) -> Callable[[], None]:
        try:
            with self._store.part():
                value = work(self._store)
        except Exception as error:
            failure = error
            return lambda: result.set_exception(failure)
        return lambda: result.set_result(value)
