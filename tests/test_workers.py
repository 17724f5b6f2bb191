"""Worker processes: results in order, few at a time, and no waiting for what will never come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from emorph.core.errors import DataError
from emorph.core.workers import AHEAD, spread

pytestmark = pytest.mark.xdist_group("processes")
WORKERS = 2
WAIT_S = 180.0  # three processes have to load torch, perhaps on a machine that is at work


def half(number: int) -> float:
    return number / 2


def threads_of(number: int) -> tuple[int, int]:
    if number < 0:
        raise DataError(f"{number} is refused.")
    return torch.get_num_threads(), cv2.getNumThreads()


def parent_of(number: int) -> int:
    return os.getppid()


def leave_mark(path: Path) -> bool:
    path.write_text(str(os.getpid()))
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def die_at_2(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise DataError(f"{number} is refused.")


def mark_and_wait(path: Path) -> None:
    leave_mark(path)
    time.sleep(2 * WAIT_S)


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    with spread(half, range(9), workers) as results:
        assert list(results) == [number / 2 for number in range(9)]
    with pytest.raises(DataError, match="0 is refused"), spread(refuse, range(9), workers) as results:
        list(results)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_workers_come_from_a_server_that_has_imported_for_all() -> None:
    with spread(parent_of, range(9), WORKERS) as results:
        (server,) = set(results)
    with spread(parent_of, range(9), WORKERS) as results:
        assert set(results) == {server}
    assert server != os.getpid()


def test_one_process_computes_as_a_worker_does_and_then_as_before() -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(3)
    cv2.setNumThreads(2)
    try:
        with spread(threads_of, [0, 1, -1], 1) as results:
            for _ in range(2):
                assert next(results) == (1, 1)
                assert threads_of(0) == (3, 2)
            with pytest.raises(DataError):
                next(results)
        assert threads_of(0) == (3, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_a_slow_reader_is_not_flooded_and_ctrl_c_is_the_parents(tmp_path: Path) -> None:
    with spread(leave_mark, [tmp_path / str(i) for i in range(40)], WORKERS) as results:
        assert next(results)
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) <= AHEAD * WORKERS + 1
        assert all(results)
    assert len(list(tmp_path.iterdir())) == 40


def test_a_worker_that_dies_is_said_and_not_waited_for() -> None:
    with (
        pytest.raises(DataError, match="a worker process died, perhaps because memory ran out; run the same command"),
        spread(die_at_2, range(40), WORKERS) as results,
    ):
        list(results)


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
from collections.abc import Callable
from pathlib import Path
from emorph.core.workers import spread
from test_workers import mark_and_wait
if __name__ == "__main__":
    with spread(mark_and_wait, [Path({str(tmp_path)!r}) / name for name in "ab"], 2) as results:
        list(results)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path})
    try:
        marks = [tmp_path / name for name in "ab"]
        wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(Path(f"/proc/{mark.read_text()}/cmdline").exists() for mark in marks))


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
