"""A run of expression editing that is killed, shared by two processes, or stopped while it inverts its faces."""

from __future__ import annotations

import json
import signal
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from emorph.data.store import FaceStore
from emorph.models.port import load
from emorph.train.checkpoint import load_state
from emorph.train.loop import train
from emorph.train.tasks.expression_loss import PicturesConfig
from emorph.train.tasks.expression_noise import KeptNoise, NoisyFaces, invert_share, inverted, noise_folder
from emorph.train.tasks.expression_task import ExpressionTask
from killed_run import in_own_processes, train_as_rank, train_here
from made_expression import expression_config, labelled_faces, write_networks, write_store
from test_train_distributed import free_port

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
WAYS: list[dict[str, Any]] = [
    {"pictures": {"way": "one_step"}, "trains": "both"},
    {"pictures": {"way": "chain", "evaluations": 2}, "trains": "unet"},
]
EDIT: dict[str, Any] = {"pictures": {"way": "edit"}, "trains": "both"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_networks(tmp_path_factory.mktemp("expression"))


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Everything that a checkpoint's folders hold, directions and all."""
    files = sorted(checkpoint.rglob("*.safetensors"))
    return {f"{file.relative_to(checkpoint)}:{k}": v for file in files for k, v in load_file(file).items()}


def log(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("wait_share", "steps_per_s")} for row in rows]


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("way", [*WAYS, EDIT], ids=["one_step", "chain", "edit"])
def test_a_killed_run_ends_as_if_it_had_not_been(folder: Path, way: dict[str, Any]) -> None:
    name = way["pictures"]["way"]
    budget = {"steps": 5}
    whole, broken = (expression_config(folder, f"{kind}_{name}", **way, budget=budget) for kind in ("whole", "broken"))
    work = partial(train_here, faces=labelled_faces)
    death = partial(work, broken, n_rows=4)
    assert in_own_processes([partial(work, whole), death]) == [0, -signal.SIGKILL]
    assert in_own_processes([partial(work, broken, resume=True)]) == [0]
    expected, found = (weights(Path(c.out) / "step_00000005") for c in (whole, broken))
    assert any("directions" in key and "shift" in key for key in expected) == (way["trains"] == "both")
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert log(Path(broken.out)) == log(Path(whole.out))
    assert len(log(Path(whole.out))) == 5


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("way", WAYS, ids=["one_step", "chain"])
def test_two_processes_take_the_gradients_of_one(folder: Path, way: dict[str, Any]) -> None:
    changed = {**way, "budget": {"steps": 2}, "checkpoint": {"every_steps": None, "keep_steps": [1]}}
    name = way["pictures"]["way"]
    one, two = (expression_config(folder, f"{kind}_{name}", **changed) for kind in ("one", "two"))
    port, records = free_port(), [folder / f"{name}_rank{rank}" for rank in range(2)]
    works = [partial(train_as_rank, two, rank, 2, port, records[rank], faces=labelled_faces) for rank in range(2)]
    assert in_own_processes([partial(train_here, one, faces=labelled_faces), *works]) == [0, 0, 0]
    a, b = (load_state(Path(c.out) / "step_00000001")["optimizer"]["state"] for c in (one, two))
    assert len(a) == len(b) > 10
    largest = max(float((a[i]["exp_avg"] - b[i]["exp_avg"]).abs().max()) for i in a) / 0.1
    assert largest < 1e-5
    assert max(float(a[i]["exp_avg"].abs().max()) for i in a) / 0.1 > 1e-3  # gradients there are
    for mine, theirs in zip(log(Path(two.out)), log(Path(one.out)), strict=True):
        for key in ("samples", "loss", "expression", "surroundings", "grad_norm"):
            assert mine[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6)


# -- x_T, computed once and kept


@pytest.fixture
def store(tmp_path: Path) -> FaceStore:
    return FaceStore(write_store(tmp_path / "faces.parquet"), side_px=32, channels=1, split="train")


def test_an_inversion_that_stops_goes_on_where_it_was(
    folder: Path, store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emorph.train.tasks.expression_noise.PART_FACES", 4)
    model, pictures = load(folder / "start"), PicturesConfig(way="chain", evaluations=2)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    cache = tmp_path / "x_T"
    with pytest.raises(KeyboardInterrupt):
        invert_share(model, store, pictures, cache, (0, 1), mirror=True, on_step=stop)
    assert told == [(4, 18), (8, 18)]
    inside = noise_folder(model, store, pictures, cache)
    done = {file: file.stat().st_mtime_ns for file in inside.iterdir()}
    assert len(done) == 4  # two parts, and of each the mirror images
    invert_share(model, store, pictures, cache, (1, 2), mirror=True)
    invert_share(model, store, pictures, cache, (0, 2), mirror=True)
    assert len(list(inside.iterdir())) == 10
    assert all(file.stat().st_mtime_ns == at for file, at in done.items())
    kept, made = KeptNoise(inside), inverted(model, store, pictures, mirror=True)
    for index in range(18):
        for mirrored in (False, True):
            x_T = kept(index, mirrored=mirrored)
            assert x_T.shape == (1, 32, 32)
            torch.testing.assert_close(x_T, made(index, mirrored=mirrored), rtol=0, atol=5e-3)
    assert not torch.equal(kept(3, mirrored=False), kept(3, mirrored=True))
    assert not torch.equal(kept(3, mirrored=False), kept(4, mirrored=False))


def test_x_T_of_another_model_or_solver_lie_elsewhere(folder: Path, store: FaceStore, tmp_path: Path) -> None:
    model, pictures = load(folder / "start"), PicturesConfig(way="chain", evaluations=2)
    first = noise_folder(model, store, pictures, tmp_path)
    assert noise_folder(load(folder / "start"), store, pictures, tmp_path) == first
    others = [PicturesConfig(way="chain", evaluations=3), PicturesConfig(way="chain", evaluations=2, solver="ddim")]
    assert first not in [noise_folder(model, store, other, tmp_path) for other in others]
    with torch.no_grad():
        next(model.out[2].parameters()).add_(1e-3)
    assert noise_folder(model, store, pictures, tmp_path) != first


def test_a_run_on_a_set_on_disk_keeps_its_x_T_beside_it(folder: Path, store: FaceStore, tmp_path: Path) -> None:
    config = expression_config(folder, "disk/run", **WAYS[1], budget={"steps": 2}, data={"workers": 1})
    titles: list[str] = []
    steps: list[int] = []

    def reading(title: str) -> Any:
        titles.append(title)
        return nullcontext(lambda done, total: steps.append(done))

    train(config, store, accelerator="cpu", devices=1, show_progress=False, reading=reading)
    assert (titles, steps) == (["inverting faces"], [18])
    (inside,) = (folder / "disk" / "x_T").iterdir()
    assert sorted(file.name for file in inside.iterdir()) == ["00000000.safetensors", "00000000m.safetensors"]
    task = ExpressionTask(config, store)
    assert isinstance(task.items, NoisyFaces)
    item = task.items[5]
    assert {"image", "label", "landmarks", "x_T", "x_T_mirrored"} <= set(item)
    assert torch.equal(item["x_T"], load_file(inside / "00000000.safetensors")["x_T"][5])
