"""Emotion and identity weighed together: what a gain in the wanted emotion costs in likeness to the person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from emorph.core.types import Float64


def success(before: Float64, after: Float64, passes: Float64) -> Float64:
    """Recognised as the target and passing for the person, less recognised unedited, (n,), in -1, 0 and 1.

    before, after, passes: (n,) each, 0 or 1, or NaN. An edit that does nothing has 0 on average; another person's face,
    however expressive, has what the chance of passing for somebody else leaves it.
    """
    return after * passes - before


def harmonic(before: Float64, after: Float64, passes: Float64) -> float:
    """HES of PixelSmile: the harmonic mean of the gain (at least 0) and of the share that passes, in [0, 1].

    Arguments as for ``success``, without NaN. An edit that does nothing has no gain and so 0, another person's face
    passes nowhere and has 0 too.
    """
    return harmonic_mean(float((after - before).mean()), float(passes.mean()))


def harmonic_mean(gain: float, verified: float) -> float:
    """Of two shares; a negative gain counts as 0."""
    gain = max(0.0, float(gain))
    return float(2 * gain * verified / (gain + verified)) if gain + verified > 0 else 0.0


def area_under(curve: Sequence[tuple[float, float]]) -> float:
    """Of (gain, share that passes) by rising strength: the steps over the gain, where a strength gains more."""
    return sum((b[0] - a[0]) * b[1] for a, b in itertools.pairwise(_rising(curve)))


def identity_at(curve: Sequence[tuple[float, float]], gain: float) -> float:
    """The share that passes at the first point of a curve that gains ``gain``; NaN where none does."""
    return next((verified for reached, verified in _rising(curve) if reached >= gain), float("nan"))


def _rising(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """From the unedited photo (no gain, all pass), the points that gain more than all before them."""
    reached = [(0.0, 1.0)]
    for gain, verified in curve:
        if gain > reached[-1][0]:
            reached.append((gain, verified))
    return reached
