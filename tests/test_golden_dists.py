"""DISTS against its authors' package, recorded for seeded weights, from files in the layouts that users have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError
from emorph.evaluate import dists
from emorph.evaluate.metrics.dists import DISTS
from golden_cases import case, seeded_weights


def seeded() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    golden = case("dists")
    files = [golden.info["torchvision_state_dict"], golden.info["weight_file"]]
    backbone, weights = (seeded_weights.fill({k: tuple(s) for k, s, _ in rows}, golden.info["seed"]) for rows in files)
    weights = {key: abs(value) for key, value in weights.items()}
    assert seeded_weights.crc(backbone | weights) == golden.info["weights_crc32"], "numpy's random stream differs"
    first, second = ({k: torch.from_numpy(v) for k, v in part.items()} for part in (backbone, weights))
    return first, second


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DISTS:
    folder = tmp_path_factory.mktemp("dists")
    backbone, weights = seeded()
    torch.save(backbone | {"classifier.6.bias": torch.zeros(1000)}, folder / "vgg.pth")
    torch.save(weights, folder / "weights.pt")
    return DISTS.from_files(folder / "vgg.pth", folder / "weights.pt")


def test_distances_as_recorded(model: DISTS) -> None:
    golden = case("dists")
    a, b = (golden.input(name) * 2 - 1 for name in "ab")
    golden.check("distance", dists(a, b, net=model))
    noisy = ((a / 2 + 0.5) + 0.1 * (b / 2)).clamp(0, 1) * 2 - 1
    golden.check("noisy", dists(a, noisy, net=model))
    golden.check("self", dists(a, a, net=model))


def test_texture_that_moved_is_forgiven_where_lpips_like_measures_would_not(model: DISTS) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    moved, gray = noise.roll(7, dims=3), torch.full_like(noise, float(noise.mean()))
    assert float(dists(noise, moved, net=model)) < float(dists(noise, gray, net=model))


def test_what_does_not_fit_is_refused(model: DISTS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, weights = seeded()
    with pytest.raises(CheckpointError, match=r"alpha must be \(1, 1475, 1, 1\), found nothing"):
        DISTS().load(backbone, {})
    with pytest.raises(CheckpointError, match="must not be negative"):
        DISTS().load(backbone, weights | {"beta": -weights["beta"]})
    picture = torch.zeros(1, 3, 16, 64)
    with pytest.raises(ShapeError, match="at least 32 px, found 64x16"):
        dists(picture, picture, net=model)
    with pytest.raises(ShapeError, match="values in"):
        dists(picture.new_full((1, 3, 64, 64), 200.0), picture.new_zeros(1, 3, 64, 64), net=model)
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match="get it with emorph models get lpips-vgg16"):
        dists(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
