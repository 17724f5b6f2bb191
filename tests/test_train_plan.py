"""Plans: every number follows from the others, contradictions are refused, and a run does what its plan said."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph import train
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.data.memory import TensorFaces
from emorph.models import DiffAEConfig
from emorph.train.devices import bfloat16_slowdown
from emorph.train.draws import KnownFaces, order_of
from emorph.train.plan import make_plan, plan_of
from emorph.train.plan_text import duration, full_text, short_text, size
from emorph.train.resources import Activations, SavedBytes, estimated_activations, resources
from emorph.train.sections import BudgetConfig, CheckpointConfig, DataConfig, OptimConfig, split_batch
from emorph.train.tasks import TASKS, config_class
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.rig import RigRunConfig
from test_data import make_store
from tiny import tiny_config

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]
EXAMPLES = Path(__file__).parents[1] / "examples"
PRESETS = Path(train.__file__).parent / "presets"
EVERY = sorted([*EXAMPLES.glob("*/*.toml"), *PRESETS.glob("*.toml")])
AFFECTNET = PRESETS / "affectnet-autoencoder.toml"
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(8), [70, 130, 25, 14, 7, 5, 26, 3]))


def run_config(out: Path | str = "run", **changed: Any) -> AutoencoderConfig:
    values = {
        "out": str(out),
        "seed": 5,
        "data": {"path": "faces.parquet"},
        "model": tiny_config().model_dump(),
        "optim": {"batch_size": 4},
        "budget": {"steps": 10},
    }
    return AutoencoderConfig.parse({**values, **changed})


def known(labels: np.ndarray[Any, Any] = LABELS) -> KnownFaces:
    return KnownFaces(len(labels), labels.astype(np.int64), None, "here")


def test_a_budget_for_another_data_set_is_seen_before_the_run(emorph: Emorph) -> None:
    words = ("train", "plan", AFFECTNET, "--faces", 287_651, "--samples", 300_000, "--no-warm-up", "--devices", 1)
    status, out, _ = emorph(*words)
    assert status == 0
    assert "9,375 steps x batch 32 = 300,000 samples = 1.04 epochs" in out
    assert "warning     only 1.04 epochs: the run ends because budget.samples = 300,000 is spent" in out
    assert "Ten epochs would be 89,891 steps: budget.epochs = 10." in " ".join(out.split())
    assert "287,651 faces (by --faces;" in out


def test_affectnets_plan_makes_the_emotions_equal(emorph: Emorph) -> None:
    status, out, _ = emorph("train", "plan", AFFECTNET, "--no-warm-up", "--devices", 1, "--json")
    assert status == 0
    plan = json.loads(out)
    assert (plan["faces"], plan["epoch_size"], plan["samples"], plan["steps"]) == (287_651, 287_651, 2_876_512, 89_891)
    assert all("GB" in warning or "what it starts from is not here" in warning for warning in plan["warnings"])
    drawn = {row["word"]: row["samples"] for row in plan["classes"]}
    assert sum(drawn.values()) == 2_876_512
    assert len(drawn) == 8
    assert max(drawn.values()) - min(drawn.values()) <= 10 + 2  # one an epoch, and the last batch


@pytest.mark.parametrize(
    "path", [p for p in EVERY if "[search]" not in p.read_text()], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_example_can_be_explained(path: Path, emorph: Emorph, monkeypatch: pytest.MonkeyPatch) -> None:
    # the shapes of large models are worked out by the tests of the estimate, once
    monkeypatch.setattr("emorph.train.plan.estimated_activations", lambda *_: Activations(0, 1e6))
    values = tomllib.loads(path.read_text())
    is_fit = values.get("task") == "classifier"
    status, out, err = emorph("train", "plan", path, *(() if is_fit else ("--no-warm-up", "--devices", 1)))
    sizes_of = values.get("autoencoder") or (values["init"] if path.stem == "3_edits" else "emorph-base")
    if not sizes_of.startswith("emorph"):
        assert status == 2
        assert sizes_of in err  # its sizes are read off an official file, or an earlier part's run, which is named
        return
    assert (status, err) == (0, "")
    if is_fit:
        assert "(epochs = 40), batch 256" in out or "epochs = 40, batch 256" in out
        return
    assert f"batch {values['optim']['batch_size']} = " in out
    if path.parent.name == "presets" or "assumed_faces" in path.read_text():
        assert " epochs\n" in out
        assert "faces (by data.assumed_faces" in out or "faces (of 2 sets, below; not all of them exist yet)" in out
    assert max(len(line) for line in out.splitlines()) < 200


@pytest.mark.parametrize(
    "options",
    [
        ("--max-minutes", "1"),
        ("--devices", "auto"),
        ("--nodes", "1"),
        ("--accelerator", "auto"),
        ("--no-warm-up",),
    ],
)
def test_what_a_classifier_would_ignore_is_refused(options: tuple[str, ...], emorph: Emorph) -> None:
    path = EXAMPLES / "emorph-base-64" / "5_directions.toml"
    verbs = ("plan", "run") if options[0] in ("--max-minutes", "--devices", "--nodes", "--accelerator") else ("plan",)
    for verb in verbs:
        status, out, err = emorph("train", verb, path, *options)
        assert (status, out) == (2, "")
        assert f"ConfigError: {options[0]} does not apply to {path}: a classifier" in err
        assert f"leave out {options[0]}." in err


def test_two_numbers_of_faces_are_refused(emorph: Emorph) -> None:
    status, _, err = emorph("train", "plan", AFFECTNET, "--faces", 5, "--scan", "raw")
    assert (status, err.count("--faces does not apply to a plan with --scan")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("celebahq-128", "9,375 steps x batch 32 = 300,000 samples = 10.00 epochs"),
        ("celebahq-256", "9,375 steps x batch 32 = 300,000 samples = 10.00 epochs"),
        ("affectnet-step1", "17,979 steps x batch 32 = 575,328 samples = 2.00 epochs"),
        ("affectnet-step2", "17,979 steps x batch 32 = 575,328 samples = 2.00 epochs"),
        ("rig-ffhq", "87,500 steps x batch 8 = 700,000 samples = 10.00 epochs"),
        ("rig-album", "5,000 steps x batch 4 = 20,000 samples = 1000.00 epochs"),
    ],
)
def test_the_presets_numbers(name: str, length: str) -> None:
    path = PRESETS / f"{name}.toml"
    config = config_class(tomllib.loads(path.read_text()).get("task", "autoencoder")).read(path)
    assert config.data.assumed_faces is not None
    plan = plan_of(config, KnownFaces.stated(config.data.assumed_faces, "the file"))
    assert length in full_text(plan)
    assert plan.needs.trained < plan.needs.parameters if name == "rig-album" else plan.needs.trained > 1e8


def test_a_toml_can_name_a_preset_and_change_it() -> None:
    assert DiffAEConfig.parse({"preset": "ffhq256"}) == DiffAEConfig.preset("ffhq256")
    assert DiffAEConfig.parse({"preset": "ffhq128", "dropout": 0.0}).dropout == 0
    config = run_config(model={"preset": "ffhq128"})
    assert AutoencoderConfig.parse(tomllib.loads(config.to_toml())) == config
    with pytest.raises(ConfigError, match="known here"):
        DiffAEConfig.parse({"preset": "ffhq128", "size": 3})


def test_two_units_that_agree_are_one_budget() -> None:
    both = BudgetConfig(samples=300_000, epochs=10)
    assert both.n_steps(30_000, 32) == 9375
    assert BudgetConfig(steps=9375, samples=300_000, epochs=10).n_steps(30_000, 32) == 9375
    assert BudgetConfig(steps=9374, samples=299_999).n_steps(None, 32) == 9374  # the same but for one batch


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        (
            {"samples": 300_000, "epochs": 10},
            r"budget\.samples = 300,000 gives 9,375 steps, 300,000 samples, 1\.04 epochs, "
            r"but budget\.epochs = 10\.0 gives 89,891 steps, 2,876,512 samples, 10\.00 epochs\. State one",
        ),
        ({"steps": 9373, "samples": 300_000}, r"budget\.steps = 9,373 gives .*, but budget\.samples = 300,000 gives"),
        ({"steps": 5, "epochs": 1}, r"budget\.steps = 5 .* but budget\.epochs = 1\.0"),
    ],
)
def test_units_that_contradict_each_other_are_refused(budget: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"contradicts itself: {sentence}"):
        BudgetConfig(**budget).n_steps(287_651, 32)  # type: ignore[arg-type]


def test_epochs_of_nobody_knows_what_are_refused() -> None:
    with pytest.raises(ConfigError, match="--faces N"):
        BudgetConfig(epochs=2).n_steps(None, 32)
    plan = plan_of(run_config(), None)
    assert (plan.steps, plan.samples, plan.epochs, plan.classes) == (10, 40, None, ())
    assert "epochs and emotions are not known" in short_text(plan)


def test_the_batch_is_shared_out() -> None:
    assert split_batch(OptimConfig(batch_size=32, micro_batch=4), 2) == (4, 4)
    assert split_batch(OptimConfig(batch_size=32), 4) == (8, 1)
    with pytest.raises(ConfigError, match="is not a multiple of micro_batch 4 x 3"):
        split_batch(OptimConfig(batch_size=32, micro_batch=4), 3)
    with pytest.raises(ConfigError, match="cannot be shared by 3"):
        split_batch(OptimConfig(batch_size=32), 3)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"balance": "cap"},
        {"balance": "cap:9"},
        {"balance": "repeat"},
        {"balance": "classes"},
        {"balance": "classes:0.5"},
        {"class_power": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("usable", [False, True])
def test_a_plan_counts_what_the_order_draws(data: dict[str, Any], usable: bool) -> None:
    asked = DataConfig(path="x", **data)
    mask = np.arange(len(LABELS)) % 9 > 0 if usable else None
    order = order_of(asked, known(), seed=5, usable=mask)
    for n in (1, 23, 280, 1203):
        rows = list(islice(order, n))
        np.testing.assert_array_equal(order.drawn(n), np.bincount(rows, minlength=len(LABELS)))
        if mask is not None:
            assert mask[rows].all()
    plan = plan_of(run_config(data={"path": "x", **data}, budget={"samples": 1200}), known(), usable=mask)
    counted = np.bincount(LABELS[list(islice(order, 1200))], minlength=8)
    assert [row.samples for row in plan.classes] == counted.tolist()


@pytest.mark.parametrize("choice", ["cap", "cap:40", "repeat", "classes"])
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_processes_together_draw_equal_emotions(choice: str, n_ranks: int) -> None:
    data = DataConfig(path="x", balance=choice)
    n = order_of(data, known(), seed=1).epoch_size // n_ranks * n_ranks
    for start in (0, 7 * n_ranks):
        drawn = [
            islice(order_of(data, known(), seed=1, start=start, rank=r, n_ranks=n_ranks), (n - start) // n_ranks)
            for r in range(n_ranks)
        ]
        shares = [list(share) for share in drawn]
        whole = list(islice(order_of(data, known(), seed=1), n))[start:]
        assert [shares[i % n_ranks][i // n_ranks] for i in range(n - start)] == whole
    counts = np.bincount(LABELS[list(islice(order_of(data, known(), seed=1), n))], minlength=8)
    assert counts.max() - counts.min() <= (n_ranks if choice == "classes" else 1)


def test_stated_numbers_of_each_emotion_give_exact_counts_where_they_are_balanced() -> None:
    counts = {emotion.word: int((emotion.value == LABELS).sum()) for emotion in Emotion}
    stated = KnownFaces.stated(counts, "the file")
    for choice in ("cap:20", "repeat", "classes"):
        config = run_config(data={"path": "x", "balance": choice}, budget={"samples": 520})
        there, not_there = plan_of(config, known()), plan_of(config, stated)
        if choice != "classes":  # whose draws of a begun epoch come in no order of classes
            assert there.classes == not_there.classes
        assert not_there.assumed
        assert there.epoch_size == not_there.epoch_size


@pytest.mark.parametrize(
    ("data", "samples", "said"),
    [
        ({}, 280, "once"),
        ({}, 700, "2 to 3 times"),
        ({}, 40, "at most once, and 240 never, as the run is shorter than an epoch"),
        ({"balance": "repeat"}, 1040, "1 to 44 times"),
        ({"balance": "cap:3"}, 24, "0.1 times on average, those of rare expressions at most once, and 256 never"),
        ({"class_power": 0.5}, 4000, "8 to 61 times"),
    ],
)
def test_how_often_faces_come_is_said_plainly(data: dict[str, Any], samples: int, said: str) -> None:
    plan = plan_of(run_config(data={"path": "x", **data}, budget={"samples": samples}), known())
    text = " ".join(full_text(plan).split())
    assert f"; each is drawn {said} length" in text


@pytest.mark.parametrize(
    ("data", "how"),
    [
        ({"path": "none"}, "State the number of faces with --faces N."),
        ({"path": "none", "class_power": 0.5}, "State the number of faces of each emotion in [data.assumed_faces], or"),
        ({"path": "none", "balance": "cap"}, "State the number of faces of each emotion in [data.assumed_faces], or"),
        ([{"path": "none"}, {"path": "x"}], "State assumed_faces in each [[data]] block that does not exist yet."),
    ],
)
def test_how_to_say_the_number_of_faces_is_said_as_it_works(data: Any, how: str) -> None:
    assert how in plan_of(run_config(data=data), None).warnings[-1]


def test_faces_without_a_label_may_be_among_those_that_are_stated() -> None:
    stated = run_config(data={"path": "x", "assumed_faces": {"happy": 3, "no label": 5}}).data.assumed_faces
    assert isinstance(stated, dict)
    plan = plan_of(run_config(), KnownFaces.stated(stated, "the file"))
    assert {row.word: row.faces for row in plan.classes if row.faces} == {"happy": 3, "no label": 5}


def test_two_ways_to_balance_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"balance = 'cap' and class_power = 0\.5 are two answers"):
        run_config(data={"path": "x", "balance": "cap", "class_power": 0.5})
    with pytest.raises(ConfigError, match="did you mean 'repeat'"):
        run_config(data={"path": "x", "balance": "repaet"})
    with pytest.raises(ConfigError, match=r"needs the number of faces of each emotion.*--scan"):
        plan_of(run_config(data={"path": "x", "balance": "cap"}), KnownFaces.stated(10, "--faces"))
    with pytest.raises(ConfigError, match="'joy' is not an emotion"):
        run_config(data={"path": "x", "assumed_faces": {"joy": 4}})


def test_saves_are_counted_with_their_size() -> None:
    config = run_config(
        budget={"steps": 10_000}, checkpoint={"every_steps": 1000, "keep_steps": [5000, 7000, 10_000], "keep": 2}
    )
    saves = plan_of(config, known()).saves
    assert (saves.written, saves.stay) == (10, 5)
    one = resources(config, 4).checkpoint
    assert saves.disk_bytes == 6 * one  # and the one that is being written
    assert "5 are kept" in full_text(plan_of(config, known()))
    assert "1 is kept" in full_text(plan_of(run_config(budget={"steps": 12}, checkpoint={"every_steps": 50}), known()))
    assert plan_of(run_config(checkpoint={"every_minutes": 5}), known()).saves.written is None
    assert CheckpointConfig().minutes == 10
    assert CheckpointConfig(every_steps=5).minutes is None
    with pytest.raises(ConfigError, match=r"keep_steps names step 7,000, but the run ends at step 10"):
        plan_of(run_config(checkpoint={"keep_steps": [7000]}), known())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_estimated_activations_are_those_of_a_real_pass(precision: str) -> None:
    config = run_config(optim={"batch_size": 4, "precision": precision}, aux={"landmarks": 0.1, "labels": 0.1})
    loss, inputs = config.trial(4)
    with SavedBytes(loss) as saved, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        loss(*inputs)
    estimate = estimated_activations(config.model_dump_json(), type(config))
    assert estimate is not None
    assert estimate.fixed + 4 * estimate.per_face == pytest.approx(saved.total, rel=0.02)


@pytest.mark.parametrize("task", [task for task in TASKS if config_class(task).way == "steps"])
def test_a_trial_fits_its_loss(task: str) -> None:
    values = {
        "autoencoder": {"model": tiny_config().model_dump()},
        "judge": {"model": {"labels": ["happy", "sad"], "channels": [8, 8, 8, 8]}},
        "rig": {
            "model": {
                "image_size": 32,
                "model_channels": 32,
                "channel_mult": [1, 1],
                "num_res_blocks": 1,
                "encoder_width": 16,
            }
        },
        "expression": {
            "init": "emorph-base",
            "trains": "both",
            "losses": {"emotion_networks": ["emorph-judge"], "shape": 1.0, "shape_network": "deca"},
        },
    }
    if task not in values:
        pytest.skip(f"the task {task} has no trial of its own here")
    config = config_class(task).parse(
        {"task": task, "out": "run", "data": {"path": "x"}, "budget": {"steps": 1}, **values[task]}
    )
    trial = config.trial(2)
    assert trial is not None
    assert torch.isfinite(trial[0](*trial[1])["loss"])
    model = trial[0].get_submodule("model")  # by which a plan counts, too
    assert model.state_dict().keys() == config.new_model().state_dict().keys()


def test_a_warm_up_measures_and_leaves_nothing(tmp_path: Path, emorph: Emorph) -> None:
    make_store(tmp_path / "faces.parquet", 16)
    config = run_config(
        "runs/first", data={"path": "faces.parquet"}, budget={"steps": 50, "max_minutes": 1e-4}, aux={"landmarks": 0.1}
    )
    (tmp_path / "run.toml").write_text(config.to_toml())
    before = sorted(tmp_path.rglob("*"))
    status, out, _ = emorph("train", "plan", tmp_path / "run.toml", "--json", "--devices", 1)
    assert status == 0
    assert sorted(tmp_path.rglob("*")) == before
    plan = json.loads(out)
    warm = plan["warm_up"]
    assert (warm["device"], warm["tried"], warm["own_faces"]) == ("cpu", 4, True)
    assert 0 < warm["wait_share"] < 1
    assert plan["seconds"] == pytest.approx(50 * warm["step_s"])
    assert plan["stop_step"] == 1  # 6 ms are over after the first step
    assert any("max_minutes = 0.0001 stops it at about step 1 of 50" in warning for warning in plan["warnings"])
    assert sum(row["faces"] for row in plan["classes"]) == 16


@pytest.mark.parametrize(
    ("precision", "factor", "warned"),
    [("bf16-mixed", 40.0, True), ("bf16-mixed", 1.5, False), ("32-true", 40.0, False)],
)
def test_a_processor_without_bfloat16_is_named(
    monkeypatch: pytest.MonkeyPatch, precision: str, factor: float, warned: bool
) -> None:
    monkeypatch.setattr("emorph.train.plan.bfloat16_slowdown", lambda: factor)
    config = run_config("run", optim={"batch_size": 4, "precision": precision})
    said = [text for text in plan_of(config, known(), device="cpu").warnings if "bfloat16" in text]
    assert bool(said) == warned
    assert not warned or "takes 40 times as long" in said[0]
    assert not [text for text in plan_of(config, known(), device="cuda").warnings if "bfloat16" in text]


def test_the_time_of_bfloat16_is_measured() -> None:
    assert bfloat16_slowdown() > 0.01


def test_a_rig_whose_encoder_ends_in_one_pixel_can_be_planned(tmp_path: Path) -> None:
    """One face alone would be no batch to normalise over."""
    model = {"image_size": 32, "model_channels": 32, "channel_mult": [1], "num_res_blocks": 1, "encoder_width": 8}
    config = RigRunConfig.parse(
        {"task": "rig", "out": str(tmp_path), "data": {"path": "x"}, "budget": {"steps": 1}, "model": model}
        | {"optim": {"batch_size": 4}}
    )
    plan = make_plan(config, None, None, accelerator="cpu")
    assert plan.warm_up is not None
    assert plan.warm_up.step_s > 0


def test_without_the_data_a_warm_up_takes_made_faces() -> None:
    config = run_config(budget={"epochs": 3})
    plan = make_plan(config, None, KnownFaces.stated(100, "--faces"), accelerator="cpu")
    assert plan.warm_up is not None
    assert not plan.warm_up.own_faces
    assert plan.warm_up.wait_share is None
    assert "synthetic faces" in full_text(plan)
    assert plan.steps == 75


def test_too_large_a_model_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("warm_up", "free_memory"):
        monkeypatch.setattr(f"emorph.train.{module}.free_bytes", lambda device: 1000)
    plan = make_plan(run_config(), None, KnownFaces.stated(100, "--faces"), accelerator="cpu")
    assert plan.warm_up is None
    least = size(resources(run_config(), 1).memory)
    said = " ".join(full_text(plan).split())
    assert f"not measured: its weights, gradients and optimiser alone take {least} of memory, 1 kB are free" in said
    assert "1 kB are free here, and a lower optim.micro_batch does not help" in said


def test_without_a_warm_up_memory_is_compared_with_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice is the largest part of a batch that fits, which then has nothing to be warned of."""
    config = run_config(optim={"batch_size": 12})
    estimate = estimated_activations(config.model_dump_json(), type(config))
    free = resources(config, 5, activations=estimate).memory
    monkeypatch.setattr("emorph.train.free_memory.free_bytes", lambda device: free)

    def said(config: AutoencoderConfig) -> list[str]:
        warnings = make_plan(config, None, known(), accelerator="cpu", measure=False).warnings
        return [text for text in warnings if "of memory" in text]

    (warning,) = said(config)
    assert f"but only {size(free)} are free here: with optim.micro_batch = 4 it needs about" in warning
    assert said(run_config(optim={"batch_size": 12, "micro_batch": 6}))
    assert said(run_config(optim={"batch_size": 12, "micro_batch": 4})) == []


