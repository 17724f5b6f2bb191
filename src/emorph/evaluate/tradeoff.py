"""What identity costs: the share that passes for the person against the gain in the wanted emotion, over strength."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.emotion_scores import EmotionScores
from emorph.evaluate.evidence import Ints, bootstrapped
from emorph.evaluate.identity_scores import IdentityScores
from emorph.evaluate.statistics import Estimate, bootstrap


@dataclass(frozen=True)
class Point:
    """One strength: gain over the unedited photos, and the share that passes for the person."""

    strength: float
    gain: Estimate
    verified: Estimate


@dataclass(frozen=True)
class Tradeoff:
    """A judge's and the recogniser's rows of one set, where both are known."""

    strengths: Float64
    gain: Float64
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
        return cls(evidence.strengths[known], emotion.gain[known], identity.passes[known], groups, dose)

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
        """Area under the share that passes over the gain reached, from strength 0; in [0, 1], 0 for doing nothing."""

        def statistic(drawn: Ints) -> float:
            return area_under(self._curve(drawn))

        return bootstrapped(statistic, self.groups, len(self.groups))

    def verified_at(self, gain: float) -> Estimate | None:
        """The share that passes where the gain is ``gain``, over strength; None where it is not reached."""

        def statistic(drawn: Ints) -> float:
            reached = _rising(self._curve(drawn))
            if not reached or gain > reached[-1][0]:
                return float("nan")
            return float(np.interp(gain, [g for g, _ in reached], [v for _, v in reached]))

        return bootstrapped(statistic, self.groups, len(self.groups))

    def _curve(self, drawn: Ints) -> list[tuple[float, float]]:
        strengths = self.strengths[drawn]
        found = []
        for strength in sorted({abs(s) for s in strengths.tolist() if s}):
            rows = drawn[np.abs(strengths) == strength]
            found.append((float(self.gain[rows].mean()), float(self.passes[rows].mean())))
        return found


def harmonic_mean(gain: float, verified: float) -> float:
    """Of two shares; a negative gain counts as 0."""
    gain = max(0.0, float(gain))
    return float(2 * gain * verified / (gain + verified)) if gain + verified > 0 else 0.0


def area_under(curve: Sequence[tuple[float, float]]) -> float:
    """Of (gain, share that passes) by rising strength: trapezoids over the gain, where a strength gains more."""
    reached = _rising(curve)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(reached))


def _rising(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """From the unedited photo (no gain, all pass), the points that gain more than all before them."""
    reached = [(0.0, 1.0)]
    for gain, verified in curve:
        if gain > reached[-1][0]:
            reached.append((gain, verified))
    return reached


def _mean(values: Float64, groups: Sequence[str]) -> Estimate | None:
    return bootstrap(values, groups) if len(values) else None
