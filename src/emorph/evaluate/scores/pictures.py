"""What was measured of each edit and its source while they were looked at: landmarks, pictures, networks' distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from emorph.evaluate.judges.asked import PanelComparer
from emorph.evaluate.measure.records import INFINITE
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import METRICS, metrics
from emorph.evaluate.metrics.takes import PICTURES, Takes
from emorph.evaluate.scores.evidence import Evidence, Ints
from emorph.evaluate.scores.line import Line, of_itself


def landmark_lines(evidence: Evidence) -> Iterator[Line]:
    """Of landmarks, and of pictures with them: each edit by itself, then all together."""
    for row in metrics(Takes.LANDMARKS, Takes.INSIDE):
        yield Line(row, evidence, values=evidence.measured(row.name), unedited=of_itself(row))
    rows = metrics(Takes.LANDMARK_SETS)
    if not rows:
        return
    found = [scored for scored in evidence.edits if not scored.is_lost]
    sources, edits = (
        evidence.filled(np.array([face.points for face in faces], dtype=np.float64).reshape(-1, 68, 2))
        for faces in ([s.source for s in found], [s.edit for s in found])
    )
    for row in rows:

        def statistic(drawn: Ints, measure: Callable[..., float] = row.load()) -> float:
            return float(measure(sources[drawn], edits[drawn]))

        yield Line(row, evidence, statistic=statistic, known=~evidence.lost, unedited=of_itself(row))


def picture_lines(evidence: Evidence, comparers: Sequence[PanelComparer]) -> Iterator[Line]:
    """Of pictures, in the order of the table; those that need a network, by each of the comparers that are here."""
    for row in METRICS.values():
        if row.takes not in PICTURES:
            continue
        if not row.network:
            yield _picture_line(row, evidence, "")
            continue
        for comparer in comparers:
            if row in comparer.metrics:
                yield _picture_line(row, evidence, comparer.id)


def _picture_line(row: Metric, evidence: Evidence, network: str) -> Line:
    line = Line(row, evidence, values=evidence.measured(row.name, network), unedited=of_itself(row), title=row.label)
    infinite = np.isfinite(evidence.measured(row.name, INFINITE)) & line.span
    n_exact = int(infinite.sum())
    if not n_exact:
        return line
    title = f"{row.label}, without {n_exact} exact ones" if line.at_dose is not None else row.label
    return dataclasses.replace(line, title=title, n_exact=n_exact)
