"""Several processes train as one would: the same gradients, the same faces, the same log, one voice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import ConfigError
from emorph.train.checkpoint import load_state
from emorph.train.devices import as_launched
from emorph.train.draws import KnownFaces, order_of
from emorph.train.loop import train
from killed_run import in_own_processes, made_faces, run_config, train_as_rank
from test_data import make_store

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
SRC = Path(__file__).parents[1] / "src"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


@pytest.mark.xdist_group("processes")
def test_processes_take_the_gradients_the_faces_and_the_log_of_one(tmp_path: Path) -> None:
    """Without dropout, whose masks each process draws on its own."""
    n_ranks = 3
    changed = {
        "budget": {"steps": 4},
        "checkpoint": {"keep_steps": [1]},
        "log": {"every_steps": 1},
        "samples": {"n": 0},
    }
    # gradients of a step are in Adam's first mean after it, a tenth of them; large ones would be clipped
    one, many = run_config(tmp_path / "one", **changed), run_config(tmp_path / "many", **changed)
    assert one.model.dropout == 0
    train(one, made_faces(), accelerator="cpu", devices=1, show_progress=False)

    port, records = free_port(), [tmp_path / f"rank{rank}" for rank in range(n_ranks)]
    works = [partial(train_as_rank, many, rank, n_ranks, port, records[rank]) for rank in range(n_ranks)]
    assert in_own_processes(works) == [0] * n_ranks

    a, b = (load_state(Path(c.out) / "step_00000001")["optimizer"]["state"] for c in (one, many))
    assert len(a) == len(b)
    largest = max(float((a[i]["exp_avg"] - b[i]["exp_avg"]).abs().max()) for i in a) / 0.1
    assert largest < 1e-6
    assert max(float(a[i]["exp_avg"].abs().max()) for i in a) / 0.1 > 1e-3  # gradients there are

    labels = made_faces().labels
    shares = [[int(line) for line in record.read_text().split()] for record in records]
    assert [len(share) for share in shares] == [24 // n_ranks] * n_ranks
    order = order_of(one.data, KnownFaces.of(made_faces(), "made"), seed=one.seed)
    together = [index for share in shares for index in share]
    np.testing.assert_array_equal(np.bincount(together, minlength=24), order.drawn(24))
    counts = np.bincount(labels[together], minlength=8)
    assert counts.max() - counts.min() <= 1

    expected, found = rows(tmp_path / "one"), rows(tmp_path / "many")
    assert [row["step"] for row in found] == [row["step"] for row in expected] == [1, 2, 3, 4]
    for mine, theirs in zip(found, expected, strict=True):
        for key in ("samples", "epoch"):
            assert mine[key] == theirs[key]
        for key in ("loss", "diffusion", "grad_norm", "encoder_grad_norm"):
            assert mine[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6)


@pytest.mark.xdist_group("processes")
def test_one_command_trains_on_two_devices_and_speaks_once(tmp_path: Path) -> None:
    make_store(tmp_path / "faces.parquet", 16)
    config = run_config("run", data={"path": "faces.parquet"}, budget={"steps": 2}, optim={"batch_size": 4})
    (tmp_path / "run.toml").write_text(config.to_toml())
    command = [sys.executable, "-m", "emorph", "train", "run", str(tmp_path / "run.toml")]
    done = subprocess.run(
        [*command, "--devices", "2", "--accelerator", "cpu"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run" / "step_00000002" / "ema")
    assert done.stderr.count("2 steps x batch 4 = 8 samples") == 1
    assert done.stderr.count("its budget is spent") == 1
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["devices"], plan["micro_batch"], plan["rounds"]) == (2, 2, 1)
    state = torch.load(tmp_path / "run" / "step_00000002" / "trainer.pt", weights_only=True)
    assert state["samples"] == 8


@pytest.mark.xdist_group("processes")
def test_torchrun_without_a_number_shares_one_run(tmp_path: Path) -> None:
    """On CPUs "auto" alone is one device, and each process would train by itself into the same folder."""
    config = run_config(tmp_path / "run", budget={"steps": 2}, checkpoint={}, samples={"n": 0})
    port, records = free_port(), [tmp_path / f"rank{rank}" for rank in range(2)]
    works = [partial(train_as_rank, config, rank, 2, port, records[rank], devices="auto") for rank in range(2)]
    assert in_own_processes(works) == [0, 0]
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["devices"] == 2
    assert [len(record.read_text().split()) for record in records] == [6, 6]


TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize("environ", [TORCHRUN, SRUN])
def test_what_was_started_is_what_trains(environ: dict[str, str]) -> None:
    assert as_launched("auto", 1, environ) == (4, 2)
    assert as_launched("4", 2, environ) == ("4", 2)
    with pytest.raises(ConfigError, match=r"started 8 processes on 2 machine\(s\), but --devices 4 --nodes 1 is 4"):
        as_launched("4", 1, environ)
    assert as_launched("auto", 1, {}) == ("auto", 1)
    assert as_launched("2", 1, {**SRUN, "SLURM_NTASKS": "1", "SLURM_NNODES": "1"}) == ("2", 1)
    assert as_launched("2", 1, {**SRUN, "SLURM_JOB_NAME": "bash"}) == ("2", 1)
