"""PSNR, SSIM and the valence/arousal formulas against recorded numbers of scikit-image and EmoNet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr
from emorph.evaluate.metrics.fidelity import psnr, ssim, ssim_map
from golden_cases import Case, case

GOLDEN = case("metrics")


def recorded(golden: Case, name: str) -> Tensor:
    return torch.as_tensor(golden.arrays[f"out_{name}"])


def pair(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    a, b = (torch.from_numpy(GOLDEN.arrays[f"in_{name}"])[None].to(dtype) for name in "ab")
    return a, b


@pytest.mark.parametrize(("dtype", "db", "share"), [("float64", 1e-7, 1e-7), ("float32", 1e-4, 2e-5)])
def test_fidelity_as_recorded(dtype: str, db: float, share: float) -> None:
    a, b = pair(getattr(torch, dtype))
    assert float(psnr(a, b, data_range=1)) == pytest.approx(float(recorded(GOLDEN, f"psnr_{dtype}")), abs=db)
    assert float(ssim(a, b, data_range=1)) == pytest.approx(float(recorded(GOLDEN, f"ssim_{dtype}")), abs=share)


def test_ssim_of_every_pixel_as_recorded() -> None:
    inside = recorded(GOLDEN, "ssim_map")[:, 5:-5, 5:-5]
    torch.testing.assert_close(ssim_map(*pair(), data_range=1)[0].float(), inside, atol=1e-6, rtol=0)


def test_one_channel_and_levels_as_recorded() -> None:
    a, b = pair()
    gray = ssim(a[:, :1], b[:, :1], data_range=1)
    assert float(gray) == pytest.approx(float(recorded(GOLDEN, "ssim_gray_channel0")), abs=1e-7)
    a, b = (255 * a).round(), (255 * b).round()
    assert float(psnr(a, b, data_range=255)) == pytest.approx(float(recorded(GOLDEN, "psnr_uint8_range255")), abs=1e-7)
    assert float(ssim(a, b, data_range=255)) == pytest.approx(float(recorded(GOLDEN, "ssim_uint8_range255")), abs=1e-7)


def test_valence_and_arousal_formulas_as_recorded() -> None:
    golden = case("emonet_metrics")
    truth, found = golden.arrays["in_gt"], golden.arrays["in_pred"]
    for name, function in (("CCC", ccc), ("PCC", pcc), ("RMSE", rmse), ("SAGR", sagr)):
        expected = float(recorded(golden, name))
        assert function(truth, found) == pytest.approx(expected, abs=1e-10), name
        assert function(torch.from_numpy(truth), found.tolist()) == pytest.approx(expected, abs=1e-10), name
