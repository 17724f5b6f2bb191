"""The guide's own sequence, as a new user goes through it: demo, take part, results."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emorph.core.images import read_photo
from emorph.study.records import PICTURES_FOLDER, read_design, read_participants
from emorph.study.trials import read_pictures

sys.path.append(str(Path(__file__).parents[1] / "bench"))
pytest.importorskip("fastapi", reason="serving needs the extra emorph[study]")
pytest.importorskip("uvicorn", reason="serving needs the extra emorph[study]")
pytest.importorskip("statsmodels", reason="results need the extra emorph[study]")

from support.people import Person, Served, all_take_part


def test_from_the_demo_to_a_report(
    tmp_path: Path, example_photo: Path, emorph: Callable[..., tuple[int, str, str]]
) -> None:
    study, report = tmp_path / "demo", tmp_path / "report"
    status, text, said = emorph("study", "demo", study, "--photo", example_photo, "--no-serve")
    assert status == 0, said
    assert "10 steps, 3 steps; 19 pictures" in text
    by_target: dict[str, list[Path]] = {}
    for picture in read_pictures(study):
        by_target.setdefault(picture.target, []).append(study / PICTURES_FOLDER / picture.file)
    happy, sad = (read_photo(by_target[target][0]).pixels.astype(float) for target in ("happy", "sad"))
    assert abs(happy - sad).mean() > 1, "the edits do not differ"

    assert emorph("study", "results", study, "-o", report)[0] == 2, "nobody has answered yet"
    with Served(study) as served:
        people = [Person(served.port, seed, think_s=(0.55, 0.6)) for seed in range(3)]  # not too fast to count
        asyncio.run(all_take_part(people))
    assert "Token for the results" in served.said
    assert "3 started" in served.said
    assert all(person.completion for person in read_participants(study))

    status, text, said = emorph("study", "results", study, "-o", report)
    assert status == 0, said
    assert "10 steps" in text
    page = (report / "report.html").read_text(encoding="utf-8")
    assert read_design(study).title in page
    assert "http://" not in page.replace("http://www.w3.org", "")
