"""PSNR, SSIM and MS-SSIM against scikit-image, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.evaluate.metrics.fidelity import SCALE_WEIGHTS, ms_ssim, psnr, ssim


def pictures(n: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth colour pictures in [-1, 1] and their noisy copies, the later the noisier, float64."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((n, 3, 7, 7)) * 2 - 1)
    a = torch.nn.functional.interpolate(coarse, size=(side, side + 9), mode="bilinear")
    noise = torch.from_numpy(rng.standard_normal(tuple(a.shape)))
    b = a + torch.linspace(0.05, 0.3, n).double().view(-1, 1, 1, 1) * noise
    return a, b.clamp(-1, 1)


def test_each_picture_equals_scikit_image() -> None:
    a, b = pictures(3, 40)
    for i, (p, q) in enumerate(zip(a.numpy(), b.numpy(), strict=True)):
        similarity = structural_similarity(
            p + 1, q + 1, data_range=2, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(ssim(a, b, data_range=2)[i]) == pytest.approx(similarity, abs=1e-9)
        assert float(psnr(a, b, data_range=2)[i]) == pytest.approx(
            peak_signal_noise_ratio(p, q, data_range=2), abs=1e-9
        )


def ms_ssim_by_the_paper(p: NDArray[np.float64], q: NDArray[np.float64], data_range: float) -> float:
    """One plane: the paper's formula with scipy's filters, the full picture filtered, the border cut off."""
    offset = np.arange(-5, 6)
    window = np.exp(-(offset**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return correlate1d(correlate1d(x, window, 0), window, 1)[5:-5, 5:-5]

    found = 1.0
    for i, weight in enumerate(SCALE_WEIGHTS):
        mp, mq = mean(p), mean(q)
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        structure = (2 * (mean(p * q) - mp * mq) + c2) / (mean(p * p) - mp**2 + mean(q * q) - mq**2 + c2)
        if i == len(SCALE_WEIGHTS) - 1:
            structure = structure * (2 * mp * mq + c1) / (mp**2 + mq**2 + c1)
        found *= structure.mean() ** weight
        height, width = p.shape[0] // 2 * 2, p.shape[1] // 2 * 2
        p, q = (x[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for x in (p, q))
    return found


def test_ms_ssim_equals_the_formula() -> None:
    a, b = pictures(2, 179)
    expected = [
        np.mean([ms_ssim_by_the_paper(p + 1, q + 1, 2.0) for p, q in zip(x, y, strict=True)])
        for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(ms_ssim(a, b, data_range=2).numpy(), expected, atol=1e-9)


def test_ms_ssim_of_opposites_is_a_number() -> None:
    a = pictures(1, 179)[0]
    assert 0 <= float(ms_ssim(a, -a, data_range=2)) < 0.5


def test_a_value_does_not_depend_on_its_batch() -> None:
    a, b = pictures(3, 40)
    for function in (psnr, ssim):
        alone = torch.cat([function(a[i : i + 1], b[i : i + 1], data_range=2) for i in range(3)])
        torch.testing.assert_close(function(a, b, data_range=2), alone)
        assert alone[0] > alone[2], "more noise must not score better"


def test_equal_pictures_and_half_precision() -> None:
    a, b = pictures(1, 176)
    assert float(psnr(a, a, data_range=2)) == float("inf")
    assert float(ssim(a, a, data_range=2)) == pytest.approx(1)
    assert float(ms_ssim(a, a, data_range=2)) == pytest.approx(1)
    half = ssim(a.half(), b.half(), data_range=2)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(ssim(a, b, data_range=2)), abs=2e-3)


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = pictures(2, 40)
    with pytest.raises(ShapeError, match=r"one shape, found \(2, 3, 40, 49\) and \(1, 3, 40, 49\)"):
        psnr(a, b[:1], data_range=2)
    with pytest.raises(ShapeError, match="uint8"):
        psnr(a.byte(), b.byte(), data_range=2)
    with pytest.raises(ShapeError, match="at least 11 px"):
        ssim(a[..., :10], b[..., :10], data_range=2)
    with pytest.raises(ShapeError, match="at least 176 px"):
        ms_ssim(a, b, data_range=2)
    with pytest.raises(ShapeError, match="pass data_range=2"):
        psnr(a * 2, b, data_range=1)
    with pytest.raises(ShapeError, match="nan"):
        ssim(a / 0 * 0, b, data_range=2)
    with pytest.raises(ShapeError, match="above 0"):
        ssim(a, b, data_range=0)
