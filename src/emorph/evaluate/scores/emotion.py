"""What a judge's answers say of a set of edits: accuracy, gain over the unedited photos, confusion, linearity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.expressions import Emotion
from emorph.core.types import Float64
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.measure.inputs import Blend
from emorph.evaluate.metrics.emotion import Confusion, alike, confusion, gain, probability, recognised
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints, bootstrapped
from emorph.evaluate.scores.line import Line, of_itself

LEAST_STRENGTHS = 3  # a line through two points is always straight


@dataclass(frozen=True)
class EmotionScores:
    """One judge on one set, a row an edit.

    column: of the target among the judge's emotions, -1 where it does not know it. answers_before, answers: its
    probabilities for source and edit, (n, n_emotions); NaN where it has none.
    right_before, right_after: 1 where the judge takes the face for the target, else 0. before, after: probability of
    the target for source and edit. These are NaN where the target is not measurable; of a lost face they are 0.
    """

    judge: PanelJudge
    evidence: Evidence
    column: Ints
    answers_before: Float64
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
        answered = np.isfinite(after).all(axis=1) | evidence.lost
        column = np.where(answered & np.isfinite(before).all(axis=1), column, -1)
        values = [measure(answers, column) for measure in (probability, recognised) for answers in (before, after)]
        failed = evidence.lost & (column >= 0)
        for of_edits in (values[1], values[3]):
            of_edits[failed] = 0
        return cls(judge, evidence, column, before, after, *values)

    @property
    def gain(self) -> Float64:
        """Right after less right before, -1, 0 or 1."""
        return gain(self.right_before, self.right_after)

    def towards(self, emotion: Emotion) -> Bools:
        """Which edits ask for an emotion."""
        return np.array([scored.pair.target == emotion for scored in self.evidence.edits], dtype=bool)

    def confusion(self) -> Confusion:
        """Targets and answers at the dose."""
        chosen = np.flatnonzero((self.column >= 0) & self.evidence.at_dose & ~self.evidence.lost)
        true = [self.judge.emotions[i] for i in self.column[chosen]]
        return confusion(self.judge.emotions, true, self.answers[chosen])

    def lines(self) -> Iterator[Line]:
        """All metrics of this judge's answers alone."""
        yield from self._blend_lines()
        for row in metrics(Takes.ANSWERS, Takes.RECOGNISED, Takes.CONFUSION, Takes.SWEEP):
            if row.takes == Takes.ANSWERS:
                before, after = (row.load()(answers, self.column) for answers in (self.answers_before, self.answers))
                if row.lost is not None:
                    after = np.where(self.evidence.lost & (self.column >= 0), row.lost, after)
                yield Line(row, self.evidence, self.judge.id, values=after, before=before)
            elif row.takes == Takes.RECOGNISED:
                values = row.load()(self.right_before, self.right_after)
                yield Line(row, self.evidence, self.judge.id, values=values, unedited=of_itself(row) or "0")
            elif row.takes == Takes.CONFUSION:
                yield self._confusion_line(row)
            else:
                yield self._sweep_line(row)

    def _blend_lines(self) -> Iterator[Line]:
        """Where blends are among what was asked for."""
        blends = [scored.pair.blend for scored in self.evidence.edits]
        if not any(blends):
            return
        shares = np.array([_shares(blend, self.judge.emotions) for blend in blends])
        failed = self.evidence.lost & np.isfinite(shares).all(axis=1)
        for row in metrics(Takes.BLEND):
            before, after = (row.load()(answers, shares) for answers in (self.answers_before, self.answers))
            if row.lost is not None:
                after = np.where(failed, row.lost, after)
            yield Line(row, self.evidence, self.judge.id, values=after, before=before)

    def _confusion_line(self, row: Metric) -> Line:
        """n: the edits to an emotion that another one is like."""
        answer = np.argmax(np.nan_to_num(self.answers), axis=1) if len(self.answers) else self.column
        columns = np.array(alike(self.judge.emotions), dtype=np.int64)
        evidence, measure = self.evidence, row.load()

        def estimate(chosen: Bools) -> Estimate | None:
            rows = np.flatnonzero((self.column >= 0) & chosen & ~evidence.lost)
            target, answered = self.column[rows], answer[rows]

            def statistic(drawn: Ints) -> float:
                return float(measure(self.judge.emotions, target[drawn], answered[drawn]))

            return bootstrapped(statistic, [evidence.groups[i] for i in rows], int(np.isin(target, columns).sum()))

        return Line(row, evidence, self.judge.id, estimate_of=estimate)

    def _sweep_line(self, row: Metric) -> Line:
        """The mean over sweeps of one photo to one emotion; a judge that does not move counts as 0. n: sweeps.

        A sweep's strength 0 is its edit at 0 where there is one (a reconstruction), else the unedited photo; of several
        edits at one strength the last counts. No estimate without sweeps of three strengths, with that 0.
        """
        edits, measure = self.evidence.edits, row.load()

        def estimate(chosen: Bools) -> Estimate | None:
            sweeps: dict[tuple[str, str], list[int]] = {}
            for i in np.flatnonzero((self.column >= 0) & chosen):
                sweeps.setdefault((edits[i].source_id, edits[i].pair.word), []).append(int(i))
            values, groups = [], []
            for (source, _), rows in sweeps.items():
                dose = {0.0: float(self.before[rows[0]])} | {edits[i].pair.strength: float(self.after[i]) for i in rows}
                if len(dose) >= LEAST_STRENGTHS:
                    values.append(float(np.nan_to_num(measure(list(dose), list(dose.values())))))
                    groups.append(source)
            return bootstrap(values, groups) if values else None

        return Line(row, self.evidence, self.judge.id, estimate_of=estimate)


def _shares(blend: Blend, known: Sequence[Emotion]) -> Float64:
    """Of each known emotion in a blend, (n_emotions,), sum 1; NaN where there is none, or it takes an emotion away.

    So, too, where the judge does not know one of its emotions.
    """
    if not blend or not all(weight > 0 and emotion in known for emotion, weight in blend):
        return np.full(len(known), np.nan)
    weights = dict(blend)
    total = sum(weights.values())
    return np.array([weights.get(emotion, 0.0) / total for emotion in known])
