"""Valence and arousal from annotations to a table: directions trained, a photo edited along them, the edits measured.

The annotations are made up, and so is the judge (an ONNX file under a known judge's name): what is tested is the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="a judge is made with the extra 'dev'")
pytest.importorskip("onnxruntime", reason="needs the extra 'evaluate'")
pytest.importorskip("datasets", reason="needs the extra 'train'")

from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.evaluate.judges.cards import network_card
from test_evaluate_judges import graph
from test_train_classifier import annotated_store
from tiny import tiny_model

Command = Callable[..., tuple[int, str, str]]
JUDGE = "enet_b0_8_va_mtl"


def done(*words: object) -> None:
    """A command that ends well."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def edited(example_photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edits of one photo to four points of the plane, by directions that were trained on annotated faces."""
    tmp_path = tmp_path_factory.mktemp("affect")
    annotated_store(tmp_path / "faces.parquet")
    tiny_model().save_pretrained(tmp_path / "tiny")
    (tmp_path / "c.toml").write_text(
        'task = "classifier"\nout = "directions"\nmodel = "tiny"\ncheck = 1\n'
        '[data]\npath = "faces.parquet"\nsplit = "train"\n[budget]\nepochs = 2\n'
    )
    done("train", "run", tmp_path / "c.toml")
    model = ("--model", tmp_path / "tiny", "--directions", tmp_path / "directions", "--steps", 2, "--device", "cpu")
    for valence in (-0.6, 0.4):
        for arousal in (-0.3, 0.7):
            goal = ("--valence", valence, "--arousal", arousal)
            done("edit", example_photo, *model, *goal, "-o", tmp_path / "edited")
    return tmp_path / "edited"


def test_without_a_judge_the_first_lines_name_the_file_and_how_to_get_it(
    emorph: Command, edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    status, printed, err = emorph("evaluate", edited, "-o", tmp_path / "report", "--workers", 1)
    assert status == 0, err
    assert "4 edits were asked for valence and arousal, which no judge here reads: not measured" in err
    assert "emonet_8.pth or enet_b0_8_va_mtl.onnx; get it with emorph models get emonet_8" in err
    assert printed.startswith("4 edits of 1 photo to 4 targets.")
    status, _, err = emorph("evaluate", edited, "-o", tmp_path / "report", "--workers", 1, "--judge", "emonet_8")
    assert status == 1
    assert "emonet_8 needs emonet_8.pth: get it with emorph models get emonet_8" in err


def test_with_a_judge_the_edits_are_held_against_what_was_asked(
    emorph: Command, edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("EMORPH_HOME", str(home))
    (home / "judges").mkdir(parents=True)
    graph(home / "judges" / f"{JUDGE}.onnx", network_card(JUDGE, "emotion").side_px, 10)
    words = ("evaluate", edited, "-o", tmp_path / "report", "--workers", 1, "--judge", JUDGE)
    status, printed, err = emorph(*words)
    assert status == 0, err
    assert "no judge here reads" not in err
    assert "valence, CCC" in printed
    assert "arousal, RMSE" in printed
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    rows = {row["measure"]: row["edits"] for row in summary["tables"][f"edited_affect_{JUDGE}"]["rows"]}
    assert {f"{axis}, {name}" for axis in ("valence", "arousal") for name in ("RMSE", "PCC", "CCC")} <= set(rows)
    assert rows["valence, RMSE"]["n"] == 4
