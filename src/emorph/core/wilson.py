"""The interval of a share that stays honest where all or none agree."""

from __future__ import annotations

import math

NORMAL_QUANTILE = 1.959963984540054  # of a two-sided level of 95 %


def wilson(share: float, n: float, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """Wilson's score interval of a share (1927); n may be an effective number, which need not be whole.

    It stays within [0, 1], and does not shrink to nothing where all or none agreed. (NaN, NaN) without votes.

    >>> low, high = wilson(1.0, 10)
    >>> f"{low:.3f} to {high:.3f}"
    '0.722 to 1.000'
    """
    if not n > 0:
        return math.nan, math.nan
    squared = quantile**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile / (1 + squared / n) * math.sqrt(max(share * (1 - share), 0.0) / n + squared / (4 * n * n))
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)
