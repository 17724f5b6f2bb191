"""A metric registered from outside is measured, resumed, tabled and written like any other, with no other edit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import emorph.evaluate
from emorph.evaluate.measure import look
from emorph.evaluate.metrics.table import METRICS
from evaluate_sets import made_set, save_judge

Command = Callable[..., tuple[int, str, str]]


def brightened(source: Tensor, edited: Tensor, mask: Tensor, *, data_range: float) -> Tensor:
    """Half of how much brighter the surroundings became, as a share of the range, (B,)."""
    outside = 1 - mask
    gap = ((edited - source).mean(dim=1, keepdim=True) * outside).sum(dim=(1, 2, 3)) / outside.sum(dim=(1, 2, 3))
    return 0.5 + gap / data_range


def widest(sources: np.ndarray, edits: np.ndarray) -> float:
    """The largest step that any landmark of any edit made, in pixels."""
    return float(np.linalg.norm(edits - sources, axis=2).max())


PER_PAIR = emorph.evaluate.Metric(
    name="brightened",
    title="Brightening of the surroundings",
    takes=emorph.evaluate.Takes.MASKED,
    better="lower",
    source="this test",
    function="emorph_made.brightened:brightened",
)
OF_THE_SET = emorph.evaluate.Metric(
    name="widest_step",
    title="Widest step of a landmark",
    takes=emorph.evaluate.Takes.LANDMARK_SETS,
    better="lower",
    source="this test",
    function="emorph_made.brightened:widest",
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Registers both, as a user's own package would; takes them out again in the end."""
    before = dict(METRICS)
    package = tmp_path / "packages" / "emorph_made"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "brightened.py").write_text(f"from {__name__} import brightened, widest\n")
    monkeypatch.syspath_prepend(str(package.parent))

    def register() -> None:
        emorph.evaluate.register(PER_PAIR)
        emorph.evaluate.register(OF_THE_SET)

    yield register
    METRICS.clear()
    METRICS.update(before)


def scores(folder: Path, metric: str) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return [line for line in lines if line["metric"] == metric]


def test_two_made_metrics_are_everywhere(
    emorph: Command, registered: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_judge(tmp_path / "judge")
    table = made_set(tmp_path)
    words = ["evaluate", table, "-o", tmp_path / "report", "--judge", tmp_path / "judge", "--workers", 1]
    status, _, err = emorph(*words)
    assert status == 0, err
    old = {name: (tmp_path / "report" / name).read_text() for name in ("scores.jsonl", "faces.jsonl", "tables.csv")}
    assert "Brightening" not in old["tables.csv"]

    registered()
    monkeypatch.setattr(look, "find_faces", None)  # the faces are known: only what is missing may be measured
    monkeypatch.setattr(look, "descriptor_of", None)
    status, printed, err = emorph(*words, "--json")
    assert status == 0, err
    report = tmp_path / "report"
    assert (report / "scores.jsonl").read_text().startswith(old["scores.jsonl"])  # what was known is kept, none anew
    assert (report / "faces.jsonl").read_text() == old["faces.jsonl"]
    per_pair, of_the_set = scores(report, "brightened"), scores(report, "widest_step")
    assert len(per_pair) == 6
    assert all(0.45 < line["value"] < 0.55 for line in per_pair)
    assert len(of_the_set) == 1
    assert of_the_set[0]["value"] > 0

    found = json.loads(printed)["tables"]
    (row,) = [r for r in found["made_set"]["rows"] if r["measure"] == OF_THE_SET.title]
    assert row["edits against unedited photos"]["mean"] == pytest.approx(of_the_set[0]["value"])
    (row,) = [r for r in found["made_fidelity"]["rows"] if r["measure"] == PER_PAIR.title]
    values = [line["value"] for line in per_pair]
    assert row["edits"]["n"] == 4  # of six edits, two are of half the strength
    assert row["edits"]["mean"] == pytest.approx(np.mean([values[i] for i in (1, 2, 4, 5)]))
    for file in ("tables.csv", "tables.md", "tables.tex", "report.html", "summary.json"):
        text = (report / file).read_text()
        assert PER_PAIR.title in text, file
        assert OF_THE_SET.title in text, file
    rows = list(csv.DictReader((report / "edits.csv").open(newline="")))
    assert [float(r["brightened"]) for r in rows] == pytest.approx([line["value"] for line in per_pair], abs=1e-4)

    whole = {path.name: path.read_bytes() for path in report.glob("*.jsonl")}
    status, _, err = emorph(*words)
    assert status == 0, err
    assert {path.name: path.read_bytes() for path in report.glob("*.jsonl")} == whole  # nothing is left to measure


def test_a_made_metric_is_compared(emorph: Command, registered: Callable[[], None], tmp_path: Path) -> None:
    registered()
    save_judge(tmp_path / "judge")
    tables = [made_set(tmp_path)]
    tables.append(tables[0].with_name("other.csv"))
    tables[1].write_text(tables[0].read_text().replace("ann_happy_1.png", "ann.png"))
    words = ["--compare", *tables, "-o", tmp_path / "report", "--judge", tmp_path / "judge", "--workers", 1, "--json"]
    status, printed, err = emorph("evaluate", *words)
    assert status == 0, err
    found = json.loads(printed)["tables"]["compare_made_other"]["rows"]
    (row,) = [r for r in found if r["measure"] == PER_PAIR.title]
    assert row["other less made"]["n"] == 4
