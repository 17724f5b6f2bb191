"""bench/steps.py from its command line to its tables, on made faces; and that its tables say what the numbers say."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo
from emorph.train.checkpoint import step_folders
from made_expression import write_judge, write_start, write_store
from made_face import made_face, write_made_face
from made_flame import write_deca

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    write_deca(tmp_path / "home" / "deca" / "deca_model.tar", made_face())
    write_start(tmp_path / "start")
    for i, name in enumerate(("loss", "judge")):
        write_judge(tmp_path / name, seed=i, words=("neutral", "happy", "sad"))
    write_store(tmp_path / "faces.parquet")
    write_made_face(tmp_path / "head.npz")
    return tmp_path


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    words = {
        "data": "faces.parquet", "model": "start", "emotion-network": "loss", "judges": "judge",
        "face-model": "head.npz", "work": "work",
    }  # fmt: skip
    paths = [word for key, name in words.items() for word in (f"--{key}", str(folder / name))]
    fixed = ["--shape-network", "deca", "--steps", "1", "--batch", "1", "--seeds", "1", "--faces", "2", "--show"]
    monkeypatch.setattr(sys, "argv", ["steps.py", *paths, *fixed, *more])
    importlib.import_module("steps").main()


def test_one_command_trains_edits_and_measures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, monkeypatch)
    first = capsys.readouterr().out
    for row in ("recognised by judge", "passes for the person", "shape moved (deca)", "shape moved (landmark fit)"):
        assert re.search(rf"^\| {re.escape(row)} \|", first, re.MULTILINE), first
    assert "Is the rise believed?" in first
    (trained,) = [path for path in (folder / "work").iterdir() if path.is_dir()]
    runs = [trained / name for name in ("first-0", "step1-0", "step1+2-0")]
    assert all(step_folders(path) for path in runs)
    logs = [(path / "stats.jsonl").read_text() for path in runs]
    assert ["shape" in log for log in logs] == [False, False, True]
    assert all((path / "run.toml").read_text().count("first-0") for path in runs[1:])
    stamps = {file: file.stat().st_mtime_ns for file in trained.rglob("*.npz")}
    assert len(stamps) == 2 * 3
    run(folder, monkeypatch)
    again = capsys.readouterr().out
    assert "training" in first
    assert "training" not in again
    assert again.splitlines()[-12:] == first.splitlines()[-12:]
    assert {file: file.stat().st_mtime_ns for file in trained.rglob("*.npz")} == stamps
    check_judges = importlib.import_module("support.steps_arms").check_judges
    with pytest.raises(SystemExit, match="loss gave a loss in training, so it cannot mark the edits"):
        check_judges([str(folder / "loss")], [str(step_folders(runs[1])[0] / "ema")])


# -- the tables, from numbers that are known


def made_found(loss_gain: float, judge_gains: tuple[float, float], n: int = 40) -> Any:
    """Arms whose edits are recognised more often than the base's by so much."""
    from emorph.evaluate.metrics.identity import pairs
    from support.steps_arms import BASE, BOTH, STEP_1
    from support.steps_report import Found
    from support.validation import Face

    rng = np.random.default_rng(0)
    nothing = Photo(np.zeros((8, 8, 3), np.uint8))
    marks = Landmarks(np.zeros((68, 2), np.float32), (0, 0, 8, 8), 1.0)
    faces = [Face(i, nothing, marks, Emotion.HAPPY, f"p{i // 2}") for i in range(n)]
    gains = {"loss": loss_gain, "a": judge_gains[0], "b": judge_gains[1]}

    def row(arm: str) -> dict[str, np.ndarray]:
        added = 0.0 if arm == BASE else 1.0
        values = {f"right:{name}": (rng.random(2) < 0.3 + added * gain).astype(float) for name, gain in gains.items()}
        values |= {f"before:{name}": np.zeros(2) for name in gains}
        moved = {BASE: 1.0, STEP_1: 2.0, BOTH: 0.5}[arm]
        values |= {"distance": np.full(2, 0.2), "own:distance": rng.random(128)}
        values |= {"shape": np.full(2, moved), "own:shape": rng.random(4), "ssim": np.ones(2), "around": np.zeros(2)}
        return values

    arms = {(BASE, -1): BASE, (STEP_1, 0): STEP_1, (STEP_1, 1): STEP_1, (BOTH, 0): BOTH, (BOTH, 1): BOTH}
    rows = {key: [row(arm) for _ in range(n)] for key, arm in arms.items()}
    everyone = pairs(rng.random((n, 128)).astype(np.float32), [face.person for face in faces])
    return Found(rows, faces, (Emotion.SAD, Emotion.HAPPY), everyone)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.6, (0.5, 0.5)), "so do all the others"),
        ((0.6, (0.5, 0.0)), "not all the others agree"),
        ((0.0, (0.5, 0.5)), "no rise under mine itself"),
    ],
)
def test_a_rise_is_believed_only_if_all_judges_see_it(gains: tuple[float, tuple[float, float]], verdict: str) -> None:
    from support.steps_report import report

    text = report(made_found(*gains), ["a", "b"], shape_network="s", emotion_network="mine", fits=False)
    believed = [line for line in text.splitlines() if line.startswith(("- step 1:", "- step 1+2:"))]
    assert len(believed) == 2
    assert all(verdict in line for line in believed), believed


def test_differences_are_paired_and_edits_to_the_own_label_are_left_out() -> None:
    found = made_found(0.3, (0.3, 0.3))
    assert found.asked[:, 0].all()
    assert not found.asked[:, 1].any()
    from support.steps_report import report

    text = report(found, ["a", "b"], shape_network="s", emotion_network="mine", fits=False)
    moved = [line for line in text.splitlines() if line.startswith("| shape moved (s)")]
    assert "1.000 (1.000 to 1.000)" in moved[0]
    assert [cell.strip() for cell in moved[1].split("|")[2:5]] == [
        "1.000 (1.000 to 1.000)", "-0.500 (-0.500 to -0.500)", "-1.500 (-1.500 to -1.500)"
    ]  # fmt: skip
