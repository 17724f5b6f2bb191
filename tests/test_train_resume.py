"""A run that dies loses nothing: killed at any moment, on a full disk, or in the wrong place."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from emorph.core.errors import CheckpointError, ConfigError
from emorph.models.diffae import DiffAE
from emorph.train import loop, stepping
from emorph.train.checkpoint import clear_drafts, latest, step_folders, write_whole
from emorph.train.logbook import cut_back
from emorph.train.loop import Outcome, train
from emorph.train.tasks.autoencoder import AutoencoderConfig
from killed_run import in_own_processes, made_faces, run_config, train_here
from test_data import make_store
from tiny import tiny_config

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]
N_KILLS = int(os.environ.get("EMORPH_TEST_KILLS", "3"))


def run(config: AutoencoderConfig, **kwargs: Any) -> Outcome:
    return train(config, made_faces(), accelerator="cpu", devices=1, show_progress=False, **kwargs)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    parts = {part: DiffAE.from_pretrained(folder / part).state_dict() for part in ("model", "ema")}
    return {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()}


def log(folder: Path) -> list[dict[str, float]]:
    """The lines of the log without what the clock says."""
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("wait_share", "steps_per_s")} for row in rows]


@pytest.mark.xdist_group("processes")
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    sheet = {"n": 1, "seeds": []}  # so that a kill may meet one, too
    steps = {"samples": sheet, "budget": {"steps": 30}}
    whole, broken = (run_config(tmp_path / name, **steps) for name in ("whole", "broken"))
    assert in_own_processes([partial(train_here, whole)]) == [0]
    rng = random.Random(int(time.time()))
    for i in range(N_KILLS):
        # the log has 15 lines: each start gets on for some, and is killed within a few steps or in a save
        delay_s = 0.1 * rng.random()
        death = partial(train_here, broken, resume=i > 0, n_rows=3 + 10 * i // N_KILLS, delay_s=delay_s)
        assert in_own_processes([death]) == [-signal.SIGKILL], f"kill {i} after {delay_s} s"
    last = latest(tmp_path / "broken")
    (tmp_path / "broken" / f".{last.name}.draft").mkdir()  # as if the last kill had met a save
    assert in_own_processes([partial(train_here, broken, resume=True)]) == [0]
    end = json.loads((tmp_path / "broken" / "outcome.json").read_text())
    assert (end["ended_by"], end["step"]) == ("budget", 30)
    expected, found = (weights(tmp_path / name / "step_00000030") for name in ("whole", "broken"))
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    rows = log(tmp_path / "broken")
    assert [row["step"] for row in rows] == list(range(2, 31, 2))
    assert rows == log(tmp_path / "whole")
    assert not list((tmp_path / "broken").glob(".*"))


def test_an_early_end_in_the_middle_of_a_line_is_made_whole_by_resuming(tmp_path: Path) -> None:
    whole = run(run_config(tmp_path / "whole", budget={"steps": 9}, log={"every_steps": 4}))
    first = run_config(tmp_path / "parts", budget={"steps": 6}, log={"every_steps": 4})
    run(first)
    assert [row["step"] for row in log(tmp_path / "parts")] == [4, 6]  # what is left over is written at an end, too
    longer = first.model_copy(update={"budget": first.budget.model_copy(update={"steps": 9})})
    end = run(longer, resume=True)
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    assert [row["step"] for row in log(tmp_path / "whole")] == [4, 8, 9]
    assert all(
        torch.equal(a, b) for a, b in zip(weights(whole.folder).values(), weights(end.folder).values(), strict=True)
    )
    again = run(longer, resume=True)
    assert (again.folder, again.step, log(tmp_path / "parts")) == (end.folder, 9, log(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"optim": {"batch_size": 4, "lr": 1e-3}}, r"12 samples in 2 steps, .*batch_size = 4 gives: set it to 6 again"),
        ({"seed": 6}, r"trained with seed = 5, now it is 6: set it back, or start a new run with init = '.*/model'"),
        ({"data": {"path": "x", "balance": "cap"}}, r"data\.balance = 'repeat', now it is 'cap': set it back"),
        ({"data": {"path": "x", "class_power": 0.5}}, r"data\.balance = 'repeat', now it is 'none': set it back"),
        ({}, r"24 faces, now there are 20 in faces\.parquet: bring the others back"),
    ],
)
def test_resuming_in_another_order_is_refused(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    run(run_config(tmp_path / "run", budget={"steps": 2}))
    config = run_config(tmp_path / "run", budget={"steps": 4}, **changed)
    faces = made_faces() if changed else made_faces(20)
    with pytest.raises(ConfigError, match=sentence):
        train(config, faces, accelerator="cpu", devices=1, show_progress=False, resume=True)


def test_a_checkpoint_that_tells_only_its_samples_is_gone_on_with(tmp_path: Path) -> None:
    first = run(run_config(tmp_path / "run", budget={"steps": 2}))
    state = torch.load(first.folder / "trainer.pt", weights_only=True)
    assert state.pop("order") == {"seed": 5, "data.balance": "repeat", "data.class_power": 0.0, "faces": 24}
    torch.save(state, first.folder / "trainer.pt")
    assert run(run_config(tmp_path / "run", budget={"steps": 3}), resume=True).step == 3


def test_processes_agree_once_a_step_and_the_plan_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"agreed": 0, "planned": 0}
    agree, plan = loop._Loop._agree, stepping.plan_of

    def agreeing(self: Any, here: Any) -> Any:
        counts["agreed"] += 1
        return agree(self, here)

    def planning(*args: Any, **kwargs: Any) -> Any:
        counts["planned"] += 1
        return plan(*args, **kwargs)

    monkeypatch.setattr(loop._Loop, "_agree", agreeing)
    monkeypatch.setattr(stepping, "plan_of", planning)
    run(run_config(tmp_path / "run", budget={"steps": 4}), on_start=lambda plan: None)
    assert counts == {"agreed": 4, "planned": 1}


def test_a_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step}) + "\n" for step in (2, 4, 5, 6, 8)]
    (tmp_path / "stats.jsonl").write_text("".join(lines) + '{"step": 1')
    cut_back(tmp_path, 6, unfinished=False)
    assert [row["step"] for row in log(tmp_path)] == [2, 4, 5, 6]
    cut_back(tmp_path, 5, unfinished=True)
    assert [row["step"] for row in log(tmp_path)] == [2, 4]
    cut_back(tmp_path, 0, unfinished=False)
    assert log(tmp_path) == []


def test_stated_steps_are_saved_and_stay(tmp_path: Path) -> None:
    config = run_config(
        tmp_path / "run", budget={"steps": 12}, checkpoint={"every_steps": 2, "keep": 2, "keep_steps": [3, 5]}
    )
    saved: list[int] = []
    run(config, on_checkpoint=lambda folder, model: saved.append(int(folder.name[5:])))
    assert saved == [2, 3, 4, 5, 6, 8, 10, 12]
    assert [p.name[-2:] for p in step_folders(tmp_path / "run")] == ["03", "05", "10", "12"]


def test_a_run_writes_its_plan_and_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = run_config(folder, budget={"steps": 4}, checkpoint={"every_steps": 2})
    said: list[int] = []
    run(config, on_start=lambda plan: said.append(plan.steps))
    plan, end = (json.loads((folder / name).read_text()) for name in ("plan.json", "outcome.json"))
    assert said == [plan["steps"]] == [end["step"]] == [4]
    assert plan["saves"]["written"] == 2
    assert "4 steps x batch 6 = 24 samples = 0.60 epochs" in (folder / "plan.txt").read_text()
    assert (end["ended_by"], end["because"]) == ("budget", "its budget is spent (steps = 4)")
    assert end["checkpoint"] == "step_00000004"
    assert end["seconds"] > 0
    on_disk = sum(path.stat().st_size for path in (folder / "step_00000004").rglob("*") if path.is_file())
    assert plan["needs"]["checkpoint"] == pytest.approx(on_disk, rel=0.2)  # a tiny model's files are half headers
    counted = sum(row["samples"] for row in plan["classes"])
    assert counted == plan["samples"] == 24


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """No process file may grow beyond this: the system's own refusal, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    config = run_config(tmp_path / "run", budget={"steps": 4}, checkpoint={"every_steps": 2})
    short = config.model_copy(update={"budget": config.budget.model_copy(update={"steps": 2})})
    good = run(short)
    kept = weights(good.folder)
    nothing = run_config(tmp_path / "nothing", budget={"steps": 2})
    with largest_file(100_000), pytest.raises(CheckpointError, match=r"free there; .*the same emorph train run"):
        run(nothing)
    run(nothing)
    with largest_file(100_000), pytest.raises(CheckpointError, match=r"could not be written .* emorph train resume"):
        run(config, resume=True)
    assert step_folders(tmp_path / "run") == [good.folder]
    assert all(torch.equal(kept[key], value) for key, value in weights(good.folder).items())
    end = run(config, resume=True)
    whole = run(run_config(tmp_path / "whole", budget={"steps": 4}))
    assert all(
        torch.equal(a, b) for a, b in zip(weights(whole.folder).values(), weights(end.folder).values(), strict=True)
    )


