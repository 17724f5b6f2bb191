"""Agreement of valence or arousal with annotations or targets: RMSE, PCC, CCC, SAGR, each of a whole set.

Each is computed in float64 from two equally long rows of numbers, truth first, though all four are symmetric.
Raises ShapeError for rows of other lengths, NaN, or AffectNet's -2 among the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.errors import ShapeError

NOT_ANNOTATED = -2.0  # AffectNet's valence and arousal of photos without an emotion

Values = Tensor | NDArray[np.floating] | Sequence[float]


def rmse(truth: Values, found: Values) -> float:
    """Root mean squared error, in the values' own unit.

    >>> round(rmse([0.0, 0.5], [0.3, 0.1]), 4)
    0.3536
    """
    t, f = _pair(truth, found)
    return float((t - f).square().mean().sqrt())


def pcc(truth: Values, found: Values) -> float:
    """Pearson's correlation, in [-1, 1]; blind to a shift and a scale. NaN if either row is constant.

    >>> round(pcc([-1.0, 0.0, 1.0], [0.0, 0.1, 0.2]), 6)  # the shift and the scale do not count
    1.0
    """
    t, f = _pair(truth, found)
    if _is_constant(t) or _is_constant(f):  # whose mean, rounded, would leave a variance
        return math.nan
    t, f = t - t.mean(), f - f.mean()
    return float((t * f).mean() / (t.square().mean() * f.square().mean()).sqrt())


def ccc(truth: Values, found: Values) -> float:
    """Lin's concordance correlation (1989), in [-1, 1]; NaN if both rows are one and the same number.

    Shift and scale count as error. With population variances, as EmoNet and the AffectNet tables have it.

    >>> round(ccc([-1.0, 0.0, 1.0], [0.0, 0.1, 0.2]), 2)  # here they do
    0.2
    """
    t, f = _pair(truth, found)
    if _is_constant(t) or _is_constant(f):
        return math.nan if _is_constant(t) and _is_constant(f) and t[0] == f[0] else 0.0
    gap = t.mean() - f.mean()
    t, f = t - t.mean(), f - f.mean()
    return float(2 * (t * f).mean() / (t.square().mean() + f.square().mean() + gap.square()))


def sagr(truth: Values, found: Values) -> float:
    """Share of equal signs, in [0, 1]; 0 is a sign of its own (Nicolaou et al. 2011).

    >>> sagr([0.5, -0.2, 0.1, 0.0], [0.1, -0.9, -0.1, 0.0])
    0.75
    """
    t, f = _pair(truth, found)
    return float((t.sign() == f.sign()).double().mean())


def _is_constant(row: Tensor) -> bool:
    return bool((row == row[0]).all())


def _pair(truth: Values, found: Values) -> tuple[Tensor, Tensor]:
    t, f = (torch.as_tensor(x, dtype=torch.float64, device="cpu").detach() for x in (truth, found))
    if t.ndim != 1 or t.shape != f.shape or not len(t):
        raise ShapeError(f"expected two rows of one length, found {tuple(t.shape)} and {tuple(f.shape)}.")
    if not bool(torch.isfinite(t).all() and torch.isfinite(f).all()):
        raise ShapeError(
            "expected finite numbers, found NaN or infinity; leave out what was not annotated or measured."
        )
    if bool((t == NOT_ANNOTATED).any()):
        raise ShapeError(
            "expected values in [-1, 1], found -2, AffectNet's mark of a missing annotation; leave it out."
        )
    return t, f
