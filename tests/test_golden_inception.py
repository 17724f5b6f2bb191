"""FID's Inception against the features of pytorch-fid, recorded for seeded weights, from a file in its layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.models.inception import Inception
from golden_cases import case, seeded_weights


def seeded() -> dict[str, Tensor]:
    golden = case("inception_fid")
    shapes = {key: tuple(shape) for key, shape, _ in golden.info["state_dict"]}
    arrays = seeded_weights.rescale(seeded_weights.fill(shapes, golden.info["seed"]), golden.info["rescale"])
    assert seeded_weights.crc(arrays) == golden.info["weights_crc32"], "numpy's random stream differs"
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


@torch.inference_mode()
def test_features_as_recorded(tmp_path: Path) -> None:
    golden = case("inception_fid")
    torch.save(seeded(), tmp_path / "inception.pth")
    model = Inception.from_file(tmp_path / "inception.pth")
    golden.check("small", model(golden.input("small") * 2 - 1))
    golden.check("own", model(golden.input("own") * 2 - 1))


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    state = {key: value for key, value in seeded().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "first.pth")
    Inception.from_file(tmp_path / "first.pth")
    torch.save(state | {"Mixed_7c.branch_pool.conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth does not fit: Mixed_7c.branch_pool.conv.weight has"):
        Inception.from_file(tmp_path / "other.pth")
    torch.save(state | {"layer1.weight": torch.zeros(3)}, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match=r"it holds layer1\.weight"):
        Inception.from_file(tmp_path / "more.pth")
