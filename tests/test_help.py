"""What the command says of itself, what a shell completes, and where a verb writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from emorph.cli import completion
from emorph.cli.main import app
from emorph.core.expressions import Emotion
from emorph.diffusion.samplers import SOLVERS
from emorph.edit.crops import DEFAULT_STEPS as STEPS
from emorph.edit.pipeline import Editor
from emorph.edit.rig.editor import DEFAULT_STEPS as RIG_STEPS
from emorph.faces.detect import Detector
from emorph.models.backends.graphs import BACKENDS

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("emorph ed", ["edit"]),
        ("emorph edit me.jpg --to su", ["surprise"]),
        ("emorph edit me.jpg --to ", [emotion.word for emotion in Emotion]),
        ("emorph sheet me.jpg --solver dp", ["dpm", "dpm-fitted"]),
        ("emorph web --model emorph-b", ["emorph-base"]),
        ("emorph edit --strip", ["--strip-location"]),
    ],
)
def test_a_shell_completes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_EMORPH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    with pytest.raises(SystemExit) as ended:
        typer.main.get_command(app).main(args=[], prog_name="emorph")
    assert (ended.value.code, capsys.readouterr().out.split()) == (0, offered)


def test_what_a_shell_offers_is_taken() -> None:
    assert get_args(Detector) == completion.DETECTORS
    assert set(completion.SOLVERS) == set(SOLVERS)
    assert BACKENDS == completion.BACKENDS


def test_help_states_how_many_steps_there_are_without_the_option(emorph: Command, monkeypatch: Any) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    _, out, _ = emorph("edit", "--help")
    base = Editor.from_pretrained("emorph-base").steps
    assert (
        f"[default: (what the model states, such as {base} for emorph-base; else {STEPS}, of a rig {RIG_STEPS})]"
        in (" ".join(re.sub(r"[^\x20-\x7e]", " ", out).split()))
    )


def test_arguments_are_written_alike_in_every_help() -> None:
    waiting: list[Any] = [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        words = [param.metavar for param in command.params if param.param_type_name == "argument"]
        assert all(word == word.upper() and not word.endswith("...") for word in words), (command.name, words)


def test_a_study_does_not_replace_the_report_that_it_reads(emorph: Command, tmp_path: Path) -> None:
    status, _, err = emorph("study", "results", tmp_path, "-o", tmp_path / "report", "--scores", f"{tmp_path}/./report")
    assert (status, err.count("\n")) == (2, 1)
    assert "holds the report that --scores names" in err
