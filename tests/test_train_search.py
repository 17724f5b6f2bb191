"""Searching settings: what a range is, trials that outlive a kill and several processes, and an honest verdict."""

from __future__ import annotations

import json
import os
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorph.core.errors import ConfigError
from emorph.train.curves import Line, bar_chart, line_chart
from emorph.train.search import run as search_run
from emorph.train.search.looks import Looks
from emorph.train.search.report import Outcome, TrialRow
from emorph.train.search.run import search
from emorph.train.search.space import Space
from emorph.train.search.verdict import Verdict, verdict, weighted
from emorph.train.seen import MEASURES, Seen, measure_of
from emorph.train.tasks import read_task
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.classifier import ClassifierConfig
from killed_run import in_own_processes
from test_data import make_store
from tiny import tiny_config, tiny_model

pytest.importorskip("optuna", reason="needs the extra 'search'")

Emorph = Callable[..., tuple[int, str, str]]
CLASSIFIER = """task = "classifier"
out = "found"
model = "tiny"
[search]
measure = "accuracy"
[data]
path = "faces.parquet"
split = "train"
[budget]
epochs = { low = 1, high = 6 }
[head]
lr = { low = 1e-4, high = 1e-1, log = true }
batch_size = 32
"""


def search_file(folder: Path, text: str = CLASSIFIER, n: int = 120) -> Path:
    """A search on n made faces, a fifth of them for validation, and a tiny model."""
    folder.mkdir(exist_ok=True)
    if not (folder / "faces.parquet").exists():
        make_store(folder / "faces.parquet", n)
        tiny_model().save_pretrained(folder / "tiny")
    (folder / "search.toml").write_text(text)
    return folder / "search.toml"


def space_of(folder: Path, head: str, *, measure: str = "accuracy", more: str = "") -> Space:
    start = f'task = "classifier"\nout = "found"\nmodel = "tiny"\n{more}\n[search]\nmeasure = "{measure}"\n'
    return Space.read(search_file(folder, f'{start}[data]\npath = "faces.parquet"\nsplit = "train"\n[head]\n{head}\n'))


def test_a_setting_that_is_kept_under_an_old_name_begins_where_the_task_stands(tmp_path: Path) -> None:
    space = space_of(tmp_path, "[budget]\nepochs = { low = 1, high = 90 }")
    assert space.start() == {"budget.epochs": 40}
    config = space.config({"budget.epochs": 7})
    assert isinstance(config, ClassifierConfig)
    assert config.head.epochs == 7


def test_a_range_begins_where_it_is_told_else_where_the_task_stands(tmp_path: Path) -> None:
    lines = [
        "epochs = { low = 1, high = 90 }",
        "lr = { low = 1e-4, high = 1e-1, log = true, start = 0.05 }",
        "weight_decay = { low = 1.0, high = 4.0 }",
        'balance = { choices = ["none", "classes"] }',
        "gains = { happy = { low = 0.5, high = 2.5 } }",
    ]
    space = space_of(tmp_path, "\n".join(lines))
    assert space.start() == {
        "head.epochs": 40,  # the task's own
        "head.lr": 0.05,
        "head.weight_decay": 2.5,  # the task's own is outside
        "head.balance": "none",
        "head.gains.happy": 1.5,
    }
    config = space.config({**space.start(), "head.balance": "classes", "head.gains.happy": 2.0})
    assert isinstance(config, ClassifierConfig)
    assert (config.head.epochs, config.head.balance, config.head.gains) == (40, "classes", {"happy": 2.0})
    assert config.data.path == str(tmp_path / "faces.parquet")


