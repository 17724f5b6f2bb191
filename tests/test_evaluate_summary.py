"""From scores to tables: against numbers worked out by hand, and baselines ranked as a person would rank them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from emorph.core.expressions import Emotion
from emorph.core.records import SeenFace
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.records import NO_FACE
from emorph.evaluate.metrics.statistics import Estimate, bootstrap_pairs
from emorph.evaluate.metrics.table import metric
from emorph.evaluate.metrics.tradeoff import area_under, harmonic_mean, identity_at
from emorph.evaluate.report import comparison
from emorph.evaluate.report.cases import best_and_worst
from emorph.evaluate.report.summary import Summary, summarise
from emorph.evaluate.report.tables import Table, Value, as_csv
from emorph.evaluate.report.write import per_edit
from emorph.evaluate.scores import gallery
from emorph.evaluate.scores.evidence import Ints, bootstrapped, join
from evaluate_sets import JUDGE, N_PERSONS, PANEL, Made


def cell(table: Table, row: str, column: str) -> str | Value:
    (found,) = [r for r in table.rows if str(r[0]).startswith(row)]
    return found[table.header.index(column)]


def mean(table: Table, row: str, column: str = "edits") -> float:
    value = cell(table, row, column)
    assert isinstance(value, Value), value
    return value.estimate.mean


def n(table: Table, row: str) -> int:
    value = cell(table, row, "edits")
    assert isinstance(value, Value), value
    return value.estimate.n


def table(summary: Summary, name: str) -> Table:
    (found,) = [t for t in summary.tables if t.name.endswith(name)]
    return found


def test_emotion_numbers_are_those_worked_out_by_hand() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(10))
    made.edit("m", Emotion.FEAR, Emotion.SURPRISE, sources=range(4))
    made.edit("m", Emotion.SURPRISE, Emotion.SURPRISE, sources=range(4, 8))
    made.edit("m", Emotion.NEUTRAL, Emotion.HAPPY, sources=range(2))
    made.edit("m", Emotion.CONTEMPT, Emotion.HAPPY, sources=range(3))
    found = made.summary()
    head = table(found, "summary")
    assert mean(head, "Recognised") == pytest.approx(14 / 20)
    assert mean(head, "Recognised", "unedited photo") == pytest.approx(2 / 20)
    assert mean(head, "Gain") == pytest.approx(12 / 20)
    assert mean(head, "Probability") == pytest.approx((14 * 0.7 + 6 * 0.1) / 20)
    assert mean(head, "Mutual confusion") == pytest.approx((1.0 + 0.0) / 2)
    gain = cell(head, "Gain", "edits")
    assert isinstance(gain, Value)
    assert gain.estimate.n == 20  # contempt is not measurable, so it is in no n
    assert gain.estimate.low < 12 / 20 < gain.estimate.high
    matrix = table(found, "confusion_judge")
    assert matrix.rows[-1] == ("fear (n = 4)", "0", "0", "4", "0")
    assert matrix.shades[1] == (0.0, 1.0, 0.0, 0.0)
    per_emotion = table(found, "per_emotion_judge")
    assert mean(per_emotion, "fear", "recognised") == 0.0
    assert cell(per_emotion, "contempt", "recognised") == "not measurable: the judge has no such class"


def test_linearity_is_pearsons_over_the_sweep_with_the_unedited_photo() -> None:
    made = Made()
    for strength, p in ((0.5, 0.4), (1.0, 0.7), (1.5, 0.9)):
        made.edit("m", Emotion.HAPPY, Emotion.HAPPY, strength=strength, p=p)
    r = np.corrcoef([0, 0.5, 1, 1.5], [0.1, 0.4, 0.7, 0.9])[0, 1]
    assert mean(table(made.summary(), "summary"), "Linearity") == pytest.approx(r)


def test_identity_lies_between_its_controls() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, moved=0.1)
    found = made.summary()
    head = table(found, "summary")
    identity = found.scores[0].identity
    assert mean(head, "Distance") == pytest.approx(0.1, abs=1e-6)
    assert mean(head, "Distance", "another photo of the person") == pytest.approx(0.3, abs=0.03)
    assert mean(head, "Distance", "another person") == pytest.approx(0.85, abs=0.05)
    assert identity.gallery.threshold == pytest.approx(np.quantile(identity.gallery.pairs.impostor, 0.01))
    for row in ("Passes for the person", "Passes for other photos", "Found first"):
        assert mean(head, row) == 1.0
    assert mean(head, "Calibrated") > 1
    assert found.warnings == ()


def test_each_control_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n_pairs: list[int] = []

    def counted(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> Estimate:
        n_pairs.append(len(values))
        return bootstrap_pairs(values, first, second)

    monkeypatch.setattr(gallery, "bootstrap_pairs", counted)
    made = Made()
    for method in ("a", "b", "c"):
        made.edit(method, Emotion.HAPPY, Emotion.HAPPY)
    made.summary()
    genuine, every = N_PERSONS, N_PERSONS * (2 * N_PERSONS - 1)
    assert sorted(n_pairs) == [genuine, genuine, every - genuine]  # distance and share that passes; distance


def test_without_persons_what_needs_them_is_not_measured() -> None:
    made = Made(photos_each=1)
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    made.judged = [replace(item, pair=replace(item.pair, person="")) for item in made.judged]
    head = table(made.summary(), "summary")
    assert str(cell(head, "Calibrated", "edits")).startswith("not measured: needs two photos of a person")
    assert mean(head, "Passes for the person") == 1.0
    one = Made(photos_each=1)
    one.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=[0])
    found = one.summary()
    assert str(cell(table(found, "summary"), "Passes for the person", "edits")).startswith("not measured: needs photos")
    assert any("photos of one person only" in warning for warning in found.warnings)
    assert "Only 1 source photo: intervals from so few are too narrow." in found.warnings


def test_baselines_rank_as_a_person_would_rank_them() -> None:
    made = Made()
    for target in (Emotion.HAPPY, Emotion.SURPRISE):
        made.edit("nothing", target, Emotion.NEUTRAL, moved=0)
        made.edit("swap", target, target, swap=True, moved=0.05)
        for strength, share, moved in ((0.5, 10, 0.1), (1.0, 30, 0.2)):
            made.edit("good", target, target, strength=strength, moved=moved, sources=range(share))
            made.edit("good", target, Emotion.NEUTRAL, strength=strength, moved=moved, sources=range(share, 40))
        made.edit("strong", target, target, moved=0.9)
    summary = made.summary()
    scores = {score.evidence.method: score for score in summary.scores}

    def value(estimate: Estimate | None) -> float:
        assert estimate is not None
        return estimate.mean

    def told(metric: str) -> dict[str, float]:
        lines = {name: [line for line in score.lines if line.metric.name == metric] for name, score in scores.items()}
        return {name: value(found[0].at_dose) for name, found in lines.items()}

    harmonic, area, success = told("hes"), told("tradeoff_area"), told("success")
    assert harmonic["nothing"] == area["nothing"] == 0
    assert harmonic["good"] > harmonic["strong"]
    assert harmonic["good"] > 0.8 > 0.1 > harmonic["swap"]
    assert area["good"] > 0.5 > 0.05 > area["swap"] >= 0
    assert success["good"] > 0.6 > 0.2 > success["strong"]
    assert success["nothing"] == 0 >= success["swap"]
    first = {name: score.identity.is_first.mean() for name, score in scores.items()}
    assert first["nothing"] == first["good"] == 1 > first["swap"] == 0
    curves = {name: score.tradeoffs[0].curve(np.arange(len(score.evidence.edits))) for name, score in scores.items()}
    assert identity_at(curves["good"], 0.5) > identity_at(curves["swap"], 0.5)
    assert np.isnan(identity_at(curves["nothing"], 0.5))
    warnings = summary.warnings
    assert any(w.startswith("nothing: ") and "doing nothing beats these edits" in w for w in warnings)
    assert any(w.startswith("swap: Most edits no longer look like the person") for w in warnings)
    assert not any(w.startswith("good: ") for w in warnings)


def test_impostors_that_are_not_apart_come_first_among_the_words() -> None:
    made = Made()
    for id, face in made.records.faces.items():
        place = made.direction(0.3)
        made.records.faces[id] = replace(face, descriptor=tuple(place.tolist()))
        made.places[id] = place
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    (warning,) = made.summary().warnings
    assert warning.startswith("The impostors are not apart")


def test_what_could_not_be_measured_is_in_no_n() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(12))
    broken = made.judged[0].edit_id
    made.records.faces[broken] = SeenFace(broken, trouble="x.png is damaged.")
    made.judged[1] = replace(made.judged[1], trouble="y.png cannot be read.")
    made.records.faces["s1_0"] = SeenFace("s1_0", trouble="no face found.")
    found = made.summary()
    (evidence,) = join(made.judged, made.records)
    assert [item.why for item in evidence.excluded] == [
        "x.png is damaged.",
        "y.png cannot be read.",
        "its source: no face found.",
    ]
    gain = cell(table(found, "summary"), "Gain", "edits")
    assert isinstance(gain, Value)
    assert gain.estimate.n == 9
    assert any("3 of 12 edits could not be measured" in warning for warning in found.warnings)
    for item in made.judged:
        made.records.faces[item.edit_id] = SeenFace(item.edit_id, trouble="gone.")
    nothing = made.summary()
    assert nothing.tables == ()
    assert "Not one edit could be measured." in nothing.warnings


def lost(made: Made, rows: Sequence[int]) -> None:
    """As if no face were found any more in these edits."""
    for i in rows:
        id = made.judged[i].edit_id
        made.records.faces[id] = SeenFace(id, trouble=f"{NO_FACE} {id}.png (64x64 px).")
        for judge in ("", JUDGE.id):
            del made.records.scores[id, judge]


def test_an_edit_without_a_face_is_a_failure_and_no_gap() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(16))
    lost(made, range(4))
    found = made.summary()
    head = table(found, "summary")
    assert found.warnings[0].startswith("4 of 16 edits no longer show a face.")
    for row in ("Recognised", "Passes for the person", "Passes for other photos", "Found first"):
        assert (mean(head, row), n(head, row)) == (pytest.approx(12 / 16), 16), row
    assert (mean(head, "Gain"), n(head, "Gain")) == (pytest.approx(12 / 16), 16)
    assert mean(head, "Probability") == pytest.approx(0.7 * 12 / 16)
    assert mean(table(found, "headline"), "Success") == pytest.approx(12 / 16)
    assert n(head, "Calibrated") == 16
    assert n(head, "Distance") == n(head, "Head turned") == 12  # no face has no distance
    matrix = table(found, "confusion_judge")
    assert matrix.rows[0][0] == "happy (n = 12)"
    assert {case.lines[1] for case in best_and_worst(found.scores[0])[1][:4]} == {"no face is found"}
    edits = list(csv.DictReader(io.StringIO(per_edit(found.scores))))
    assert [bool(row["lost"]) for row in edits] == [True] * 4 + [False] * 12
    assert edits[0]["distance dlib"] == ""
    assert float(edits[0]["passes dlib"]) == 0

    skipped = summarise(made.judged, made.records, PANEL, lost_faces="skip")
    head = table(skipped, "summary")
    assert (mean(head, "Recognised"), n(head, "Recognised")) == (1, 12)
    assert any("4 of 16 edits could not be measured" in warning for warning in skipped.warnings)


def test_doubtful_landmarks_and_dark_photos_are_said_and_count() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(6))
    plain = made.summary()
    assert not any("trusted" in warning or "dark" in warning for warning in plain.warnings)
    faces = made.records.faces
    for i, item in enumerate(made.judged[:3]):
        id = item.edit_id if i else item.source_id
        faces[id] = replace(faces[id], doubt="two readings lie 9% apart")
    first = made.judged[0].source_id
    faces[first] = replace(faces[first], gain=4.5)
    found = made.summary()
    assert any(warning.startswith("3 of 6 edits rest on landmarks") for warning in found.warnings)
    assert any(warning.startswith("1 of 6 source photos is far too dark") for warning in found.warnings)
    assert n(table(found, "summary"), "Distance") == n(table(plain, "summary"), "Distance") == 6


def test_a_set_without_any_face_left_has_a_report() -> None:
    made = Made()
    made.edit("good", Emotion.HAPPY, Emotion.HAPPY, sources=range(16))
    made.edit("gone", Emotion.HAPPY, Emotion.HAPPY, sources=range(16))
    lost(made, range(16, 32))
    found = made.summary()
    assert found.warnings[0].startswith("gone: 16 of 16 edits no longer show a face.")
    beside = table(found, "side_by_side")
    assert (mean(beside, "Success", "good"), mean(beside, "Success", "gone")) == (1, 0)
    compared = table(found, "compare_good_gone")
    assert cell(compared, "passes for the person", "verdict") == "good is better"


def test_no_judge_stops_nothing() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    found = made.summary(Panel((), PANEL.missing))
    head = table(found, "summary")
    assert cell(head, "Recognised", "edits") == "not measured: no judge is available"
    assert mean(head, "Passes for the person") == 1.0
    assert found.missing[0].name == "emonet_8"
    assert any(warning.startswith("No judge of emotions is available") for warning in found.warnings)


def test_two_methods_are_compared_edit_by_edit() -> None:
    made = Made()
    made.edit("a", Emotion.HAPPY, Emotion.HAPPY, sources=range(10))
    made.edit("a", Emotion.HAPPY, Emotion.NEUTRAL, sources=range(10, 30))
    made.edit("b", Emotion.HAPPY, Emotion.HAPPY, moved=0.2, sources=range(5, 40))
    summary = made.summary()
    found = table(summary, "compare_a_b")
    assert found.title == "b against a"
    gap = cell(found, "recognised", "b less a")
    assert isinstance(gap, Value)
    assert (gap.estimate.mean, gap.estimate.n) == (pytest.approx(20 / 25), 25)
    assert mean(found, "recognised", "a") == pytest.approx(5 / 25)
    assert mean(found, "recognised", "b") == 1.0
    assert cell(found, "recognised", "verdict") == "b is better"
    assert cell(found, "Distance", "verdict") == "a is better"
    assert mean(found, "HES", "a") == pytest.approx(harmonic_mean(0.2, 1))
    assert mean(found, "HES", "b less a") == pytest.approx(1 - harmonic_mean(0.2, 1))
    beside = table(summary, "side_by_side_parts")
    assert (mean(beside, "Gain", "a"), mean(beside, "Gain", "b")) == (pytest.approx(1 / 3), 1.0)
    assert cell(found, "change outside", "verdict") == "no difference that n can show"


def test_of_several_edits_of_a_photo_to_a_target_the_last_counts_and_the_table_says_so() -> None:
    made = Made()
    made.edit("a", Emotion.HAPPY, Emotion.HAPPY)
    made.edit("b", Emotion.HAPPY, Emotion.HAPPY)
    said = "Where a photo has several edits to one target, the last counts."
    assert said not in table(made.summary(), "compare_a_b").note
    made.edit("seed", Emotion.HAPPY, Emotion.NEUTRAL, moved=0.2)
    made.judged = [
        replace(item, pair=replace(item.pair, method="b")) if item.pair.method == "seed" else item
        for item in made.judged
    ]
    found = table(made.summary(), "compare_a_b")
    assert said in found.note
    assert mean(found, "recognised", "b") == 0.0
    assert mean(found, "Distance", "b") == pytest.approx(0.2)


def test_an_edit_at_strength_0_is_its_sweeps_strength_0() -> None:
    made = Made()
    for strength, p in ((0.0, 0.2), (0.5, 0.4), (1.0, 0.7)):
        made.edit("m", Emotion.HAPPY, Emotion.HAPPY, strength=strength, p=p)
    r = np.corrcoef([0, 0.5, 1], [0.2, 0.4, 0.7])[0, 1]
    assert mean(table(made.summary(), "summary"), "Linearity") == pytest.approx(r)


def test_every_resample_has_a_say_in_identity_at_matched_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two methods that gain alike, the resamples that gain less than the whole set are no worse than the others."""
    made = Made()
    for method, moved in (("a", 0.1), ("b", 0.9)):
        made.edit(method, Emotion.HAPPY, Emotion.HAPPY, moved=moved, sources=range(20))
        made.edit(method, Emotion.HAPPY, Emotion.NEUTRAL, moved=0.1, sources=range(20, 40))
    scores = made.summary().scores
    shares: list[float] = []

    def counted(statistic: Callable[[Ints], float], groups: Sequence[str], n: int) -> Estimate | None:
        found = []
        estimate = bootstrapped(lambda drawn: found.append(statistic(drawn)) or found[-1], groups, n)
        shares.append(float(np.isfinite(found).mean()))
        return estimate

    monkeypatch.setattr(comparison, "bootstrapped", counted)
    row = comparison._matched_row(metric("identity_at_gain"), 0, *scores)
    assert row[0] == "identity at matched gain of 0.50 (judge@1)"
    assert shares == [1.0] * 3
    gap = row[4]
    assert isinstance(gap, Value)
    # half of the photos pass with b, whatever is gained: a binomial's interval of 40 photos
    assert gap.estimate.mean == pytest.approx(-0.5)
    assert (gap.estimate.low, gap.estimate.high) == (pytest.approx(-0.65, abs=0.05), pytest.approx(-0.35, abs=0.05))


