"""Runs on several sets: the blocks of the configuration, their plan, two processes, and resuming to the bit."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph.core.errors import ConfigError
from emorph.data.joined import JoinedFaces
from emorph.data.memory import Sample
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.train.draws import KnownFaces, order_of
from emorph.train.loop import train
from emorph.train.mixed_data import MixedData, sets_of
from emorph.train.plan import plan_of
from emorph.train.plan_text import full_text
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.classifier import ClassifierConfig
from killed_run import become_rank, in_own_processes
from test_data import make_store
from tiny import tiny_config

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]
BLOCKS = [{"path": "a.parquet", "weight": 1, "split": "train"}, {"path": "b.parquet", "weight": 3, "balance": "repeat"}]


def mixed_config(folder: Path, name: str, blocks: list[dict[str, Any]] = BLOCKS, **changed: Any) -> AutoencoderConfig:
    """A run on 24 faces of one set and 21 of another."""
    folder.mkdir(exist_ok=True)
    for file, n in (("a.parquet", 30), ("b.parquet", 21)):
        if not (folder / file).exists():
            make_store(folder / file, n, split=file == "a.parquet")
    values = {
        "out": name,
        "seed": 5,
        "data": blocks,
        "model": tiny_config().model_dump(),
        "optim": {"batch_size": 6, "lr": 1e-3, "ema_decay": 0.9},
        "budget": {"epochs": 1},
        "checkpoint": {"every_steps": 3},
        "samples": {"n": 0},
    }
    (folder / f"{name}.toml").write_text(AutoencoderConfig.parse({**values, **changed}).to_toml())
    return AutoencoderConfig.read(folder / f"{name}.toml")


def test_blocks_are_read_checked_and_written_back(tmp_path: Path) -> None:
    config = mixed_config(tmp_path, "run")
    assert isinstance(config.data, MixedData)
    assert [one.path for one in sets_of(config.data)] == [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert (tmp_path / "run.toml").read_text().count("[[data]]") == 2
    assert AutoencoderConfig.parse(config.model_dump()) == config
    one = AutoencoderConfig.parse({**config.model_dump(), "data": BLOCKS[0]})
    assert sets_of(one.data) == (one.data,)


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ([], r"data: name at least one set"),
        ([BLOCKS[0], {"path": "b"}], r"state weight in every \[\[data\]\] block or in none; block 2 has none"),
        ([{"path": "a"}, {"path": "b", "mirror": False}], r"mirror is true in some \[\[data\]\] blocks"),
        ([{"path": "a", "weight": 0}, {"path": "b", "weight": 1}], r"data\.0\.weight: Input should be greater than 0"),
        ([{"path": "a", "wieght": 1}], r"key 'data\.0\.wieght' is not known; did you mean 'weight'\?"),
        ({"path": "a", "workrs": 1}, r"key 'data\.workrs' is not known; did you mean 'workers'\?"),
    ],
)
def test_what_is_wrong_with_a_block_is_said(blocks: Any, sentence: str) -> None:
    values = {"out": "run", "model": tiny_config().model_dump(), "budget": {"steps": 1}, "data": blocks}
    with pytest.raises(ConfigError, match=sentence):
        AutoencoderConfig.parse(values)


def test_the_plan_counts_each_set_and_the_run_keeps_to_it(tmp_path: Path) -> None:
    config = mixed_config(tmp_path, "run")
    faces = config.open_faces()
    plan = plan_of(config, KnownFaces.read(config.data, faces))
    assert (plan.faces, plan.epoch_size, plan.steps, plan.samples) == (45, 48, 8, 48)  # 24, and 8 emotions x 3
    assert [(row.faces, row.samples) for row in plan.sets] == [(24, 12), (21, 36)]
    assert sum(row.samples for row in plan.classes) == plan.samples
    text = full_text(plan)
    assert "each set in its own way, in their order: none + repeat" in text
    assert [line.split()[1:] for line in text.splitlines() if line.startswith("  a.parquet")] == [
        ["24", "12", "25.0%", "0.50x"]
    ]
    order = order_of(config.data, KnownFaces.read(config.data, faces), seed=config.seed)
    assert np.bincount(order.epoch(0) >= 24).tolist() == [12, 36]
    assert np.bincount(order.epoch(1) >= 24).tolist() == [12, 36]


def test_without_weights_each_set_gives_one_round_of_itself(tmp_path: Path) -> None:
    blocks = [{key: value for key, value in block.items() if key != "weight"} for block in BLOCKS]
    config = mixed_config(tmp_path, "run", blocks)
    plan = plan_of(config, KnownFaces.read(config.data, config.open_faces()))
    assert [(row.samples, row.least) for row in plan.sets] == [(24, 1), (24, 1)]


def test_a_set_that_is_not_there_yet_is_planned_by_what_its_block_says(tmp_path: Path, emorph: Emorph) -> None:
    mixed_config(tmp_path, "half", [{"path": "a.parquet"}, {"path": "no", "assumed_faces": {"happy": 60, "fear": 3}}])
    status, out, err = emorph("train", "plan", tmp_path / "half.toml", "--no-warm-up", "--json")
    assert status == 0, err
    plan = json.loads(out)
    assert (plan["faces"], plan["assumed"], plan["samples"]) == (93, True, 96)
    status, _, err = emorph("train", "plan", tmp_path / "half.toml", "--no-warm-up", "--faces", 9)
    assert status == 2
    assert "--faces and --scan count one data set, and this run has 2" in err


class RecordedSets(JoinedFaces):
    """Faces that write down which of them were asked for."""

    record: Path

    def __getitem__(self, index: int) -> Sample:
        with self.record.open("a") as file:
            file.write(f"{int(index)}\n")
        return super().__getitem__(index)


def mixed_as_rank(config: AutoencoderConfig, rank: int, n_ranks: int, port: int, record: Path) -> None:
    become_rank(rank, n_ranks, port)
    faces = config.open_faces()
    assert isinstance(faces, JoinedFaces)
    recorded = RecordedSets(faces.stores)
    recorded.record = record
    train(config, recorded, accelerator="cpu", devices=n_ranks, show_progress=False)


@pytest.mark.xdist_group("processes")
def test_two_processes_see_together_the_shares_and_the_faces_of_one(tmp_path: Path) -> None:
    config = mixed_config(tmp_path, "run", checkpoint={}, budget={"epochs": 2})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    records = [tmp_path / f"rank{rank}" for rank in range(2)]
    works = [partial(mixed_as_rank, config, rank, 2, port, records[rank]) for rank in range(2)]
    assert in_own_processes(works) == [0, 0]
    seen = [[int(line) for line in record.read_text().split()] for record in records]
    assert [len(one) for one in seen] == [48, 48]
    order = order_of(config.data, KnownFaces.read(config.data, config.open_faces()), seed=config.seed)
    one_process = np.concatenate([order.epoch(0), order.epoch(1)])
    assert np.stack(seen, axis=1).reshape(-1).tolist() == one_process.tolist()
    assert np.bincount(one_process[:48] >= 24).tolist() == [12, 36]


def test_a_stopped_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole, parts = (mixed_config(tmp_path, name) for name in ("whole", "parts"))

    def run(config: AutoencoderConfig, **kwargs: Any) -> Path:
        settings = {"accelerator": "cpu", "devices": 1, "show_progress": False, **kwargs}
        return train(config, config.open_faces(), **settings).folder

    run(parts.model_copy(update={"budget": parts.budget.model_copy(update={"epochs": None, "steps": 5})}))
    a, b = (DiffAE.from_pretrained(folder / "model") for folder in (run(whole), run(parts, resume=True)))
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    other = [{**BLOCKS[0], "weight": 2}, BLOCKS[1]]
    with pytest.raises(ConfigError, match=r"data\.weight = '1 : 3', now it is '2 : 3': set it back"):
        run(mixed_config(tmp_path, "parts", other), resume=True)
    alone = {"path": "a.parquet", "split": "train", "balance": "none"}
    with pytest.raises(ConfigError, match=r"was trained with data\.balance = 'none \+ repeat', now it is 'none'"):
        run(mixed_config(tmp_path, "parts", alone), resume=True)  # type: ignore[arg-type]


def test_numbers_read_off_faces_are_kept_for_each_set(tmp_path: Path) -> None:
    from emorph.train.codes import encode_all
    from tiny import tiny_model

    make_store(tmp_path / "a.parquet", 6, split=False)
    make_store(tmp_path / "b.parquet", 5, split=False)
    a, b = (FaceStore(tmp_path / name, side_px=32, channels=1) for name in ("a.parquet", "b.parquet"))
    model, cache = tiny_model(), tmp_path / "cache"
    apart = [encode_all(model, store, cache, mirror=True) for store in (a, b)]
    kept = sorted(cache.rglob("*.safetensors"))
    both = encode_all(model, JoinedFaces([a, b]), cache, mirror=True)
    assert sorted(cache.rglob("*.safetensors")) == kept  # nothing was encoded again
    halves = [codes.z[:n] for codes, n in zip(apart, (6, 5), strict=True)]
    mirrored = [codes.z[n:] for codes, n in zip(apart, (6, 5), strict=True)]
    assert torch.equal(both.z, torch.cat([*halves, *mirrored]))
    assert both.labels.tolist() == [*a.labels, *b.labels] * 2


def test_weights_say_nothing_to_a_classifier() -> None:
    values = {"out": "x", "model": "emorph-base", "data": [{**block, "split": "train"} for block in BLOCKS]}
    with pytest.raises(ConfigError, match=r"data\.weight does nothing here"):
        ClassifierConfig.parse({**values, "data": [{"path": "a", "split": "train", "weight": 2}] * 2})
