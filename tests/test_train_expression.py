"""Expression editing as a task: what it draws, what its losses are, and that its result is an ordinary model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emorph.core.errors import CheckpointError, ConfigError, DataError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.core.pretrained import stated_losses
from emorph.core.tone import face_window
from emorph.core.types import CropSpec, Target
from emorph.data.memory import TensorFaces
from emorph.diffusion.process import q_sample, x0_from
from emorph.diffusion.samplers import solver
from emorph.edit.latent import edited_codes
from emorph.edit.pipeline import Editor
from emorph.models.beside import directions_beside, fit_note
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions, LatentStats
from emorph.models.judge import Judge
from emorph.models.port import convert, load
from emorph.models.shift import asked_for, covering
from emorph.train.draws import KnownFaces
from emorph.train.loop import train
from emorph.train.plan import plan_of
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.expression import ExpressionConfig, TargetsConfig
from emorph.train.tasks.expression_crops import ffhq_crop
from emorph.train.tasks.expression_networks import Answer, AskedNetwork, open_network
from emorph.train.tasks.expression_task import ExpressionTask
from made_expression import (
    SIDE,
    expression_config,
    labelled_faces,
    made_shift,
    write_judge,
    write_networks,
    write_start,
)

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
CPU = torch.device("cpu")
WAYS = ("one_step", "chain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("expression")
    write_start(path / "start")
    write_judge(path / "judge")
    return path


def task_of(config: ExpressionConfig, faces: TensorFaces | None = None) -> ExpressionTask:
    """A task that has started."""
    torch.manual_seed(0)
    task = ExpressionTask(config, faces or labelled_faces())
    task.model.load_state_dict(task.start(config.start_model).state_dict())
    return task


def batch(task: ExpressionTask, rows: range = range(4)) -> dict[str, Tensor]:
    items = [(task.items or task.faces)[i] for i in rows]
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def losses(task: ExpressionTask, rows: range = range(4)) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = task.loss(*task.draw(batch(task, rows), list(rows), CPU))
    return parts


# -- what is drawn


def test_a_target_is_another_emotion_and_a_strength_and_follows_from_the_seed() -> None:
    targets = TargetsConfig(strength=(0.5, 1.0))
    known = (Emotion.NEUTRAL, Emotion.HAPPY, Emotion.SAD)
    drawn = [targets.drawn(seed, Emotion.HAPPY, known) for seed in range(300)]
    counts = {emotion: sum(target.emotion == emotion for target in drawn) for emotion in known}
    assert counts[Emotion.HAPPY] == 0
    assert min(counts[Emotion.NEUTRAL], counts[Emotion.SAD]) > 110
    strengths = [target.strength for target in drawn]
    assert 0.5 <= min(strengths) < 0.52
    assert 0.98 < max(strengths) <= 1
    assert targets.drawn(7, Emotion.HAPPY, known) == drawn[7]
    affect = [TargetsConfig(by="affect").drawn(seed, -1, ()) for seed in range(100)]
    assert all(target.emotion is None and target.valence is not None for target in affect)
    assert min(target.valence or 0 for target in affect) < -0.9


@pytest.mark.parametrize("way", WAYS)
def test_a_face_does_not_depend_on_its_batch_and_its_code_is_the_editors(folder: Path, way: str) -> None:
    task = task_of(expression_config(folder, "run", pictures={"way": way, "evaluations": 4}, trains="both"))
    assert task.model.shift is not None
    with torch.no_grad():
        for own, other in zip(task.model.shift.parameters(), made_shift(hidden=256).held().values(), strict=True):
            own.copy_(other)
    together = task.draw(batch(task), list(range(4)), CPU)
    alone = task.draw(batch(task, range(2, 3)), [2], CPU)
    for mine, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(mine[2:3], theirs, rtol=1e-5, atol=1e-5)
    x, _, z, z_to, asked, strength, *_ = together
    torch.testing.assert_close(z, task.model.autoencoder.encode(x))
    shifted = task.model.shifted(z, z_to, asked, strength)
    for i, row in enumerate(asked):
        target = Target(Emotion(int(row[:8].argmax())), float(strength[i]))
        (expected,) = edited_codes(z[i : i + 1], task.model.directions_now(), [target])[:, 0]
        torch.testing.assert_close(shifted[i], expected)
    assert not torch.allclose(shifted, z_to, atol=1e-3)


def test_a_shift_is_nothing_at_strength_0_and_at_the_start_of_its_training(folder: Path, tmp_path: Path) -> None:
    z = torch.randn(3, 32)
    plain = directions_beside(folder / "start")
    assert plain is not None
    with_shift = replace(plain, shift=made_shift())
    same = edited_codes(z, with_shift, [Target(Emotion.SAD, 0.0)])[:, 0]
    assert torch.equal(same, z)
    by = [edited_codes(z, which, [Target(Emotion.SAD, 1.0)]) for which in (plain, with_shift)]
    assert not torch.allclose(*by, atol=0.1)
    near = edited_codes(z, with_shift, [Target(Emotion.SAD, 1e-4)])[:, 0]
    torch.testing.assert_close(near, z, rtol=0, atol=0.01)
    with_shift.save_pretrained(tmp_path / "directions")
    again = Directions.from_pretrained(tmp_path / "directions")
    assert torch.equal(edited_codes(z, again, [Target(Emotion.SAD, 1.0)]), by[1])
    task = task_of(expression_config(folder, "run", trains="shift"))
    code = task.draw(batch(task), [0, 1, 2, 3], CPU)
    assert torch.equal(task.model.shifted(code[2], code[3], code[4], code[5]), code[3])


def test_a_shift_adds_nothing_to_what_it_was_not_trained_for(folder: Path, tmp_path: Path) -> None:
    """Not to contempt, which the network of the losses does not know, nor to valence; on the way of a whole run."""
    task = task_of(expression_config(folder, "run", trains="shift"))
    assert task.model.shift is not None
    assert task.model.directions is not None
    assert Emotion.CONTEMPT not in task.known
    for own, other in zip(task.model.shift.parameters(), made_shift(hidden=256).held().values(), strict=True):
        own.data.copy_(other)
    task.model.save_pretrained(tmp_path / "model")
    found = directions_beside(tmp_path / "model")
    assert found is not None
    assert found.shift is not None
    assert fit_note(tmp_path / "model", task.model.autoencoder, tmp_path / "model" / "directions") == ""
    z = torch.randn(3, 32)
    for target in (Target(Emotion.CONTEMPT, 1.0), Target(task.known[0], 1.0)):
        shifted, plain = (edited_codes(z, which, [target]) for which in (found, replace(found, shift=None)))
        assert torch.equal(shifted, plain) == (target.emotion == Emotion.CONTEMPT)
    assert not shift_for(found, z, Target(None, 1.0, -0.5, 0.5)).any()


def test_a_shift_covers_what_it_goes_on_from_and_its_own_targets(folder: Path) -> None:
    sad, pleasant = Target(Emotion.SAD), Target(None, 1.0, 0.7)
    before = covering(None, [sad])
    plain = directions_beside(folder / "start")
    assert plain is not None
    found = replace(plain, shift=replace(made_shift(), covers=covering(before, [pleasant])))
    z = torch.randn(1, 32)
    assert shift_for(found, z, sad).any()
    assert shift_for(found, z, pleasant).any()
    assert not shift_for(found, z, Target(Emotion.HAPPY)).any()
    assert not shift_for(found, z, Target(None, 1.0, None, 1)).any()


def test_a_face_that_shows_what_is_asked_for_is_hardly_shifted(folder: Path) -> None:
    plain = directions_beside(folder / "start")
    assert plain is not None
    found = replace(plain, shift=made_shift())
    row = [Emotion.known(label) for label in found.labels].index(Emotion.SAD)
    z = torch.randn(3, 32)
    for amount in (-2.0, 0.0, 2.0):
        shown = found.stats.denormalise(found.stats.normalise(z) + amount * found.weight[row])
        seen = found.logits(shown).softmax(dim=1)[:, row : row + 1]
        assert found.shift is not None
        whole = found.shift.step(found.stats.normalise(shown), *as_asked(Target(Emotion.SAD), 3))
        torch.testing.assert_close(shift_for(found, shown, Target(Emotion.SAD)), (1 - seen) * found.stats.std * whole)


def test_beyond_strength_1_a_shift_adds_no_more(folder: Path) -> None:
    plain = directions_beside(folder / "start")
    assert plain is not None
    found, z = replace(plain, shift=made_shift()), torch.randn(2, 32)
    half, whole, more = (shift_for(found, z, Target(Emotion.SAD, strength)) for strength in (0.5, 1.0, 1.5))
    assert torch.equal(whole, more)
    assert not torch.allclose(half, whole)


def as_asked(target: Target, n: int) -> tuple[Tensor, Tensor]:
    return asked_for(target).expand(n, -1), torch.full((n, 1), target.strength)


def shift_for(directions: Directions, z: Tensor, target: Target) -> Tensor:
    return directions.shifted_by(z, *as_asked(target, len(z)))


# -- what the losses are


def test_one_step_is_the_definition_computed_by_hand(folder: Path) -> None:
    task = task_of(expression_config(folder, "run"))
    x, start, z, z_to, asked, strength, points, t, noise = task.draw(batch(task), [0, 1, 2, 3], CPU)
    parts = task.loss(x, start, z, z_to, asked, strength, points, t, noise)
    model, judge = load(folder / "start"), Judge.from_pretrained(folder / "judge")
    alpha_bar = torch.tensor(model.diffusion.alphas_cumprod, dtype=torch.float32)[t]
    a, s = (v.sqrt()[:, None, None, None] for v in (alpha_bar, 1 - alpha_bar))
    x_t = a * x + s * noise
    drawn = ((x_t - s * model(x_t, t, z_to)) / a).clamp(-1, 1)
    crops = ffhq_crop(drawn, ((points + 1) * SIDE - 1) / 2, 16, judge.config.crop)
    target = asked[:, :7].argmax(dim=1)
    missed = torch.nn.functional.cross_entropy(judge(crops), target, reduction="none")
    torch.testing.assert_close(parts["expression"], (missed * strength[:, 0] * alpha_bar).mean(), rtol=1e-4, atol=1e-6)
    outside = 1 - face_window(SIDE)
    change = ((drawn - x).abs() * outside).sum(dim=(1, 2, 3)) / outside.sum()
    torch.testing.assert_close(parts["surroundings"], (change * alpha_bar).mean(), rtol=1e-4, atol=1e-6)
    error = (model.predict(x_t, t, z) - (a * noise - s * x)).square().mean()
    torch.testing.assert_close(parts["reconstruction"], error, rtol=1e-4, atol=1e-6)
    total = parts["expression"] + parts["surroundings"] + parts["reconstruction"]
    torch.testing.assert_close(parts["loss"], total)


def test_valence_and_arousal_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_start(tmp_path / "start", affect=True)
    write_judge(tmp_path / "judge")
    judge = open_network(str(tmp_path / "judge"), "emotion")

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        return Answer(affect=module(crops)[:, :2])

    of_affect = AskedNetwork(**{**vars(judge), "answer": answer, "has_affect": True})
    monkeypatch.setattr("emorph.train.tasks.expression_settings.open_network", lambda *_, **__: of_affect)
    config = expression_config(tmp_path, "run", targets={"by": "affect"}, data={"balance": "none"})
    faces = labelled_faces()
    task = task_of(config, TensorFaces(faces.images, torch.full((len(faces),), -1), faces.landmarks))
    drawn_faces = task.draw(batch(task), [0, 1, 2, 3], CPU)
    _, start, _, z_to, asked, strength, points, t, noise = drawn_faces
    assert asked[:, :8].abs().sum() == 0
    model = task.model.autoencoder
    x_t = q_sample(start, t, noise, model.rates)
    drawn = x0_from(model.predict(x_t, t, z_to), x_t, t, model.rates, "v").clamp(-1, 1)
    crops = ffhq_crop(drawn, ((points + 1) * SIDE - 1) / 2, 16, CropSpec(1.4, (0.0, 0.07)))
    missed = (judge.module(crops)[:, :2] - asked[:, 8:10]).square().sum(dim=1)
    expected = (missed * strength[:, 0] * model.rates[t, 0].square()).mean()
    torch.testing.assert_close(task.loss(*drawn_faces)["expression"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver_name", ["dpm", "ddim"])
def test_a_chain_draws_the_editors_picture_and_its_gradient_is_that_of_keeping_everything(
    folder: Path, solver_name: str
) -> None:
    task = task_of(expression_config(folder, "run", pictures={"way": "chain", "evaluations": 4, "solver": solver_name}))
    inputs = task.draw(batch(task), [0, 1, 2, 3], CPU)
    start, z_to = inputs[1], inputs[3]
    model = task.model.autoencoder
    found = task.loss.chain(start, z_to)
    chosen = solver(solver_name)
    schedule = chosen.schedule(model.diffusion, 4)
    kept = chosen.sample(model.denoiser(z_to), start, schedule).clamp(-1, 1)
    torch.testing.assert_close(found, kept)
    with torch.no_grad():
        x_T = chosen.invert(model.denoiser(inputs[2]), inputs[0], schedule)
    torch.testing.assert_close(start, x_T, rtol=1e-3, atol=1e-3)  # kept in 16 bits
    gradients = []
    for picture in (found, kept):
        model.zero_grad()
        picture.square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_start_is_moved_as_the_editor_moves_it(tmp_path: Path) -> None:
    write_networks(tmp_path)
    task = task_of(expression_config(tmp_path, "run"))
    still = task_of(expression_config(tmp_path, "run", pictures={"move": False}))
    moves, stays = (each.draw(batch(task), [0, 1, 2, 3], CPU) for each in (task, still))
    assert torch.equal(moves[0], stays[0])
    assert torch.equal(stays[1], stays[0])
    assert float((moves[1] - moves[0]).abs().mean()) > 0.01
    edge = torch.ones(SIDE, SIDE, dtype=torch.bool)
    edge[4:-4, 4:-4] = False
    assert float((moves[1] - moves[0]).abs()[..., edge].mean()) < 0.3 * float((moves[1] - moves[0]).abs().mean())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trains", ["unet", "shift", "both"])
def test_what_trains_is_what_was_asked_and_it_learns(folder: Path, way: str, trains: str) -> None:
    config = expression_config(folder, "run", trains=trains, pictures={"way": way, "evaluations": 2, "move": False})
    task = task_of(config)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    learning = [p for p in task.loss.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-3 if trains == "unet" else 1e-2)
    history = []
    for _ in range(4 if way == "chain" else 12):
        loss = losses(task)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0]
    changed = {name.split(".")[0] for name, value in task.model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"unet": {"autoencoder"}, "shift": {"shift"}, "both": {"autoencoder", "shift"}}[trains]
    encoder = {name for name in before if name.startswith("autoencoder.encoder.")}
    assert all(task.model.state_dict()[name].equal(before[name]) for name in encoder)


def test_networks_in_losses_are_neither_trained_nor_saved_with_the_run(folder: Path) -> None:
    task = task_of(expression_config(folder, "run"))
    judge = Judge.from_pretrained(folder / "judge").state_dict()
    names = set(task.loss.state_dict())
    assert names == {f"model.{name}" for name in task.model.state_dict()}
    assert not any(p.requires_grad for part in task.loss.frozen for p in part.parameters())
    task.loss.to(torch.float64)
    (asked,) = task.loss.frozen
    assert next(asked.parameters()).dtype == torch.float64  # they go where the loss goes
    task.loss.to(torch.float32).train()
    assert not any(part.training for part in task.loss.modules())
    assert not asked.training
    assert all(torch.equal(value, asked.state_dict()[name]) for name, value in judge.items() if value.ndim)


# -- the result


def test_the_result_is_an_ordinary_model(folder: Path, tmp_path: Path, photo: Any, landmarks: Any) -> None:
    config = expression_config(folder, "result", trains="both", budget={"steps": 2}, samples={"n": 2})
    end = train(config, labelled_faces(), accelerator="cpu", devices=1, show_progress=False)
    assert (Path(config.out) / "samples" / "step_00000002.png").exists()
    for name in (end.folder / "ema", end.folder):
        editor = Editor.from_pretrained(name, device="cpu", steps=4)
        assert editor.directions is not None
        assert editor.directions.shift is not None
    face = editor.align(photo, [landmarks])
    nothing, sad = editor.edit_faces(photo, face, [Target(Emotion.SAD, 0.0), Target(Emotion.SAD)])
    assert np.array_equal(nothing.photo.pixels, photo.pixels)
    assert not np.array_equal(sad.photo.pixels, photo.pixels)
    (row,) = stated_losses(end.folder / "ema")
    assert (row["name"], row["data"]) == ("judge", [])
    card = (end.folder / "ema" / "README.md").read_text()
    assert f"judge (weights {row['fingerprint']})" in card
    convert(end.folder, tmp_path / "copy")
    assert stated_losses(tmp_path / "copy") == (row,)
    # another training goes on from it, and still says so
    aux = {"task": "autoencoder", "model": DiffAE.from_pretrained(end.folder / "ema").config.model_dump(mode="json")}
    rest = {"init": str(end.folder), "out": str(tmp_path / "on"), "data": {"path": "x"}, "budget": {"steps": 1}}
    on = AutoencoderConfig.parse({**aux, **rest, "samples": {"n": 0}})
    after = train(on, labelled_faces(), accelerator="cpu", devices=1, show_progress=False)
    assert stated_losses(after.folder / "ema") == (row,)
    write_judge(tmp_path / "second", seed=9)
    second = expression_config(
        folder, "second", init=str(end.folder), budget={"steps": 1}, trains="unet",
        losses={"emotion_networks": [str(tmp_path / "second")]},
    )  # fmt: skip
    step_2 = train(second, labelled_faces(), accelerator="cpu", devices=1, show_progress=False)
    assert [row["name"] for row in stated_losses(step_2.folder / "ema")] == ["judge", "second"]
    kept = directions_beside(step_2.folder)
    assert kept is not None
    assert kept.shift is not None  # it is used, but no longer learns
    assert torch.equal(kept.shift.outer_weight, editor.directions.shift.outer_weight)


# -- what is refused


def test_unlabelled_faces_are_refused(folder: Path) -> None:
    faces = labelled_faces()
    bare = TensorFaces(faces.images, torch.full((len(faces),), -1), faces.landmarks)
    with pytest.raises(DataError, match=r"^no face of faces.parquet is labelled with an emotion"):
        task_of(expression_config(folder, "run"), bare)
    without = TensorFaces(faces.images, torch.from_numpy(faces.labels))
    with pytest.raises(DataError, match="no column 'landmarks68'"):
        task_of(expression_config(folder, "run"), without)
    half = TensorFaces(faces.images, torch.arange(24) % 8 - 1, faces.landmarks)
    config = expression_config(folder, "run")
    usable = task_of(config, half).usable
    assert usable is not None
    said = plan_of(config, KnownFaces.read(config.data, half), usable=usable).warnings
    assert f"{(~usable).sum()} of {len(half)} faces are not labelled with an emotion; they are left out." in said


def test_directions_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    own = directions_beside(folder / "start")
    assert own is not None
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    other = replace(own, stats=LatentStats(own.stats.mean[order], own.stats.std[order]))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="look like the directions of another model"):
        task_of(expression_config(folder, "run", directions=str(tmp_path / "other")))
    assert task_of(expression_config(folder, "run", directions=str(tmp_path / "other"), directions_within=100.0))
    z_dim = own.weight.shape[1] // 2
    small = Directions(
        own.weight[:, :z_dim], own.bias, own.labels, LatentStats(own.stats.mean[:z_dim], own.stats.std[:z_dim])
    )
    small.save_pretrained(tmp_path / "small")
    with pytest.raises(CheckpointError, match=r"are for z_sem of 16 numbers, but .* has 32: they are another model's"):
        task_of(expression_config(folder, "run", directions=str(tmp_path / "small")))
    DiffAE.from_pretrained(folder / "start").save_pretrained(tmp_path / "bare")
    with pytest.raises(Exception, match="comes without directions"):
        task_of(expression_config(folder, "run", init=str(tmp_path / "bare")))


def test_networks_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    write_judge(tmp_path / "wide", zoom=1.0)
    with pytest.raises(ConfigError, match=r"wide looks at another crop of a face: .* show 4\d% of it"):
        task_of(expression_config(folder, "run", losses={"emotion_networks": [str(tmp_path / "wide")]}))
    shape = {"shape": 1.0, "shape_network": str(folder / "judge")}
    with pytest.raises(ConfigError, match="judge names emotions, but the loss needs a network that reads a face's sha"):
        task_of(expression_config(folder, "run", losses=shape))
    with pytest.raises(ConfigError, match=r'targets\.by = "affect" asks for valence and arousal'):
        task_of(expression_config(folder, "run", targets={"by": "affect"}))
    with pytest.raises(CheckpointError, match="start is no network that a loss can ask"):
        task_of(expression_config(folder, "run", losses={"emotion_networks": [str(folder / "start")]}))
    with pytest.raises(ConfigError, match="nothing that trains = 'shift' could learn from"):
        expression_config(folder, "run", trains="shift", losses={"expression": 0.0, "surroundings": 0.0})
    with pytest.raises(ConfigError, match="set init to its folder or name"):
        expression_config(folder, "run", init=None)


Command = Callable[..., tuple[int, str, str]]


def test_a_plan_needs_no_files_of_networks(folder: Path, emorph: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(folder / "nothing"))
    losses = {"emotion_networks": ["emonet_8"], "shape": 1.0, "shape_network": "deca"}
    config = expression_config(
        folder, "run", losses=losses, data={"path": "none", "assumed_faces": {"happy": 60, "sad": 40}}
    )
    (folder / "plan.toml").write_text(config.to_toml())
    status, out, err = emorph("train", "plan", folder / "plan.toml", "--no-warm-up", "--json")
    assert status == 0, err
    plan = json.loads(out)
    sizes = sum(p.numel() for p in load(folder / "start").parameters())
    assert plan["needs"]["parameters"] == sizes
    assert plan["needs"]["weights"] > 4 * sizes + 4 * 25e6  # DECA's ResNet-50 alone has 25 million
    assert plan["needs"]["activations"] > 0
    status, out, err = emorph("train", "run", folder / "plan.toml")
    assert status != 0


def test_images_are_those_of_the_set(folder: Path) -> None:
    task = task_of(expression_config(folder, "run", data={"mirror": False}))
    assert torch.equal(task.draw(batch(task), [0, 1, 2, 3], CPU)[0], unit_range(labelled_faces().images[:4]))
