"""Tables of what people chose between two edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emorph.core.text_tables import slug
from emorph.study.findings import Findings, Stratum
from emorph.study.records import Design
from emorph.study.report.tables import NOTHING, Cell, Table, cell, p_text
from emorph.study.report.words import QUESTIONS, asked
from emorph.study.statistics.estimates import Estimate
from emorph.study.statistics.preference import PairTest, Preference

ABILITIES = (
    "Log odds of being chosen over a middling method (Bradley and Terry, with Davidson's ties and the side as a "
    "parameter); 0 is the mean of the methods. 95 % intervals for other people and other photos."
)


def lead(design: Design, findings: Findings) -> Iterator[Table]:
    """The abilities of every question, side by side."""
    overall = [s for s in findings.preferences if not s.target and s.strength is None]
    if overall:
        columns = [(QUESTIONS[stratum.question], stratum.result) for stratum in overall]
        yield _abilities(design, "abilities", "Which edits people prefer", columns)


def details(design: Design, findings: Findings) -> Iterator[Table]:
    """By question: chances, tests, and abilities by target and strength; then sides, ties and the photo itself."""
    for question in design.questions("preference"):
        strata = [stratum for stratum in findings.preferences if stratum.question == question]
        for stratum in strata:
            if stratum.result is not None and not stratum.target and stratum.strength is None:
                yield _chances(question, stratum.result)
                yield _tests(question, stratum.result.tests)
        yield from _by(design, question, "target", [s for s in strata if s.target])
        yield from _by(design, question, "strength", [s for s in strata if s.strength is not None])
    yield from _sides(findings.preferences)
    yield from _over_photo(design, findings)


def _abilities(design: Design, name: str, title: str, columns: Sequence[tuple[str, Preference | None]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for method in design.methods:
        cells = [
            cell(result.abilities[result.methods.index(method)]) if result and method in result.methods else NOTHING
            for _, result in columns
        ]
        rows.append((method, *cells))
    return Table(name, title, ABILITIES, ("method", *(text for text, _ in columns)), tuple(rows))


def _chances(question: str, result: Preference) -> Table:
    rows = [(method, *(cell(chance, "share") for chance in row)) for method, row in _named(result)]
    shades = [tuple(0.0 if chance is None else chance.value for chance in row) for _, row in _named(result)]
    note = (
        "How often the row is chosen over the column on fair sides, a tie counting half, by the fitted model; n counts "
        "the comparisons of these two."
    )
    title = f"{QUESTIONS[question]}: chance of being chosen"
    return Table(slug("chance", question), title, note, ("", *result.methods), tuple(rows), tuple(shades))


def _named(result: Preference) -> Iterator[tuple[str, Sequence[Estimate | None]]]:
    yield from zip(result.methods, result.superiority, strict=True)


def _tests(question: str, tests: Sequence[PairTest]) -> Table:
    rows = [
        (
            f"{test.first} over {test.second}",
            cell(test.superiority, "share"),
            NOTHING if test.won != test.won else f"{100 * test.won:.1f} %",
            p_text(test.p),
            p_text(test.p_holm),
            test.how,
        )
        for test in tests
    ]
    note = "Each two methods against equality; p after Holm's correction over the rows of this table."
    header = ("pair", "chance by the model", "share won", "p", "p (Holm)", "test")
    return Table(slug("tests", question), f"{QUESTIONS[question]}: pairwise tests", note, header, tuple(rows))


def _by(design: Design, question: str, what: str, strata: Sequence[Stratum]) -> Iterator[Table]:
    if strata:
        columns = [(s.target or f"strength {s.strength:g}", s.result) for s in strata]
        title = f"{QUESTIONS[question]}: by {what}"
        yield _abilities(design, slug("abilities", question, what), title, columns)


def _sides(strata: Sequence[Stratum]) -> Iterator[Table]:
    rows: list[tuple[Cell, ...]] = [
        (QUESTIONS[s.question], cell(s.result.left_share, "share"), cell(s.result.tie_share, "share"))
        for s in strata
        if s.result is not None and not s.target and s.strength is None
    ]
    if rows:
        note = (
            "Between two equal edits: how often the left is chosen, of the votes that choose (50 % is no bias; the "
            "tables above are free of it), and how often a tie is said."
        )
        yield Table("sides", "Sides and ties", note, ("question", "left chosen", "tie"), tuple(rows))


def _over_photo(design: Design, findings: Findings) -> Iterator[Table]:
    keys = [f"preference: {question}" for question in design.questions("preference")]
    rows = [
        (method, *(cell(findings.over_photo.get((key, method)), "share") for key in keys))
        for method in design.methods
        if any((key, method) in findings.over_photo for key in keys)
    ]
    if rows:
        note = "Control: how often the edit was chosen over the unedited photo beside it, a tie counting half."
        yield Table("over_photo", "Edits beside the photo itself", note, ("method", *map(asked, keys)), tuple(rows))
