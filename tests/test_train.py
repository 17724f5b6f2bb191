"""Training: a stopped run continues bit for bit, and every end leaves a whole checkpoint."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import CheckpointError, ConfigError, DataError
from emorph.core.images import unit_range
from emorph.data.memory import TensorFaces, in_memory
from emorph.data.store import FaceStore
from emorph.diffusion import q_sample
from emorph.models.diffae import DiffAE
from emorph.train.checkpoint import STATE_FILE, latest, load_state, step_folders
from emorph.train.codes import Codes, encode_all
from emorph.train.ema import EMA
from emorph.train.loop import Outcome, train
from emorph.train.sections import LogConfig, OptimConfig
from emorph.train.stepping import learning_rate
from emorph.train.task import hash_seed
from emorph.train.tasks.autoencoder import (
    MIRRORED,
    AutoencoderConfig,
    AutoencoderLoss,
    AuxConfig,
    Batch,
    label_stats,
    mirrored,
    mirrored_landmarks,
)
from emorph.train.tasks.class_means import class_means, guarded
from emorph.train.tasks.classifier import train_classifier
from emorph.train.tasks.confounds import light_and_pose
from emorph.train.tasks.head import HeadConfig
from test_data import make_store
from tiny import tiny_config, tiny_model

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> TensorFaces:
    path = make_store(tmp_path_factory.mktemp("data") / "faces.parquet", 24)
    return in_memory(FaceStore(path, side_px=32, channels=1), 24)


def run_config(out: Path, **budget: float) -> AutoencoderConfig:
    values = {
        "out": str(out),
        "seed": 5,
        "data": {"path": "faces.parquet", "class_power": 0.5},
        "model": {**tiny_config().model_dump(), "dropout": 0.2},
        "optim": {"batch_size": 4, "micro_batch": 2, "lr": 1e-3, "ema_decay": 0.9},
        "aux": {"landmarks": 0.1, "labels": 0.1},
        "samples": {"n": 0},
        "budget": budget,
    }
    return AutoencoderConfig.parse(values)


def run(config: AutoencoderConfig, faces: TensorFaces, **kwargs: object) -> Outcome:
    return train(config, faces, accelerator="cpu", devices=1, show_progress=False, **kwargs)  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{k}": v
        for part in ("model", "ema")
        for k, v in DiffAE.from_pretrained(folder / part).state_dict().items()
    }


def test_resumed_run_equals_uninterrupted_run_bit_for_bit(tmp_path: Path, faces: TensorFaces) -> None:
    whole = run(run_config(tmp_path / "whole", steps=9), faces)
    broken = run_config(tmp_path / "broken", steps=9)
    original = torch.optim.AdamW.step
    calls = 0

    def interrupted(self: torch.optim.AdamW, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        first = run(broken, faces)
    assert (first.ended_by, first.step) == ("interrupted", 5)
    second = run(broken, faces, resume=True)
    assert (second.ended_by, second.step, second.samples) == ("budget", 9, 36)
    expected, found = weights(whole.folder), weights(second.folder)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    a, b = load_state(whole.folder)["optimizer"]["state"], load_state(second.folder)["optimizer"]["state"]
    assert all(torch.equal(a[i]["exp_avg_sq"], b[i]["exp_avg_sq"]) for i in a)


def test_training_lowers_the_loss(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=24)
    optim = config.optim.model_copy(update={"micro_batch": None, "lr": 4e-3})
    outcome = run(config.model_copy(update={"optim": optim}), faces)
    trained = DiffAE.from_pretrained(outcome.folder / "ema")
    untrained = DiffAE(trained.config).eval()
    x = unit_range(faces.images[:8])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((8,), 300)
    with torch.inference_mode():
        x_t = q_sample(x, t, noise, trained.rates)
        errors = [float((m(x_t, t, m.encode(x)) - noise).square().mean()) for m in (trained, untrained)]
    assert errors[0] < 0.5 * errors[1]


def test_gradients_that_explode_end_the_run_with_a_sentence(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=9)
    wild = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": 1e30})})
    with pytest.raises(ConfigError, match=r"gradients of step \d are not finite\. Lower optim\.lr"):
        run(wild, faces)


def test_max_minutes_stops_and_saves(tmp_path: Path, faces: TensorFaces) -> None:
    outcome = run(run_config(tmp_path / "run", steps=10_000, max_minutes=0.01), faces)
    assert outcome.ended_by == "max_minutes"
    assert 0 < outcome.step < 10_000
    assert latest(tmp_path / "run") == outcome.folder
    assert (tmp_path / "run" / "stats.jsonl").read_text().count(f'"step": {outcome.step},') == 1
    state = torch.load(outcome.folder / "trainer.pt", weights_only=True)
    torch.save({**state, "elapsed_s": 1e9}, outcome.folder / "trainer.pt")
    again = run(run_config(tmp_path / "run", steps=outcome.step + 2, max_minutes=60), faces, resume=True)
    assert again.ended_by == "budget"  # the limit counts from each start anew, not from the run's first


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=2)
    first = weights(run(config, faces).folder)
    again = run(config, faces, resume=True)
    assert (again.ended_by, again.step) == ("budget", 2)
    assert all(torch.equal(first[k], v) for k, v in weights(again.folder).items())


def test_class_weights_count_what_the_sampler_repeats() -> None:
    labels = torch.tensor([0] * 16 + [1] * 4)
    made = TensorFaces(torch.zeros(20, 1, 2, 2, dtype=torch.uint8), labels)
    aux = AuxConfig(labels=1.0)
    once = label_stats(made, 20, aux, None).class_weight
    assert once[1] / once[0] == 4
    evened = label_stats(made, 20, aux, np.where(made.labels == 1, 4.0, 1.0)).class_weight
    assert evened[1] / evened[0] == 1


def test_faces_without_a_label_count_in_no_label_loss(faces: TensorFaces) -> None:
    config = tiny_config()
    made = TensorFaces(faces.images[:4], torch.tensor([0, 1, -1, -1]), faces.landmarks[:4])  # type: ignore[index]
    aux = AuxConfig(labels=1.0)
    loss = AutoencoderLoss(config, "plain", aux, label_stats(made, 4, aux, None))
    x, t = unit_range(made.images), torch.full((4,), 100)
    both, first = (
        loss(x[:n], torch.from_numpy(made.labels[:n]), None, t[:n], torch.zeros_like(x[:n]))["labels"] for n in (4, 2)
    )
    torch.testing.assert_close(both, first / 2)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=4)
    every_step = config.checkpoint.model_copy(update={"every_minutes": 1e-9, "keep": 2})
    seen: list[str] = []
    run(
        config.model_copy(update={"checkpoint": every_step}),
        faces,
        on_checkpoint=lambda folder, model: seen.append(folder.name),
    )
    assert [folder.name for folder in step_folders(tmp_path / "run")] == ["step_00000003", "step_00000004"]
    assert len(seen) == 4


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what is read as Linux tells it")
def test_a_part_of_a_checkpoint_is_read_without_the_rest(tmp_path: Path) -> None:
    state = {"optimizer": torch.ones(2_000_000), "heads": {"a": torch.arange(5.0)}}
    torch.save(state, tmp_path / STATE_FILE)

    def read_bytes() -> int:
        told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(told["rchar"])

    before = read_bytes()
    heads = load_state(tmp_path, in_part=True)["heads"]
    assert read_bytes() - before < 1_000_000
    assert torch.equal(heads["a"], state["heads"]["a"])
    (tmp_path / STATE_FILE).write_bytes(b"half")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(tmp_path, in_part=True)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=2)
    good = run(config, faces)
    longer = config.model_copy(update={"budget": config.budget.model_copy(update={"steps": 4})})

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(CheckpointError, match=r"No space left on device.*emorph train resume"):
            run(longer, faces, resume=True)
    assert [p.name for p in (tmp_path / "run").glob("*step*")] == [good.folder.name]
    assert run(longer, faces, resume=True).step == 4


def test_a_run_is_not_started_over_another(tmp_path: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", steps=1)
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        run(config, faces, resume=True)
    run(config, faces)
    with pytest.raises(ConfigError, match=r"already holds a run\. Continue it with: emorph train resume"):
        run(config, faces)


def test_a_run_can_start_from_another_models_weights(tmp_path: Path, faces: TensorFaces) -> None:
    start = tiny_model(seed=3)
    start.save_pretrained(tmp_path / "start")
    config = run_config(tmp_path / "run", steps=1)
    still = config.optim.model_copy(update={"lr": 1e-12})
    outcome = run(config.model_copy(update={"init": str(tmp_path / "start"), "optim": still}), faces)
    found = weights(outcome.folder)
    for key, value in start.state_dict().items():
        torch.testing.assert_close(found[f"model.{key}"], value)
        torch.testing.assert_close(found[f"ema.{key}"], value)


def test_landmarks_asked_for_must_be_there(tmp_path: Path, faces: TensorFaces) -> None:
    without = TensorFaces(faces.images, torch.from_numpy(faces.labels))
    with pytest.raises(DataError, match="no column 'landmarks68'"):
        run(run_config(tmp_path / "run", steps=1), without)


def test_stats_name_the_share_of_waiting(tmp_path: Path, faces: TensorFaces) -> None:
    run(run_config(tmp_path / "run", steps=3).model_copy(update={"log": LogConfig(every_steps=1)}), faces)
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[-1]["samples"] == 12
    assert 0 <= rows[-1]["wait_share"] < 1
    assert rows[-1]["encoder_grad_norm"] > 0
    assert {"loss", "diffusion", "landmarks", "labels"} <= set(rows[0])


def test_mirrored_batch_mirrors_landmarks_and_their_names() -> None:
    points = torch.rand(2, 68, 2) * 2 - 1
    x0 = torch.rand(2, 1, 4, 4)
    turned = mirrored(Batch(x0, torch.zeros(2), points), torch.tensor([True, False]))
    assert turned.landmarks is not None
    assert torch.equal(turned.x0[0], x0[0].flip(-1))
    assert torch.equal(turned.x0[1], x0[1])
    assert torch.equal(turned.landmarks[0, 36], points[0, 45] * torch.tensor([-1.0, 1.0]))  # outer eye corners
    assert torch.equal(turned.landmarks[0, 48], points[0, 54] * torch.tensor([-1.0, 1.0]))  # mouth corners
    assert torch.equal(turned.landmarks[1], points[1])
    assert [MIRRORED[i] for i in MIRRORED] == list(range(68))


def test_learning_rate_warms_up_and_falls() -> None:
    optim = OptimConfig(lr=1.0, warmup_steps=10, decay_share=0.5)
    rates = [learning_rate(optim, step, 100) for step in (0, 9, 30, 50, 75, 99)]
    np.testing.assert_allclose(rates, [0.1, 1, 1, 1, 0.5, 0.02])


def test_ema_follows_slowly_after_its_warm_up() -> None:
    source, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(average.weight)
    ema = EMA(average, decay=0.5)
    torch.nn.init.ones_(source.weight)
    ema.update(source)
    assert float(average.weight) == pytest.approx(1 - 2 / 11)  # (1 + n) / (10 + n) at n = 1
    for _ in range(10):
        ema.update(source)
    assert float(average.weight) == pytest.approx(1, abs=1e-3)


def test_seeds_of_neighbouring_steps_differ() -> None:
    seeds = {hash_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(3)}
    assert len(seeds) == 450


def test_classifier_finds_separable_classes_and_is_reproducible() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(8, 32, generator=generator)
    labels = torch.arange(8).repeat(20)
    z = centres[labels] + torch.randn(160, 32, generator=generator)
    codes = Codes(z, labels, torch.zeros(160, 0))
    results = [train_classifier(HeadConfig(epochs=20), 0, codes, codes) for _ in range(2)]
    assert results[0].accuracy > 0.95
    assert torch.equal(results[0].directions.weight, results[1].directions.weight)
    found = results[0].directions
    assert found.means is not None
    torch.testing.assert_close(found.stats.denormalise(found.means)[3], z[labels == 3].mean(dim=0), atol=0.1, rtol=0)
    keep = (labels != 2) & (labels != 7)
    with pytest.raises(DataError, match="labelled sad, contempt"):
        train_classifier(HeadConfig(), 0, Codes(z[keep], labels[keep], codes.confounds[keep]), codes)


def test_means_of_few_faces_are_told_by_what_the_others_differ_in() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(5, 64, generator=generator)
    truth[4] = (truth[0] + truth[1]) / 2  # a rare class that is a mixture of two common ones
    labels = torch.tensor([0] * 200 + [1] * 200 + [2] * 200 + [3] * 200 + [4] * 5)
    z = truth[labels] + 2 * torch.randn(805, 64, generator=generator)
    plain = torch.stack([z[labels == k].mean(dim=0) for k in range(5)])
    careful = guarded(class_means(z, labels, 5), torch.bincount(labels)).float()
    error = [(means - truth).square().sum(dim=1) for means in (plain, careful)]
    assert error[1][4] < 0.3 * error[0][4]
    assert error[1][:4].sum() < 1.05 * error[0][:4].sum()
    span = careful[:4] - careful[:4].mean(dim=0)
    outside = (careful[4] - careful[:4].mean(dim=0)) @ (torch.eye(64) - torch.linalg.pinv(span) @ span)
    assert float(outside.norm()) < 1e-3


def test_confounds_are_taken_out_of_the_class_means() -> None:
    """Two classes that differ in an expression and in light: only the expression's difference stays."""
    generator = torch.Generator().manual_seed(0)
    expression, light = torch.randn(16, generator=generator), torch.randn(16, generator=generator)
    labels = torch.arange(400) % 2
    brightness = labels + torch.randn(400, generator=generator)
    z = labels[:, None] * expression + brightness[:, None] * light + 0.1 * torch.randn(400, 16, generator=generator)
    means = torch.stack([z[labels == k].mean(dim=0) for k in range(2)])
    cleaned = class_means(z, labels, 2, confounds=brightness[:, None]).means.float()

    def share(direction: torch.Tensor, step: torch.Tensor) -> float:
        """The coefficient of ``direction`` when ``step`` is written with both."""
        both = torch.stack([expression, light], dim=1)
        return float(torch.linalg.lstsq(both, step).solution[0 if direction is expression else 1])

    before, after = means[1] - means[0], cleaned[1] - cleaned[0]
    assert share(light, before) > 0.8
    assert abs(share(light, after)) < 0.05
    assert share(expression, after) == pytest.approx(1, abs=0.05)
    unvarying = class_means(z, labels, 2, confounds=torch.ones(400, 1)).means.float()
    torch.testing.assert_close(unvarying[1] - unvarying[0], before, atol=0.01, rtol=0.01)


def test_light_and_pose_turn_with_the_picture() -> None:
    x, points = torch.rand(3, 1, 8, 8) * 2 - 1, torch.rand(3, 68, 2)
    straight = light_and_pose(x, points)
    turned = light_and_pose(x.flip(-1), mirrored_landmarks(points))
    sign = torch.tensor([1.0, 1, -1, 1, -1, 1])  # the slope across and the nose's side change sign
    torch.testing.assert_close(turned, straight * sign)


def test_codes_are_cached_for_the_same_model_and_data_only(tmp_path: Path) -> None:
    store = FaceStore(make_store(tmp_path / "faces.parquet", 9), side_px=32, channels=1)
    model = tiny_model()
    codes = encode_all(model, store, tmp_path / "z", mirror=True)
    assert codes.z.shape == (18, 32)
    with torch.inference_mode():
        torch.testing.assert_close(codes.z[9], model.encode(unit_range(store[0]["image"][None]).flip(-1))[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffAE, "encode", None)  # a second call must not encode
        again = encode_all(model, store, tmp_path / "z", mirror=True)
        assert torch.equal(again.z, codes.z)
        with pytest.raises(TypeError):
            encode_all(tiny_model(seed=1), store, tmp_path / "z", mirror=True)
