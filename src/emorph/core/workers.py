"""Work spread over processes: none outlives this one, and none that dies is waited for."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
import torch

from emorph.core.errors import DataError

OUTSTANDING = 2  # tasks a worker that are given out and whose results are not taken: results must not pile up in memory
WATCH_S = 1.0

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def spread(do: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Iterator[Result]]:
    """The results of all tasks, in their order; leaving the context ends the work.

    do: can be pickled, and goes to each worker once. workers: processes; with 1 all is done in this one.
    The iterator raises what a task raises, and DataError if a worker dies.
    """
    if workers <= 1 or len(tasks) <= 1:
        yield map(do, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a forked dlib or OpenCV may hang
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start, (do, os.getpid()))
    try:
        yield _results(pool, tasks, OUTSTANDING * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _results(pool: ProcessPoolExecutor, tasks: Sequence[Task], most: int) -> Iterator[Any]:
    left = iter(tasks)
    outstanding: deque[Future[Any]] = deque()
    try:
        outstanding.extend(pool.submit(_do, task) for task in itertools.islice(left, most))
        while outstanding:
            result = outstanding.popleft().result()
            outstanding.extend(pool.submit(_do, task) for task in itertools.islice(left, 1))
            yield result
    except BrokenProcessPool:
        raise DataError(
            "a worker process died, perhaps because memory ran out; run the same command again with fewer --workers: "
            "what is finished is kept."
        ) from None


_work: list[Callable[[Any], Any]] = []  # what this worker process does, given to it once instead of with every task


def _start(do: Callable[[Any], Any], parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    cv2.setNumThreads(1)  # the workers are as many as the cores
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _work.append(do)


def _end_with(parent: int) -> None:
    """A killed parent cannot end its workers, and they would work on beside those of the next run."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _do(task: Any) -> Any:
    return _work[0](task)
