"""Two sets of edits of the same photos: the difference of their scores with its interval, by paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from emorph.evaluate.metrics.tradeoff import harmonic_mean, identity_at
from emorph.evaluate.report.scorecard import recogniser_title
from emorph.evaluate.report.tables import Cell, Table, Value, slug
from emorph.evaluate.scores.evidence import Ints, bootstrapped

if TYPE_CHECKING:
    from emorph.evaluate.scores.method import MethodScores


def paired_rows(a: MethodScores, b: MethodScores) -> list[tuple[int, int]]:
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
    return {(edits[i].source.id, edits[i].pair.word): int(i) for i in chosen}


def _has_several(scores: MethodScores) -> bool:
    """Whether a set has more than one edit of a photo to a target at its dose."""
    return bool(scores.evidence.edits) and len(_rows_at_dose(scores)) < int(scores.evidence.at_dose.sum())


def difference(a: Float64, b: Float64, rows: list[tuple[int, int]], groups: list[str]) -> Estimate | None:
    """Mean of b less a over paired rows, with its interval by source photo; None of none."""
    gaps = np.array([b[j] - a[i] for i, j in rows], dtype=np.float64)
    known = np.isfinite(gaps)
    if not known.any():
        return None
    return bootstrap(gaps[known], [groups[i] for (i, _), is_in in zip(rows, known, strict=True) if is_in])


def success_difference(a: MethodScores, b: MethodScores) -> Estimate | None:
    """Success gain of b less a by the first judge, over the same edits; None of none."""
    if not (a.evidence.edits and b.evidence.edits and a.emotions and b.emotions):
        return None
    return difference(_success(a, 0), _success(b, 0), paired_rows(a, b), a.evidence.groups)


def _success(scores: MethodScores, judge: int) -> Float64:
    emotion = scores.emotions[judge]
    found: Float64 = emotion.right_after * scores.identity.passes - emotion.right_before
    return found


def comparison(a: MethodScores, b: MethodScores) -> Table:
    """Every per-edit score of both, paired."""
    rows = paired_rows(a, b)
    several = (
        "Of several edits of a photo to one target the last counts. " if _has_several(a) or _has_several(b) else ""
    )
    doses = [f"{scores.evidence.dose:g}" if scores.evidence.edits else "1" for scores in (a, b)]
    measures: list[tuple[str, bool, bool, Float64, Float64]] = []
    for i, emotion in enumerate(a.emotions):
        measures.append((f"success gain ({emotion.judge.id})", True, True, _success(a, i), _success(b, i)))
    for first, second in zip(a.emotions, b.emotions, strict=True):
        measures.append((f"recognised ({first.judge.id})", True, True, first.right_after, second.right_after))
        measures.append((f"probability of the target ({first.judge.id})", True, True, first.after, second.after))
    measures.append(("passes for the person", True, True, a.identity.passes, b.identity.passes))
    measures.append(("found first among the sources", True, True, a.identity.is_first, b.identity.is_first))
    for identities in zip(a.identities, b.identities, strict=True):
        title, better = recogniser_title(identities[0].gallery)
        shown = [identity.gallery.shown(identity.distance) for identity in identities]
        measures.append((title, better == "higher", False, shown[0], shown[1]))
    for title, metric in (("head turned, rad", "pose_distance"), ("change outside the face", "mae_outside")):
        measures.append((title, False, False, a.evidence.geometry(metric), b.evidence.geometry(metric)))
    found = [_harmonic_row(i, rows, a, b) for i in range(len(a.emotions))]
    found += [_matched_row(i, a, b) for i in range(len(a.emotions))]
    found += [_row(measure, rows, a, b) for measure in measures]
    names = (a.evidence.method, b.evidence.method)
    return Table(
        slug("compare", *names),
        f"{names[1]} against {names[0]}",
        f"{len(rows)} edits of the same photos to the same targets at strength {' and '.join(dict.fromkeys(doses))}; "
        f"the difference's interval is a paired bootstrap by source photo. {several}Doing nothing wins every row of "
        "identity: only HES, success gain and identity at matched gain weigh both.",
        ("measure", "better", names[0], names[1], f"{names[1]} less {names[0]}", "verdict"),
        tuple(found),
    )


def _row(
    measure: tuple[str, bool, bool, Float64, Float64], rows: list[tuple[int, int]], a: MethodScores, b: MethodScores
) -> tuple[Cell, ...]:
    title, higher_is_better, is_share, first, second = measure
    better = "higher" if higher_is_better else "lower"
    gap = difference(first, second, rows, a.evidence.groups)
    if gap is None:
        return (title, better, "–", "–", "not measured for the same edits", "–")
    zero = np.zeros(max(len(first), len(second)))
    own = difference(zero, first, [(i, i) for i, j in rows if np.isfinite(second[j] - first[i])], a.evidence.groups)
    other = difference(zero, second, [(j, j) for i, j in rows if np.isfinite(second[j] - first[i])], b.evidence.groups)
    cells: list[Cell] = ["–" if e is None else Value(e, is_share) for e in (own, other, gap)]
    return (title, better, *cells, _verdict(gap, a, b, higher_is_better=higher_is_better))


def _harmonic_row(judge: int, rows: list[tuple[int, int]], a: MethodScores, b: MethodScores) -> tuple[Cell, ...]:
    """HES of both on the paired rows."""
    gains = (a.emotions[judge].gain, b.emotions[judge].gain)
    passes = (a.identity.passes, b.identity.passes)
    both = np.array(rows, dtype=np.int64).reshape(-1, 2)
    known = np.all([np.isfinite(values[k][both[:, k]]) for values in (gains, passes) for k in (0, 1)], axis=0)
    both = both[known]

    def harmonic(drawn: Ints, k: int) -> float:
        own = both[drawn, k]
        return harmonic_mean(gains[k][own].mean(), passes[k][own].mean())

    groups = [a.evidence.groups[i] for i in both[:, 0]]
    statistics = (lambda d: harmonic(d, 0), lambda d: harmonic(d, 1), lambda d: harmonic(d, 1) - harmonic(d, 0))
    estimates = [bootstrapped(statistic, groups, len(both)) for statistic in statistics]
    title = f"HES: gain with identity ({a.emotions[judge].judge.id})"
    gap = estimates[2]
    if gap is None:
        return (title, "higher", "–", "–", "not measured for the same edits", "–")
    cells: list[Cell] = ["–" if e is None else Value(e) for e in estimates]
    return (title, "higher", *cells, _verdict(gap, a, b, higher_is_better=True))


def _verdict(gap: Estimate, a: MethodScores, b: MethodScores, *, higher_is_better: bool) -> str:
    if gap.low <= 0 <= gap.high:
        return "no difference that n can show"
    return f"{(b if (gap.mean > 0) == higher_is_better else a).evidence.method} is better"


def _matched_row(judge: int, a: MethodScores, b: MethodScores) -> tuple[Cell, ...]:
    """The share that passes where both gain as much as the one that gains less, over all strengths of both.

    Each resample has its own level: at that of the whole set, only those that happen to reach it would have a say.
    """
    curves = [scores.tradeoffs[judge] for scores in (a, b)]
    title = f"identity at matched gain ({a.emotions[judge].judge.id})"
    shared = set(curves[0].groups) & set(curves[1].groups)
    rows = [np.array([i for i, g in enumerate(c.groups) if g in shared], dtype=np.int64) for c in curves]
    n_first = len(rows[0])
    groups = [curves[0].groups[i] for i in rows[0]] + [curves[1].groups[i] for i in rows[1]]

    def matched(drawn: Ints) -> tuple[float, float, float]:
        """The level, and the share that passes there of a and of b."""
        parts = (drawn[drawn < n_first], drawn[drawn >= n_first] - n_first)
        a, b = (curve.curve(own[part]) for curve, own, part in zip(curves, rows, parts, strict=True))
        level = max(0.0, min(max((gain for gain, _ in curve), default=0.0) for curve in (a, b)))
        return level, identity_at(a, level), identity_at(b, level)

    level = matched(np.arange(len(groups)))[0]
    if level <= 0:
        return (title, "higher", "–", "–", "not measured: one of them gains nothing", "–")
    statistics = (lambda d: matched(d)[1], lambda d: matched(d)[2], lambda d: matched(d)[2] - matched(d)[1])
    own, other, gap = (bootstrapped(statistic, groups, len(shared)) for statistic in statistics)
    title = f"identity at matched gain of {level:.2f} ({a.emotions[judge].judge.id})"
    if own is None or other is None or gap is None:
        return (title, "higher", "–", "–", "not measured for the same photos", "–")
    verdict = _verdict(gap, a, b, higher_is_better=True)
    return (title, "higher", Value(own, True), Value(other, True), Value(gap, True), verdict)


def side_by_side(names: Sequence[str], heads: Sequence[tuple[Table, Table]]) -> list[Table]:
    """The edits' column of several methods' headline scores and of their parts, a column each."""
    note = "Each method's own edits at its own strength; paired differences of the same edits stand below."
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
