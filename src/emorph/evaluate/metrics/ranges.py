"""The ranges that pictures come in, and how far a wrong one can be told.

One number names a range: 2 is [-1, 1], as models take pictures; 1 is [0, 1]; 255 is levels; any other R is [0, R].
"""

from __future__ import annotations

from torch import Tensor

from emorph.core.errors import ShapeError

SIGNED_RANGE = 2.0
SLACK_BELOW = 1e-3  # of the range: rounding, also of half precision; below its lowest value there is no level
SLACK_ABOVE = 0.25  # noise may leave the range a little
_NAMED = "pass data_range=2 for pictures in [-1, 1], 1 for [0, 1], 255 for levels, and clamp what leaves its range"


def limits(data_range: float) -> tuple[float, float]:
    """The lowest and the highest value of pictures of this range. Raises ShapeError if it is not above 0."""
    if not data_range > 0:
        raise ShapeError(f"expected a data_range above 0, found {data_range}.")
    lowest = -1.0 if data_range == SIGNED_RANGE else 0.0
    return lowest, lowest + data_range


def check_range(a: Tensor, b: Tensor, data_range: float) -> None:
    """Raises ShapeError for values that belie ``data_range``: outside it, NaN, or [0, 1] said to be levels.

    What cannot be told: pictures in [0, 1] said to be in [-1, 1], which may be bright ones.
    """
    low, high = limits(data_range)
    lowest, highest = (float(x) for x in extremes(a, b))
    if not (lowest >= low - SLACK_BELOW * data_range and highest <= high + SLACK_ABOVE * data_range):
        raise ShapeError(
            f"expected values from {low:g} to {high:g}, as data_range={data_range:g} says, found {lowest:.3g} to "
            f"{highest:.3g}; {_NAMED}."
        )
    if data_range > SIGNED_RANGE and 0 < highest <= 1:
        raise ShapeError(
            f"expected values from 0 to {high:g}, as data_range={data_range:g} says, found none above {highest:.3g}, "
            f"as in pictures from 0 to 1; {_NAMED}."
        )


def signed(a: Tensor, b: Tensor, data_range: float | None) -> tuple[Tensor, Tensor]:
    """Two float pictures in [-1, 1], from the range that they are said to be in.

    None says [-1, 1], too, but is believed only where something is dark: pictures without a value below 0 are most
    likely in [0, 1], so they need a word. Raises ShapeError.
    """
    if not (a.is_floating_point() and b.is_floating_point() and a.numel() and b.numel()):
        return a, b  # what takes them says what is wrong
    if data_range is None:
        lowest, highest = (float(x) for x in extremes(a, b))
        if 0 <= lowest < highest <= 1:  # a plain picture tells nothing
            raise ShapeError(
                f"expected values in [-1, 1], found none below {lowest:.3g}, as in pictures from 0 to 1; pass "
                "data_range=1 for those, or data_range=2 if they are in [-1, 1] and so bright."
            )
        return a, b
    check_range(a, b, data_range)
    low, high = limits(data_range)
    if data_range == SIGNED_RANGE:
        return a, b
    scale = 2 / (high - low)
    return (a - low) * scale - 1, (b - low) * scale - 1


def extremes(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and the highest value of both; NaN where there is one."""
    (low_a, high_a), (low_b, high_b) = (x.aminmax() for x in (a, b))
    return low_a.minimum(low_b), high_a.maximum(high_b)
