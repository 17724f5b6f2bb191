"""Numbers that come with their interval and with how many votes, people and photos they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emorph.core.commands import install
from emorph.core.errors import MissingAssetError

LEVEL = 0.95
NOT_KNOWN = float("nan")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, and the interval that holds it with 95 % confidence; low and high are NaN where nothing bounds it.

    n: votes. n_participants, n_photos: whose votes and of what; 0 where that is not counted.
    """

    value: float
    low: float
    high: float
    n: int
    n_participants: int = 0
    n_photos: int = 0

    @property
    def has_interval(self) -> bool:
        """Whether anything is known of how far the number can be trusted."""
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True)
class Size:
    """How many votes, of how many people, on how many photos."""

    n: int
    n_participants: int
    n_photos: int

    @classmethod
    def of(cls, participant: Ints, photo: Ints) -> Size:
        """Of votes whose participants and photos are given, (n,) each."""
        return cls(len(participant), len(np.unique(participant)), len(np.unique(photo)))

    def estimate(self, value: float, low: float = NOT_KNOWN, high: float = NOT_KNOWN) -> Estimate:
        """A number that rests on these votes."""
        return Estimate(float(value), float(low), float(high), self.n, self.n_participants, self.n_photos)


def t_quantile(df: float, level: float = LEVEL) -> float:
    """How many standard errors an interval reaches to each side; NaN without a degree of freedom."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, df)) if df > 0 else NOT_KNOWN


def two_sided_p(t: float, df: float) -> float:
    """The p value of a t statistic; NaN where either is not known."""
    from scipy import stats

    return float(2 * stats.t.sf(abs(t), df)) if df > 0 and not math.isnan(t) else NOT_KNOWN


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction (1979); a p value that is not known stays so and is not counted as a test.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.asarray(p_values, dtype=np.float64).copy()
    known = np.flatnonzero(~np.isnan(found))
    order = known[np.argsort(found[known])]
    times = np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(times * found[order]), 1)
    return found


def expit(log_odds: ArrayLike) -> Floats:
    """From log odds to chances."""
    found: Floats = 1 / (1 + np.exp(-np.clip(np.asarray(log_odds, np.float64), -700, 700)))
    return found


def logit(chance: ArrayLike) -> Floats:
    """From chances to log odds."""
    value = np.asarray(chance, np.float64)
    found: Floats = np.log(value) - np.log1p(-value)
    return found


def require_scipy() -> None:
    """Raises MissingAssetError if the analysis cannot run here; to be asked before any work."""
    try:
        import scipy.optimize  # noqa: F401
    except ImportError:
        raise MissingAssetError(f"the statistics of a study need SciPy: `{install('study')}`.") from None
