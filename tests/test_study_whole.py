"""From edits on disk to a report: what new wrote and the store keeps, answered by made people, is what it tells."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.core.records import ScoreRecord, append
from emorph.study.analysis import analyse, human_scores
from emorph.study.design import Wishes, new_study
from emorph.study.human_scores import EditKey
from emorph.study.origins import read_origins
from emorph.study.records import Design, Screen, Vote, read_design
from emorph.study.store import NewSeat, Store

PHOTOS, TARGETS = 12, ("happy", "sad", "anger")
SKILL = {"strong": 1.2, "middle": 0.0, "weak": -1.2}
N_PEOPLE = 18


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three methods, which 18 people have finished and one has begun."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
        (folder / "photos").mkdir(exist_ok=True)
        _save(folder / "photos" / f"p{number}.png", pixels)
        for method in SKILL:
            (folder / method).mkdir(exist_ok=True)
            for target in TARGETS:
                changed = pixels // 2 + rng.integers(0, 99, (8, 8, 3), np.uint8)
                _save(folder / method / f"p{number}_{target}.png", changed)
    sets = [f"{method}={folder / method}" for method in SKILL]
    wishes = Wishes(sources=folder / "photos", trials=36, size_px=128, same_source=True)
    made = new_study(folder / "study", sets, wishes)
    store = Store(folder / "study")
    for block in range(N_PEOPLE + 1):
        screens = made.allocation.screens(block)
        name = f"person{block:02d}"
        with store.transaction():
            store.take_seat(NewSeat(name, name, "", "en", "1", 0.0), block, screens, made.allocation.choices(block))
            done = screens if block < N_PEOPLE else screens[:5]
            for vote in _answers(made.design, name, done, np.random.default_rng([1, block])):
                store.add_vote(vote)
            if done is screens:
                store.finish(name, "CODE", 600.0)
    store.close()
    return folder / "study"


def _save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(np.kron(pixels, np.ones((24, 24, 1), np.uint8))).save(path)


def _answers(design: Design, name: str, screens: list[Screen], rng: np.random.Generator) -> list[Vote]:
    """One person's votes: methods by their skill, and left a little more often than right."""
    found = []
    for screen in screens:
        trial = screen.trial
        for question in design.questions(trial.task):
            if screen.expected:
                answer = screen.expected
            elif trial.task == "preference":
                gap = SKILL[trial.method_a] - SKILL[trial.method_b] + (0.4 if screen.position == "left" else -0.4)
                answer = "a" if rng.random() < 1 / (1 + np.exp(-gap)) else "b"
            elif trial.method in SKILL:
                answer = trial.target if rng.random() < 1 / (1 + np.exp(-SKILL[trial.method])) else "fear"
            else:
                answer = "neutral"
            shown = {field.name: getattr(trial, field.name) for field in dataclasses.fields(trial)}
            columns = {key: shown[key] for key in ("task", "source", "target", "strength", "control", *_METHODS)}
            found.append(
                Vote(
                    participant=name, slot=screen.slot, question=question, answer=answer, trial=trial.id, **columns,
                    position=screen.position, repeat_of=screen.repeat_of, expected=screen.expected,
                    seconds_browser=3.0, seconds_server=3.1, language="en", time=1.0,
                )
            )  # fmt: skip
            if screen.expected:
                break
    return found


_METHODS = ("method_a", "method_b", "method")


def test_what_people_prefer_comes_out(study: Path) -> None:
    found = analyse(study)
    assert (found.exclusions.n_started, found.exclusions.n_kept) == (N_PEOPLE + 1, N_PEOPLE)
    overall = [s for s in found.main.preferences if not s.target]
    assert len(overall) == 3
    for stratum in overall:
        assert stratum.result is not None
        assert stratum.n == N_PEOPLE * 36
        assert stratum.result.methods == tuple(SKILL)
        assert [a.value for a in stratum.result.abilities] == pytest.approx(list(SKILL.values()), abs=0.35)
        assert stratum.result.left_share.value == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.06)
    identified = found.main.identified
    assert identified is not None
    for method, skill in SKILL.items():
        assert identified.accuracy[method, ""].value == pytest.approx(1 / (1 + np.exp(-skill)), abs=0.08)
    assert identified.unedited.sum() == identified.unedited[0]  # neutral


def test_the_command_tells_and_writes_it(study: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["study", "results", str(study), "-o", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    assert "Which looks more real: strong, then middle, then weak." in done.stdout
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    again = CliRunner().invoke(app, ["study", "results", str(study), "-o", str(tmp_path / "report"), "--json"])
    told = json.loads(again.stdout)
    assert told["report"].endswith("report.html")
    assert told["left_out"] == [{"participant": f"person{N_PEOPLE:02d}", "reasons": ["did not finish"]}]


def test_a_report_of_evaluate_joins_by_the_files_themselves(study: Path, tmp_path: Path) -> None:
    scores = {score.edit: score.value for score in human_scores(study) if "realism" in score.measure}
    records = []
    for origin in read_origins(study):
        files = (Path(origin.source_file), Path(origin.edited_file))
        photo, edited = (hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
        value = scores[EditKey(origin.source, origin.target, origin.strength, origin.method)]
        records.append(ScoreRecord(f"{photo[:16]}-{edited[:16]}", "quality", value))
    append(tmp_path / "scores.jsonl", records)
    (tmp_path / "report").mkdir()
    out = tmp_path / "report"
    done = CliRunner().invoke(app, ["study", "results", str(study), "-o", str(out), "--scores", str(tmp_path)])
    assert done.exit_code == 0, done.output
    table = json.loads((out / "results.json").read_text())["tables"]["people_chosen_realism"]
    assert table["rows"][0]["Pearson"]["value"] == pytest.approx(1)
    assert table["rows"][0]["Pearson"]["n"] == PHOTOS * len(TARGETS) * len(SKILL)


def test_a_study_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["study", "results", str(tmp_path)])
    assert done.exit_code != 0
    assert "is no study" in str(done.exception or done.output)


def test_the_plan_is_told(tmp_path: Path) -> None:
    asked = ["study", "plan", "--methods", "2", "--half-width", "0.12", "--trials", "20", "--studies", "10"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "20 trials a person (about 5 minutes each)" in done.stdout
    as_json = CliRunner().invoke(app, [*asked, "--json"])
    assert json.loads(as_json.stdout)["options"][0]["people"] > 5
    both = CliRunner().invoke(app, [*asked, "--power", "0.8"])
    assert both.exit_code != 0


def test_the_design_that_was_made_is_the_one_that_is_analysed(study: Path) -> None:
    assert analyse(study).design == read_design(study)
