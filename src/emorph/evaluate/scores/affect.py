"""Valence and arousal: what a judge reads off the edits against what was asked for, or annotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.judges.asked import AFFECT, PanelJudge
from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.scores.evidence import Evidence, Ints, bootstrapped

LEAST_EDITS = 3  # two points always lie on a line
_NEITHER = (np.nan, np.nan)
MEASURES: tuple[tuple[str, str, Callable[[Float64, Float64], float]], ...] = (
    ("RMSE", "lower", rmse),
    ("PCC", "higher", pcc),
    ("CCC", "higher", ccc),
    ("SAGR", "higher", sagr),
)


@dataclass(frozen=True)
class AffectScores:
    """One judge on one set at the dose, a row an edit: valence and arousal, (m, 2) each.

    truth: the values given with the edits if any are, else typical values of the targets; NaN where only the other one
    of a row is known. is_given: which of both.
    before, after: the judge's, of source and edit.
    """

    judge: PanelJudge
    groups: tuple[str, ...]
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
        known = np.isfinite(truth).any(axis=1) & np.isfinite(np.concatenate([before, after], axis=1)).all(axis=1)
        rows = np.flatnonzero(known & evidence.at_dose) if edits else np.zeros(0, dtype=np.int64)
        groups = tuple(evidence.groups[i] for i in rows)
        return cls(judge, groups, is_given, truth[rows], before[rows], after[rows])

    def agreement(self, measure: Callable[[Float64, Float64], float], axis: int, *, edited: bool) -> Estimate | None:
        """A measure of valence (axis 0) or arousal (1) with its interval by source; None of too few or where NaN."""
        rows = np.flatnonzero(np.isfinite(self.truth[:, axis]))
        if len(rows) < LEAST_EDITS:
            return None
        truth, found = self.truth[rows, axis], (self.after if edited else self.before)[rows, axis]

        def statistic(drawn: Ints) -> float:
            return measure(truth[drawn], found[drawn])

        return bootstrapped(statistic, [self.groups[i] for i in rows], len(rows))

    def rows(self) -> list[tuple[str, str, Estimate | None, Estimate | None]]:
        """(title, better, of the edits, of the unedited photos against the same values) of all measures."""
        return [
            (
                f"{word}, {title}",
                better,
                self.agreement(measure, axis, edited=True),
                self.agreement(measure, axis, edited=False),
            )
            for axis, word in enumerate(AFFECT)
            for title, better, measure in MEASURES
        ]
