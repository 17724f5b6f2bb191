"""How alike two sets of pictures are, from their features: FID and KID.

Both take features (N, D) of any network; published numbers use the 2048 pooled ones of Inception v3, and only numbers
from one network, one picture size and one N may be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from emorph.core.errors import ShapeError

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000


@dataclass(frozen=True)
class KID:
    """mean: over subsets; std: between subsets (of one pair of sets, so no interval of the sets' own chance)."""

    mean: float
    std: float
    n_subsets: int
    subset_size: int


def fid(a: Tensor, b: Tensor) -> float:
    """Fréchet distance of the two Gaussians that fit the features (Heusel et al. 2017), at least 0, 0 for equal sets.

    a, b: float (N, D) and (M, D), at least two rows each; covariances are the unbiased ones. Quick for few rows, too.
    Biased upwards at small n: two samples of ONE distribution score above 0, about in proportion to 1/n, and with fewer
    rows than columns the covariance is singular (2048 features want 10,000 pictures and more). Never compare numbers of
    different n; at small n use ``kid``. Raises ShapeError.
    """
    a, b = _checked(a, b)
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    spread_a, spread_b = ((x - x.mean(dim=0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    # A = X'X and B = Y'Y are covariances, so the square roots of AB's eigenvalues are the singular values of XY'
    if len(a) * len(b) > a.shape[1] ** 2:  # the same from Q and R of X and Y, which are smaller then
        spread_a, spread_b = (torch.linalg.qr(x, mode="r").R for x in (spread_a, spread_b))
    shared = torch.linalg.svdvals(spread_a @ spread_b.T).sum()
    return max(0.0, float(gap + spread_a.square().sum() + spread_b.square().sum() - 2 * shared))


def kid(
    a: Tensor,
    b: Tensor,
    generator: Generator,
    *,
    n_subsets: int = KID_SUBSETS,
    subset_size: int = KID_SUBSET_SIZE,
) -> KID:
    """Kernel distance (Bińkowski et al. 2018): the mean of ``mmd`` over random subsets, drawn without replacement.

    a, b: float (N, D) and (M, D). generator: draws the subsets. A set smaller than ``subset_size`` makes the subsets
    as small as itself. Unbiased at any n, so equal distributions average 0 and a value may be negative; its spread
    still grows as n shrinks. Raises ShapeError.
    """
    a, b = _checked(a, b)
    if n_subsets < 1 or subset_size < 2:
        raise ShapeError(f"expected 1 subset of 2 or more, found {n_subsets} of {subset_size}.")
    size = min(subset_size, len(a), len(b))
    found = torch.tensor(
        [
            mmd(*(x[torch.randperm(len(x), generator=generator)[:size].to(x.device)] for x in (a, b)))
            for _ in range(n_subsets)
        ],
        dtype=torch.float64,
    )
    return KID(float(found.mean()), float(found.std(correction=0)), n_subsets, size)


def mmd(a: Tensor, b: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x·y / D + 1)³; may be negative.

    a, b: float (N, D) and (M, D), at least two rows each. Source: Gretton et al. 2012, lemma 6. Raises ShapeError.
    """
    a, b = _checked(a, b)
    n, m = len(a), len(b)
    within_a, within_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    first = (within_a.sum() - within_a.trace()) / (n * (n - 1))
    second = (within_b.sum() - within_b.trace()) / (m * (m - 1))
    return float(first + second - 2 * across.mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    for x in (a, b):
        if not x.is_floating_point() or x.ndim != 2 or len(x) < 2 or not x.shape[1]:
            raise ShapeError(f"expected float features (N, D) with N of 2 or more, found {x.dtype} {tuple(x.shape)}.")
        if not bool(torch.isfinite(x).all()):
            raise ShapeError("expected finite features, found NaN or infinity.")
    if a.shape[1] != b.shape[1]:
        raise ShapeError(f"expected features of one width, found {a.shape[1]} and {b.shape[1]}.")
    return a.double(), b.double()