def test_intervals_come_from_sources_and_not_from_edits() -> None:
    values = np.repeat([0.0, 1.0], 50)
    groups = ["x"] * 50 + ["y"] * 50
    found = bootstrapped(lambda rows: float(values[rows].mean()), groups, 100)
    assert found is not None
    assert (found.low, found.mean, found.high) == (0, 0.5, 1)
    assert bootstrapped(lambda rows: float("nan"), groups, 100) is None


def test_trade_off_by_hand() -> None:
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic_mean(-0.5, 1.0) == 0
    curve = [(0.4, 0.8), (0.3, 0.7), (0.6, 0.5)]
    assert area_under(curve) == pytest.approx(0.4 * 0.8 + 0.2 * 0.5)
    assert [identity_at(curve, gain) for gain in (0.0, 0.2, 0.5)] == [1.0, 0.8, 0.5]
    assert np.isnan(identity_at(curve, 0.7))


def test_tables_in_every_form() -> None:
    made = Made()
    made.edit("m_1", Emotion.HAPPY, Emotion.HAPPY)
    found = made.summary()
    head = table(found, "summary")
    rows = list(csv.DictReader(io.StringIO(as_csv(found.tables))))
    (gain,) = [r for r in rows if r["row"].startswith("Gain") and r["column"] == "edits"]
    assert (float(gain["mean"]), int(gain["n"])) == (1.0, 40)
    assert float(gain["low"]) <= 1.0
    assert "| Gain over the unedited photo (judge@1) | higher | 100.0 % (87.3 to 100.0; n = 40) |" in head.markdown()
    assert r"100.0 \% (91.2 to 100.0; n = 40)" in head.latex()
    odd = Table("t", "A_b & c", "50 %", ("x|y", "z"), (("<b>|", "1"),))
    assert r"\caption{A\_b \& c. 50 \%}" in odd.latex()
    assert r"| &lt;b>\| | 1 |" in odd.markdown()
