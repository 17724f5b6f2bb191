"""Two sets of edits of the same photos: the difference of their scores with its interval, by paired bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.statistics import Estimate, bootstrap
from emorph.evaluate.tables import Cell, Table, Value

if TYPE_CHECKING:
    from emorph.evaluate.summary import MethodScores


def paired_rows(a: MethodScores, b: MethodScores) -> list[tuple[int, int]]:
    """Rows of edits of the same photo to the same target at the same strength, at the first set's dose."""

    def keys(scores: MethodScores) -> dict[tuple[str, int, float], int]:
        edits = scores.evidence.edits
        return {(s.source.id, s.pair.target.value, s.pair.strength): i for i, s in enumerate(edits)}

    second = keys(b)
    return [(i, second[key]) for key, i in keys(a).items() if key in second and key[2] == a.evidence.dose]


def difference(a: Float64, b: Float64, rows: list[tuple[int, int]], groups: list[str]) -> Estimate | None:
    """Mean of b less a over paired rows, with its interval by source photo; None of none."""
    gaps = np.array([b[j] - a[i] for i, j in rows], dtype=np.float64)
    known = np.isfinite(gaps)
    if not known.any():
        return None
    return bootstrap(gaps[known], [groups[i] for (i, _), is_in in zip(rows, known, strict=True) if is_in])


def comparison(a: MethodScores, b: MethodScores) -> Table:
    """Every per-edit score of both, paired."""
    rows = paired_rows(a, b) if a.evidence.edits and b.evidence.edits else []
    measures: list[tuple[str, bool, bool, Float64, Float64]] = []
    for first, second in zip(a.emotions, b.emotions, strict=True):
        measures.append((f"recognised ({first.judge.id})", True, True, first.right_after, second.right_after))
        measures.append((f"probability of the target ({first.judge.id})", True, True, first.after, second.after))
    measures.append(("passes for the person", True, True, a.identity.passes, b.identity.passes))
    measures.append(("found first among the sources", True, True, a.identity.is_first, b.identity.is_first))
    measures.append(("distance to the source", False, False, a.identity.distance, b.identity.distance))
    for title, metric in (("head turned, rad", "pose_distance"), ("change outside the face", "mae_outside")):
        measures.append((title, False, False, a.evidence.geometry(metric), b.evidence.geometry(metric)))
    found = [_row(measure, rows, a, b) for measure in measures]
    names = (a.evidence.method, b.evidence.method)
    return Table(
        "compare_" + "_".join("".join(c if c.isalnum() else "_" for c in name) for name in names),
        f"{names[1]} against {names[0]}",
        f"{len(rows)} edits of the same photos to the same targets at strength {a.evidence.dose if rows else 1:g}; "
        "the difference's interval is a paired bootstrap by source photo.",
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
    if gap.low <= 0 <= gap.high:
        verdict = "no difference that n can show"
    else:
        verdict = f"{(b if (gap.mean > 0) == higher_is_better else a).evidence.method} is better"
    cells: list[Cell] = ["–" if e is None else Value(e, is_share) for e in (own, other, gap)]
    return (title, better, *cells, verdict)
