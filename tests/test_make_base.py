"""The bundled model made from its data: parts in order, each once, and resumed where they were stopped."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from emorph.core.config import read_toml
from emorph.edit.pipeline import Editor
from emorph.models.directions import Directions
from emorph.models.unit_axes import UnitAxes
from emorph.train.checkpoint import STATE_FILE
from emorph.train.tasks import read_task
from tiny import tiny_directions, tiny_model

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'train'")
EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPES = [EXAMPLES / "emorph-base" / f"{name}.toml" for name in ("1_faces", "2_directions", "3_edits")]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / "emorph-base" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script on copies of its recipes, with commands that make what they should by no work."""
    module = script("make_base")
    for name in ("emorph-base", "emorph-painter"):
        (tmp_path / name).mkdir()
        for config in (EXAMPLES / name).glob("*.toml"):
            (tmp_path / name / config.name).write_text(config.read_text())
    monkeypatch.setattr(module, "HERE", tmp_path / "emorph-base")
    monkeypatch.setattr(module, "PAINTER", tmp_path / "emorph-painter")
    monkeypatch.setattr(sys, "argv", ["make_base.py", str(tmp_path), str(tmp_path)])
    return module


def pretend(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *, fails: str = "", stops: str = "") -> list[str]:
    """What was run, in order; the command whose words hold ``fails`` fails, and that with ``stops`` makes half."""
    ran: list[str] = []

    def run(command: list[str]) -> SimpleNamespace:
        words = " ".join(command[1:])
        ran.append(words)
        if fails and fails in words:
            return SimpleNamespace(returncode=1)
        part = next(p for p in module.parts(Path("p"), Path("c")) if not p.done.exists())
        if stops and stops in words:
            half = part.done.parents[2] / "step_00000005"
            half.mkdir(parents=True)
            (half / STATE_FILE).write_text("half")
        elif "2_directions" in words:
            directions().save_pretrained(part.done.parent)
        elif "3_edits" in words:
            tiny_model().save_pretrained(part.done.parent)
            directions().save_pretrained(part.done.parent / "directions")
        elif part.done.suffix == ".json":
            tiny_model().save_pretrained(part.done.parent)
        else:
            part.done.write_text("rows")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def directions() -> Directions:
    """Such as know action units, the mouth's corners and the cheeks among them."""
    names = ("mouthFrown_L", "mouthFrown_R", "jawOpen", "cheekSquint_L", "cheekSquint_R")
    patterns = torch.tensor([[1.0], [1.0], [9.0], [3.0], [3.0]]).expand(5, 32).contiguous()
    return replace(tiny_directions(), units=UnitAxes(names, torch.zeros(5, 32), torch.zeros(5), patterns))


def test_everything_is_made_once_and_in_order(make_base: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = pretend(make_base, monkeypatch)
    assert make_base.main() == 0
    told = [words.split("/")[-1] for words in ran]
    assert told[3:6] == ["1_faces.toml", "2_directions.toml", "3_edits.toml"]
    assert told[7:] == ["1_coarse.toml", "2_fine.toml", "3_last.toml", "4_sharp.toml"]
    model = make_base.HERE / "runs" / "model"
    assert (model / "painter" / "config.json").exists()
    (model / "painter").rename(model / "p")  # it is no real one
    assert Editor.from_pretrained(model, device="cpu").directions is not None
    made, given = Directions.from_pretrained(model / "directions"), directions()
    assert made.labels == given.labels
    assert made.means is not None
    assert given.means is not None
    for row, (label, gain, own) in enumerate(zip(made.labels, made.gains, given.gains, strict=True)):
        assert gain == {"surprise": 2.3, "sad": 2.2}.get(label, own)
        added = {"anger": 1.0, "disgust": 0.5, "happy": 3.0}.get(label, 0.0)  # of patterns of ones, and threes
        torch.testing.assert_close(gain * (made.means[row] - given.means[row]), torch.full((32,), 2 * added))
    (model / "p").rename(model / "painter")
    assert make_base.main() == 0
    assert len(ran) == 11  # nothing is made again


def test_a_stopped_part_goes_on(
    make_base: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = pretend(make_base, monkeypatch, stops="1_faces")
    assert make_base.main() == 130
    assert "run the same command again" in capsys.readouterr().err
    assert ran[-1].startswith("-m emorph train run")
    ran = pretend(make_base, monkeypatch, fails="2_directions")
    assert make_base.main() == 1
    assert ran[0].startswith("-m emorph train resume")
    assert ran[0].endswith("runs/1_faces")
    assert len(ran) == 2  # nothing after a part that failed


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_are_read_and_fit_together(path: Path) -> None:
    values = read_toml(path)
    assert read_task(path).seed == values["seed"] == 1
    first = read_toml(RECIPES[0])
    autoencoder = f"{first['out']}/step_{first['budget']['steps']:08d}/ema"
    assert read_toml(RECIPES[1])["model"] == read_toml(RECIPES[2])["init"] == autoencoder
    assert read_toml(RECIPES[2])["directions"] == read_toml(RECIPES[1])["out"]


def test_one_pack_is_cut_like_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    ok, png = cv2.imencode(".png", np.full((256, 256, 3), 90, np.uint8))
    assert ok
    facts = {"identity": "film", "split": "train", "source_set": "clips", "source_file": "f#0", "age": -1, "gender": ""}
    points = np.full((68, 2), 128, "<f2").tobytes()
    pack = pa.Table.from_pylist([{"image": png.tobytes(), "label": "fear", "landmarks68": points, **facts}])
    pq.write_table(pack, tmp_path / "clips.parquet")
    packs = script("packs")
    monkeypatch.setattr(sys, "argv", ["packs.py", str(tmp_path / "clips.parquet"), str(tmp_path / "new" / "c.parquet")])
    packs.main()
    (row,) = pq.read_table(tmp_path / "new" / "c.parquet").to_pylist()
    side = read_toml(RECIPES[0])["model"]["image_size"]
    assert cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR).shape == (side, side, 3)
    middle = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2)[0]
    np.testing.assert_allclose(middle, [63.5 + 0.33, 63.5 + 0.33 - 0.12 * 168.42], atol=0.2)
