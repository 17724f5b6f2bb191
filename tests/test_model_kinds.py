"""A kind of model is one file and one line: with these alone a made one is recognised, described, loaded, converted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.errors import CheckpointError
from emorph.models import load, load_any
from emorph.models.kinds import KINDS
from emorph.models.kinds.kind import Facts, FileForm, Hints, ModelKind, Weights, folder_of, save_module
from emorph.models.port import convert, kind_of, model_info
from emorph.models.sources import Source
from emorph.models.weights import PretrainedModule


class TinterConfig(Config):
    """Sizes of a tinter."""

    n_tints: int


class Tinter(PretrainedModule):
    """A made model: some tints."""

    kind = "tinter"
    config_type = TinterConfig
    config: TinterConfig

    def __init__(self, config: TinterConfig) -> None:
        super().__init__()
        self.config = config
        self.tints = nn.Parameter(torch.rand(config.n_tints, 3))


def sort(source: Source) -> Weights | None:
    """Its own keys, behind the prefix of a made original."""
    prefix = "original."
    return {key.removeprefix(prefix): value for key, value in source.tensors.items() if key == f"{prefix}tints"} or None


def sizes(source: Source, weights: Weights, hints: Hints) -> TinterConfig:
    """As the weights show them."""
    return TinterConfig(n_tints=len(weights["tints"]))


TINTER = ModelKind(
    name="tint",
    what="a tinter",
    use="load it with emorph.models.load_any",
    folder=folder_of(Tinter),
    file=FileForm(
        sort,
        lambda source, weights, hints: Tinter.from_tensors(sizes(source, weights, hints), weights, source.name),
        lambda source, weights, hints: Facts(sizes(source, weights, hints)),
    ),
    save=save_module,
)


@pytest.fixture
def made_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setitem(KINDS, "tint", f"{__name__}:TINTER")


@pytest.fixture
def original(tmp_path: Path) -> tuple[Path, Tensor]:
    """A file of a tinter as its owner gives it, and its tints."""
    tints = torch.rand(5, 3)
    save_file({"original.tints": tints}, tmp_path / "tinter.safetensors")
    return tmp_path / "tinter.safetensors", tints


@pytest.mark.usefixtures("made_kind")
def test_a_made_kind_is_recognised_loaded_and_converted(tmp_path: Path, original: tuple[Path, Tensor]) -> None:
    path, tints = original
    folder = convert(path, tmp_path / "ours", dtype=torch.float16)
    for place, dtype in ((path, torch.float32), (folder, torch.float16)):
        assert kind_of(place) == "tint"
        model = load_any(place)
        assert isinstance(model, Tinter)
        assert not model.training
        assert torch.equal(model.tints, tints.to(dtype).float())
        info = model_info(place)
        assert (info.role, info.config, info.n_parameters) == ("tint", TinterConfig(n_tints=5), 15)
    with pytest.raises(
        CheckpointError, match=r"is a tinter, not an autoencoder; load it with emorph\.models\.load_any"
    ):
        load(path)


@pytest.mark.usefixtures("made_kind")
def test_the_command_knows_a_made_kind(
    tmp_path: Path, original: tuple[Path, Tensor], emorph: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = emorph("models", "convert", original[0], "-o", tmp_path / "ours")
    assert (status, out.strip()) == (0, str(tmp_path / "ours"))
    status, out, _ = emorph("models", "info", tmp_path / "ours", "--json")
    facts = json.loads(out)
    assert (status, facts["role"], facts["config"]) == (0, "tint", {"n_tints": 5})


def test_without_its_line_it_is_unknown(tmp_path: Path, original: tuple[Path, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"is not a model that emorph knows: its keys are like original\.tints"):
        load_any(original[0])
    Tinter(TinterConfig(n_tints=2)).save_pretrained(tmp_path / "ours")
    with pytest.raises(
        CheckpointError, match="a model of the kind 'tinter', which emorph does not know; known: emoca,"
    ):
        load_any(tmp_path / "ours")


def test_what_cannot_be_converted_says_how_it_is_used(tmp_path: Path) -> None:
    torch.save({"conds_mean": torch.zeros(4), "conds_std": torch.ones(4)}, tmp_path / "latent.pkl")
    with pytest.raises(CheckpointError, match=r"latent\.pkl\); read it with emorph\.models\.port\.read_latent_stats"):
        convert(tmp_path / "latent.pkl", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
