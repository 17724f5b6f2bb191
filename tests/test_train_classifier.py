"""The classifier's measurements, and valence and arousal as directions that can be edited along."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ConfigError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.types import Target
from emorph.edit import latent
from emorph.evaluate.metrics.emotion import Confusion
from emorph.models.directions import Directions
from emorph.train.calibration import calibration, expected_error, fit_temperature, reliability
from emorph.train.codes import Codes
from emorph.train.tasks.affect import fit_affect, score_affect
from emorph.train.tasks.class_means import class_means
from emorph.train.tasks.classifier import ClassifierConfig, train_classifier
from emorph.train.tasks.classifier_report import lines
from emorph.train.tasks.emotion_steps import on_one_skull
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import fit_layer
from test_data import datasets, make_store
from tiny import tiny_directions, tiny_model

Command = Callable[..., tuple[int, str, str]]


def made_codes(n: int, seed: int, *, z_dim: int = 16) -> Codes:
    """Codes of eight classes that also tell valence and arousal, three in four annotated; light is mixed in."""
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(99)
    axes, centres = torch.randn(2, z_dim, generator=fixed), 2 * torch.randn(8, z_dim, generator=fixed)
    light = torch.randn(1, z_dim, generator=fixed)
    labels = torch.randint(0, 8, (n,), generator=generator)
    affect = torch.rand(n, 2, generator=generator) * 2 - 1
    brightness = affect[:, :1] + torch.randn(n, 1, generator=generator)
    z = centres[labels] + affect @ axes + brightness @ light + 0.3 * torch.randn(n, z_dim, generator=generator)
    affect[::4] = torch.nan
    return Codes(z, labels, brightness, affect=affect)


def test_temperature_is_found_and_mends_the_calibration() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 8, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)
    found = calibration(3 * logits, labels)
    assert found.ece > 0.15
    assert found.scaled_ece < 0.04
    assert found.scaled_nll < found.nll
    assert sum(b.n for b in found.bins) == 4000


def test_reliability_bins_are_what_they_say() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    low, high = reliability(probabilities, torch.tensor([0, 1, 1, 1]), n_bins=5)
    assert (low.n, low.accuracy) == (2, 1.0)
    assert (high.n, high.accuracy) == (2, 0.5)
    assert expected_error((low, high)) == pytest.approx((0.4 + 0.4) / 2)


@pytest.mark.parametrize(("balance", "even"), [("weights", True), ("sampling", True), ("none", False)])
def test_rare_classes_are_heard_if_asked(balance: Any, even: bool) -> None:
    labels = torch.cat([torch.zeros(900, dtype=torch.int64), torch.arange(1, 8).repeat(10)])
    z = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0))  # tells nothing of the class
    config = HeadConfig(epochs=30, balance=balance, weight_decay=1.0, lr=2e-2)
    _, bias = fit_layer(config, 0, labels, lambda rows: z[rows])
    assert bool(bias[0] - bias[1:].mean() < 1.0) is even


def test_valence_and_arousal_are_read_and_moved_to() -> None:
    train, held_out = made_codes(2000, 0), made_codes(400, 1)
    directions = train_classifier(HeadConfig(epochs=5), 0, train, held_out).directions
    scores = score_affect(directions, held_out)
    assert scores["valence"].n == 300
    assert min(score.ccc for score in scores.values()) > 0.5
    z = held_out.z[:50]
    now = directions.affect_of(z)
    targets = [Target(valence=0.9, arousal=-0.9), Target(valence=0.9), Target(strength=0, valence=0.5)]
    both, one, none = latent.edited_codes(z, directions, targets).unbind(1)
    assert torch.equal(none, z)
    moved = directions.affect_of(both)
    assert (moved[:, 0] > now[:, 0]).float().mean() > 0.9
    assert (moved[:, 1] < now[:, 1]).float().mean() > 0.9
    assert (directions.affect_of(one) - now)[:, 1].abs().mean() < 0.3 * (directions.affect_of(one) - now)[:, 0].mean()
    still = latent.edited_codes(z[:1], directions, [Target(valence=float(now[0, 0]), arousal=float(now[0, 1]))])
    torch.testing.assert_close(still[:, 0], z[:1], atol=1e-4, rtol=0)


def test_slopes_are_those_at_equal_light() -> None:
    """In the made codes bright faces are pleased faces; the step to valence must not be a step to light."""
    codes = made_codes(4000, 0)
    axes = fit_affect(codes.z, codes)
    assert axes is not None
    truth = torch.randn(2, 16, generator=torch.Generator().manual_seed(99))
    torch.testing.assert_close(axes.slopes[0], truth[0], atol=0.35, rtol=0)
    careless = fit_affect(codes.z, Codes(codes.z, codes.labels, torch.zeros(4000, 0), affect=codes.affect))
    assert careless is not None
    assert (careless.slopes[0] - truth[0]).norm() > 2 * (axes.slopes[0] - truth[0]).norm()


def twice(codes: Codes) -> Codes:
    """With copies in the place of mirror images: they tell nothing new."""
    both = codes.rows(torch.arange(len(codes.z)).repeat(2))
    return dataclasses.replace(both, own=torch.arange(len(both.z)) < len(codes.z))


def test_mirror_images_are_no_faces_more() -> None:
    codes = made_codes(260, 0, z_dim=48)
    noise = torch.randn(len(codes.z), 48, generator=torch.Generator().manual_seed(3))
    codes = dataclasses.replace(codes, z=codes.z + 4 * noise)
    both = twice(codes)
    found = [class_means(c.z, c.labels, 8, own=c.own) for c in (codes, both)]
    torch.testing.assert_close(found[1].means, found[0].means, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1].variance, found[0].variance, atol=0, rtol=0.05)
    careless = class_means(both.z, both.labels, 8)
    torch.testing.assert_close(careless.variance, found[0].variance / 2, atol=0, rtol=0.05)
    axes = [fit_affect(c.z, c) for c in (codes, both, dataclasses.replace(both, own=None))]
    assert all(axes)
    one, two, counted = (found.weight for found in axes if found is not None)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-3)
    assert (counted - one).norm() > 0.02 * one.norm()  # of twice the faces, a smaller ridge is the best


def test_a_skull_stays_where_it_is_when_the_crop_follows_the_mouth() -> None:
    g = torch.Generator().manual_seed(0)
    face = torch.randn(68, 2, generator=g, dtype=torch.float64)
    smiling = face.clone()
    smiling[48:] += torch.tensor([0.0, -0.1], dtype=torch.float64)
    turn = torch.tensor([[0.9, -0.2], [0.2, 0.9]], dtype=torch.float64)
    crops = torch.stack([face, 1.1 * smiling @ turn.T + 0.05])  # the crop of the smile is tighter, shifted and turned
    aligned = on_one_skull(crops)
    step = aligned[1] - aligned[0]
    assert step[:48].abs().max() < 1e-6
    assert step[48:].norm(dim=1).min() > 0.05


@pytest.mark.parametrize("key", ["balance", "class_power", "assumed_faces"])
def test_a_key_that_a_classifier_does_not_read_is_refused(key: str) -> None:
    values = {"out": "o", "model": "m", "data": {"path": "x", "split": "train"}}
    ClassifierConfig.parse(values)
    value = {"balance": "cap", "class_power": 0.5, "assumed_faces": 9}[key]
    instead = "--faces" if key == "assumed_faces" else r"head\.balance"
    with pytest.raises(ConfigError, match=rf"data\.{key} does nothing here.*leave it out; .*{instead}"):
        ClassifierConfig.parse({**values, "data": {**values["data"], key: value}})  # type: ignore[dict-item]


def test_too_few_annotations_give_no_axes() -> None:
    codes = made_codes(80, 0)
    assert fit_affect(codes.z, codes) is None
    assert fit_affect(codes.z, Codes(codes.z, codes.labels, codes.confounds)) is None


def test_directions_with_and_without_affect_are_kept(tmp_path: Path) -> None:
    codes = made_codes(800, 0)
    made = train_classifier(HeadConfig(epochs=2), 0, codes, codes).directions
    made.save_pretrained(tmp_path / "new")
    loaded = Directions.from_pretrained(tmp_path / "new")
    torch.testing.assert_close(loaded.affect_of(codes.z), made.affect_of(codes.z))
    tiny_directions().save_pretrained(tmp_path / "old")
    old = Directions.from_pretrained(tmp_path / "old")
    assert old.affect is None
    with pytest.raises(MissingAssetError, match="know emotions only, not valence and arousal"):
        latent.edited_codes(torch.randn(1, 32), old, [Target(valence=0.5)])


@pytest.mark.parametrize("wrong", [{}, {"emotion": Emotion.SAD, "valence": 0.1}, {"arousal": 1.5}])
def test_a_target_is_one_thing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Target(**wrong)


def test_an_emotion_without_held_out_faces_has_no_recall() -> None:
    counts = np.diag([3, 2, 0, 0, 0, 0, 0, 0])
    logits = torch.eye(8)[:5]
    text = lines(Confusion(tuple(Emotion), counts), calibration(logits, torch.arange(5)), {})
    assert "       -" in text[3]
    assert text[-2] == "accuracy 100.0%, mean recall 100.0% (n = 5)"


def annotated_store(path: Path) -> Path:
    """A hundred and sixty faces, two of them without valence and arousal."""
    make_store(path, 160)
    table = datasets.Dataset.from_parquet(str(path))
    rng = np.random.default_rng(0)
    values: Tensor = torch.tensor(rng.uniform(-1, 1, (160, 2)))
    values[3] = -2
    columns = {
        name: [None if k == 7 else float(v) for k, v in enumerate(values[:, i])]
        for i, name in enumerate(("valence", "arousal"))
    }
    for name, column in columns.items():
        table = table.add_column(name, column)
    table.to_parquet(str(path))
    return path


def test_train_and_edit_as_a_user_does(emorph: Command, example_photo: Path, tmp_path: Path) -> None:
    annotated_store(tmp_path / "faces.parquet")
    tiny_model().save_pretrained(tmp_path / "tiny")
    for check in (0, 1):  # a second run takes the first one's place
        (tmp_path / "c.toml").write_text(
            f'task = "classifier"\nout = "runs/directions"\nmodel = "tiny"\ncheck = {check}\n'
            '[data]\npath = "faces.parquet"\nsplit = "train"\n[head]\nepochs = 2\nbalance = "sampling"\n'
        )
        status, out, err = emorph("train", "run", tmp_path / "c.toml")
        assert status == 0, err
    assert "valence: CCC" in err
    metrics = json.loads((tmp_path / "runs" / "directions" / "metrics.json").read_text())
    assert np.sum(metrics["confusion"]["counts"]) == metrics["n"] == 32
    assert metrics["affect"]["arousal"]["n"] == 32
    words: list[object] = ["edit", example_photo, "--model", tmp_path / "tiny", "--directions", out.strip()]
    quick: list[object] = ["--steps", 2, "--device", "cpu", "-o", tmp_path / "out"]
    status, out, err = emorph(*words, "--valence", 0.5, "--arousal", -0.2, *quick)
    assert status == 0, err
    assert (tmp_path / "out" / "astronaut_valence_0.5_arousal_-0.2.png").exists()
    assert emorph(*words, *quick)[2].startswith("ConfigError: say what the faces should show")
    assert emorph(*words, "--to", "sad", "--valence", 0.5, *quick)[2].startswith("ConfigError: a target is")
