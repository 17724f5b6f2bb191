"""LPIPS against the official package's recorded numbers, both nets, from files in the layouts that users have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.evaluate.metrics.lpips import LPIPS, Net
from golden_cases import case, seeded_weights

NETS: list[Net] = ["alex", "vgg"]


def seeded(net: Net) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The backbone's features (the classifier is left out) and the heads, by the recorded recipe."""
    golden = case(f"lpips_{net}")
    files = [golden.info["torchvision_state_dict"], golden.info["lpips_weight_file_state_dict"]]
    shapes = [{key: shape for key, shape, _ in rows if not key.startswith("classifier.")} for rows in files]
    backbone, heads = (seeded_weights.fill(s, golden.info["seed"]) for s in shapes)
    assert seeded_weights.crc(backbone | heads) == golden.info["weights_crc32"], "numpy's random stream differs"
    return (
        {key: torch.from_numpy(value) for key, value in backbone.items()},
        {key: torch.from_numpy(value).abs() for key, value in heads.items()},
    )


@pytest.fixture(scope="module", params=NETS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LPIPS:
    folder = tmp_path_factory.mktemp(request.param)
    backbone, heads = seeded(request.param)
    torch.save(backbone | {"classifier.6.bias": torch.zeros(1000)}, folder / "backbone.pth")
    torch.save(heads, folder / "heads.pth")
    return LPIPS.from_files(request.param, folder / "backbone.pth", folder / "heads.pth")


@torch.inference_mode()
def test_distances_as_recorded(model: LPIPS) -> None:
    golden = case(f"lpips_{model.net}")
    a, b = golden.input("a"), golden.input("b")
    golden.check("distance", model(a, b))
    golden.check("distance_normalize_flag", model(a, b))
    golden.check("distance_noisy", model(a, (a + 0.1 * b).clamp(-1, 1)))
    golden.check("distance_self", model(a, a))
    golden.check("spatial_map", model.map(a, b))
    for k, summand in enumerate(model.by_layer(a, b).unbind(dim=1)):
        golden.check(f"layer{k}", summand)


def test_the_official_modules_own_state_dict_fits() -> None:
    backbone, heads = seeded("alex")
    rows = case("lpips_alex").info["lpips_module_state_dict"]
    by_number = {key.split(".", 1)[1]: value for key, value in backbone.items()}
    whole = {key: by_number[key.split(".", 2)[2]] for key, _, _ in rows if key.startswith("net.")} | heads
    whole["scaling_layer.shift"] = torch.zeros(1, 3, 1, 1)
    model = LPIPS("alex")
    model.load(whole, whole)
    golden = case("lpips_alex")
    golden.check("distance", model(golden.input("a"), golden.input("b")))


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    backbone, heads = seeded("alex")
    with pytest.raises(CheckpointError, match=r"does not fit LPIPS vgg: features.0.weight must be \(64, 3, 3, 3\)"):
        LPIPS("vgg").load(backbone, heads)
    with pytest.raises(CheckpointError, match=r"lin0.model.1.weight must be \(1, 64, 1, 1\), found nothing"):
        LPIPS("alex").load(backbone, {})
    with pytest.raises(CheckpointError, match="negative weights"):
        LPIPS("alex").load(backbone, {key: -value for key, value in heads.items()})
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        LPIPS.from_files("alex", tmp_path / "list.pth", tmp_path / "list.pth")
