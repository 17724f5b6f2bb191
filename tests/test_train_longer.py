"""Going on longer: a run that ended is the run that it would have been with the longer budget from the start."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emorph.models.diffae import DiffAE
from emorph.train.tasks.autoencoder import AutoencoderConfig
from test_data import make_store
from tiny import tiny_config

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]
HERE = ("--accelerator", "cpu", "--devices", 1)


def written(folder: Path, name: str, steps: int, **optim: float) -> Path:
    """A run's file: 16 training faces, batches of 4, so that 4 steps are an epoch."""
    data = folder / "f.parquet"
    config = AutoencoderConfig.parse(
        {
            "out": str(folder / name),
            "data": {"path": str(data if data.exists() else make_store(data, 20)), "split": "train"},
            "model": tiny_config().model_dump(),
            "optim": {"batch_size": 4, "lr": 1e-3, **optim},
            "samples": {"n": 0},
            "budget": {"steps": steps},
        }
    )
    path = folder / f"{name}.toml"
    path.write_text(config.to_toml())
    return path


def test_a_longer_run_is_the_run_that_was_long_from_the_start(tmp_path: Path, emorph: Emorph) -> None:
    assert emorph("train", "run", written(tmp_path, "short", 2), *HERE)[0] == 0
    assert emorph("train", "run", written(tmp_path, "long", 6), *HERE)[0] == 0
    run = tmp_path / "short"
    before = (run / "run.toml").read_text()
    status, out, err = emorph("train", "resume", run, "--epochs", 1.5, "--plan", "--accelerator", "cpu")
    assert (status, err) == (0, "")
    assert "6 steps x batch 4 = 24 samples = 1.50 epochs" in out
    assert "Goes on from step 2 to step 6 (0.50 epochs to 1.50 epochs): 4 steps, about" in out
    assert "it was to end at step 2." in out
    assert (run / "run.toml").read_text() == before  # a plan writes nothing

    status, out, err = emorph("train", "resume", run, "--epochs", 1.5, *HERE)
    assert status == 0, err
    assert "Goes on from step 2 to step 6" in err
    assert "learning rate" not in err
    assert tomllib.loads((run / "run.toml").read_text())["budget"] == {"epochs": 1.5}
    assert json.loads((run / "plan.json").read_text())["steps"] == 6
    longer, whole = (
        DiffAE.from_pretrained(tmp_path / n / "step_00000006" / "ema").state_dict() for n in ("short", "long")
    )
    assert all(torch.equal(longer[key], whole[key]) for key in whole)
    status, _, err = emorph("train", "resume", run, *HERE)  # what was asked for stays
    assert (status, "6 steps x batch 4" in err) == (0, True)


@pytest.mark.parametrize(("option", "amount", "steps"), [("--steps", 2, 2), ("--samples", 8, 2), ("--epochs", 0.25, 1)])
def test_no_longer_than_it_is_is_refused(
    option: str, amount: float, steps: int, tmp_path: Path, emorph: Emorph
) -> None:
    assert emorph("train", "run", written(tmp_path, "run", 2), *HERE)[0] == 0
    status, _, err = emorph("train", "resume", tmp_path / "run", option, amount)
    assert status == 2
    assert f"is at step 2 already, and a budget of {option[2:]} = {amount:,} is {steps} steps: ask for more." in err


def test_a_learning_rate_that_had_fallen_is_said_to_rise_again(tmp_path: Path, emorph: Emorph) -> None:
    assert emorph("train", "run", written(tmp_path, "run", 4, decay_share=0.5), *HERE)[0] == 0
    out = emorph("train", "resume", tmp_path / "run", "--steps", 8, "--plan", "--accelerator", "cpu")[1]
    assert "starts    at step 4, from" in out
    assert "random weights" not in out
    assert "Its learning rate goes from 0.0005 to 0.001, because decay_share = 0.5 now falls over the last part" in out


def test_a_new_run_from_an_old_ones_weights_says_so(tmp_path: Path, emorph: Emorph) -> None:
    assert emorph("train", "run", written(tmp_path, "old", 1), *HERE)[0] == 0
    path = written(tmp_path, "new", 1)
    weights = tmp_path / "old" / "step_00000001" / "ema"
    path.write_text(f'init = "{weights}"\n{path.read_text()}')
    said = f"from the weights of {weights}; its steps, optimiser and average begin anew"
    plan = emorph("train", "plan", path, "--no-warm-up", "--accelerator", "cpu")[1]
    assert said in " ".join(plan.split())
    err = emorph("train", "run", path, *HERE)[2]
    assert f"Starts {said}." in err
    assert "Starts" not in emorph("train", "resume", tmp_path / "new", *HERE)[2]
    assert "add --epochs, --steps or --samples" in emorph("train", "run", path, *HERE)[2]
