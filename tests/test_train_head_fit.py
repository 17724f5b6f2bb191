"""The classifier's fit as a run: its length in any unit, its plan, its curve, and which epoch is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph.core.errors import ConfigError
from emorph.train.tasks.classifier import ClassifierConfig, train_classifier
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import Length, Watched, fit_head, fit_layer, measured, orders
from test_data import make_store
from test_train_classifier import made_codes
from tiny import tiny_model

Emorph = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("head", "steps", "samples", "epochs"),
    [
        ({}, 40 * 4, 4000, 40.0),  # 100 codes in batches of 32 are three whole batches and one of four
        ({"epochs": 1.04}, 5, 132, 1.32),  # whole steps
        ({"epochs": 0.5}, 2, 64, 0.64),
        ({"samples": 250}, 2 * 4 + 2, 264, 2.64),
        ({"samples": 300}, 3 * 4, 300, 3.0),
        ({"steps": 7}, 7, 196, 1.96),
    ],
)
def test_a_length_in_any_unit_is_steps(head: dict[str, Any], steps: int, samples: int, epochs: float) -> None:
    length = Length(HeadConfig(batch_size=32, **head), 100)
    assert length.steps == steps
    assert length.samples(steps) == samples
    assert length.epochs(steps) == pytest.approx(epochs)


def test_two_lengths_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="state one of samples, steps and epochs; found samples and epochs"):
        HeadConfig.parse({"epochs": 2, "samples": 10})
    config = ClassifierConfig.parse({"out": "o", "model": "m", "data": {"path": "p", "split": "train"}})
    assert config.with_budget(samples=9).head.samples == 9
    assert config.with_budget(samples=9).head.epochs is None
    assert config.with_budget() is config
    assert HeadConfig.parse(config.head.model_dump()) == config.head


@pytest.mark.parametrize("balance", ["weights", "classes"])
def test_a_plan_counts_what_the_fit_draws(balance: Any) -> None:
    labels = np.repeat(np.arange(8), [30, 40, 5, 9, 4, 3, 7, 2])
    values = {"out": "o", "model": "m", "data": {"path": "p", "split": "train"}}
    head = {"samples": 330, "batch_size": 32, "balance": balance}
    config = ClassifierConfig.parse({**values, "head": head, "seed": 3})
    text, plan = config.planned(np.concatenate([labels, [-1, -1]]))
    assert (plan["faces"], plan["codes"], plan["samples"]) == (100, 200, 360)  # 200, and five batches of 32
    assert "100 faces with a label (2 without one are not used) and their mirror images, 200 codes" in text
    assert "12 steps x batch 32 = 360 samples = 1.80 epochs" in text.replace("\n", "")
    assert "only 1.80 epochs" in text
    twice = np.tile(labels, 2)
    drawn = np.concatenate([order.numpy() for order in islice(orders(config.head, 3, torch.from_numpy(twice)), 2)])
    expected = np.bincount(twice[drawn[:360]], minlength=8)
    assert [row["samples"] for row in plan["classes"]] == expected.tolist()
    assert [row["faces"] for row in plan["classes"]] == [30, 40, 5, 9, 4, 3, 7, 2]
    assert sum(line.strip().startswith("contempt") for line in text.splitlines()) == 1


def test_the_best_epoch_is_kept_and_named() -> None:
    codes, held_out = made_codes(300, 0), made_codes(200, 1)
    # wrong labels on the held-out faces' side: the longer it is trained, the fewer answers fit
    turned = (held_out.labels + 1) % 8
    watched = Watched(held_out.z, turned)
    config = HeadConfig(epochs=12, lr=1e-2, batch_size=32)
    fit = fit_head(config, 0, codes.labels, lambda rows: codes.z[rows], watched)
    assert [p.epoch for p in fit.points] == pytest.approx(range(1, 13))
    recalls = [p.values["mean_recall"] for p in fit.points]
    assert fit.kept == int(np.argmax(recalls))
    last = fit_head(config.model_copy(update={"keep": "last"}), 0, codes.labels, lambda rows: codes.z[rows], watched)
    assert last.kept == 11
    weight, bias = fit_layer(config, 0, codes.labels, lambda rows: codes.z[rows])
    assert torch.equal(weight, last.weight)  # being watched changes nothing
    assert torch.equal(bias, last.bias)
    answers = (held_out.z @ fit.weight.T + fit.bias).argmax(dim=1)
    assert measured(answers.numpy(), turned.numpy()) == fit.points[fit.kept or 0].values
    assert all(b.loss < a.loss for a, b in zip(fit.points[:3], fit.points[1:4], strict=True))


def test_a_short_fit_is_looked_at_ten_times() -> None:
    codes = made_codes(300, 0)
    watched = Watched(codes.z, codes.labels)
    fit = fit_head(HeadConfig(steps=20, batch_size=8), 0, codes.labels, lambda rows: codes.z[rows], watched)
    assert [p.step for p in fit.points] == list(range(2, 21, 2))
    assert [json.loads(line)["samples"] for line in fit.to_jsonl().splitlines()] == [16 * (i + 1) for i in range(10)]


def test_a_test_set_is_measured_and_chooses_nothing() -> None:
    train, held_out, test = (made_codes(n, seed) for n, seed in ((300, 0), (100, 1), (60, 2)))
    config = HeadConfig(epochs=3, batch_size=32)
    chosen = train_classifier(config, 0, train, held_out)
    tested = train_classifier(config, 0, train, held_out, test=test)
    assert torch.equal(chosen.directions.weight, tested.directions.weight)
    assert (int(chosen.confusion.counts.sum()), int(tested.confusion.counts.sum())) == (100, 60)
    assert chosen.fit is not None
    assert tested.fit is not None
    assert [p.values for p in chosen.fit.points] == [p.values for p in tested.fit.points]


@pytest.mark.parametrize("test", ["val", "train"])
def test_a_test_split_that_chooses_is_refused(test: str) -> None:
    values = {"out": "o", "model": "m", "test": test, "data": {"path": "p", "split": "train"}}
    with pytest.raises(ConfigError, match=f"test = '{test}' is a split that is trained or chosen by"):
        ClassifierConfig.parse(values)


def test_a_run_writes_its_curve_and_says_which_split_it_saw(emorph: Emorph, tmp_path: Path) -> None:
    make_store(tmp_path / "faces.parquet", 120)
    tiny_model().save_pretrained(tmp_path / "tiny")
    text = 'task = "classifier"\nout = "runs/found"\nmodel = "tiny"\ncheck = 0\n'
    text += '[data]\npath = "faces.parquet"\nsplit = "train"\n'
    text += "[head]\nbatch_size = 64\n"
    (tmp_path / "c.toml").write_text(text)
    status, out, err = emorph("train", "run", tmp_path / "c.toml", "--epochs", 1.5)
    assert status == 0, err
    folder = Path(out.strip())
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["samples"] == 320  # 192 codes, and two batches of 64 for the half
    assert "kept epoch" in err
    assert "Name a test split" in err
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["chosen_by"]) == ("val", "val")
    assert "<svg" in (folder / "curve.html").read_text()
