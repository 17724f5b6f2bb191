"""How near a reconstruction is to its source: PSNR, SSIM and MS-SSIM, one value a picture.

They count every change as damage. Of an edit and its source they would praise the edit that did nothing: compare
reconstructions, or what lies outside the face (``emorph.evaluate.geometry``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.evaluate.metrics.ranges import check_range, limits

WINDOW_PX = 11
SIGMA_PX = 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first; Wang et al. 2003, section 4.1
MS_SSIM_LEAST_PX = WINDOW_PX * 2 ** (len(SCALE_WEIGHTS) - 1)


def psnr(a: Tensor, b: Tensor, *, data_range: float) -> Tensor:
    """Peak signal-to-noise ratio of each picture, (B,), in dB; infinite where both are equal.

    a, b: float (B, C, H, W), the channels in any order, alike in both. data_range: 2 for pictures in [-1, 1], 1 for
    [0, 1], 255 for levels, R for [0, R]; the value is the same in each.
    The error is pooled over one picture, never over the batch. Raises ShapeError.

    >>> black, gray = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)
    >>> round(psnr(black, gray, data_range=1.0).item(), 2)
    20.0
    """
    a, b = checked_pair(a, b, data_range)
    return 10 * torch.log10(data_range**2 / (a - b).square().mean(dim=(1, 2, 3)))


def ssim(a: Tensor, b: Tensor, *, data_range: float) -> Tensor:
    """Structural similarity of each picture, (B,), in [-1, 1]: the mean of ``ssim_map``.

    Equals scikit-image's structural_similarity with gaussian_weights, sigma 1.5 and use_sample_covariance=False.

    >>> picture = torch.rand(1, 3, 16, 16)
    >>> round(ssim(picture, picture, data_range=1.0).item(), 4)
    1.0
    """
    return ssim_map(a, b, data_range=data_range).mean(dim=(1, 2, 3))


def ssim_map(a: Tensor, b: Tensor, *, data_range: float) -> Tensor:
    """Structural similarity (Wang et al. 2004) around each pixel whose window lies in the picture.

    a, b: float (B, C, H, W), at least 11 px a side; channels are compared apart. data_range: as for ``psnr``; luminance
    is counted from the lowest value of the range, for levels have no sign.
    Returns (B, C, H - 10, W - 10). Raises ShapeError.
    """
    a, b = checked_pair(a, b, data_range, least_px=WINDOW_PX)
    means = _blurred(a), _blurred(b)
    return _luminance(*means, data_range) * _contrast(a, b, *means, data_range)


def ms_ssim(a: Tensor, b: Tensor, *, data_range: float) -> Tensor:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003) of each picture, (B,), in [0, 1].

    a, b: float (B, C, H, W), at least 176 px a side, since the window must fit at the coarsest of five scales.
    Contrast and structure are averaged at each scale, luminance at the coarsest; a negative average counts as 0, for it
    has no real power. Channels are compared apart, then averaged. data_range: as for ``ssim_map``. Raises ShapeError.
    """
    a, b = checked_pair(a, b, data_range, least_px=MS_SSIM_LEAST_PX)
    found = torch.ones_like(a[:, :, 0, 0])
    for weight in SCALE_WEIGHTS[:-1]:
        contrast = _contrast(a, b, _blurred(a), _blurred(b), data_range).mean(dim=(2, 3))
        found = found * contrast.clamp(min=0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    coarsest = ssim_map(a, b, data_range=data_range).mean(dim=(2, 3)).clamp(min=0)
    return (found * coarsest ** SCALE_WEIGHTS[-1]).mean(dim=1)


def checked_pair(a: Tensor, b: Tensor, data_range: float, *, least_px: int = 1) -> tuple[Tensor, Tensor]:
    """The pair as at least float32, if it can be compared at all.

    Raises ShapeError for other shapes or types, NaN, a side below ``least_px``, or values that belie ``data_range``.
    """
    for x in (a, b):
        if not x.is_floating_point() or x.ndim != 4 or not x.numel():
            raise ShapeError(f"expected float pictures (B, C, H, W), found {x.dtype} {tuple(x.shape)}.")
    if a.shape != b.shape:
        raise ShapeError(f"expected two batches of one shape, found {tuple(a.shape)} and {tuple(b.shape)}.")
    if min(a.shape[2:]) < least_px:
        raise ShapeError(f"expected pictures of at least {least_px} px a side, found {a.shape[3]}x{a.shape[2]} px.")
    check_range(a, b, data_range)
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)


def _luminance(mean_a: Tensor, mean_b: Tensor, data_range: float) -> Tensor:
    """How alike the local means are, counted from the lowest value of the range."""
    c1, (lowest, _) = (K1 * data_range) ** 2, limits(data_range)
    if lowest:
        mean_a, mean_b = mean_a - lowest, mean_b - lowest
    return (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)


def _contrast(a: Tensor, b: Tensor, mean_a: Tensor, mean_b: Tensor, data_range: float) -> Tensor:
    """How alike contrast and structure are; where the range begins does not matter to them."""
    c2 = (K2 * data_range) ** 2
    var_a = _blurred(a * a) - mean_a**2
    var_b = _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    return (2 * covariance + c2) / (var_a + var_b + c2)


def _blurred(x: Tensor) -> Tensor:
    """Weighted means under the Gaussian window, where it lies in the picture.

    Sums of shifted copies: a third of the time of conv2d, which is slow on planes of one channel.
    """
    offset = torch.arange(WINDOW_PX, dtype=torch.float64) - WINDOW_PX // 2
    window = torch.exp(-0.5 * (offset / SIGMA_PX) ** 2)
    weights = (window / window.sum()).tolist()
    for axis in (2, 3):
        n = x.shape[axis] - WINDOW_PX + 1
        total = x.narrow(axis, 0, n) * weights[0]
        for i, weight in enumerate(weights[1:], 1):
            total = total.add(x.narrow(axis, i, n), alpha=weight)
        x = total
    return x