@pytest.mark.parametrize(
    ("head", "more", "measure", "sentence"),
    [
        ("lr = { low = 1, high = 1 }", "", "accuracy", r"head\.lr: low must be below high; found 1 and 1"),
        ("lr = { low = 0.0, high = 1.0, log = true }", "", "accuracy", r"log = true needs a low above 0; found 0"),
        ("lr = { low = 0.1, high = 1.0, start = 2.0 }", "", "accuracy", r"start = 2 is outside of 0\.1 to 1"),
        (
            "lr = { low = 0.1, high = 1.0, strat = 1 }",
            "",
            "accuracy",
            r"key 'strat' is not known; did you mean 'start'",
        ),
        ('balance = { choices = ["none"] }', "", "accuracy", r"choices: Tuple should have at least 2 items"),
        ('balance = { choices = ["none", "nine"], start = "nine" }', "", "accuracy", r"head\.balance: Input should be"),
        ("lr = 0.1", "", "accuracy", r"gives no setting as a range, so there is nothing to search"),
        ("lr = { low = 0.1, high = 1.0 }", "", "acuracy", r"measure = 'acuracy' is not known; a classifier has mean_"),
        ("lr = { low = 0.1, high = 1.0 }", 'held_out = "test"', "accuracy", r"compare on the split 'test'\. Choose by"),
    ],
)
def test_what_is_wrong_with_a_search_is_said(tmp_path: Path, head: str, more: str, measure: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        space_of(tmp_path, head, measure=measure, more=more)


def search_here(file: Path, n_trials: int, *, die_at: int = 0) -> None:
    """Search in this process, and with ``die_at`` die by kill -9 in the middle of that look."""
    looks, see = [0], search_run._Recorder.see

    def dying(self: Any, seen: Seen) -> None:
        see(self, seen)
        looks[0] += 1
        if looks[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    search_run._Recorder.see = dying  # type: ignore[method-assign]
    try:
        search(file, n_trials=n_trials, say=lambda line: None)
    finally:
        search_run._Recorder.see = see  # type: ignore[method-assign]


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "found" / "trials.json").read_text())["trials"]
    return found


@pytest.mark.xdist_group("processes")
def test_a_search_killed_twice_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, broken = search_file(tmp_path / "whole"), search_file(tmp_path / "broken")
    search_here(whole, 4)
    for die_at in (4, 14):
        assert in_own_processes([partial(search_here, broken, 4, die_at=die_at)]) == [-signal.SIGKILL]
    search_here(broken, 4)
    assert [row["number"] for row in rows(tmp_path / "broken")] == [1, 2, 3, 4]
    assert {row["state"] for row in rows(tmp_path / "broken")} <= {"complete", "pruned"}
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    search_here(broken, 4)  # nothing is left to do
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    search_here(broken, 5)
    assert len(rows(tmp_path / "broken")) == 5


@pytest.mark.xdist_group("processes")
def test_two_processes_share_one_search(tmp_path: Path) -> None:
    file = search_file(tmp_path)
    assert in_own_processes([partial(search_here, file, 6)] * 2) == [0, 0]
    search_here(file, 6)  # the report, once both are done
    found = rows(tmp_path)
    assert [row["number"] for row in found] == list(range(1, 7))
    assert {row["state"] for row in found} <= {"complete", "pruned"}
    assert len({json.dumps(row["values"], sort_keys=True) for row in found}) == 6


def test_the_command_reports_the_best_as_a_file_that_runs(tmp_path: Path, emorph: Emorph) -> None:
    file = search_file(tmp_path)
    status, out, err = emorph("train", "search", file, "--trials", 4)
    assert status == 0, err
    assert out.strip() == str(tmp_path / "found" / "search.html")
    assert "trial 1 of 4: accuracy" in err
    page = Path(out.strip()).read_text()
    assert page.replace("http://www.w3.org/2000/svg", "").count("http") == 0  # nothing is fetched
    assert page.count("<svg") == 5  # the best trial, all trials, what mattered, two settings
    best = json.loads((tmp_path / "found" / "trials.json").read_text())["best"]
    config = read_task(tmp_path / "found" / "best.toml")
    assert isinstance(config, ClassifierConfig)
    assert (config.head.lr, config.head.epochs) == (best["values"]["head.lr"], best["values"]["budget.epochs"])
    finished = [row for row in rows(tmp_path) if row["state"] == "complete"]
    assert best["value"] == max(row["value"] for row in finished)
    status, out, err = emorph("train", "run", tmp_path / "found" / "best.toml")
    assert status == 0, err
    measured = json.loads((Path(out.strip()) / "metrics.json").read_text())
    assert measured["split"] == "val"

    file.write_text(CLASSIFIER.replace("1e-4", "1e-3"))
    status, _, err = emorph("train", "search", file)
    assert status == 2
    assert "holds the trials of another search" in err
    status, _, err = emorph("train", "run", file)
    assert status == 2
    assert "describes a search of settings, not one run" in err


