"""What identity costs: the share that passes for the person against the gain in the wanted emotion, over strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from emorph.evaluate.metrics.tradeoff import area_under, harmonic_mean
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import Ints, bootstrapped
from emorph.evaluate.scores.identity import IdentityScores


@dataclass(frozen=True)
class Point:
    """One strength: gain over the unedited photos, and the share that passes for the person."""

    strength: float
    gain: Estimate
    verified: Estimate


@dataclass(frozen=True)
class Tradeoff:
    """A judge's and a recogniser's rows of one set, where both are known. before, after: recognised as the target."""

    judge: str
    strengths: Float64
    before: Float64
    after: Float64
    passes: Float64
    groups: tuple[str, ...]
    dose: float

    @classmethod
    def of(cls, emotion: EmotionScores, identity: IdentityScores) -> Tradeoff:
        """Keep the edits whose target the judge knows."""
        evidence = emotion.evidence
        known = np.isfinite(emotion.gain) & np.isfinite(identity.passes)
        groups = tuple(group for group, is_in in zip(evidence.groups, known, strict=True) if is_in)
        dose = evidence.dose if evidence.edits else 1.0
        return cls(
            judge=emotion.judge.id,
            strengths=evidence.strengths[known],
            before=emotion.right_before[known],
            after=emotion.right_after[known],
            passes=identity.passes[known],
            groups=groups,
            dose=dose,
        )

    @property
    def gain(self) -> Float64:
        """Recognised after less before, -1, 0 or 1."""
        return self.after - self.before

    def points(self) -> list[Point]:
        """A point for each strength, rising."""
        found = []
        for strength in sorted(set(self.strengths.tolist())):
            rows = np.flatnonzero(self.strengths == strength)
            groups = [self.groups[i] for i in rows]
            gain = _mean(self.gain[rows], groups)
            verified = _mean(self.passes[rows], groups)
            if gain is not None and verified is not None:
                found.append(Point(strength, gain, verified))
        return found

    def success(self, strength: float | None = None) -> Estimate | None:
        """Share that is recognised as the target and passes, less the share recognised unedited; in [-1, 1].

        An edit that does nothing has 0; another person's face, however expressive, has what the chance of passing for
        somebody else leaves it.
        """
        rows = np.flatnonzero(self.strengths == (self.dose if strength is None else strength))
        return _mean((self.after * self.passes - self.before)[rows], [self.groups[i] for i in rows])

    def harmonic(self, strength: float | None = None) -> Estimate | None:
        """HES at a strength, by default the dose: harmonic mean of gain (at least 0) and share that passes, in [0, 1].

        An edit that does nothing has no gain and so 0, another person's face passes nowhere and has 0 too.
        """
        asked = self.dose if strength is None else strength
        rows = np.flatnonzero(self.strengths == asked)

        def statistic(drawn: Ints) -> float:
            return harmonic_mean(self.gain[rows[drawn]].mean(), self.passes[rows[drawn]].mean())

        return bootstrapped(statistic, [self.groups[i] for i in rows], len(rows))

    def area(self) -> Estimate | None:
        """Area under the share that passes over the gain reached; in [0, 1], 0 for doing nothing.

        What lies between two strengths counts with the identity of the stronger: a gain is worth what it was had for,
        so another person's face, which gains much at once, has next to nothing.
        """

        def statistic(drawn: Ints) -> float:
            return area_under(self.curve(drawn))

        return bootstrapped(statistic, self.groups, len(self.groups))

    def curve(self, drawn: Ints) -> list[tuple[float, float]]:
        """(gain, share that passes) of the drawn rows by rising strength."""
        strengths = self.strengths[drawn]
        found = []
        for strength in sorted({abs(s) for s in strengths.tolist() if s}):
            rows = drawn[np.abs(strengths) == strength]
            found.append((float(self.gain[rows].mean()), float(self.passes[rows].mean())))
        return found


def _mean(values: Float64, groups: Sequence[str]) -> Estimate | None:
    return bootstrap(values, groups) if len(values) else None
