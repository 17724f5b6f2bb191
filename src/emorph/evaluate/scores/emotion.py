"""What a judge's answers say of a set of edits: accuracy, gain over the unedited photos, confusion, linearity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emorph.core.expressions import Emotion
from emorph.core.types import Float64
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.metrics.emotion import Confusion, confusion, gain, recognised
from emorph.evaluate.metrics.statistics import Estimate, bootstrap, pearson
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints, bootstrapped

CONFUSABLE = ((Emotion.FEAR, Emotion.SURPRISE), (Emotion.ANGER, Emotion.DISGUST))
LEAST_STRENGTHS = 3  # a line through two points is always straight


@dataclass(frozen=True)
class EmotionScores:
    """One judge on one set, a row an edit.

    column: of the target among the judge's emotions, -1 where it does not know it. before, after: probability of the
    target for source and edit. right_before, right_after: 1 where the judge takes the face for the target, else 0.
    All are NaN where the target is not measurable.
    """

    judge: PanelJudge
    evidence: Evidence
    column: Ints
    answers: Float64
    before: Float64
    after: Float64
    right_before: Float64
    right_after: Float64

    @classmethod
    def of(cls, judge: PanelJudge, evidence: Evidence) -> EmotionScores:
        """Read a judge's answers."""
        known = {emotion: i for i, emotion in enumerate(judge.emotions)}
        targets = [scored.pair.target for scored in evidence.edits]
        column = np.array([-1 if target is None else known.get(target, -1) for target in targets], dtype=np.int64)
        before, after = evidence.answers(judge)
        seen = (column >= 0) & np.isfinite(after).all(axis=1) & np.isfinite(before).all(axis=1)
        rows = np.arange(len(column))

        def where_seen(values: Float64) -> Float64:
            return np.where(seen, values, np.nan)

        return cls(
            judge,
            evidence,
            np.where(seen, column, -1),
            after,
            where_seen(before[rows, column]),
            where_seen(after[rows, column]),
            where_seen(recognised(before, column)),
            where_seen(recognised(after, column)),
        )

    @property
    def gain(self) -> Float64:
        """Right after less right before, -1, 0 or 1."""
        return gain(self.right_before, self.right_after)

    def towards(self, emotion: Emotion) -> Bools:
        """Which edits ask for an emotion."""
        return np.array([scored.pair.target == emotion for scored in self.evidence.edits], dtype=bool)

    def confusion(self) -> Confusion:
        """Targets and answers at the dose."""
        chosen = np.flatnonzero((self.column >= 0) & self.evidence.at_dose)
        true = [self.judge.emotions[i] for i in self.column[chosen]]
        return confusion(self.judge.emotions, true, self.answers[chosen])

    def mutual_confusion(self) -> Estimate | None:
        """mSCR at the dose: the share of each of two alike emotions that is taken for the other, mean over the pairs.

        None where the judge or the set lacks one of each pair's emotions.
        """
        known = [pair for pair in CONFUSABLE if set(pair) <= set(self.judge.emotions)]
        columns = [tuple(self.judge.emotions.index(emotion) for emotion in pair) for pair in known]
        rows = np.flatnonzero((self.column >= 0) & self.evidence.at_dose)
        target, answer = self.column[rows], np.argmax(np.nan_to_num(self.answers[rows]), axis=1)

        def taken_for(i: int, j: int, drawn: Ints) -> float:
            of_i = answer[drawn][target[drawn] == i]
            return float((of_i == j).mean()) if len(of_i) else np.nan

        def statistic(drawn: Ints) -> float:
            shares = np.array([(taken_for(i, j, drawn) + taken_for(j, i, drawn)) / 2 for i, j in columns])
            return float(np.nanmean(shares)) if np.isfinite(shares).any() else np.nan

        n = int(np.isin(target, np.array(columns, dtype=np.int64)).sum())
        return bootstrapped(statistic, [self.evidence.groups[i] for i in rows], n)

    def linearity(self, chosen: Bools | None = None) -> Estimate | None:
        """Pearson's r of asked strength and the judge's probability, mean over sweeps of one photo to one emotion.

        A sweep's strength 0 is its edit at 0 where there is one (a reconstruction), else the unedited photo; of several
        edits at one strength the last counts. A judge that does not move counts as 0. n: sweeps; None without sweeps of
        three strengths, with that 0.
        """
        edits = self.evidence.edits
        sweeps: dict[tuple[str, str], list[int]] = {}
        for i, scored in enumerate(edits):
            if self.column[i] >= 0 and (chosen is None or chosen[i]):
                sweeps.setdefault((scored.source.id, scored.pair.word), []).append(i)
        values, groups = [], []
        for (source, _), rows in sweeps.items():
            dose = {0.0: float(self.before[rows[0]])} | {edits[i].pair.strength: float(self.after[i]) for i in rows}
            if len(dose) >= LEAST_STRENGTHS:
                values.append(np.nan_to_num(pearson(list(dose), list(dose.values()))))
                groups.append(source)
        return bootstrap(values, groups) if values else None
