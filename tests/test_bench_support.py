"""What the measurements share: kept edits are told apart by all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from emorph.edit.pipeline import Editor
from tiny import tiny_directions, tiny_editor, tiny_model

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.syspath_prepend(str(BENCH))
    from support.settings import settings

    return settings


def test_edits_of_other_directions_gains_solvers_and_faces_have_other_folders(
    settings: Callable[..., str], tmp_path: Path
) -> None:
    directions = tiny_directions()
    data = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in data:
        path.write_text(path.name)

    def digits(path: Path | None = None, steps: int = 4, solver: str = "dpm", **changed: object) -> str:
        known = replace(directions, **changed)
        return settings(
            Editor(tiny_model(), known, model_id="tiny", device="cpu", steps=steps, solver_name=solver), path
        )

    others = [
        digits(gain=1.5),
        digits(weight=2 * directions.weight),
        digits(steps=5),
        digits(solver="ddim"),
        *(digits(path) for path in data),
    ]
    assert len({digits(), *others}) == 1 + len(others)
    again = tmp_path / "again.parquet"
    again.write_bytes(data[0].read_bytes())
    assert digits(again) == digits(data[0])


def test_folders_that_are_there_keep_their_names(settings: Callable[..., str]) -> None:
    editor = tiny_editor()
    assert editor.directions is not None
    expected = hashlib.sha256(b"4 dpm 1.0")
    for name, tensor in sorted(editor.directions.tensors().items()):
        expected.update(name.encode() + tensor.numpy().tobytes())
    assert settings(editor) == expected.hexdigest()[:8]


def test_a_run_with_other_options_leaves_a_section_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from support import measure

    results = tmp_path / "RESULTS.md"
    monkeypatch.setattr(measure, "RESULTS", results)
    command, whole = "python bench/video.py --data CLIP --frames 96", ["--data", "clips/a.mp4", "--frames", "96"]
    measure.write_section("Films", command, "The whole.", given=whole)
    measure.write_section("Page", "python bench/web.py", "Another.", given=[])
    kept = results.read_text()
    assert f"`{command}` on " in kept
    for given in (["--data", "clips/a.mp4", "--frames=8"], [*whole, "--steps", "2"]):
        stated = command.replace("96", "8") if "--frames=8" in given else command
        measure.write_section("Films", stated, "A part.", given=given)
        told = capsys.readouterr().out
        assert "A part." in told
        assert f"RESULTS.md is left as it is: `{command}` made this section of it." in told
        assert results.read_text() == kept
    measure.write_section("Films", command, "The whole again.", given=whole)
    assert results.read_text() == kept.replace("The whole.", "The whole again.")
    results.write_text(kept[kept.index("## Page") :])
    measure.write_section("Films", "python bench/video.py --data CLIP --frames 8", "A part.", given=["--frames", "8"])
    assert "A part." in results.read_text()


def test_both_measurements_keep_their_edits_by_it() -> None:
    assert "settings(editor, arguments.data)" in (BENCH / "evaluate.py").read_text()
    assert "settings(editor)}" in (BENCH / "quality.py").read_text()
