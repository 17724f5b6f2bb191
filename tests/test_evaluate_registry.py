"""A metric registered from outside is measured, resumed, tabled and written like any other, with no other edit."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import emorph.evaluate
from emorph.core.errors import ShapeError
from emorph.evaluate.measure import look
from emorph.evaluate.metrics.table import METRICS
from emorph.evaluate.metrics.table import register as register_metric
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


def paler(source: Tensor, edited: Tensor, before: Tensor, after: Tensor, *, data_range: float) -> Tensor:
    """How much paler the middle of the mouth became, as a share of the range, (B,)."""
    assert before.shape == after.shape == (1, 68, 2)
    shades = []
    for picture, points in ((source, before), (edited, after)):
        x, y = points[0, [62, 66]].mean(dim=0).round().int().tolist()
        shades.append(picture[:, :, y - 1 : y + 2, x - 1 : x + 2].mean(dim=(1, 2, 3)))
    return (shades[1] - shades[0]) / data_range


def picky(source: Tensor, edited: Tensor, mask: Tensor, *, data_range: float) -> Tensor:
    """What ``PICKY_SAYS`` holds, which a test changes as its author would mend it."""
    found = PICKY_SAYS[0]
    if isinstance(found, Exception):
        raise found
    return found


PICKY_SAYS: list[Exception | Tensor] = []
PER_PAIR = emorph.evaluate.Metric(
    name="brightened",
    title="Brightening of the surroundings",
    takes=emorph.evaluate.Takes.MASKED,
    better="lower",
    source="this test",
    function="emorph_made.brightened:brightened",
)
INSIDE = emorph.evaluate.Metric(
    name="paler",
    title="Paling of the mouth",
    takes=emorph.evaluate.Takes.INSIDE,
    better="for information",
    source="this test",
    function="emorph_made.brightened:paler",
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
    (package / "brightened.py").write_text(f"from {__name__} import brightened, paler, picky, widest\n")
    monkeypatch.syspath_prepend(str(package.parent))

    def register() -> None:
        emorph.evaluate.register(PER_PAIR)
        emorph.evaluate.register(INSIDE)
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
    monkeypatch.setattr(look, "descriptors_of", None)
    status, printed, err = emorph(*words, "--json")
    assert status == 0, err
    report = tmp_path / "report"
    assert (report / "scores.jsonl").read_text().startswith(old["scores.jsonl"])  # what was known is kept, none anew
    assert (report / "faces.jsonl").read_text() == old["faces.jsonl"]
    per_pair, of_the_set = scores(report, "brightened"), scores(report, "widest_step")
    assert len(per_pair) == 6
    inside = [line["value"] for line in scores(report, "paler")]
    assert len(inside) == 6
    assert max(map(abs, inside)) > 0.01
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
        assert INSIDE.title in text, file
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


def test_a_metric_that_fails_is_named_and_costs_no_edit(
    emorph: Command, registered: Callable[[], None], tmp_path: Path
) -> None:
    """Its error stops the run; it does not become the photos' trouble, which would leave them out for good."""
    save_judge(tmp_path / "judge")
    words = ["evaluate", made_set(tmp_path), "-o", tmp_path / "report", "--judge", tmp_path / "judge", "--workers", 1]
    registered()
    row = dataclasses.replace(PER_PAIR, name="picky", title="Picky", function="emorph_made.brightened:picky")
    register_metric(row)
    for wrong, told in ((ShapeError("four channels, please."), "four channels"), (torch.zeros(1, 2), r"found (1, 2)")):
        PICKY_SAYS[:] = [wrong]
        status, _, err = emorph(*words)
        assert status == 2
        assert "the metric 'picky' (emorph_made.brightened:picky)" in err
        assert told in err
    PICKY_SAYS[:] = [torch.ones(1)]
    status, _, err = emorph(*words)
    assert status == 0, err
    assert [line["value"] for line in scores(tmp_path / "report", "picky")] == [1] * 6
