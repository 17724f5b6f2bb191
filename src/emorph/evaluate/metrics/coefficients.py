"""How far the coefficients of a 3D face model moved: AED, APD and ASD."""

from __future__ import annotations

import numpy as np

from emorph.core.types import Float64


def coefficient_distance(a: Float64, b: Float64) -> Float64:
    """Mean absolute difference of coefficients (n, k) of the same faces before and after, (n,), in their own unit."""
    found: Float64 = np.abs(np.asarray(a, dtype=np.float64) - b).mean(axis=-1)
    return found
