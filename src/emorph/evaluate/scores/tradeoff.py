"""What identity costs: the share that passes for the person against the gain in the wanted emotion, over strength."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.shares import share, signed_share
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.metrics.tradeoff import success
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints
from emorph.evaluate.scores.identity import IdentityScores
from emorph.evaluate.scores.line import Line


@dataclass(frozen=True)
class Point:
    """One strength: gain over the unedited photos, and the share that passes for the person."""

    strength: float
    gain: Estimate
    verified: Estimate


@dataclass(frozen=True)
class Tradeoff:
    """A judge and a recogniser on one set, a row an edit.

    before, after: recognised as the target. passes: for the person. known: where all three are. withheld: why none is.
    """

    judge: str
    evidence: Evidence
    before: Float64
    after: Float64
    passes: Float64
    known: Bools
    withheld: str = ""

    @classmethod
    def of(cls, emotion: EmotionScores, identity: IdentityScores) -> Tradeoff:
        """Keep the edits whose target the judge knows."""
        known = np.isfinite(emotion.gain) & np.isfinite(identity.passes)
        rows = emotion.right_before, emotion.right_after, identity.passes
        return cls(emotion.judge.id, emotion.evidence, *rows, known, identity.gallery.withheld)

    @functools.cached_property
    def success(self) -> Float64:
        """Recognised and passing, less recognised unedited, of each edit; NaN where they are not all known."""
        return success(self.before, self.after, self.passes)

    @property
    def groups(self) -> list[str]:
        """The source photo of each edit."""
        return self.evidence.groups

    def lines(self) -> Iterator[Line]:
        """All metrics that weigh emotion and identity together."""
        for row in metrics(Takes.BOTH, Takes.TRADEOFF, Takes.CURVE):
            measure = row.load()
            if row.takes == Takes.BOTH:
                values = np.where(self.known, measure(self.before, self.after, self.passes), np.nan)
                yield Line(row, self.evidence, self.judge, values=values, unedited="0", withheld=self.withheld)
                continue

            def statistic(drawn: Ints, row: Metric = row, measure: Callable[..., float] = measure) -> float:
                if row.takes == Takes.CURVE:
                    return float(measure(self.curve(drawn)))
                return float(measure(self.before[drawn], self.after[drawn], self.passes[drawn]))

            line = Line(row, self.evidence, self.judge, statistic=statistic, known=self.known, unedited="0")
            yield dataclasses.replace(line, withheld=self.withheld)

    def points(self) -> list[Point]:
        """A point for each strength, rising."""
        found = []
        for strength in self.evidence.sweep():
            rows = np.flatnonzero(self.known & self.evidence.at(strength))
            if not len(rows):
                continue
            groups = [self.groups[i] for i in rows]
            gain = signed_share((self.after - self.before)[rows], groups)
            found.append(Point(strength, gain, share(self.passes[rows], groups)))
        return found

    def curve(self, drawn: Ints) -> list[tuple[float, float]]:
        """(gain, share that passes) of the drawn rows, all of them known, by rising strength."""
        strengths = self.evidence.strengths[drawn]
        found = []
        for strength in np.unique(np.abs(strengths[strengths != 0])).tolist():
            rows = drawn[np.abs(strengths) == strength]
            found.append((float((self.after - self.before)[rows].mean()), float(self.passes[rows].mean())))
        return found
