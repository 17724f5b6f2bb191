"""Work spread over processes, here or of a cluster: results in order, few at a time, whoever does them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch

from emorph import __version__
from emorph.core.errors import ConfigError, DataError

OUTSTANDING = 2  # tasks a worker that are given out and not done: it need not wait for its next one
AHEAD = 8  # the same with those that are done, and wait for a slower one: results must not pile up in memory
LOOK_S = 5.0  # so often it is looked whether workers came or went

Task = TypeVar("Task")
Result = TypeVar("Result")


class Crew(ABC):
    """Who does tasks: an executor of ``concurrent.futures``, and what is to be known of the workers behind it."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    @abstractmethod
    def n_at_once(self) -> int:
        """How many tasks are done at once just now; 0 while there is no worker."""

    @abstractmethod
    def loss(self, error: Exception) -> DataError | None:
        """What to say if a task failed because of its workers, or None if the error is the task's own."""


class Processes(Crew):
    """Processes of this machine. They end with this one, also if it is killed. modules: what their tasks need."""

    def __init__(self, n_processes: int, modules: Sequence[str] = ()) -> None:
        super().__init__(ProcessPoolExecutor(n_processes, forking(modules), _start))
        self._n_processes = n_processes

    def n_at_once(self) -> int:
        return self._n_processes

    def loss(self, error: Exception) -> DataError | None:
        if not isinstance(error, BrokenProcessPool):
            return None
        return DataError(
            "a worker process died, perhaps because memory ran out; run the same command again with fewer --workers: "
            "what is finished is kept."
        )


def forking(modules: Sequence[str] = ()) -> BaseContext:
    """How processes start: forked from a server that has imported the modules, and torch, once for all of them.

    The server has no threads; a dlib or OpenCV that is forked from this process may hang. Only Linux forks safely.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *modules])
    return context


@contextmanager
def spread(do: Callable[[Task], Result], tasks: Sequence[Task], workers: int | Crew) -> Iterator[Iterator[Result]]:
    """The results of all tasks, in their order; leaving the context ends the work.

    do: can be pickled, and goes out with each task. workers: processes, of which 1 is this one; or a crew, which stays.
    Each task is done with one thread, by whomever, so that results are the same to the bit.
    The iterator raises what a task raises, and DataError if the workers are lost.
    """
    if isinstance(workers, Crew):
        futures: deque[Future[Any]] = deque()
        try:
            yield _results(do, tasks, workers, futures)
        finally:
            for future in futures:
                future.cancel()
    elif workers <= 1 or len(tasks) <= 1:
        yield (_alone(do, task) for task in tasks)
    else:
        crew = Processes(min(workers, len(tasks)), [do.__module__])
        try:
            with spread(do, tasks, crew) as results:
                yield results
        finally:
            crew.executor.shutdown(wait=True, cancel_futures=True)


def must_see(*paths: Path) -> None:
    """For tasks that read and write files: raises DataError on a machine that lacks one of them, naming the machine."""
    for path in paths:
        if not path.exists():
            raise DataError(
                f"{path} is not to be seen on {socket.gethostname()}, where a worker runs; all workers need the same "
                "files under the same paths, as on a shared disk."
            )


def _results(do: Callable[[Any], Any], tasks: Sequence[Any], crew: Crew, futures: deque[Future[Any]]) -> Iterator[Any]:
    left = iter(tasks)
    try:
        while True:
            running = [future for future in futures if not future.done()]
            n = max(1, crew.n_at_once())  # a cluster may start its first worker when there is work
            more = min(OUTSTANDING * n - len(running), AHEAD * n - len(futures))
            new = [crew.executor.submit(_done, __version__, do, task) for task in itertools.islice(left, max(0, more))]
            futures.extend(new)
            if not futures:
                return
            if futures[0].done():
                yield futures.popleft().result()
            else:
                wait(running + new, LOOK_S, FIRST_COMPLETED)
    except Exception as error:
        if (loss := crew.loss(error)) is not None:
            raise loss from None
        raise


def _done(version: str, do: Callable[[Any], Any], task: Any) -> Any:
    """Do a task on a worker, which may be of another machine, with one thread: the workers are as many as the cores."""
    if version != __version__:
        raise ConfigError(
            f"{socket.gethostname()} has emorph {__version__}, and the command runs emorph {version}; install the same "
            "version on all machines."
        )
    _compute_with(1, 1)
    return do(task)


def _alone(do: Callable[[Task], Result], task: Task) -> Result:
    """Do a task in this process as a worker does it: sums of several threads may differ in their last bit."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    _compute_with(1, 1)
    try:
        return do(task)
    finally:
        _compute_with(*before)


def _compute_with(torch_threads: int, cv2_threads: int) -> None:
    torch.set_num_threads(torch_threads)
    cv2.setNumThreads(cv2_threads)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, and they would work on beside those of the next run."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
