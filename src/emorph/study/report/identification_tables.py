"""Tables of which emotions people saw."""

from __future__ import annotations

from collections.abc import Iterator

from emorph.core.text_tables import slug
from emorph.study.findings import SCALES, Findings, Identified
from emorph.study.report.tables import NOTHING, Cell, Table, cell, p_text
from emorph.study.report.words import OF_ONE_PICTURE
from emorph.study.statistics.estimates import Ints
from emorph.study.statistics.identification import Difference, UnbiasedHitRate
from emorph.study.tabulate import REAL, UNEDITED, WORDS

NONE_OF_THESE = "none of these"


def lead(findings: Findings) -> Iterator[Table]:
    """Accuracy by target and method."""
    found = findings.identified
    if found is None:
        return
    targets = [word for word in WORDS if any((method, word) in found.accuracy for method in found.methods)]
    rows: list[tuple[Cell, ...]] = [
        (name, *(cell(found.accuracy.get((method, target)), "share") for method in found.methods))
        for name, target in [("all", ""), *((word, word) for word in targets)]
    ]
    note = (
        f"Share of the answers that name the target; a blind choice among nine has {100 * found.chance:.1f} %. "
        "95 % intervals for other people; answers of one person are a cluster."
    )
    yield Table("accuracy", "Which emotion people see", note, ("target", *found.methods), tuple(rows))


def details(findings: Findings) -> Iterator[Table]:
    """Comparisons, models, hit rates and confusion; then ratings."""
    if (found := findings.identified) is not None:
        yield from _between(found)
        yield from _mixed(found)
        yield from _by_strength(found)
        yield _for_other_photos(found)
        yield from _hit_rates(found)
        yield from (_confusion(found, method) for method in found.methods)
        yield from _unedited(found)
    yield from _ratings(findings)


def _between(found: Identified) -> Iterator[Table]:
    note = (
        "Accuracy of the first less that of the second, in points of percent; clustered by person; p after Holm's "
        "correction over the rows of this table."
    )
    header = ("pair", "difference", "p", "p (Holm)")
    if found.between:
        rows = [_gap(f"{gap.first} less {gap.second}", gap) for gap in found.between]
        yield Table("accuracy_between", "Accuracy: methods compared", note, header, tuple(rows))
    if found.against_real:
        rows = [_gap(f"{gap.first}, {target or 'all targets'}", gap) for target, gap in found.against_real]
        title = "Accuracy: methods less the real photos"
        yield Table("accuracy_real", title, f"{note} All targets are those that both have.", header, tuple(rows))


def _gap(name: str, gap: Difference) -> tuple[Cell, ...]:
    return name, cell(gap.difference, "points"), p_text(gap.p), p_text(gap.p_holm)


def _mixed(found: Identified) -> Iterator[Table]:
    if (mixed := found.mixed) is None:
        return
    rows = [
        (f"{ratio.first} over {ratio.second}", cell(ratio.ratio), p_text(ratio.p), p_text(ratio.p_holm))
        for ratio in mixed.ratios
    ]
    note = (
        "Odds ratios of a right answer by a logistic mixed model (Laplace's approximation): method and target fixed, "
        f"people and photos random (standard deviations of the log odds {mixed.people_sd:.2f} and "
        f"{mixed.photos_sd:.2f}). Wald intervals; p after Holm's correction over the rows."
    )
    if mixed.left_out:
        note += f" Left out, as all or none of their answers were right: {', '.join(mixed.left_out)}."
    yield Table("mixed_model", "Mixed model", note, ("pair", "odds ratio", "p", "p (Holm)"), tuple(rows))


def _by_strength(found: Identified) -> Iterator[Table]:
    strengths = sorted({strength for _, strength in found.by_strength})
    if strengths:
        rows = [
            (method, *(cell(found.by_strength.get((method, strength)), "share") for strength in strengths))
            for method in found.methods
            if method != REAL
        ]
        header = ("method", *(f"strength {strength:g}" for strength in strengths))
        note = "Share of the answers that name the target; clustered by person."
        yield Table("accuracy_strength", "Accuracy by strength", note, header, tuple(rows))


def _for_other_photos(found: Identified) -> Table:
    rows = [
        (method, cell(found.accuracy[method, ""], "share"), cell(found.for_other_photos.get(method), "share"))
        for method in found.methods
    ]
    note = "The same accuracies with intervals for other people, and for other people and other photos."
    header = ("method", "these photos", "other photos, too")
    return Table("accuracy_photos", "Accuracy for other photos", note, header, tuple(rows))


def _hit_rates(found: Identified) -> Iterator[Table]:
    targets = [word for word in WORDS if any((m, word) in found.accuracy for m in found.methods)]
    by_name = {(method, hu.target): hu for method, rates in found.hit_rates.items() for hu in rates}
    rows = [
        (target, *(value for method in found.methods for value in _hu(by_name.get((method, target)))))
        for target in targets
    ]
    header = ("target", *(text for method in found.methods for text in (method, f"{method}: by chance")))
    note = (
        "Wagner's Hu: hits squared over the pictures shown and the uses of the answer, so that naming one emotion for "
        "everything gains nothing; beside it what answers without looking would have. Percentile intervals over people."
    )
    yield Table("hit_rates", "Unbiased hit rates", note, header, tuple(rows))


def _hu(found: UnbiasedHitRate | None) -> tuple[Cell, Cell]:
    return (NOTHING, NOTHING) if found is None else (cell(found.rate), f"{found.chance:.2f}")


def _confusion(found: Identified, method: str) -> Table:
    table = found.confusion[method]
    shown = [i for i in range(len(WORDS)) if table[i].sum()]
    rows = [(WORDS[i], *_counts(table[i]), str(int(table[i].sum()))) for i in shown]
    shades = [(*(float(count / table[i].sum()) for count in table[i]), 0.0) for i in shown]
    note = "Rows are what was shown, columns what was named: share of the row, and count."
    header = ("shown", *WORDS, NONE_OF_THESE, "n")
    return Table(slug("confusion", method), f"Confusion: {method}", note, header, tuple(rows), tuple(shades))


def _counts(row: Ints) -> list[str]:
    total = int(row.sum())
    return [f"{100 * count / total:.0f} % ({count})" if count else NOTHING for count in row]


def _unedited(found: Identified) -> Iterator[Table]:
    if found.unedited.sum():
        row = ("unedited photos", *_counts(found.unedited), str(int(found.unedited.sum())))
        note = "Control: what was named for the photos before any edit."
        yield Table("unedited", "What unedited photos show", note, ("", *WORDS, NONE_OF_THESE, "n"), (row,))


def _ratings(findings: Findings) -> Iterator[Table]:
    scales = [scale for scale in SCALES if any(scale == key for key, _ in findings.ratings)]
    methods = list(dict.fromkeys(method for _, method in findings.ratings))
    methods.sort(key=lambda method: (method == UNEDITED, method == REAL))
    if scales:
        rows = [(m, *(cell(findings.ratings.get((scale, m))) for scale in scales)) for m in methods]
        header = ("method", *(OF_ONE_PICTURE[scale] for scale in scales))
        note = "Mean ratings; clustered by person."
        yield Table("ratings", "Ratings", note, header, tuple(rows))
