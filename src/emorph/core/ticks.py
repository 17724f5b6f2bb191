"""Where the ticks of a chart's axis stand: at numbers that are short to write and easy to count on from."""

from __future__ import annotations

import math

_FIRST_DIGITS = (1, 2, 5, 10)


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` even numbers from low to high, with the least step of 1, 2 or 5 times a power of ten.

    >>> round_ticks(0, 0.246)
    [0.0, 0.05, 0.1, 0.15, 0.2]
    >>> round_ticks(0.21, 0.44)
    [0.25, 0.3, 0.35, 0.4]
    """
    power = math.floor(math.log10((high - low) / most))
    for digit in _FIRST_DIGITS:
        step = digit * 10.0**power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(i * step, max(0, 1 - power)) for i in range(first, last + 1)]


def round_log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """The same for an axis of orders of magnitude: 1, 2 and 5 in each, or 1 and 3, or 1 alone, as room is; above 0.

    Where that leaves one or two, as where high is not twice low, they are those of ``round_ticks``.

    >>> round_log_ticks(2, 69)
    [2.0, 5.0, 10.0, 20.0, 50.0]
    >>> round_log_ticks(1e-9, 1e3)
    [1e-09, 1e-06, 0.001, 1.0, 1000.0]
    >>> round_log_ticks(0.1, 0.291)
    [0.1, 0.15, 0.2, 0.25]
    """
    orders = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{digit}e{order}") for order in orders for digit in digits]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            break
    found = found[:: math.ceil(len(found) / most) or 1]
    return found if len(found) > 2 else round_ticks(low, high, most)
