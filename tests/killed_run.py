"""A small training run in a process of its own, for tests that kill it or start several of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from emorph.data.memory import Sample, TensorFaces
from emorph.train.config import RunConfig
from emorph.train.loop import train
from emorph.train.tasks.autoencoder import AutoencoderConfig
from forked import server
from tiny import tiny_config

N_FACES = 24


def made_faces(n: int = N_FACES) -> TensorFaces:
    """Smooth made pictures of all eight emotions, of the first two five, of the others two or three."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(n, 1, 4, 4, generator=generator) * 255
    images = torch.nn.functional.interpolate(noise, size=32, mode="bilinear").byte()
    return TensorFaces(images, torch.arange(n) % 10 % 8)


def run_config(out: Path | str, **changed: Any) -> AutoencoderConfig:
    """A run of half a second, with a line of its log for every second step."""
    values = {
        "out": str(out),
        "seed": 5,
        "data": {"path": "faces.parquet", "balance": "repeat"},
        "model": tiny_config().model_dump(),
        "optim": {"batch_size": 6, "lr": 1e-3, "ema_decay": 0.9},
        "budget": {"steps": 40},
        "checkpoint": {"every_steps": 3},
        "log": {"every_steps": 2},
        "samples": {"n": 0},  # a sheet takes as long as ten steps
    }
    return AutoencoderConfig.parse({**values, **changed})


class RecordedFaces(TensorFaces):
    """Faces that write down, in a file of their own for each process, which of them were asked for."""

    record: Path

    def __getitem__(self, index: int) -> Sample:
        with self.record.open("a") as file:
            file.write(f"{int(index)}\n")
        return super().__getitem__(index)


def train_here(
    config: RunConfig,
    *,
    resume: bool = False,
    n_rows: int = 0,
    delay_s: float = 0.0,
    faces: Callable[[], TensorFaces] = made_faces,
) -> None:
    """Train in this process until its end, or, with ``n_rows``, until ``delay_s`` after its log has so many lines."""
    torch.set_num_threads(1)  # sums in another order differ in the last bit
    if n_rows:
        threading.Thread(target=kill_this_process, args=(Path(config.out), n_rows, delay_s), daemon=True).start()
    train(config, faces(), resume=resume, accelerator="cpu", devices=1, show_progress=False)


def kill_this_process(run: Path, n_rows: int, delay_s: float) -> None:
    """With kill -9, whatever the other thread is doing."""
    log = run / "stats.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < n_rows:
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(os.getpid(), signal.SIGKILL)


def in_own_processes(works: Sequence[Callable[[], None]], timeout_s: float = 240) -> list[int | None]:
    """Run some work side by side, each in a process that shares nothing with this one; their exit codes."""
    context = server()
    processes = [context.Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout_s)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def train_as_rank(
    config: RunConfig,
    rank: int,
    n_ranks: int,
    port: int,
    record: Path,
    devices: int | str | None = None,
    faces: Callable[[], TensorFaces] = made_faces,
) -> None:
    """Train as one of several processes that torchrun would have started, and record the faces it reads.

    devices: as on the command line; None is as many as there are processes.
    """
    become_rank(rank, n_ranks, port)
    made = faces()
    recorded = RecordedFaces(made.images, torch.from_numpy(made.labels), made.landmarks)
    recorded.record = record
    train(config, recorded, accelerator="cpu", devices=devices or n_ranks, show_progress=False)


def become_rank(rank: int, n_ranks: int, port: int) -> None:
    """Make this process one of several that torchrun would have started."""
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(n_ranks),
        "LOCAL_WORLD_SIZE": str(n_ranks),
        "TORCHELASTIC_RUN_ID": "test",
    }
