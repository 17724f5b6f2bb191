"""DECA's and EMOCA's files, made in their official layouts: looked into, converted once, and read back the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.core.errors import CheckpointError
from emorph.models import DecaEncoder, load
from emorph.models.emoca import EmocaEncoder
from emorph.models.port import convert, load_face_encoder, model_info


def made_state(kind: type[DecaEncoder]) -> dict[str, torch.Tensor]:
    """Zeros in 16 bits, with one number that can be told again."""
    with torch.device("meta"):
        shapes = kind().state_dict()
    state = {k: torch.zeros(v.shape, dtype=torch.half if v.is_floating_point() else v.dtype) for k, v in shapes.items()}
    state["E_flame.layers.2.bias"][7] = 0.25
    return state


def test_deca_is_known_and_converted(tmp_path: Path) -> None:
    state, nested = made_state(DecaEncoder), {}
    for key, value in state.items():
        network, _, inner = key.partition(".")
        nested.setdefault(network, {})[inner] = value
    source = tmp_path / "deca_model.tar"
    torch.save(nested, source)
    done = CliRunner().invoke(app, ["models", "info", str(source), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["role"], facts["layout"]) == ("deca", "bare state dict")
    with torch.device("meta"):
        parameters = DecaEncoder().parameters()
    assert facts["n_parameters"] == sum(parameter.numel() for parameter in parameters)
    with pytest.raises(CheckpointError, match=r"is a DECA model, not an autoencoder; load it with .*load_face_encoder"):
        load(source)
    folder = convert(source, tmp_path / "deca", dtype=torch.half)
    assert model_info(folder).role == "deca"
    read = load_face_encoder(folder)
    assert type(read) is DecaEncoder
    assert read.state_dict()["E_flame.layers.2.bias"][7] == 0.25
    assert read.state_dict()["E_flame.layers.2.bias"].dtype == torch.float32
    with pytest.raises(CheckpointError, match="holds a 'deca', but a 'diffae' is needed"):
        load(folder)


def test_emoca_is_known_inside_its_checkpoint(tmp_path: Path) -> None:
    state = {f"deca.{key}": value for key, value in made_state(EmocaEncoder).items()}
    source = tmp_path / "emoca.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, source)
    found = model_info(source)
    assert (found.role, found.layout, dict(found.training)) == ("emoca", "Lightning checkpoint", {"epoch": 3})
    with pytest.raises(CheckpointError, match="is an EMOCA checkpoint, not an autoencoder"):
        load(source)
