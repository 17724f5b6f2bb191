"""Tables of the study itself: who took part, how far they agree, what exclusions change, and metrics beside people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emorph.study.analysis import Results
from emorph.study.findings import Findings
from emorph.study.report.tables import NOTHING, Cell, Table, cell
from emorph.study.report.words import QUESTIONS, asked
from emorph.study.statistics.estimates import Estimate


def tables(results: Results) -> Iterator[Table]:
    """In the order of the page."""
    yield from _metrics(results)
    yield from _agreement(results.main)
    yield from _consistency(results.main)
    yield _exclusions(results)
    yield from _with_and_without(results)


def _metrics(results: Results) -> Iterator[Table]:
    measures = dict.fromkeys(found.measure for found in results.against_people)
    for measure in measures:
        rows = [
            (found.metric, *(cell(value) for value in (c.pearson, c.spearman, c.kendall)))
            for found in results.against_people
            if found.measure == measure
            for c in [found.correlation]
        ]
        kind, _, question = measure.partition(", ")
        title = f"Metrics beside people: {QUESTIONS[question].lower() if question else kind}"
        note = "Over edits, each with the mean of its votes; n counts edits. 95 % bootstrap intervals over photos."
        header = ("metric", "Pearson", "Spearman", "Kendall")
        yield Table(f"people_{'_'.join(filter(None, (kind, question)))}", title, note, header, tuple(rows))


def _agreement(findings: Findings) -> Iterator[Table]:
    rows = [
        (f"{asked(found.question)}: {found.statistic}", cell(found.value, units="picture"))
        for found in findings.agreement
    ]
    if rows:
        note = (
            "How far people give the same answer to the same trial; 1 is always, 0 as chance would. Percentile "
            "intervals over trials."
        )
        yield Table("agreement", "Agreement between people", note, ("question and statistic", "agreement"), tuple(rows))


def _consistency(findings: Findings) -> Iterator[Table]:
    rows: list[tuple[Cell, ...]] = [
        (asked(question), cell(share, "share")) for question, share in findings.consistency.items()
    ]
    if rows:
        note = "How often a person's second answer to the same trial was the first again; clustered by person."
        yield Table("consistency", "Agreement with oneself", note, ("question", "same answer"), tuple(rows))


def _exclusions(results: Results) -> Table:
    found = results.exclusions
    rows = [(rule.text, str(rule.n)) for rule in found.rules]
    rows += [("left out by one rule or more", str(len(found.excluded))), ("in the main analysis", str(found.n_kept))]
    note = f"Rules of study.toml, written before; of {found.n_started} who answered. Several may hold for one person."
    return Table("exclusions", "Who is left out", note, ("rule", "people"), tuple(rows))


def _with_and_without(results: Results) -> Iterator[Table]:
    if results.everyone is None:
        return
    main, everyone = _figures(results.main), _figures(results.everyone)
    rows = [(name, main.get(name, NOTHING), everyone.get(name, NOTHING)) for name in dict.fromkeys([*main, *everyone])]
    note = "The overall figures of the main analysis, and of everybody who answered."
    header = ("figure", "without those left out", "with them")
    yield Table("with_and_without", "What the exclusions change", note, header, tuple(rows))


def _figures(findings: Findings) -> Mapping[str, Cell]:
    found: dict[str, Cell] = {}
    for stratum in findings.preferences:
        if stratum.result is not None and not stratum.target and stratum.strength is None:
            for method, ability in zip(stratum.result.methods, stratum.result.abilities, strict=True):
                found[f"{QUESTIONS[stratum.question]}: ability of {method}"] = cell(ability)
    identified: Mapping[tuple[str, str], Estimate] = findings.identified.accuracy if findings.identified else {}
    found |= {f"accuracy of {m}": cell(share, "share") for (m, target), share in identified.items() if not target}
    return found
