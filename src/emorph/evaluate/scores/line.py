"""A metric of one set of edits, as one judge, recogniser or model tells it: what every table of a report is made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints, Kind, bootstrapped

Control = Estimate | str | None


@dataclass(frozen=True)
class Line:
    """A metric with its controls. by: who tells it, "" for what is plainly measured.

    values: (n,) of a metric of each edit, NaN where it is not known. estimate_of: of a metric of the set, its value for
    chosen edits; statistic: the same for rows drawn among ``known``, for differences of two sets. One of the three
    kinds is there.
    before: (n,), the same of the unedited photos, where it differs from edit to edit.
    unedited, same_person, other_person, by_chance: the controls; a text where there is nothing to measure, else None
    where they are not known.
    title: where it says more than the metric's own. part: "valence" of a metric that tells two things.
    withheld: why there is no estimate, where the metric itself does not tell.
    n_exact: how many of the edits equal their source, so that the value is infinite.
    """

    metric: Metric
    evidence: Evidence
    by: str = ""
    values: Float64 | None = None
    estimate_of: Callable[[Bools], Estimate | None] | None = None
    statistic: Callable[[Ints], float] | None = None
    known: Bools | None = None
    before: Float64 | None = None
    unedited: Control = None
    same_person: Control = None
    other_person: Control = None
    by_chance: Control = None
    title: str = ""
    part: str = ""
    withheld: str = ""
    n_exact: int = 0

    @property
    def absent(self) -> str:
        """What a table says where there is no estimate."""
        if self.n_exact:
            return f"infinite: all {self.n_exact} are exact"
        return self.withheld or self.metric.absent

    @property
    def label(self) -> str:
        """Of its row: what is measured, by whom."""
        return self.title or self.signed(self.metric.label)

    @property
    def short(self) -> str:
        """Of its column, where there is little room."""
        return self.signed(self.metric.short_label)

    def signed(self, text: str) -> str:
        """With the name of who tells it."""
        return f"{text} ({self.by})" if self.by else text

    @property
    def record_name(self) -> str:
        """What its records are called."""
        return f"{self.part}_{self.metric.name}" if self.part else self.metric.name

    def estimate(self, chosen: Bools) -> Estimate | None:
        """Of the chosen edits with its interval by source photo, in the unit of tables; None where there is none."""
        found: Estimate | None = None
        if self.values is not None:
            found = self.mean(self.values * self.metric.factor, chosen)
        elif self.estimate_of is not None:
            found = self.estimate_of(chosen)
        elif self.statistic is not None and self.known is not None:
            rows, statistic = np.flatnonzero(chosen & self.known), self.statistic
            groups = [self.evidence.groups[i] for i in rows]
            found = bootstrapped(lambda drawn: statistic(rows[drawn]), groups, len(rows))
        return found

    def mean(self, values: Float64, chosen: Bools) -> Estimate | None:
        """Of values (n,) of this metric, with the interval that its kind of number has."""
        return self.evidence.mean(values, chosen, kind_of(self.metric, values))

    @functools.cached_property
    def at_dose(self) -> Estimate | None:
        """Of the edits that the headline numbers are made of; of all, where the metric is asked over all strengths."""
        return self.estimate(self.span)

    @functools.cached_property
    def unedited_at_dose(self) -> Control:
        """The control of the unedited photos."""
        if self.before is not None:
            return self.mean(self.before, self.span)
        return self.unedited

    @property
    def span(self) -> Bools:
        """The edits that it is asked of."""
        evidence = self.evidence
        if self.metric.takes.spans_strengths:
            return np.ones(len(evidence.edits), dtype=bool)
        if self.metric.takes == Takes.RECONSTRUCTION:
            return evidence.at(0)
        return evidence.at_dose


def kind_of(metric: Metric, values: Float64) -> Kind:
    """What interval a metric's values have; a metric that calls itself a share and leaves [-1, 1] is a number."""
    known = values[np.isfinite(values)]
    if not metric.is_share or not len(known) or np.abs(known).max() > 1:
        return "number"
    return "difference" if metric.bounds[0] < 0 or known.min() < 0 else "share"


def of_itself(metric: Metric) -> str | None:
    """What the unedited photo has against itself, as a text; None if unknown."""
    value = metric.of_itself
    if value is None:
        return None
    if np.isinf(value):
        return "infinite"
    return f"{100 * value:g} %, the same photo" if metric.is_share else f"{value:g}"


def first(lines: Sequence[Line], metric: Metric) -> Line | None:
    """The first line of a metric."""
    return next((line for line in lines if line.metric == metric), None)
