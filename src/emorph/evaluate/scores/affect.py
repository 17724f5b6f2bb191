"""Valence and arousal: what a judge reads off the edits against what was asked for, or annotated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.judges.asked import AFFECT, PanelJudge
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Bools, Evidence, bootstrapped
from emorph.evaluate.scores.line import Line

LEAST_EDITS = 3  # two points always lie on a line
_NEITHER = (np.nan, np.nan)


@dataclass(frozen=True)
class AffectScores:
    """One judge on one set, a row an edit: valence and arousal, (n, 2) each.

    truth: the values given with the edits if any are, else typical values of the targets; NaN where they are not known.
    is_given: which of both. before, after: the judge's, of source and edit.
    """

    judge: PanelJudge
    evidence: Evidence
    is_given: bool
    truth: Float64
    before: Float64
    after: Float64

    @classmethod
    def of(cls, judge: PanelJudge, evidence: Evidence) -> AffectScores:
        """Read a judge's values; where some edits come with values, the others are left out."""
        before, after = evidence.affect(judge)
        edits = evidence.edits
        given = np.array([scored.pair.affect for scored in edits], dtype=np.float64).reshape(-1, 2)  # None is NaN
        targets = [scored.pair.target for scored in edits]
        typical = [_NEITHER if target is None else target.valence_arousal for target in targets]
        is_given = bool(np.isfinite(given).any())
        truth = given if is_given else np.array(typical, dtype=np.float64).reshape(-1, 2)
        return cls(judge, evidence, is_given, truth, before, after)

    @property
    def n_edits(self) -> int:
        """At the dose, with a value to compare with."""
        return int((self._known.any(axis=1) & self.evidence.at_dose).sum())

    def lines(self) -> Iterator[Line]:
        """All metrics, each of valence and of arousal; controls: the unedited photos against the same values."""
        for axis, word in enumerate(AFFECT):
            for row in metrics(Takes.VALENCE_AROUSAL):
                before, after = (self._agreement(row, axis, found) for found in (self.before, self.after))
                yield Line(
                    row,
                    self.evidence,
                    self.judge.id,
                    estimate_of=after,
                    unedited=before(self.evidence.at_dose),
                    title=f"{word}, {row.title}",
                    part=word,
                )

    def _agreement(self, row: Metric, axis: int, values: Float64) -> Callable[[Bools], Estimate | None]:
        """A measure of valence (axis 0) or arousal (1) of chosen edits; None of too few or where it is NaN."""
        measure = row.load()

        def estimate(chosen: Bools) -> Estimate | None:
            rows = np.flatnonzero(chosen & self._known[:, axis])
            if len(rows) < LEAST_EDITS:
                return None
            truth, found = self.truth[rows, axis], values[rows, axis]
            groups = [self.evidence.groups[i] for i in rows]
            return bootstrapped(lambda drawn: float(measure(truth[drawn], found[drawn])), groups, len(rows))

        return estimate

    @functools.cached_property
    def _known(self) -> Bools:
        answered = np.isfinite(np.concatenate([self.before, self.after], axis=1)).all(axis=1)
        known: Bools = np.isfinite(self.truth) & answered[:, None]
        return known