def test_a_log_that_cannot_grow_ends_the_run_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(tmp_path / "run", budget={"steps": 8}, checkpoint={"every_steps": 2})
    original, n_lines = Path.open, 0

    def full(self: Path, mode: str = "r", **kwargs: Any) -> Any:
        nonlocal n_lines
        n_lines += self.name == "stats.jsonl" and mode == "a"
        if n_lines == 3:
            raise OSError(28, "No space left on device")
        return original(self, mode, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(CheckpointError, match=r"stats\.jsonl .*No space left on device.*emorph train resume"):
            run(config)
    assert latest(tmp_path / "run").name == "step_00000004"
    run(config, resume=True)
    assert [row["step"] for row in log(tmp_path / "run")] == [2, 4, 6, 8]


def test_a_small_file_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "plan.txt", "old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(CheckpointError, match=r"plan\.txt could not be written \(No space left"):
            write_whole(tmp_path / "plan.txt", "new")
    assert (tmp_path / "plan.txt").read_text() == "old"
    clear_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.txt"]


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/emorph-run"])
def test_an_out_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written \(.*\); choose another 'out'"):
        run(run_config(tmp_path / out))


def test_one_sentence_for_each_mistake_of_a_configuration(tmp_path: Path, emorph: Emorph) -> None:
    make_store(tmp_path / "faces.parquet", 8)
    good = run_config("run", data={"path": "faces.parquet"}, model=tiny_config().model_dump()).to_toml()
    mistakes = {
        good.replace("batch_size", "batchsize"): "key 'optim.batchsize' is not known; did you mean 'batch_size'?",
        good.replace("faces.parquet", "none.parquet"): "none.parquet: there is no such data set.",
        good.replace("every_steps = 3", "every_step = 3"): "did you mean 'every_steps'?",
        good.replace("steps = 40", "steps = 40\nepochs = 99"): "the budget contradicts itself: budget.steps = 40 gives",
        good.replace('balance = "none"', 'balance = "equal"'): "balance 'equal' is not known",
    }
    for text, sentence in mistakes.items():
        (tmp_path / "run.toml").write_text(text)
        status, out, err = emorph("train", "run", tmp_path / "run.toml", "--accelerator", "cpu", "--devices", 1)
        assert (status, out) == (2, ""), text
        assert sentence in err
        assert "Traceback" not in err
        assert not (tmp_path / "run").exists()
    for words, sentence in (
        (("--accelerator", "abacus"), "choose one of auto, cpu, gpu, mps"),
        (("--accelerator", "cpu", "--devices", "x"), "cannot be used here"),
    ):
        (tmp_path / "run.toml").write_text(good)
        status, _, err = emorph("train", "run", tmp_path / "run.toml", *words)
        assert (status, (tmp_path / "run").exists()) == (2, False)
        assert sentence in err


def test_compiling_and_another_memory_layout_change_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that only traces: what it makes of the code is not ours to test, nor to wait for."""
    original, compiled = torch.compile, 0

    def traced(module: torch.nn.Module, **options: Any) -> Any:  # Fabric compiles anew around what it wraps
        nonlocal compiled
        compiled += 1
        return original(module, **{**options, "backend": "eager"})

    monkeypatch.setattr(torch, "compile", traced)
    plain = run_config(tmp_path / "plain", budget={"steps": 2})
    other = run_config(tmp_path / "other", budget={"steps": 2})
    changed = other.optim.model_copy(update={"compile": True, "channels_last": True})
    run(plain)
    averages: list[Any] = []
    end = run(other.model_copy(update={"optim": changed}), on_checkpoint=lambda folder, model: averages.append(model))
    spread = [w for w in averages[0].state_dict().values() if w.ndim == 4 and min(w.shape[1:]) > 1]
    assert spread
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in spread)
    assert compiled >= 1
    expected, found = log(tmp_path / "plain"), log(tmp_path / "other")
    assert found[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-5)
    assert DiffAE.from_pretrained(end.folder / "ema").config == plain.model
