"""The scripts for a bare GPU machine: they need no image library, and the measurement runs without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_training_from_memory_needs_no_image_library(tmp_path: Path) -> None:
    absent = [name for name in OPTIONAL if name != "lightning_fabric"] + NOT_THERE
    assert json.loads(run_python(IMPORT_WITHOUT, json.dumps([absent, NEEDED]), folder=tmp_path)) == {}


def test_the_measurement_runs_without_a_gpu(tmp_path: Path) -> None:
    cases = ["ffhq128", "rig"]
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
