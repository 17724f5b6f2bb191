"""Values that are made in a thread of their own while the ones before them are worked on."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator
from typing import TypeVar

Value = TypeVar("Value")
LOOK_S = 0.05  # how often a thread that waits looks whether it is still needed


def ahead(values: Generator[Value], n: int = 1) -> Generator[Value]:
    """The same values, of which ``n`` more are kept ready. What making them raises is raised here.

    Once this generator is closed the thread ends after the value that it is at, and ``values`` is closed.

    >>> list(ahead(i * i for i in range(4)))
    [0, 1, 4, 9]
    """
    ready: queue.Queue[tuple[Value | None, BaseException | None]] = queue.Queue(n)
    is_over = threading.Event()

    def hand_on(value: Value | None, error: BaseException | None) -> None:
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((value, error), timeout=LOOK_S)
                break

    def make() -> None:
        try:
            for value in values:
                hand_on(value, None)
                if is_over.is_set():
                    break
        except BaseException as error:
            hand_on(None, error)
        else:
            hand_on(None, StopIteration())
        finally:
            values.close()

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            value, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield value  # type: ignore[misc]
    finally:
        is_over.set()
        thread.join()
