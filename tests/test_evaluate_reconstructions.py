"""Own autoencoders' reconstructions: the numbers by hand, several checkpoints, resumed, and what flatters is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import ConfigError
from emorph.evaluate.measure import reconstructions as measure
from emorph.evaluate.metrics.fidelity import psnr
from emorph.train.reconstructions import Wanted, checkpoints, reconstructions, window_of_run
from test_cli import Command
from test_data import make_store
from tiny import tiny_model

STEPS = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("faces") / "faces.parquet", 24)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model().save_pretrained(folder)
    return folder


def test_a_face_comes_back_from_its_x_T_and_the_number_is_its_psnr(model: Path, data: Path, tmp_path: Path) -> None:
    found = reconstructions(Wanted((str(model),), str(data), (STEPS, 20), n=4), tmp_path)
    (few, many) = found.ways
    row = next(row for row, _ in found.columns() if row.name == "psnr")
    values = {(way.steps, start): found.values(way, start, row, "") for way in (few, many) for start in measure.STARTS}
    assert np.mean(values[20, "x_T"]) > np.mean(values[STEPS, "x_T"])
    assert np.mean(values[20, "x_T"]) > np.mean(values[20, "noise"]) + 10
    from emorph.data.store import FaceStore

    config = few.model.config
    store = FaceStore(data, side_px=config.image_size, channels=config.image_channels)
    pixels = {measure.face_id(store[i]["image"].numpy()): store[i]["image"] for i in range(len(store))}
    picture = pixels[found.faces.ids[0]][None].float() / 127.5 - 1
    again = (few.rebuilt(picture)["x_T"] + 1).mul(127.5).round().clamp(0, 255) / 127.5 - 1
    assert values[STEPS, "x_T"][0] == pytest.approx(float(psnr(picture, again, data_range=2)), abs=0.05)


def test_what_is_measured_is_not_measured_again(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    rebuilt = measure.Way.rebuilt
    monkeypatch.setattr(measure.Way, "rebuilt", lambda way, x: (asked.append(len(x)), rebuilt(way, x))[1])
    first = reconstructions(Wanted((str(model),), str(data), (STEPS,), n=3), tmp_path)
    assert sum(asked) == 3
    again = reconstructions(Wanted((str(model),), str(data), (STEPS,), n=3), tmp_path)
    assert sum(asked) == 3
    assert again.table() == first.table()
    with torch.no_grad():
        other = tiny_model()
        next(other.parameters()).add_(0.1)
    other.save_pretrained(tmp_path / "other")
    reconstructions(Wanted((str(tmp_path / "other"),), str(data), (STEPS,), n=3), tmp_path)
    assert sum(asked) == 6  # another model is measured, wherever its records lie


def test_the_command_compares_and_says_which_faces_it_saw(
    emorph: Command, model: Path, data: Path, tmp_path: Path
) -> None:
    words = (
        "--model",
        model,
        "--model",
        model,
        "--data",
        data,
        "--n",
        3,
        "--steps",
        f"{STEPS}",
        "-o",
        tmp_path / "out",
    )
    status, printed, err = emorph("evaluate", *words, "--json")
    assert status == 0, err
    found = json.loads(printed)
    measured = found["tables"]["reconstructions"]
    assert len(measured) == 2 * 2
    assert all(row["PSNR, dB (higher)"]["n"] == 3 for row in measured)
    assert "(split: val, by which settings may have been chosen), drawn with seed 0" in found["about"]
    assert found["splits"] == {"val": 3}
    assert {item["name"] for item in found["not_measured"]} >= {"lpips_alex"}
    rows = list(csv.DictReader((tmp_path / "out" / "reconstructions.csv").open(newline="")))
    assert len(rows) == 2 * 2 * 3
    assert r"\begin{tabular}" in (tmp_path / "out" / "reconstructions.tex").read_text()
    status, _, err = emorph("evaluate", *words, "--split", "train")
    assert status == 0
    assert "a model that was trained on them does better here" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "emorph-base"], "--model needs --data"),
        (["--data", "x.parquet"], "name edits to measure, or --model and --data"),
        (["edited", "--n", "3"], "leave out --n"),
        ([], "name edits to measure"),
        (["edited", "--model", "emorph-base", "--data", "x"], "EDITS does not apply to reconstructions"),
        (["--shard", "1/2", "--model", "emorph-base", "--data", "x"], "--shard does not apply to reconstructions"),
        (["--model", "emorph-base", "--data", "x", "--steps", "ten"], "--steps 'ten': expected whole numbers"),
        (["--model", "emorph-base", "--data", "x", "--window", "1,2"], "expected LEFT,TOP,SIDE"),
    ],
)
def test_wrong_words_are_refused(emorph: Command, words: list[str], sentence: str) -> None:
    status, _, err = emorph("evaluate", *words)
    assert status == 2
    assert sentence in " ".join(err.split())


def test_a_run_is_all_its_checkpoints_with_its_window(tmp_path: Path) -> None:
    for step in (20, 40):
        (tmp_path / f"step_{step:08}").mkdir()
        (tmp_path / f"step_{step:08}" / "trainer.pt").touch()
    (tmp_path / "run.toml").write_text('[data]\npath = "x"\nwindow = [1, 2, 3]\n')
    names = checkpoints(str(tmp_path))
    assert [Path(name).name for name in names] == ["step_00000020", "step_00000040"]
    assert window_of_run(names[0]) == (1, 2, 3)
    assert window_of_run("emorph-base") is None


def test_models_of_two_sizes_are_not_compared(model: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="different sizes are not compared"):
        reconstructions(Wanted((str(model), "emorph-base"), str(data), (STEPS,)), tmp_path)
