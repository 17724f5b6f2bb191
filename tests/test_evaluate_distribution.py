"""FID and KID against a second implementation: scipy's matrix root, and the kernel's definition in loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Generator, Tensor

from emorph.core.errors import ShapeError
from emorph.evaluate.metrics.distribution import fid, kid, mmd


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((d, d))
    return torch.from_numpy(rng.standard_normal((n, d)) @ mixing + shift)


@pytest.mark.parametrize("n", [200, 9], ids=["many", "fewer rows than columns"])
def test_fid_equals_scipy(n: int) -> None:
    a, b = features(n, 12, 0), features(n + 3, 12, 1, shift=0.7)
    p, q = a.numpy(), b.numpy()
    cov_p, cov_q = np.cov(p, rowvar=False), np.cov(q, rowvar=False)
    root = sqrtm(cov_p @ cov_q).real
    expected = np.square(p.mean(0) - q.mean(0)).sum() + np.trace(cov_p + cov_q - 2 * root)
    assert fid(a, b) == pytest.approx(expected, rel=1e-5 if n < 12 else 1e-9)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-6)


def test_fid_of_equal_sets_is_zero_and_of_one_distribution_is_not() -> None:
    a = features(100, 8, 0)
    assert fid(a, a) < 1e-9
    few, many = (np.mean([fid(features(n, 8, s), features(n, 8, s + 50)) for s in range(5)]) for n in (40, 400))
    assert few == pytest.approx(10 * many, rel=0.5), "the bias falls as 1/n"


def test_fid_of_shifted_sets_is_the_squared_shift() -> None:
    a = features(50, 8, 0)
    assert fid(a, a + 2) == pytest.approx(8 * 4, rel=1e-9)
    assert fid(a[:, :1], a[:, :1] + 2) == pytest.approx(4, rel=1e-9)


def mmd_by_definition(a: Tensor, b: Tensor) -> float:
    def mean(pairs: list[tuple[Tensor, Tensor]]) -> float:
        return float(np.mean([(float(x @ y) / len(x) + 1) ** 3 for x, y in pairs]))

    within = mean(list(itertools.permutations(a, 2))) + mean(list(itertools.permutations(b, 2)))
    return within - 2 * mean(list(itertools.product(a, b)))


def test_mmd_equals_its_definition() -> None:
    a, b = features(11, 6, 0), features(8, 6, 1, shift=0.3)
    assert mmd(a, b) == pytest.approx(mmd_by_definition(a, b), rel=1e-9)


def test_kid_of_whole_sets_is_the_mmd_and_subsets_follow_the_generator() -> None:
    a, b = features(30, 6, 0), features(30, 6, 1, shift=0.3)
    whole = kid(a, b, Generator().manual_seed(0), n_subsets=3)
    assert whole.mean == pytest.approx(mmd(a, b), rel=1e-9)
    assert (whole.std < 1e-9, whole.n_subsets, whole.subset_size) == (True, 3, 30)
    parts = [kid(a, b, Generator().manual_seed(s), n_subsets=5, subset_size=10) for s in (0, 0, 1)]
    assert parts[0] == parts[1]
    assert parts[0] != parts[2]
    assert parts[0].std > 0


def test_kid_of_one_distribution_is_around_zero() -> None:
    values = [mmd(features(40, 6, s) / 4, features(40, 6, s + 100) / 4) for s in range(40)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / len(values) ** 0.5


def test_features_that_do_not_fit_are_refused() -> None:
    a = features(5, 4, 0)
    for function in (fid, mmd):
        with pytest.raises(ShapeError, match="one width, found 4 and 3"):
            function(a, a[:, :3])
        with pytest.raises(ShapeError, match="2 or more"):
            function(a, a[:1])
        with pytest.raises(ShapeError, match="finite"):
            function(a, a / 0)
    with pytest.raises(ShapeError, match="found 0 of 1000"):
        kid(a, a, Generator(), n_subsets=0)