def steps_file(folder: Path, search: str = 'measure = "loss"', optim: str = "") -> Path:
    """A search for the learning rate of an autoencoder, five steps a trial, with six validation faces."""
    values = AutoencoderConfig.parse(
        {
            "out": "found",
            "data": {"path": "faces.parquet", "split": "train"},
            "model": tiny_config().model_dump(),
            "budget": {"steps": 5},
        }
    ).to_toml()
    before = "lr = 0.0001\n"
    assert before in values
    values = values.replace(before, f"lr = {{ low = 1e-5, high = 1e-1, log = true }}\n{optim}")
    return search_file(folder, values.replace("batch_size = 32", "batch_size = 4") + f"\n[search]\n{search}\n", 30)


@pytest.mark.xdist_group("processes")
def test_a_run_of_steps_is_searched_by_its_losses_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    whole, broken = steps_file(tmp_path / "whole"), steps_file(tmp_path / "broken")
    search_here(whole, 2)
    assert in_own_processes([partial(search_here, broken, 2, die_at=8)]) == [-signal.SIGKILL]
    kept = tmp_path / "broken" / "found.trial0002"
    assert list(kept.glob("step_*"))  # a checkpoint to go on from
    search_here(broken, 2)
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    assert not kept.exists()
    looks = Looks.read(tmp_path / "broken" / "found" / "trials" / "0002.npz")
    assert [seen.step for seen in looks.seen] == list(range(1, 6))
    assert len(looks.seen[0].labels) == 6  # the validation faces
    first = rows(tmp_path / "whole")[0]
    assert (first["values"], first["state"]) == ({"optim.lr": 1e-4}, "complete")


def test_a_loss_is_not_compared_with_another_loss(tmp_path: Path) -> None:
    text = steps_file(tmp_path).read_text()
    assert 'loss_weight = "plain"' in text
    file = search_file(tmp_path, text.replace('loss_weight = "plain"', 'loss_weight = { choices = ["plain", "p2"] }'))
    with pytest.raises(ConfigError, match=r"optim\.loss_weight is a part of the loss, so losses with different"):
        Space.read(file)


def test_a_measure_that_the_task_does_not_have_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"measure = 'los' is not known; this task measures loss"):
        search(steps_file(tmp_path, 'measure = "los"'), n_trials=2, say=lambda line: None)


def made_looks(right: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], persons: np.ndarray[Any, Any]) -> Looks:
    """right: (looks, n)."""
    n = len(right)
    return Looks(
        [
            Seen((i + 1) / n, i + 1.0, i + 1, dict.fromkeys(MEASURES, row.astype(float)), labels, persons)
            for i, row in enumerate(right)
        ]
    )


@pytest.mark.parametrize("measure", ["accuracy", "mean_recall"])
def test_the_verdict_tells_a_better_setting_from_the_best_of_many_equals(measure: str) -> None:
    rng = np.random.default_rng(3)
    labels, persons = rng.integers(0, 4, 400), np.repeat(np.arange(200), 2)
    equal = {i: made_looks(rng.random((5, 400)) < 0.6, labels, persons) for i in range(1, 31)}
    naive = max(max(one.values(measure)) for one in equal.values()) - max(equal[1].values(measure))
    found = verdict(equal, measure)
    assert found is not None
    assert naive > 0.03  # the best of 150 draws looks better than the best of 5
    assert not found.better
    assert abs(found.gain) < 0.7 * naive  # what is left of the luck is within the interval
    assert (found.n_faces, found.n_persons) == (400, 200)
    better = {**equal, 31: made_looks(rng.random((5, 400)) < 0.75, labels, persons)}
    found = verdict(better, measure)
    assert found is not None
    assert found.better
    assert found.gain == pytest.approx(0.15, abs=0.06)
    assert verdict({2: equal[2], 3: equal[3]}, measure) is None  # the first trial is missing


def test_persons_are_drawn_as_a_whole() -> None:
    """Forty copies of each face tell no more than the faces."""
    rng = np.random.default_rng(1)
    labels = np.zeros(50, np.int64)
    right = {i: rng.random((1, 50)) < p for i, p in ((1, 0.6), (2, 0.7))}

    def width(copies: int) -> float:
        persons = np.tile(np.arange(50), copies)
        trials = {i: made_looks(np.tile(one, copies), np.tile(labels, copies), persons) for i, one in right.items()}
        found = verdict(trials, "accuracy")
        assert found is not None
        return found.high - found.low

    assert width(40) == pytest.approx(width(1), rel=0.05)  # 6 times as wide as 2,000 persons would make it


