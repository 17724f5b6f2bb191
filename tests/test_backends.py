"""Exported graphs: they give torch's numbers, edit as torch does, and refuse what they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError, ShapeError, UnknownNameError
from emorph.core.types import Photo
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.open_networks import load_judge
from emorph.models import load, load_any
from emorph.models.backends import export as writing
from emorph.models.backends.choose import EXPORTS, load_for
from emorph.models.backends.export import AGREES, export
from emorph.models.backends.exported import GRAPH_FILES, UNET_FILE, ExportedDiffAE, read_exported
from emorph.models.backends.exported_judge import ExportedJudge
from emorph.models.backends.graphs import ENGINES
from emorph.models.diffae import DiffAE
from emorph.models.judge import Judge, JudgeConfig
from emorph.models.port import model_info
from tiny import tiny_config, tiny_directions

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.xdist_group("backends")  # one export serves all


def small_model() -> DiffAE:
    """Of few layers, for writing each takes its time."""
    torch.manual_seed(0)
    one_level = {"channel_mult": (1,), "encoder_channel_mult": (1,)}
    model = DiffAE(tiny_config().model_copy(update=one_level)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in torch, with directions."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    small_model().save_pretrained(place)
    tiny_directions().save_pretrained(place / "directions")
    return place


@pytest.fixture(scope="module")
def graphs(folder: Path) -> Path:
    """The same, exported."""
    place = folder.parent / "tiny-onnx"
    parts: list[tuple[int, int]] = []
    differences = export(folder, place, lambda done, total: parts.append((done, total)))
    assert set(differences) == set(GRAPH_FILES)
    assert max(differences.values()) <= AGREES
    assert parts == [(0, 3), (1, 3), (2, 3), (3, 3)]
    return place


@pytest.fixture(params=list(ENGINES))
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend whose library is here."""
    name: str = request.param
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[name])
    return name


def test_graphs_give_torchs_numbers_for_any_batch(folder: Path, graphs: Path, backend: str) -> None:
    torch.manual_seed(0)
    ours, theirs = load(folder), read_exported(graphs, backend)
    assert isinstance(theirs, DiffAE)
    x, z, t = torch.rand(3, 1, 32, 32) * 2 - 1, torch.randn(3, 32), torch.tensor([700, 700, 700])
    with torch.inference_mode():
        assert torch.allclose(theirs.encode(x), ours.encode(x), atol=1e-5)
        assert torch.allclose(theirs.predict(x, t, z), ours.predict(x, t, z), atol=1e-5)
        assert torch.allclose(theirs.denoiser(z[:1])(x[:1], t[:1]), ours.denoiser(z[:1])(x[:1], t[:1]), atol=1e-5)
        own, deep = ours.at(z).with_deep(x, t[:1])
        raw, kept = theirs.at(z).with_deep(x, t[:1])
        assert torch.allclose(raw, own, atol=1e-5)
        assert torch.allclose(
            theirs.at(z).outer(x, t[:1], kept + 0.1), ours.at(z).outer(x, t[:1], deep + 0.1), atol=1e-4
        )
        with pytest.raises(ConfigError, match="one time step"):
            theirs.predict(x, torch.tensor([1, 2, 3]), z)
        with pytest.raises(ShapeError):
            theirs.encode(x[..., :16])


def test_an_editor_of_graphs_edits_as_torch_does(folder: Path, graphs: Path, backend: str, photo: Photo) -> None:
    editors = Editor.from_pretrained(folder, steps=3), Editor.from_pretrained(graphs, steps=3, backend=backend)
    plain, other = (editor.edit(photo, to="happy").photo.pixels.astype(int) for editor in editors)
    assert np.abs(plain - other).max() <= 1
    assert np.abs(plain - photo.pixels).max() > 1
    assert editors[0].model_id.rpartition("-")[2] == editors[1].model_id.rpartition("-")[2]


def test_the_folder_says_what_it_is(graphs: Path) -> None:
    info = model_info(graphs)
    assert (info.role, info.weights.name) == ("exported-autoencoder", UNET_FILE)
    assert info.n_parameters == sum(p.numel() for p in small_model().parameters())
    assert isinstance(load_any(graphs), ExportedDiffAE)
    card = (graphs / "README.md").read_text(encoding="utf-8")
    assert all(file in card for file in GRAPH_FILES)


