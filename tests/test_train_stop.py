"""What stops a run from outside reaches all of its processes at once, and still ends in a saved step."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from emorph.train.config import RunConfig
from emorph.train.interrupt import ONE_REQUEST_S, StopRequest
from forked import server
from killed_run import run_config, train_here

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


def train_as_leader(config: RunConfig) -> None:
    """Train as the first of a group of processes, as a shell or a batch system starts it."""
    os.setsid()
    train_here(config)


@pytest.mark.xdist_group("processes")
def test_a_signal_to_the_whole_group_ends_in_a_saved_step(tmp_path: Path) -> None:
    """Loader processes get it too; of two that come together, the second is torchrun's."""
    config = run_config(
        tmp_path / "run", data={"path": "x", "workers": 2}, budget={"steps": 100_000}, log={"every_steps": 1}
    )
    log = tmp_path / "run" / "stats.jsonl"
    process = server().Process(target=train_as_leader, args=(config,))
    process.start()
    assert process.pid is not None
    try:
        until = time.monotonic() + 120
        while not log.exists() or log.read_bytes().count(b"\n") < 3:
            assert process.is_alive()
            assert time.monotonic() < until
            time.sleep(0.05)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.02)
        process.join(60)
    finally:
        process.kill()
    assert process.exitcode == 0
    end = json.loads((tmp_path / "run" / "outcome.json").read_text())
    assert end["ended_by"] == "interrupted"
    assert (tmp_path / "run" / end["checkpoint"] / "trainer.pt").exists()


def test_a_later_request_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("emorph.train.interrupt.time.monotonic", lambda: now)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        now += 2 * ONE_REQUEST_S
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
