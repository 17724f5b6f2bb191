"""EMOCA against the official networks' recorded numbers, and its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from emorph.core.errors import CheckpointError
from emorph.models import DecaEncoder, EmocaEncoder, load_face_encoder
from golden_cases import Case, case
from test_golden_deca import check_code


@pytest.fixture(scope="module")
def emoca() -> EmocaEncoder:
    return EmocaEncoder.from_tensors(case("emoca").weights(), "golden")


@torch.inference_mode()
def test_codes_and_relief(emoca: EmocaEncoder) -> None:
    golden: Case = case("emoca")
    image = golden.input("image")
    golden.check("deca_code", emoca.E_flame(image))
    golden.check("expression_code", emoca.E_expression(image))
    golden.check("detailcode", emoca.E_detail(image))
    crops = image * 2 - 1
    coeffs = emoca.encode(crops)
    check_code(golden, coeffs)
    assert coeffs.encoder == "emoca"
    original = DecaEncoder.encode(emoca, crops)
    golden.check("original_pose", torch.cat([coeffs.pose, coeffs.jaw], dim=1))
    assert torch.equal(original.shape, coeffs.shape)
    golden.check("uv_z", emoca.relief(crops, coeffs))


def checkpoint() -> dict[str, Any]:
    """As Lightning writes it, with every key of the official file; each tensor is one number, repeated."""
    state = {}
    for i, (key, shape, _) in enumerate(Case("emoca_ckpt_keys").info["lightning_state_dict"]):
        is_network = key.startswith(("deca.E_", "deca.D_"))
        state[key] = torch.tensor(float(i)).expand(shape if is_network else [1] * len(shape))
    state["deca.perceptual_loss.vgg.weight"] = torch.zeros(3)
    return {"state_dict": state, "epoch": 10, "global_step": 1, "pytorch-lightning_version": "1.4.9"}


def test_the_official_checkpoint_loads(tmp_path: Path) -> None:
    folder = tmp_path / "deca-epoch=10-val_loss"  # the name of the official file has a slash
    folder.mkdir()
    path = folder / "dataloader_idx_0=3.25521111.ckpt"
    content = checkpoint()
    torch.save(content, path)
    loaded = load_face_encoder(path)
    assert type(loaded) is EmocaEncoder
    for key, value in loaded.state_dict().items():
        assert (value == content["state_dict"][f"deca.{key}"]).all(), key
    with pytest.raises(CheckpointError, match="EMOCA's, but DECA is needed"):
        DecaEncoder.load(path)


def test_an_encoder_of_the_jaw_too_is_refused(tmp_path: Path) -> None:
    keys = ("E_flame.x", "E_detail.x", "D_detail.x", "E_expression.layers.2.weight")
    torch.save({"state_dict": {f"deca.{key}": torch.zeros(53, 4) for key in keys}}, tmp_path / "emoca.ckpt")
    with pytest.raises(CheckpointError, match="53 values"):
        load_face_encoder(tmp_path / "emoca.ckpt")
