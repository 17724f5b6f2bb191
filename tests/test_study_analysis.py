"""A study's folder to its results: exclusions, columns, human scores, metrics beside people, and the report."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_study
from emorph.core.errors import ConfigError, DataError
from emorph.core.records import Embedding, ScoreRecord, append
from emorph.core.text_tables import latex_escaped
from emorph.study import tabulate
from emorph.study.analysis import Results, analyse, human_scores
from emorph.study.exclusions import exclusions
from emorph.study.human_scores import EditKey, against_people, metrics_of, scores_of
from emorph.study.origins import Origin, read_origins, write_origins
from emorph.study.records import Exclude, Participant, Vote
from emorph.study.report.write import contents, text_lines, write_report
from emorph.study.tabulate import REAL

COMMAND = "emorph study results STUDY -o REPORT"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_study.design()
    folder = made_study.write(tmp_path_factory.mktemp("study") / "s", made, made_study.people(made))
    write_origins(folder, made_origins())
    return folder


@pytest.fixture(scope="module")
def results(study: Path) -> Results:
    return analyse(study)


def made_origins() -> list[Origin]:
    cells = [(p, t, m) for p in made_study.PHOTOS for t in made_study.TARGETS for m in made_study.METHODS]
    return [
        Origin(p, m, t, 1.0, f"/in/{p}.png", f"/in/{p}_{t}_{i}.png", digest(p), digest(f"{p}{t}{m}"))
        for i, (p, t, m) in enumerate(cells)
    ]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def vote(**changes: Any) -> Vote:
    """A vote on a preference, with other values where they are given."""
    values: dict[str, Any] = {
        "participant": "p", "slot": 0, "question": "realism", "answer": "a", "trial": "t", "task": "preference",
        "source": "s", "target": "happy", "strength": 1.0, "control": "", "method_a": made_study.METHODS[0],
        "method_b": made_study.METHODS[1], "method": "", "position": "left", "repeat_of": "", "expected": "",
        "seconds_browser": 3.0, "seconds_server": 3.0, "language": "en", "time": 0.0,
    }  # fmt: skip
    return Vote(**values | changes)


def finisher(id: str) -> Participant:
    return Participant(id, 0, "en", "1", 0.0, 300.0, 10)


# exclusions


def test_the_study_s_own_rules_leave_out_whom_they_name(results: Results) -> None:
    found = results.exclusions
    assert [(person.participant, len(person.reasons)) for person in found.excluded] == [
        ("p021", 1), ("p022", 1), ("p023", 1),
    ]  # fmt: skip
    assert [rule.n for rule in found.rules] == [1, 1, 1]
    assert (found.n_started, found.n_kept) == (24, 21)
    assert results.main.n_participants == 21
    assert results.everyone is not None
    assert results.everyone.n_participants == 24


def test_a_check_counts_once_and_a_rule_can_ask_for_two() -> None:
    failed = [vote(slot=slot, question=q, expected="b") for slot in (1, 1, 2) for q in ("realism", "emotion")]
    for limit, n_out in ((1, 1), (2, 1), (3, 0), (0, 0)):
        rules = Exclude(failed_checks=limit)
        assert len(exclusions(rules, [finisher("p")], failed).excluded) == n_out, limit


def test_only_the_first_answer_to_a_screen_can_be_too_fast() -> None:
    quick_later = [vote(slot=i, question=q, seconds_browser=s) for i in range(4) for q, s in (("a", 2.0), ("b", 0.1))]
    rules = Exclude(fast_s=0.5, fast_share=0.2)
    assert not exclusions(rules, [finisher("p")], quick_later).excluded
    one_in_five = [vote(slot=i, seconds_browser=0.4 if i == 0 else 2.0) for i in range(5)]
    assert not exclusions(rules, [finisher("p")], one_in_five).excluded  # not more than the share
    assert exclusions(rules, [finisher("p")], one_in_five[:4]).excluded


def test_a_person_may_fall_under_several_rules() -> None:
    votes = [vote(expected="b", seconds_browser=0.1)]
    (person,) = exclusions(Exclude(), [], votes).excluded
    assert len(person.reasons) == 3
    assert exclusions(Exclude(failed_checks=0, fast_s=0, incomplete=False), [], votes).rules == ()


# columns


@pytest.mark.parametrize(
    ("position", "answer", "left", "outcome"),
    [("left", "a", 0, 0), ("left", "b", 0, 2), ("right", "a", 1, 2), ("right", "b", 1, 0), ("right", "tie", 1, 1)],
)
def test_left_and_right_are_where_they_stood(position: Any, answer: str, left: int, outcome: int) -> None:
    table = tabulate.comparisons(made_study.design(), [vote(position=position, answer=answer)])
    assert (table.left[0], table.right[0], table.outcome[0]) == (left, 1 - left, outcome)


def test_checks_repeats_and_controls_are_no_first_votes_between_methods() -> None:
    votes = [vote(), vote(repeat_of="t"), vote(expected="a", control="attention"), vote(control="unedited")]
    first = tabulate.first_votes(votes)
    assert [v.control for v in first] == ["", "unedited"]
    assert len(tabulate.comparisons(made_study.design(), first).left) == 1


def test_a_second_answer_is_held_against_the_first_of_the_same_person() -> None:
    votes = [vote(answer="a"), vote(participant="q", answer="b"), vote(answer="b", repeat_of="t", slot=9)]
    assert tabulate.repeated(votes) == [(votes[0], votes[2])]


# people's scores of edits


def test_scores_of_an_edit_by_hand() -> None:
    a, b, c = made_study.METHODS
    votes = [
        vote(answer="a"), vote(answer="tie"), vote(answer="b", method_b=c),
        vote(task="identification", question="emotion", method=a, answer="happy"),
        vote(task="identification", question="emotion", method=a, answer="none"),
        vote(task="identification", question="intensity", method=a, answer="4"),
        vote(task="identification", question="emotion", control="real", answer="sad"),
    ]  # fmt: skip
    found = {(score.edit.method, score.measure): (score.value, score.n) for score in scores_of(votes)}
    assert found[a, "chosen, realism"] == (0.5, 3)
    assert found[b, "chosen, realism"] == (0.25, 2)
    assert found[c, "chosen, realism"] == (1.0, 1)
    assert found[a, "recognised"] == (0.5, 2)
    assert found[a, "intensity"] == (4.0, 1)
    assert len(found) == 5


def test_human_scores_leave_out_whom_the_study_leaves_out(study: Path, results: Results) -> None:
    found = human_scores(study)
    assert tuple(found) == results.scores
    assert {score.edit.method for score in found} == set(made_study.METHODS)
    n = sum(score.n for score in found if score.measure == "chosen, realism")
    overall = next(s for s in results.main.preferences if s.question == "realism" and not s.target)
    assert n == 2 * overall.n


# metrics beside people


def made_report(folder: Path, human: dict[EditKey, float]) -> Path:
    """What emorph evaluate would write of the edits: one metric that follows people, one that opposes them."""
    folder.mkdir()
    records, vectors = [], []
    for number, origin in enumerate(made_origins()):
        key = EditKey(origin.source, origin.target, origin.strength, origin.method)
        source = origin.source_sha256[:16]
        id = f"{source}-{origin.edited_sha256[:16]}"
        value = human.get(key, 0.5)
        records += [
            ScoreRecord(id, "probability_" + origin.target, value, "judge@1"),
            ScoreRecord(id, "probability_fear", 0.4, "judge@1"),
            ScoreRecord(source, "probability_" + origin.target, 0.1, "judge@1"),
            ScoreRecord(id, "lpips_alex_outside", 1 - value, "alex@2"),
        ]
        vectors.append(Embedding(source, "arc@3", (1.0, 0.0)))
        vectors.append(Embedding(id, "arc@3", (float(np.cos(number)), float(np.sin(number)))))
        vectors.append(Embedding(id, "deca@4", (3.0, 4.0)))
    append(folder / "scores.jsonl", records)
    append(folder / "embeddings.jsonl", vectors)
    return folder


def test_a_metric_goes_along_with_people_as_far_as_it_does(study: Path, results: Results, tmp_path: Path) -> None:
    human = {score.edit: score.value for score in results.scores if score.measure == "chosen, realism"}
    report = made_report(tmp_path / "report", human)
    found = {(f.metric, f.measure): f for f in analyse(study, scores=report).against_people}
    same = found["probability of the target (judge)", "chosen, realism"]
    assert same.correlation.pearson.value == pytest.approx(1)
    assert same.correlation.kendall.value == pytest.approx(1)
    assert same.n_edits == len(human)
    opposed = found["lpips_alex_outside (alex)", "chosen, realism"]
    assert opposed.correlation.spearman.value == pytest.approx(-1)
    other = found["cosine to the photo (arc)", "chosen, realism"].correlation.pearson
    assert -0.5 < other.value < 0.5
    assert other.low < other.value < other.high
    assert not any("deca" in metric for metric, _ in found)


def test_a_judge_s_numbers_are_those_of_the_target(study: Path, tmp_path: Path) -> None:
    metrics = metrics_of(made_report(tmp_path / "report", {}), read_origins(study))
    key = EditKey("s001", "sad", 1.0, made_study.METHODS[0])
    assert metrics["probability of the target (judge)"][key] == 0.5
    assert metrics["gain of the target's probability (judge)"][key] == pytest.approx(0.4)
    assert metrics["recognised as the target (judge)"][key] == 1.0
    assert against_people(metrics, [], np.random.default_rng(0)) == []


def test_a_report_of_other_edits_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no scores\.jsonl"):
        analyse(study, scores=tmp_path)
    append(tmp_path / "scores.jsonl", [ScoreRecord("0-1", "psnr", 30.0)])
    with pytest.raises(DataError, match="has none of the study's edits"):
        analyse(study, scores=tmp_path)


def test_origins_survive_the_disk(tmp_path: Path) -> None:
    write_origins(tmp_path, made_origins())
    assert read_origins(tmp_path) == made_origins()
    (tmp_path / "origins.jsonl").write_text('{"source": 1}\n')
    with pytest.raises(DataError, match="line 1 is not the origin"):
        read_origins(tmp_path)


# the whole


def test_better_methods_come_out_better(results: Results) -> None:
    overall = [s for s in results.main.preferences if not s.target and s.strength is None]
    assert [stratum.question for stratum in overall] == ["realism", "emotion", "identity"]
    for stratum in overall:
        assert stratum.result is not None
        assert stratum.result.abilities[0].value > stratum.result.abilities[2].value
    identified = results.main.identified
    assert identified is not None
    assert identified.accuracy[REAL, ""].value > identified.accuracy["emorph", ""].value
    assert identified.accuracy["emorph", ""].value > identified.accuracy[made_study.METHODS[2], ""].value


def test_targets_add_up_and_every_number_has_its_n(results: Results) -> None:
    identified = results.main.identified
    assert identified is not None
    for method in identified.methods:
        parts = [e.n for (m, target), e in identified.accuracy.items() if m == method and target]
        assert sum(parts) == identified.accuracy[method, ""].n == identified.confusion[method].sum()
    strata = [s for s in results.main.preferences if s.question == "emotion"]
    assert sum(s.n for s in strata if s.target) == next(s.n for s in strata if not s.target)


def test_people_agree_on_edits_controls_left_aside(results: Results) -> None:
    sizes = {found.question: found.value.n for found in results.main.agreement}
    overall = {s.question: s.n for s in results.main.preferences if not s.target}
    assert overall["realism"] - 10 < sizes["preference: realism"] <= overall["realism"]  # less what one alone judged
    scales = {found.statistic for found in results.main.agreement if found.question == "identification: intensity"}
    assert scales == {"Krippendorff's alpha, ordinal", "Krippendorff's alpha, interval"}


def test_the_same_seed_gives_the_same_results(study: Path, results: Results) -> None:
    again = analyse(study)
    assert contents(again) == contents(results)


def test_one_strength_is_no_table_and_two_are(tmp_path: Path, results: Results) -> None:
    made = made_study.design(strengths=(0.5, 1.0))
    answered = made_study.people(made, 8)
    for i, person in enumerate(answered):
        person.votes = [dataclasses.replace(v, strength=0.5 if v.slot % 2 else v.strength) for v in person.votes]
        assert i < 8
    found = analyse(made_study.write(tmp_path / "s", made, answered))
    assert {s.strength for s in found.main.preferences} == {None, 0.5, 1.0}
    assert found.main.identified is not None
    assert found.main.identified.by_strength
    assert results.main.identified is not None
    assert not results.main.identified.by_strength


def test_no_votes_and_none_left_are_said(tmp_path: Path) -> None:
    made = made_study.design()
    with pytest.raises(ConfigError, match="is not a study"):
        analyse(tmp_path)
    (tmp_path / "study.toml").write_text(made.to_toml())
    with pytest.raises(DataError, match="has no votes yet"):
        analyse(tmp_path)
    failing = [made_study.person(made, number, fails=True) for number in range(2)]
    with pytest.raises(
        DataError, match=r"leave out all 2 who answered \(2 failed 1 attention check or more; 1 did not finish\), so"
    ):
        analyse(made_study.write(tmp_path / "s", made, failing))


@pytest.mark.parametrize("n", [1, 2])
def test_a_study_of_one_or_two_people_is_analysed_and_says_so(n: int, tmp_path: Path) -> None:
    made = made_study.design(exclude={"incomplete": False})
    found = analyse(made_study.write(tmp_path / "s", made, [made_study.person(made, i) for i in range(n)]))
    told = contents(found)
    assert any("Only one person voted" in text or "Only 2 people" in text for text in told.warnings)
    write_report(tmp_path / "report", found, COMMAND)


def test_only_one_task_needs_no_other(tmp_path: Path) -> None:
    made = made_study.design(identification=None)
    people = [made_study.person(made_study.design(), number) for number in range(4)]
    for person in people:
        person.votes = [v for v in person.votes if v.task == "preference"]
    found = analyse(made_study.write(tmp_path / "s", made, people))
    assert found.main.identified is None
    assert not any(table.name.startswith("accuracy") for table in contents(found).tables)
    write_report(tmp_path / "report", found, COMMAND)


# the report


class Page(HTMLParser):
    """Open elements, their attributes, and all text."""

    EMPTY = ("meta", "br", "img", "circle", "rect", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new" / "report"
    assert write_report(folder, results, COMMAND) == folder / "report.html"
    return folder


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "warp & <b>paste</b>" in page.text  # a name is text, whatever it holds
    assert not any(tag in ("script", "link", "iframe", "b>paste") for tag, _ in page.elements)
    without = text.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in without
    assert "url(" not in without


def test_the_page_can_be_read_without_eyes(report: Path) -> None:
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for key in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(key) in (None, *ids)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("main") == tags.count("h1") == 1
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert drawings
    assert all(attributes["role"] == "img" for attributes in drawings)
    assert tags.count("desc") == len(drawings)
    assert next(attributes for tag, attributes in page.elements if tag == "html")["lang"] == "en"


def test_every_number_on_the_page_has_interval_and_n(results: Results) -> None:
    for table in contents(results).tables:
        assert all(len(row) == len(table.header) for row in table.rows), table.name
        for row in table.rows:
            for value in row:
                if not isinstance(value, str):
                    assert re.search(r"\((-?\+?[\d.]+ to [-+]?[\d.]+|no interval); n = \d+", str(value)), str(value)


def test_the_files_for_papers_and_machines_hold_the_same_numbers(report: Path, results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO((report / "tables.csv").read_text(encoding="utf-8"))))
    row = next(r for r in rows if r["table"] == "abilities" and r["row"] == "emorph")
    overall = next(s for s in results.main.preferences if s.question == "realism" and not s.target)
    assert overall.result is not None
    ability = overall.result.abilities[0]
    assert float(row["value"]) == pytest.approx(ability.value)
    assert (int(row["n"]), int(row["participants"]), int(row["photos"])) == (ability.n, 21, 8)
    found = json.loads((report / "results.json").read_text(encoding="utf-8"))
    cell = found["tables"]["abilities"]["rows"][0]["Which looks more real"]
    assert cell["low"] == pytest.approx(ability.low)
    assert [person["participant"] for person in found["left_out"]] == ["p021", "p022", "p023"]
    assert f"{ability.value:.2f}" in (report / "tables.tex").read_text(encoding="utf-8")
    scores = list(csv.DictReader(io.StringIO((report / "human_scores.csv").read_text(encoding="utf-8"))))
    assert len(scores) == len(results.scores)


def test_latex_is_closed_and_takes_any_name(report: Path) -> None:
    text = (report / "tables.tex").read_text(encoding="utf-8")
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 10
    for block in re.findall(r"\\begin{tabular}{(l[lr]*)}(.*?)\\end{tabular}", text, re.DOTALL):
        lines = [line for line in block[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(block[0])}
    assert latex_escaped("a_b & 5 % <x>") == r"a\_b \& 5 \% \textless{}x\textgreater{}"


def test_the_terminal_hears_the_same(results: Results) -> None:
    lines = text_lines(contents(results))
    assert lines[0].startswith(f"{results.main.n_votes} votes of 21 people (10 in English, 11 in Japanese)")
    assert any(re.match(r"Which looks more real: emorph, then .* p < 0.001", line) for line in lines)
    assert "3 of 24 who answered are left out by the study's own rules." in lines


def test_a_method_that_wins_all_stands_first_on_the_page(tmp_path: Path) -> None:
    made = made_study.design(preference={"ties": False})
    people = [made_study.person(made_study.design(), number) for number in range(8)]
    for person in people:
        person.votes = [_won(v) for v in person.votes if v.answer != "tie"]
    told = contents(analyse(made_study.write(tmp_path / "s", made, people)))
    assert any("emorph was chosen in all its" in text for text in told.warnings)
    assert any("emorph is chosen over baseline in 100.0 %" in text for text in told.conclusions)


def _won(given: Vote) -> Vote:
    if given.task == "preference" and not given.control and "emorph" in (given.method_a, given.method_b):
        return dataclasses.replace(given, answer="a" if given.method_a == "emorph" else "b")
    return given


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("error")
def test_whatever_few_votes_there_are_become_a_report(seed: int, tmp_path: Path) -> None:
    """Some people, some photos, some of the votes; all ties, all right, all one side, all one rating."""
    rng = np.random.default_rng(seed)
    made = made_study.design(exclude={"failed_checks": 0, "fast_s": 0, "incomplete": False})
    photos = {*rng.choice(made_study.PHOTOS, int(rng.integers(1, 5)), replace=False), "r001"}
    answered = []
    for number in range(int(rng.integers(1, 5))):
        person = made_study.person(made, number)
        kept = [v for v in person.votes if v.source in photos and rng.random() < 0.7]
        person.votes = [dataclasses.replace(v, answer=_monotone(v, seed % 4)) for v in kept]
        answered.append(person)
    found = analyse(made_study.write(tmp_path / "s", made, answered))
    write_report(tmp_path / "report", found, COMMAND)
    assert found.main.n_votes > 0


def _monotone(given: Vote, kind: int) -> str:
    if given.task == "preference":
        return ("tie", given.answer, "a", given.answer)[kind]
    if given.question == "emotion":
        return (given.answer, given.target or "none", "sad", given.answer)[kind]
    return (given.answer, given.answer, "3", given.answer)[kind]
