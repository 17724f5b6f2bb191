"""What takes a while says what it does, also where no bar is seen; sheets do not take longer than the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.progress import Progress

from emorph.cli import console
from emorph.cli.console import Bar, Lines
from emorph.train.samples import FREE_S, SheetWriter
from emorph.train.sections import SamplesConfig
from tiny import tiny_config

FABRIC = pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_work_that_nobody_sees_tells_its_count_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = Bar(Progress(disable=True), 1, None, Lines(clock))
    bar.named_step("fitting 3D faces", 64, 9105)
    clock.now = console.LINE_EVERY_S
    bar.named_step("fitting 3D faces", 1280, 9105)
    bar.named_step("fitting 3D faces", 1344, 9105)
    clock.now *= 2
    bar.begin("scan")
    bar.step(10_000, 420_299)
    assert capsys.readouterr().err == (
        "fitting 3D faces: 1,280 of 9,105, 81.1/s, ETA 0:01:37\nscan: 10,000 of 420,299\n"
    )


def test_the_time_left_does_not_count_what_an_earlier_run_did(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    for done in (200_000, 200_100):  # resumed
        lines.tell("faces", done, 287_651)
        clock.now += console.LINE_EVERY_S
    clock.now += 3 * console.LINE_EVERY_S
    lines.tell("faces", 200_250, 287_651)
    lines.tell("faces", 40, 287_651)  # the next data set, of as many
    clock.now += console.LINE_EVERY_S
    lines.tell("faces", 55, 287_651)
    assert capsys.readouterr().err.splitlines() == [
        "faces: 200,100 of 287,651, 6.7/s, ETA 3:38:53",
        "faces: 200,250 of 287,651, 3.3/s, ETA 7:17:00",
        "faces: 55 of 287,651, 1.0/s, ETA 79:53:16",
    ]


def test_of_several_photos_the_finished_ones_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = Bar(Progress(disable=True), 3, None, Lines(clock))
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        clock.now += console.LINE_EVERY_S
        bar.begin(name)
        bar.step(1, 2)
        bar.end()
    assert capsys.readouterr().err == (
        "a.jpg: 1 of 3\nb.jpg: 2 of 3, 4.0/min, ETA 0:00:15\n"  # the third has its own line on stdout
    )


def sheets(tmp_path: Path, told: list[str], **config: Any) -> SheetWriter:
    writer = SheetWriter(tmp_path, None, [], SamplesConfig(n=8, **config), told.append)  # type: ignore[arg-type]
    drawn: list[int] = []
    writer._draw = lambda step, model, board: drawn.append(step)  # type: ignore[method-assign]
    writer.drawn = drawn  # type: ignore[attr-defined]
    return writer


def test_a_sheet_that_costs_more_than_its_share_is_left_out_and_said(tmp_path: Path) -> None:
    told: list[str] = []
    writer = sheets(tmp_path, told)
    model: Any = None
    # 8 faces x 4 columns x 10 evaluations of a third of 0.36 s: 38 s, as on one core
    writer.write_if_cheap(2, model, None, trained_s=2.0, face_s=0.36)
    assert writer.drawn == []  # type: ignore[attr-defined]
    assert told == [
        "no sheet at step 2: drawing 8 faces takes about 38 s, and the run has trained for 2 s "
        "([samples] time_share = 1 draws every one)"
    ]
    writer.write_if_cheap(500, model, None, trained_s=400.0, face_s=0.36)
    assert writer.drawn == [500]  # type: ignore[attr-defined]
    writer._cost_s, writer.spent_s = 38.0, 38.0
    writer.write_if_cheap(501, model, None, trained_s=401.0, face_s=0.36)
    assert writer.drawn == [500]  # type: ignore[attr-defined]  # what was spent counts
    writer.write_if_cheap(900, model, None, trained_s=10 * (76.1 - FREE_S), face_s=9.0)
    assert writer.drawn == [500, 900]  # type: ignore[attr-defined]  # the measured cost counts, not the estimate


def test_all_sheets_are_drawn_if_asked_for(tmp_path: Path) -> None:
    writer = sheets(tmp_path, [], time_share=1)
    writer.write_if_cheap(1, None, None, trained_s=0.0, face_s=100.0)  # type: ignore[arg-type]
    assert writer.drawn == [1]  # type: ignore[attr-defined]


def test_drawing_is_not_counted_as_training() -> None:
    from emorph.train.loop import _Loop
    from emorph.train.state import Progress

    asked: dict[str, float] = {}
    sheets = SimpleNamespace(spent_s=5.0)

    def draw(*place: object, **known: float) -> None:
        asked.update(known)
        sheets.spent_s += 7.0

    sheets.write_if_cheap = draw
    loop: Any = object.__new__(_Loop)
    loop.stepper, loop.sheets, loop.board = SimpleNamespace(step=3, total_steps=9, average=None), sheets, None
    loop.config, loop.fabric = SimpleNamespace(optim=SimpleNamespace(batch_size=4)), SimpleNamespace(world_size=2)
    loop.progress, loop.here_s, loop.first_step, loop.clock = Progress(40.0), 6.0, 0, 100.0
    loop._draw()
    assert loop.clock == 107.0  # the next step's time starts after the sheet
    assert asked == {"trained_s": 40.0, "face_s": 1.0}  # 6 s for 12 samples, of which each of two devices took half


def test_a_run_says_what_it_computes_on_and_no_framework_speaks(
    tmp_path: Path, emorph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emorph.train.tasks.autoencoder import AutoencoderConfig
    from test_data import make_store

    monkeypatch.setattr("emorph.train.samples.FREE_S", -1.0)
    config = AutoencoderConfig.parse(
        {
            "out": str(tmp_path / "run"),
            "data": {"path": str(make_store(tmp_path / "f.parquet", 20)), "split": "train"},
            "model": tiny_config().model_dump(),
            "optim": {"batch_size": 4, "precision": "bf16-mixed"},
            "samples": {"n": 1, "seeds": [], "time_share": 0},
            "checkpoint": {"every_steps": 1, "keep": 3},
            "budget": {"steps": 2},
        }
    )
    (tmp_path / "run.toml").write_text(config.to_toml())
    status, _, err = emorph("train", "run", tmp_path / "run.toml", "--accelerator", "cpu", "--devices", 1)
    assert status == 0
    assert "Automatic Mixed Precision" not in err
    assert "On 1 cpu, in bfloat16 where that is exact enough" in err
    assert "no sheet at step 1: drawing 1 face takes about" in err
    assert "step 2: drawing the sheet of 1 face" in err  # the last is always drawn
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["step_00000002.png"]