def test_scanned_faces_are_those_that_training_would_see(tmp_path: Path, emorph: Emorph) -> None:
    from made_data import affectnet, row

    train = [row(f"{i}.jpg", code) for i, code in enumerate([0] * 6 + [1] * 9 + [7] * 2 + [10] * 3)]
    affectnet(tmp_path / "raw", train, [row("v.jpg", 0)])
    config = run_config(data={"path": "later", "balance": "repeat"}, budget={"epochs": 4})
    (tmp_path / "run.toml").write_text(config.to_toml())
    status, out, _ = emorph("train", "plan", tmp_path / "run.toml", "--scan", tmp_path / "raw", "--no-warm-up")
    assert status == 0
    assert "17 faces (by the lists of" in out
    assert "whose pictures were not opened" in " ".join(out.split())
    assert "27 steps x batch 4 = 108 samples = 4.00 epochs" in out
    assert "warning     no face is labelled sad, surprise, fear, disgust, anger" in out


def test_sizes_and_times_in_words() -> None:
    assert [duration(s) for s in (40, 600, 9000, 400_000)] == ["40 s", "10 min", "2.5 h", "4.6 days"]
    assert [size(n) for n in (8e3, 3.21e8, 2.056e9, 3e12)] == ["8 kB", "321 MB", "2.06 GB", "3 TB"]


def test_tensor_faces_without_labels_cannot_be_balanced() -> None:
    faces = TensorFaces(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.full((4,), -1))
    from emorph.core.errors import DataError

    with pytest.raises(DataError, match="no face has an emotion"):
        order_of(DataConfig(path="x", balance="cap"), KnownFaces.of(faces, "x"), seed=0)
