"""Smoothing over time without lag: each value looks as far ahead as back."""

from __future__ import annotations

import numpy as np

from emorph.core.types import Float64

REACH = 3.0  # how far a value looks, in standard deviations of the window


def smoothed(times_s: Float64, values: Float64, sigma_s: float) -> Float64:
    """Values (n, ...) at times (n,), seconds in rising order, each from a line fitted around it.

    The weights fall off as a Gaussian of sigma_s on both sides, so that the filter has no phase: what moves steadily
    stays where it is, also at both ends. Local linear regression (Cleveland 1979, without its robust rounds).

    >>> times = np.arange(20) / 25
    >>> bool(np.allclose(smoothed(times, 3 * times, 0.1), 3 * times))
    True
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    result = np.empty_like(flat)
    first = np.searchsorted(times_s, times_s - REACH * sigma_s, side="left")
    last = np.searchsorted(times_s, times_s + REACH * sigma_s, side="right")
    for i, (start, stop) in enumerate(zip(first, last, strict=True)):
        apart = times_s[start:stop] - times_s[i]
        weights = np.exp(-0.5 * (apart / sigma_s) ** 2)
        weights /= weights.sum()
        middle = weights @ apart
        spread = weights @ (apart - middle) ** 2
        mean = weights @ flat[start:stop]
        slope = (weights * (apart - middle)) @ flat[start:stop] / spread if spread > 1e-12 else 0.0
        result[i] = mean - middle * slope
    return result.reshape(values.shape)


def held_near(read: Float64, smooth: Float64, slack_px: Float64) -> Float64:
    """Smoothed landmarks (n, k, 2), brought back to where they were read in frames that smoothing moves far.

    A head that is thrown about, or that a film shows in steps, is not where it is on average over time: what smoothing
    takes off beyond its trembling is motion. slack_px: (n,), how far it may move a frame's landmarks; of a distance so
    large half is given back. Their common shift and what is left of it are judged apart.
    """
    apart = read - smooth
    shift = apart.mean(axis=1, keepdims=True)
    result = smooth.copy()
    for part in (shift, apart - shift):
        squared = (part**2).sum(axis=2).mean(axis=1)
        result += part * (squared / (squared + slack_px**2))[:, None, None]
    return result
