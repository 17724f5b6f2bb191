"""The judge: what it does not look at, that it learns, and that it can be stopped and resumed."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.core.errors import CheckpointError, ConfigError, DataError, ShapeError
from emorph.core.expressions import Emotion
from emorph.data.memory import TensorFaces
from emorph.evaluate.judges.own import judge_crops
from emorph.evaluate.metrics.emotion import confusion
from emorph.models.judge import Judge, JudgeConfig
from emorph.train.loop import train
from emorph.train.tasks import config_class
from emorph.train.tasks.judge import N_DRAWS, AugmentConfig, JudgeRunConfig, augmented, label_rows

LABELS = ("neutral", "happy", "surprise")
SMALL = {"labels": LABELS, "image_size": 16, "channels": (8, 16), "num_res_blocks": 1}


def small_judge(seed: int = 0) -> Judge:
    torch.manual_seed(seed)
    judge = Judge(JudgeConfig.parse(SMALL))
    for name, value in judge.state_dict().items():
        if name.endswith("norm2.weight"):
            value.fill_(1.0)  # blocks that do something
    return judge.eval()


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.6


def drawn(label: int, rng: np.random.Generator) -> np.ndarray:
    """A made face whose bar tells the label: across the bottom, the middle, or none."""
    picture = rng.normal(128, 20, (16, 16))
    if label:
        picture[{1: 11, 2: 6}[label] :][:3] += 90
    return np.clip(picture, 0, 255).astype(np.uint8)


def made_faces(n: int, seed: int) -> TensorFaces:
    rng = np.random.default_rng(seed)
    labels = [i % 3 for i in range(n)]
    codes = [Emotion.parse(LABELS[k]).value for k in labels]
    images = torch.from_numpy(np.stack([drawn(k, rng) for k in labels]))[:, None]
    return TensorFaces(images, torch.tensor(codes))


def run_config(out: Path, **budget: float) -> JudgeRunConfig:
    values = {
        "task": "judge",
        "out": str(out),
        "data": {"path": "faces.parquet"},
        "model": SMALL,
        "augment": {"shift": 0.02, "turn_deg": 5.0, "hide_share": 0.0},
        "optim": {"batch_size": 12, "micro_batch": 6, "lr": 3e-3, "ema_decay": 0.9},
        "budget": budget,
    }
    return JudgeRunConfig.parse(values)


def test_light_and_contrast_and_side_do_not_matter() -> None:
    judge, x = small_judge(), pictures(4)
    with torch.inference_mode():
        torch.testing.assert_close(judge(0.5 * x + 0.2), judge(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(judge.probabilities(x.flip(-1)), judge.probabilities(x))
    torch.testing.assert_close(judge.probabilities(x).sum(dim=1), torch.ones(4))


def test_answers_do_not_depend_on_the_batch() -> None:
    judge, x = small_judge(), pictures(5)
    alone = np.concatenate([judge_crops(judge, [crop]) for crop in x])
    np.testing.assert_allclose(judge_crops(judge, list(x)), alone, atol=1e-5)
    assert judge_crops(judge, []).shape == (0, 3)


def test_a_saved_judge_answers_the_same(tmp_path: Path) -> None:
    judge, x = small_judge(), pictures(4)
    judge.save_pretrained(tmp_path / "whole")
    assert torch.equal(Judge.from_pretrained(tmp_path / "whole").probabilities(x), judge.probabilities(x))
    judge.save_pretrained(tmp_path / "half", dtype=torch.float16)
    half = Judge.from_pretrained(tmp_path / "half")
    torch.testing.assert_close(half.probabilities(x), judge.probabilities(x), atol=1e-2, rtol=0)
    assert half.config == judge.config


def test_wrong_judges_and_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not divisible by 4, which channels asks for"):
        JudgeConfig.parse({**SMALL, "image_size": 18})
    with pytest.raises(ShapeError, match=r"takes float pictures .*\(B, 1, 16, 16\)"):
        small_judge()(torch.zeros(2, 3, 16, 16))
    small_judge().save_pretrained(tmp_path / "judge")
    meta = json.loads((tmp_path / "judge" / "config.json").read_text())
    meta["config"]["channels"] = [8, 24]
    (tmp_path / "judge" / "config.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match=r"does not fit: blocks\.1\.conv1\.weight has shape"):
        Judge.from_pretrained(tmp_path / "judge")


def test_it_learns_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    faces = made_faces(60, seed=0)

    def run(config: JudgeRunConfig, *, resume: bool = False) -> Judge:
        outcome = train(config, faces, accelerator="cpu", devices=1, show_progress=False, resume=resume)
        return Judge.from_pretrained(outcome.folder / "ema")

    whole = run(run_config(tmp_path / "whole", steps=60))
    held_out = made_faces(90, seed=1)
    x = held_out.images.float() / 127.5 - 1
    rows = label_rows(whole.config)[torch.from_numpy(held_out.labels)]
    assert float((whole.probabilities(x).argmax(dim=1) == rows).float().mean()) > 0.9

    original, calls = torch.optim.AdamW.step, 0

    def interrupted(self: torch.optim.AdamW, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args)

    config = run_config(tmp_path / "broken", steps=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        run(config)
    resumed = run(config, resume=True).state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.state_dict().items() if value.ndim)


def test_faces_of_an_unknown_emotion_are_refused(tmp_path: Path) -> None:
    faces = made_faces(6, seed=0)
    faces.labels[2] = Emotion.FEAR.value
    with pytest.raises(DataError, match=r"labelled fear, which model\.labels does not name"):
        train(run_config(tmp_path / "run", steps=1), faces, accelerator="cpu", devices=1, show_progress=False)


def test_rare_emotions_are_lifted_once(tmp_path: Path) -> None:
    faces = made_faces(9, seed=0)
    faces.labels[3:] = Emotion.HAPPY.value  # one neutral, one surprise, seven happy
    config = run_config(tmp_path, steps=1)
    np.testing.assert_allclose(config.build(faces, None).weight, [7**0.5, 1, 7**0.5], rtol=1e-6)
    evened = np.where(faces.labels == Emotion.HAPPY.value, 1.0, 7.0)
    np.testing.assert_allclose(config.build(faces, evened).weight, [1, 1, 1], rtol=1e-6)


def test_faces_are_mirrored_only_if_asked(tmp_path: Path) -> None:
    faces = made_faces(6, seed=0)
    still = AugmentConfig(turn_deg=0, zoom=0, stretch=0, shift=0, gamma=0, noise=0, hide_share=0, mix=0)
    items = {"image": faces.images, "label": torch.from_numpy(faces.labels)}
    as_they_are = faces.images.float() / 127.5 - 1
    same = {}
    for mirror in (True, False):
        config = run_config(tmp_path, steps=1).model_copy(update={"augment": still})
        config = config.model_copy(update={"data": config.data.model_copy(update={"mirror": mirror})})
        x, _ = config.build(faces, None).draw(items, list(range(6)), torch.device("cpu"))
        same[mirror] = int(((x - as_they_are).abs().amax(dim=(1, 2, 3)) < 1e-4).sum())
    assert same[False] == 6
    assert 0 < same[True] < 6


@pytest.mark.parametrize("task", ["judge", "latent"])
def test_a_weight_of_time_steps_is_refused_where_there_is_none(tmp_path: Path, task: str) -> None:
    own = {"judge": {"model": SMALL}, "latent": {"autoencoder": "emorph-base"}}[task]
    values = {"task": task, "out": "run", "data": {"path": "x"}, "budget": {"steps": 1}, **own}
    config_class(task).parse(values)
    with pytest.raises(ConfigError, match=r"optim\.loss_weight = 'p2'.*leave it out"):
        config_class(task).parse({**values, "optim": {"loss_weight": "p2"}})


def test_changes_are_as_large_as_they_are_stated() -> None:
    x = pictures(2)
    still = AugmentConfig(turn_deg=0, zoom=0, stretch=0, shift=0, gamma=0, noise=0, hide_share=0)
    draws = torch.full((2, N_DRAWS), 0.75)
    draws[0, 0] = 0.25  # mirrors the first
    found = augmented(x, draws, torch.zeros_like(x), still)
    torch.testing.assert_close(found, torch.stack([x[0].flip(-1), x[1]]), atol=1e-5, rtol=0)
    moved = augmented(x, torch.ones(2, N_DRAWS), torch.zeros_like(x), still.model_copy(update={"shift": 2 / 16}))
    torch.testing.assert_close(moved[..., :14, :14], x[..., 2:, 2:], atol=1e-4, rtol=0)
    hidden = still.model_copy(update={"hide_share": 1.0, "hide_px": (4, 4)})
    blot = augmented(x, torch.full((2, N_DRAWS), 0.5), torch.zeros_like(x), hidden)
    assert int(((blot - x).abs() > 1e-4).any(dim=0).sum()) == 4 * 4


def test_confusion_counts_and_refuses_what_cannot_be_measured() -> None:
    emotions = (Emotion.NEUTRAL, Emotion.HAPPY)
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    found = confusion(emotions, [Emotion.NEUTRAL, Emotion.NEUTRAL, Emotion.HAPPY], answers)
    assert found.counts.tolist() == [[1, 1], [0, 1]]
    assert found.recall(Emotion.NEUTRAL) == (0.5, 2)
    assert found.accuracy == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="this judge has no contempt"):
        confusion(emotions, [Emotion.CONTEMPT], answers[:1])


def test_the_command_trains_and_tells_the_recall(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        _, png = cv2.imencode(".png", drawn(i % 3, rng))
        rows.append({"image": png.tobytes(), "label": LABELS[i % 3], "split": "val" if i % 4 == 0 else "train"})
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "faces.parquet"))
    config = run_config(tmp_path / "run", steps=3)
    data = config.data.model_copy(update={"split": "train"})
    (tmp_path / "judge.toml").write_text(config.model_copy(update={"out": "run", "data": data}).to_toml())
    result = CliRunner().invoke(app, ["train", "run", str(tmp_path / "judge.toml"), "--devices", "1"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "run" / "step_00000003" / "ema")
    assert "3 steps x batch 12 = 36 samples" in result.stderr
    assert "(n = 10)" in result.stderr