def test_a_lower_loss_is_better_and_gains() -> None:
    rng = np.random.default_rng(2)
    labels, persons = np.full(100, -1), np.arange(100)

    def losses(level: float) -> Looks:
        return Looks([Seen(1.0, 1.0, 1, {"loss": level + 0.1 * rng.random(100)}, labels, persons)])

    trials = {1: losses(1.0), 2: losses(0.5), 3: losses(2.0)}
    found = verdict(trials, "loss")
    assert found is not None
    assert found.better
    assert found.gain == pytest.approx(0.5, abs=0.02)
    assert [one.best("loss") for one in trials.values()] == [0, 0, 0]


def test_weighted_measures_are_those_of_repeated_faces() -> None:
    rng = np.random.default_rng(3)
    numbers, labels, times = rng.random((4, 30)), rng.integers(0, 3, 30), rng.integers(0, 3, 30)
    for name in (*MEASURES, "loss"):
        measure = measure_of(name)
        repeated = [measure.of(np.repeat(row, times), np.repeat(labels, times)) for row in numbers]
        np.testing.assert_allclose(weighted(numbers, times.astype(float), labels, measure), repeated)


def test_looks_are_kept_once_and_read_back(tmp_path: Path) -> None:
    labels = np.array([0, 1, -1])
    looks = made_looks(np.array([[1, 0, 1], [1, 1, 1], [1, 1, 0]]), labels, np.arange(3))
    assert not looks.add(looks.seen[1])
    assert looks.best("accuracy") == 1
    assert looks.values("mean_recall") == [0.5, 1.0, 1.0]
    looks.write(tmp_path / "a.npz")
    again = Looks.read(tmp_path / "a.npz")
    assert [seen.values() for seen in again.seen] == [seen.values() for seen in looks.seen]
    (tmp_path / "a.npz").write_bytes(b"half a fi")
    assert Looks.read(tmp_path / "a.npz").seen == []


def test_a_judgement_says_what_it_knows() -> None:
    kind = measure_of("accuracy")
    nothing = Outcome(Path("x"), "accuracy", (), None, None, None, {})
    assert nothing.lines() == ["0 trials: none finished"]
    assert "cannot be told" in nothing.judgement(kind)
    row = TrialRow(1, "complete", {"head.lr": 0.1}, 0.5, 3.0, "")
    alone = Outcome(Path("x"), "accuracy", (row,), row, row, None, {})
    assert "best: trial 1, accuracy 50.0% at epoch 3: head.lr = 0.1" in alone.lines()
    assert "Nothing that was tried is better than what stood." in alone.lines()
    other = TrialRow(2, "complete", {"head.lr": 0.2}, 0.6, 3.0, "")
    for low, words in ((0.01, "It is better than what stood: on faces"), (-0.01, "It is not shown to be better")):
        found = Outcome(Path("x"), "accuracy", (row, other), other, row, Verdict(0.05, low, 0.1, 9, 4), {})
        assert found.lines()[3].startswith(words)
        assert "+5.0 points (95 %: " in found.lines()[3]


def test_charts_are_svg_that_says_its_numbers() -> None:
    points = ((1.0, 0.25), (2.0, float("nan")), (4.0, 0.75), (8.0, 0.5))
    chart = line_chart(
        [Line("a <b>", points, mark=2), Line("c", ((1.0, 0.1), (8.0, 0.2)))],
        title="T",
        x_name="epoch",
        y_name="",
        log_x=True,
        percent=True,
    )
    root = ElementTree.fromstring(chart)
    text = "".join(root.itertext())
    assert "a <b>: 0.5 at 8, marked 0.75 at 4; c: 0.2 at 8" in text
    ring = next(c for c in root.iter("{http://www.w3.org/2000/svg}circle") if c.get("r") == "6")
    path = next(p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width") == "2")
    assert path is not None
    middle = path.removeprefix("M").split("L")[1].split()
    assert [ring.get("cx"), ring.get("cy")] == middle
    ticks = [mark.text for mark in root.iter("{http://www.w3.org/2000/svg}text")]
    assert ticks[:6] == ["1", "2", "5", "20%", "40%", "60%"]
    assert float(middle[0]) == pytest.approx(64 + 2 / 3 * (640 - 64 - 16), abs=0.1)  # 4 of 1 to 8 by magnitude
    bars = ElementTree.fromstring(bar_chart([("lr", 0.75), ("epochs", 0.25)], title="T"))
    widths = [float(r.get("width", 0)) for r in bars.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[0] == pytest.approx(3 * widths[1])
    for empty in (line_chart([], title="T", x_name="x", y_name="y"), bar_chart([], title="T")):
        ElementTree.fromstring(empty)
