"""Shares with intervals that do not shrink to nothing where few edits, or all or none, have a property.

A bootstrap of six successes draws six successes every time, and would say "100 % (100 to 100)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emorph.core.errors import DataError
from emorph.core.types import Float64
from emorph.core.wilson import NORMAL_QUANTILE, wilson
from emorph.evaluate.metrics.statistics import Estimate, bootstrap


def share(values: ArrayLike, groups: Sequence[Any] | None = None) -> Estimate:
    """The mean of ``values`` (n,) in [0, 1] and Wilson's 95 % interval (1927).

    groups: what each value belongs to, as for ``bootstrap``. Its n is the number of independent values that would vary
    as much as the groups do, n at most (Korn & Graubard 1998); where all values are alike, the number of groups, for
    nothing is known then of how alike the values of one group are. Raises DataError for no or other values.

    >>> f"{share([1, 1, 1, 1, 1, 1]):.2f}"
    '1.00 (0.61-1.00)'
    """
    numbers, variance, n_groups = _checked(values, groups, lowest=0)
    mean = float(numbers.mean())
    n = min(mean * (1 - mean) / variance, len(numbers)) if variance > 0 else n_groups
    return Estimate(mean, *wilson(mean, n), len(numbers))


def signed_share(values: ArrayLike, groups: Sequence[Any] | None = None) -> Estimate:
    """The mean of ``values`` (n,) in {-1, 0, 1}, a difference of two shares of the same things, with its 95 % interval.

    After Agresti and Min (2005): half a case is added to each of the four outcomes. groups: as for ``share``. Values
    between these have the interval of ``bootstrap``. Raises DataError for no or other values.

    >>> f"{signed_share([1, 1, 1, 1, 1, 1]):.2f}"
    '1.00 (0.36-1.00)'
    """
    numbers, variance, n_groups = _checked(values, groups, lowest=-1)
    if not np.isin(numbers, (-1, 0, 1)).all():
        return bootstrap(numbers, groups)
    mean, of_all = float(numbers.mean()), len(numbers)
    n = min(float(numbers.var()) / variance, of_all) if variance > 0 else n_groups
    up, down = (n * float((numbers == sign).mean()) + 0.5 for sign in (1, -1))
    middle = (up - down) / (n + 2)
    half = NORMAL_QUANTILE * float(np.sqrt(up + down - (up - down) ** 2 / (n + 2))) / (n + 2)
    return Estimate(mean, max(middle - half, -1.0), min(middle + half, 1.0), of_all)


def _checked(values: ArrayLike, groups: Sequence[Any] | None, *, lowest: int) -> tuple[Float64, float, int]:
    """The values, the variance of their mean over groups, and how many groups there are."""
    numbers: Float64 = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not ((numbers >= lowest) & (numbers <= 1)).all():
        raise DataError(f"a share needs numbers from {lowest} to 1 in one row; found shape {numbers.shape}.")
    of_group = np.arange(len(numbers)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(of_group) != len(numbers):
        raise DataError(f"{len(numbers)} values need as many groups; found {len(of_group)}.")
    gaps = np.bincount(of_group, weights=numbers - numbers.mean())
    return numbers, float((gaps**2).sum()) / len(numbers) ** 2, len(gaps)
