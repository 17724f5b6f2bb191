"""Two sets of edits of the same photos: the difference of their scores with its interval, by paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from emorph.core.text_tables import slug
from emorph.core.types import Float64
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.shares import signed_share
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Shown, Takes
from emorph.evaluate.report.tables import Cell, Table, Value, cell
from emorph.evaluate.scores.evidence import Ints, bootstrapped
from emorph.evaluate.scores.identity import OWN_DISTANCE
from emorph.evaluate.scores.line import Line
from emorph.evaluate.scores.method import MethodScores

LEAST_PHOTOS = 6  # of five, even if all agree, a sign test gives p = 2 / 2^5, above 5 %
NOT_PAIRED = "not measured for the same edits"

Pairing = list[tuple[int, int]]  # rows of the first set, of the second


def paired_rows(a: MethodScores, b: MethodScores) -> Pairing:
    """Rows of edits of the same photo to the same target, each set at its own dose.

    Of several such edits of one set, as of two seeds, the last counts.
    """
    second = _rows_at_dose(b)
    return [(i, second[key]) for key, i in _rows_at_dose(a).items() if key in second]


def _rows_at_dose(scores: MethodScores) -> dict[tuple[str, str], int]:
    """The row of each photo and target; the last of several."""
    edits = scores.evidence.edits
    if not edits:
        return {}
    chosen = np.flatnonzero(scores.evidence.at_dose)
    return {(edits[i].source_id, edits[i].pair.word): int(i) for i in chosen}


def _has_several(scores: MethodScores) -> bool:
    """Whether a set has more than one edit of a photo to a target at its dose."""
    return bool(scores.evidence.edits) and len(_rows_at_dose(scores)) < int(scores.evidence.at_dose.sum())


def difference(a: Float64, b: Float64, rows: Pairing, groups: list[str], *, is_share: bool = False) -> Estimate | None:
    """Mean of b less a over paired rows, with its interval by source photo; None without any.

    is_share: differences of -1, 0 and 1 have the interval of ``signed_share``.
    """
    gaps = np.array([b[j] - a[i] for i, j in rows], dtype=np.float64)
    known = np.isfinite(gaps)
    if not known.any():
        return None
    own = [groups[i] for (i, _), is_in in zip(rows, known, strict=True) if is_in]
    if is_share and np.abs(gaps[known]).max() <= 1:
        return signed_share(gaps[known], own)
    return bootstrap(gaps[known], own)


def n_photos(rows: Pairing, groups: Sequence[str]) -> int:
    """How many source photos paired rows are of."""
    return len({groups[i] for i, _ in rows})


def is_shown(gap: Estimate, photos: int) -> bool:
    """Whether a difference is more than chance gives: its interval leaves 0 out, over enough photos to say so."""
    return photos >= LEAST_PHOTOS and not gap.low <= 0 <= gap.high


def success_difference(a: MethodScores, b: MethodScores) -> Estimate | None:
    """Success gain of b less a by the first judge, over the same edits; None without any."""
    if not (a.evidence.edits and b.evidence.edits and a.tradeoffs and b.tradeoffs):
        return None
    values = a.tradeoffs[0].success, b.tradeoffs[0].success
    return difference(*values, paired_rows(a, b), a.evidence.groups, is_share=True)


def comparison(a: MethodScores, b: MethodScores) -> Table:
    """Every score of both, paired."""
    rows = paired_rows(a, b)
    several = (
        "Where a photo has several edits to one target, the last counts. " if _has_several(a) or _has_several(b) else ""
    )
    end = ": only HES, success gain and identity at matched gain weigh both" if a.panel.tells_emotions else ""
    doses = [f"{scores.evidence.dose:g}" if scores.evidence.edits else "1" for scores in (a, b)]
    names = (a.evidence.method, b.evidence.method)
    return Table(
        slug("compare", *names),
        f"{names[1]} against {names[0]}",
        f"{len(rows)} edits of the same photos to the same targets at strength {' and '.join(dict.fromkeys(doses))}; "
        f"the difference's interval is a paired bootstrap by source photo. {several}Doing nothing wins every row of "
        f"identity{end}.",
        ("measure", "better", names[0], names[1], f"{names[1]} less {names[0]}", "verdict"),
        tuple(_rows(a, b, rows)),
    )


def _rows(a: MethodScores, b: MethodScores, rows: Pairing) -> Iterator[tuple[Cell, ...]]:
    """What weighs both first; then what is said of each edit, of recognisers by all of them."""
    shown = list(_compared(a.lines, b.lines))
    yield from (_set_row(first, second, rows, a, b) for first, second in shown if first.values is None)
    for metric in metrics(Takes.MATCHED):
        yield from (_matched_row(metric, i, a, b) for i in range(len(a.emotions)))
    for first, second in shown:
        if first.values is not None:
            yield _edit_row(first, second, rows, a, b)
    for own, other in zip(a.recogniser_lines[1:], b.recogniser_lines[1:], strict=True):
        for first, second in _compared(own, other):
            if first.metric.takes in OWN_DISTANCE:
                yield _edit_row(first, second, rows, a, b)


def _compared(a: Sequence[Line], b: Sequence[Line]) -> Iterator[tuple[Line, Line]]:
    """The lines of both that stand in a comparison; the same panel makes the same lines of both."""
    for first, second in zip(a, b, strict=True):
        if Shown.COMPARISON in first.metric.tables:
            yield first, second


def _edit_row(a: Line, b: Line, rows: Pairing, first: MethodScores, second: MethodScores) -> tuple[Cell, ...]:
    """A metric of each edit."""
    start = (a.short, a.metric.better)
    if a.values is None or b.values is None:
        return (*start, "–", "–", a.withheld or NOT_PAIRED, "–")
    own, other = (line.values * line.metric.factor for line in (a, b) if line.values is not None)
    groups = a.evidence.groups
    gap = difference(own, other, rows, groups, is_share=a.metric.is_share)
    if gap is None:
        return (*start, "–", "–", a.withheld or NOT_PAIRED, "–")
    both = [(i, j) for i, j in rows if np.isfinite(other[j] - own[i])]
    alone = (_mean_of(a, own, [i for i, _ in both]), _mean_of(b, other, [j for _, j in both]))
    cells: list[Cell] = ["–" if e is None else Value(e, a.metric.is_share) for e in (*alone, gap)]
    return (*start, *cells, _verdict(gap, first, second, a.metric, n_photos(rows, groups)))


def _mean_of(line: Line, values: Float64, rows: Sequence[int]) -> Estimate | None:
    chosen = np.zeros(len(values), dtype=bool)
    chosen[list(rows)] = True
    return line.mean(values, chosen)


def _set_row(a: Line, b: Line, rows: Pairing, first: MethodScores, second: MethodScores) -> tuple[Cell, ...]:
    """A metric of the whole set, on the paired rows; without a difference where it is no statistic of rows."""
    start, is_share = (a.short, a.metric.better), a.metric.is_share
    if a.statistic is None or b.statistic is None or a.known is None or b.known is None:
        return (*start, cell(a.at_dose, is_share), cell(b.at_dose, is_share), a.withheld or NOT_PAIRED, "–")
    both = np.array(rows, dtype=np.int64).reshape(-1, 2)
    both = both[a.known[both[:, 0]] & b.known[both[:, 1]]]
    of_a, of_b = a.statistic, b.statistic
    statistics: tuple[Callable[[Ints], float], ...] = (
        lambda drawn: of_a(both[drawn, 0]),
        lambda drawn: of_b(both[drawn, 1]),
        lambda drawn: of_b(both[drawn, 1]) - of_a(both[drawn, 0]),
    )
    groups = [a.evidence.groups[i] for i in both[:, 0]]
    estimates = [bootstrapped(statistic, groups, len(both)) for statistic in statistics]
    gap = estimates[2]
    if gap is None:
        return (*start, "–", "–", a.withheld or NOT_PAIRED, "–")
    verdict = _verdict(gap, first, second, a.metric, len(set(groups)))
    return (*start, *(cell(e, is_share) for e in estimates), verdict)


def _verdict(gap: Estimate, a: MethodScores, b: MethodScores, metric: Metric, photos: int) -> str:
    if not is_shown(gap, photos):
        return "no difference that n can show"
    if metric.better == "for information":
        return f"higher in {(b if gap.mean > 0 else a).evidence.method}"
    return f"{(b if (gap.mean > 0) == (metric.better == 'higher') else a).evidence.method} is better"


def _matched_row(metric: Metric, judge: int, a: MethodScores, b: MethodScores) -> tuple[Cell, ...]:
    """What a metric says where both gain as much as the one that gains less, over all strengths of both.

    Each resample has its own level: at that of the whole set, only those that happen to reach it would have a say.
    """
    curves, measure, is_share = [scores.tradeoffs[judge] for scores in (a, b)], metric.load(), metric.is_share
    start = (f"{metric.title} ({a.emotions[judge].judge.id})", metric.better)
    known = [[(i, curve.groups[i]) for i in np.flatnonzero(curve.known)] for curve in curves]
    shared = {g for _, g in known[0]} & {g for _, g in known[1]}
    rows = [np.array([i for i, g in of if g in shared], dtype=np.int64) for of in known]
    n_first = len(rows[0])
    groups = [curve.groups[i] for curve, own in zip(curves, rows, strict=True) for i in own]

    def matched(drawn: Ints) -> tuple[float, float, float]:
        """The level, and the values there of a and of b."""
        parts = (drawn[drawn < n_first], drawn[drawn >= n_first] - n_first)
        a, b = (curve.curve(own[part]) for curve, own, part in zip(curves, rows, parts, strict=True))
        level = max(0.0, min(max((gain for gain, _ in curve), default=0.0) for curve in (a, b)))
        return level, float(measure(a, level)), float(measure(b, level))

    level = matched(np.arange(len(groups)))[0]
    if level <= 0:
        return (*start, "–", "–", "not measured: one of them gains nothing", "–")
    statistics = (lambda d: matched(d)[1], lambda d: matched(d)[2], lambda d: matched(d)[2] - matched(d)[1])
    own, other, gap = (bootstrapped(statistic, groups, len(shared)) for statistic in statistics)
    start = (f"{metric.title} of {level:.2f} ({a.emotions[judge].judge.id})", metric.better)
    if own is None or other is None or gap is None:
        return (*start, "–", "–", "not measured for the same photos", "–")
    cells = (Value(estimate, is_share) for estimate in (own, other, gap))
    return (*start, *cells, _verdict(gap, a, b, metric, len(shared)))


def side_by_side(names: Sequence[str], heads: Sequence[tuple[Table, Table]]) -> list[Table]:
    """The edits' column of several methods' headline scores and of their parts, a column each."""
    note = "Each method's own edits at its own strength; paired differences of the same edits are below."
    return [
        _beside(
            "side_by_side", "Side by side: emotion and identity together", note, names, [head for head, _ in heads]
        ),
        _beside("side_by_side_parts", "Side by side: the parts", note, names, [parts for _, parts in heads]),
    ]


def _beside(name: str, title: str, note: str, names: Sequence[str], tables: Sequence[Table]) -> Table:
    column = tables[0].header.index("edits")
    rows = [(row[0], row[1], *(table.rows[i][column] for table in tables)) for i, row in enumerate(tables[0].rows)]
    return Table(name, title, note, ("measure", "better", *names), tuple(rows))