def test_graphs_are_no_weights(graphs: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--backend onnx"):
        load(graphs)
    with pytest.raises(CheckpointError, match="no weights"):
        read_exported(graphs, "onnx").save_pretrained(tmp_path / "out")
    with pytest.raises(CheckpointError, match="exported already"):
        export(graphs, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_damaged_folder_is_refused_in_a_sentence(graphs: Path, backend: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(graphs, copy)
    (copy / UNET_FILE).write_bytes((graphs / UNET_FILE).read_bytes()[:1000])
    z = torch.zeros(1, 32)
    x, t = torch.zeros(1, 1, 32, 32), torch.tensor([5])
    with pytest.raises(CheckpointError, match="damaged or not an ONNX file"):
        read_exported(copy, backend).at(z).whole(x, t)
    (copy / UNET_FILE).unlink()
    with pytest.raises(CheckpointError, match=f"has no {UNET_FILE}"):
        read_exported(copy, backend).at(z).whole(x, t)
    (copy / UNET_FILE).write_bytes((graphs / "encoder.onnx").read_bytes())  # another graph under its name
    with pytest.raises(ShapeError, match="does not take"):
        read_exported(copy, backend).at(z).whole(x, t)
    config = json.loads((copy / "config.json").read_text())
    config["config"]["fingerprint"] = "../../etc"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="fingerprint"):
        read_exported(copy, backend)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny judge in torch."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("judges") / "judge"
    config = JudgeConfig(labels=("neutral", "happy"), channels=(8, 8), image_size=16, num_res_blocks=1)
    Judge(config).eval().save_pretrained(place)
    return place


def test_a_graph_that_differs_from_torch_is_not_written(
    judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "AGREES", -1.0)
    with pytest.raises(CheckpointError, match="differs from torch"):
        export(judge, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_backend_writes_its_graphs_once(
    folder: Path, graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    written: list[Path] = []

    def copied(name: object, place: Path, on_part: object) -> None:
        written.append(place)
        shutil.copytree(graphs, place)

    monkeypatch.setattr("emorph.models.backends.choose.export", copied)
    for _ in range(2):
        model = load_for(folder, "onnx")
    assert isinstance(model, ExportedDiffAE)
    assert [place.parent for place in written] == [tmp_path / EXPORTS]


def test_what_a_backend_cannot_do_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch, graphs: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'onnx'"):
        load_for(folder, "onxx")
    with pytest.raises(ConfigError, match="computes on the CPU"):
        load_for(folder, "onnx", "meta")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingAssetError, match="needs onnxruntime"):
        read_exported(graphs, "onnx").encode(torch.zeros(1, 1, 32, 32))
    with pytest.raises(MissingAssetError, match="writing ONNX needs onnxruntime"):
        export(folder, folder.parent / "never")


def test_an_exported_judge_answers_as_the_judge_does(judge: Path, tmp_path: Path) -> None:
    export(judge, tmp_path / "out")
    exported = load_any(tmp_path / "out")
    assert isinstance(exported, ExportedJudge)
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    assert torch.allclose(exported.probabilities(x), Judge.from_pretrained(judge).probabilities(x), atol=1e-5)
    crops = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    asked = [load_judge(str(place), threads=1) for place in (judge, tmp_path / "out")]
    np.testing.assert_allclose(asked[0].answer(crops), asked[1].answer(crops), atol=1e-5)
    assert asked[0].fingerprint == asked[1].fingerprint


def test_the_commands_export_and_edit(judge: Path, graphs: Path, tmp_path: Path, example_photo: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["models", "export", str(judge), "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["differences"]) == {"judge.onnx"}
    words = ["edit", str(example_photo), "--to", "happy", "-o", str(tmp_path / "a.png"), "--steps", "2", "--json"]
    edited = runner.invoke(app, [*words, "--model", str(graphs), "--backend", "onnx", "--reuse", "2"])
    assert edited.exit_code == 0, edited.output
    assert json.loads(edited.stdout)[0]["solver"] == "dpm, reuse 2"
    refused = runner.invoke(app, [*words, "--model", str(graphs)])
    assert "--backend onnx" in str(refused.exception)
