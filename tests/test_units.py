"""Action units in z_sem: found free of who shows them, as far as the face model says, and set in photos."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError, DataError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.images import read_photo
from emorph.core.types import Target
from emorph.edit import latent
from emorph.edit.pipeline import Editor
from emorph.models.directions import Directions
from emorph.models.unit_axes import UnitAxes
from emorph.train.codes import Codes
from emorph.train.tasks.emotion_steps import emotion_steps, landmark_map, needed_gains, on_one_skull
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.units import fit_units, unit_reader, within_expressions
from made_face import UNITS, made_face, made_faces, marks
from tiny import tiny_directions, tiny_model

Command = Callable[..., tuple[int, str, str]]
N, N_PEOPLE, Z_DIM = 1200, 150, 24
FACE = made_face()


class Made:
    """Photos of people; those who smile much look otherwise, too, and z tells units, looks and the head's turn."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.people = torch.randint(0, N_PEOPLE, (N,), generator=generator)
        who = made_faces(FACE, N_PEOPLE, 1)
        how = made_faces(FACE, N, 2)
        cheerful = torch.rand(N_PEOPLE, 1, generator=generator)
        self.units = how.expression.clone()
        self.units[:, :1] = (0.5 * self.units[:, :1] + 0.5 * cheerful[self.people]).clamp(0, 1)
        coeffs = dataclasses.replace(how, shape=who.shape[self.people], expression=self.units)
        points = marks(FACE, coeffs, 128)
        self.landmarks = (points + 0.5) / 64 - 1
        self.true = torch.randn(len(UNITS), Z_DIM, generator=generator)
        looks = torch.randn(N_PEOPLE, Z_DIM, generator=generator)
        looks += 6 * cheerful @ torch.randn(1, Z_DIM, generator=generator)
        turned = 3 * coeffs.pose @ torch.randn(3, Z_DIM, generator=generator)
        noise = 0.3 * torch.randn(N, Z_DIM, generator=generator)
        self.z = 2 * self.units @ self.true + looks[self.people] + turned + noise
        self.codes = Codes(self.z, torch.arange(N) % 8, torch.zeros(N, 0), self.landmarks, persons=self.people)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def axes_of(made: Made, codes: Codes) -> tuple[UnitAxes, Tensor, Tensor]:
    """Axes, the moves of the face model's landmarks (U, 136), and the map from codes."""
    on_skull = on_one_skull(made.landmarks.double())
    reader = unit_reader(FACE, on_skull)
    points = within_expressions(landmark_map(made.z, made.landmarks, 1.0), reader)
    return fit_units(made.z, codes, reader, on_skull, points), reader.moves, points


def likeness(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def test_units_are_read_off_landmarks(made: Made) -> None:
    on_skull = on_one_skull(made.landmarks.double())
    found, rest = unit_reader(FACE, on_skull)(on_skull)
    assert rest.shape == (N, 3 + 6)
    for i in range(len(UNITS)):
        read = np.corrcoef(found[:, i].numpy(), made.units[:, i].numpy())[0, 1]
        assert read > 0.9, UNITS[i]


def test_a_unit_is_its_own_step_and_nobodys_looks(made: Made) -> None:
    axes, _, _ = axes_of(made, made.codes)
    for i, name in enumerate(UNITS):
        assert likeness(axes.patterns[i], made.true[i]) > 0.85, name
    careless, _, _ = axes_of(made, dataclasses.replace(made.codes, persons=None))
    smile = likeness(careless.patterns[0], made.true[0])
    assert smile < likeness(axes.patterns[0], made.true[0]) - 0.05  # it took cheerful people's looks for a smile


def test_a_units_step_moves_landmarks_as_the_face_model_does(made: Made) -> None:
    axes, moves, points = axes_of(made, made.codes)
    for i, name in enumerate(UNITS):
        moved = torch.einsum("d,pcd->pc", axes.patterns[i], points)[17:]
        wanted = moves[i].view(68, 2)[17:]
        assert likeness(moved, wanted) > 0.93, name
        assert float(moved.norm()) == pytest.approx(float(wanted.norm()), rel=0.2)


def test_no_edit_widens_a_skull(made: Made) -> None:
    reader = unit_reader(FACE, on_one_skull(made.landmarks.double()))
    moving = torch.zeros(68, 2, 2)
    moving[:17, 0, 0] = torch.linspace(-0.1, 0.1, 17)  # the jaw's contour alone grows wider
    moving[:, :, 1] = reader.moves[1].view(68, 2)  # the jaw opens
    kept = within_expressions(moving, reader)
    assert kept[..., 0].norm() < 0.15 * moving[..., 0].norm()
    torch.testing.assert_close(kept[..., 1], moving[..., 1], atol=1e-3, rtol=0)


def test_units_are_set_where_they_are_not_yet(made: Made) -> None:
    axes, _, _ = axes_of(made, made.codes)
    bare = dataclasses.replace(axes, bias=torch.zeros(len(UNITS)))
    seen = bare.read(bare.patterns)
    torch.testing.assert_close(seen.diagonal(), torch.ones(3))  # a reader sees its own unit's step as 1
    still = torch.zeros(1, Z_DIM)
    torch.testing.assert_close(bare.step(still, {"jawOpen": 0.5}), 0.5 * bare.patterns[1:2])
    open_wide = bare.patterns[1:2]
    torch.testing.assert_close(bare.step(open_wide, {"jawOpen": 1.0}), torch.zeros(1, Z_DIM), atol=1e-4, rtol=0)


def test_few_faces_get_the_length_that_their_landmarks_have() -> None:
    """Class means of few faces are drawn together; the dose makes up for it, and never weakens or exaggerates."""
    points = torch.zeros(68, 2, 4)
    points[48:68, 1, 0] = 1.0
    means = torch.zeros(8, 4)
    means[:, 0] = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.001, -0.1, 0.1, 0.0])
    shown = torch.zeros(8, 68, 2)
    shown[1:, 48:68, 1] = 0.1
    gains = needed_gains(means, points, shown)
    assert gains == (1.0, 2.0, 1.0, 1.0, 4.0, 1.0, 1.0, 1.0)


def test_units_stand_in_for_faces_that_are_few(made: Made) -> None:
    plain = emotion_steps(made.z, made.codes, {}, 30.0)
    assert plain.units is None
    half = emotion_steps(made.z, made.codes, {"sad": 0.5}, 30.0, FACE)
    full = emotion_steps(made.z, made.codes, {"surprise": 1.0}, 30.0, FACE)
    assert full.units is not None
    torch.testing.assert_close(half.means[Emotion.HAPPY], plain.means[Emotion.HAPPY])
    wanted = {"jawOpen": 0.4}  # AU26 by 0.8; the made face has no brows that are ICT's
    offset = full.means[Emotion.SURPRISE] - full.means[Emotion.NEUTRAL]
    expected = sum(value * full.units.patterns[UNITS.index(name)] for name, value in wanted.items())
    torch.testing.assert_close(offset, expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(DataError, match="landmarks68"):
        emotion_steps(made.z, dataclasses.replace(made.codes, landmarks=None), {}, 30.0, FACE)
    with pytest.raises(ValueError, match="'sadd' is not an emotion"):
        HeadConfig(units={"sadd": 1.0})


def known_units() -> Directions:
    generator = torch.Generator().manual_seed(5)
    tensors = (torch.randn(len(UNITS), 32, generator=generator) for _ in range(2))
    weight, patterns = tensors
    axes = UnitAxes(UNITS, 0.01 * weight, torch.zeros(len(UNITS)), patterns)
    return dataclasses.replace(tiny_directions(), units=axes)


def test_directions_keep_their_units(tmp_path: Path) -> None:
    known_units().save_pretrained(tmp_path / "d")
    again = Directions.from_pretrained(tmp_path / "d")
    assert again.units is not None
    assert again.units.names == UNITS
    torch.testing.assert_close(again.units.patterns, known_units().units.patterns)  # type: ignore[union-attr]
    assert latent.directions_digest(again) == latent.directions_digest(known_units())
    assert latent.directions_digest(again) != latent.directions_digest(tiny_directions())
    stated = tmp_path / "d" / "config.json"
    text = stated.read_text()
    stated.write_text(text.replace('"jawOpen",', ""))
    with pytest.raises(CheckpointError, match=r"units\.weight must be \(2, 32\)"):
        Directions.from_pretrained(tmp_path / "d")
    stated.write_text(text[: text.index(',\n    "units"')] + "\n  }\n}\n")
    with pytest.raises(CheckpointError, match="hold units"):
        Directions.from_pretrained(tmp_path / "d")


def test_targets_of_units() -> None:
    target = Target(units=(("AU12", 0.6), ("jawOpen", 0.2)))
    assert (target.word, target.title) == ("AU12=0.6,jawOpen=0.2", "AU12 0.6, jawOpen 0.2")
    with pytest.raises(ConfigError, match="give one kind"):
        Target(valence=0.5, units=(("AU12", 0.6),))
    with pytest.raises(ConfigError, match="from 0 to 1; found AU12=2"):
        Target(units=(("AU12", 2.0),))


def test_a_code_is_moved_by_units() -> None:
    directions, z = known_units(), torch.zeros(2, 32)
    rows = latent.edited_codes(
        z, directions, [Target(units=(("AU26", 1.0),)), Target(strength=0, units=(("AU26", 1),))]
    )
    torch.testing.assert_close(rows[:, 1], z)
    axes = directions.units
    assert axes is not None
    step = directions.stats.normalise(rows[:, 0]) - directions.stats.normalise(z)
    now = axes.read(directions.stats.normalise(z))[:, 1:2]
    torch.testing.assert_close(step, (0.5 - now) * axes.patterns[1], atol=1e-4, rtol=1e-4)  # AU26 is half of jawOpen
    with pytest.raises(MissingAssetError, match="know emotions only, no action units"):
        latent.edited_codes(z, tiny_directions(), [Target(units=(("AU26", 1.0),))])
    with pytest.raises(ConfigError, match=r"AU9 .* is no shape of this face"):
        latent.edited_codes(z, directions, [Target(units=(("AU9", 1.0),))])


def test_units_are_set_by_emorph_base_and_gaze_by_a_rig(
    emorph: Command, example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model's name; here is no 3D face model, which a rig needs."""
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    words: list[object] = ["edit", example_photo, "--steps", 2, "--device", "cpu", "-o"]
    status, _, err = emorph(*words, "out", "--au", "AU6=0.7,mouthSmile=0.9")
    assert (status, err) == (0, "")
    (row,) = map(json.loads, (tmp_path / "out" / "action_units.jsonl").read_text().splitlines())
    assert row["model_id"].startswith("emorph-base-")
    edit = Editor.from_pretrained("emorph-base", steps=2, device="cpu").edit(
        example_photo, units={"AU6": 0.7, "mouthSmile": 0.9}
    )
    assert np.array_equal(read_photo(row["edited"]).pixels, edit.photo.pixels)
    for option, asked in (("--au", "AU12=0.5,AU63=0.5,eyeLookIn_L=1"), ("--to", "happy=0.6,AU63=0.5")):
        status, _, err = emorph(*words, "gaze", option, asked)
        assert status == 2
        unknown = "AU63, eyeLookIn_L" if option == "--au" else "AU63"
        said, missing = err.splitlines()
        assert said == f"emorph-base does not know {unknown}; emorph-rig sets the units."
        assert missing.startswith("MissingAssetError")
    for more, said in (
        (["--au", "AU63=1", "--model", "emorph-base"], "ConfigError: AU63 cannot be set"),
        (["--au", "mouthSmil=1"], "ConfigError: mouthSmil is not an action unit of this face; the closest are mouthSm"),
        (["--au", "AU12=1", "--face-model", "none.npz"], "MissingAssetError: none.npz"),
    ):
        status, _, err = emorph(*words, "no", *more)
        assert (status, err[: len(said)]) == (2, said)


def test_action_units_as_a_user_sets_them(emorph: Command, example_photo: Path, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    known_units().save_pretrained(tmp_path / "tiny" / "directions")
    words: list[object] = ["edit", example_photo, "--model", tmp_path / "tiny", "--steps", 2, "--device", "cpu"]
    status, out, err = emorph(*words, "--au", "AU26=0.8", "-o", tmp_path / "out", "--json")
    assert status == 0, err
    assert (tmp_path / "out" / "astronaut_AU26=0.8.png").exists()
    assert '"action_units"' in out
    assert "AU26" in (tmp_path / "out" / "action_units.jsonl").read_text()
    assert emorph(*words, "--au", "AU9=1", "-o", tmp_path / "out")[0] == 2
    assert emorph(*words, "--au", "AU26=1", "--valence", 0.5, "-o", tmp_path / "out")[2].startswith(
        "ConfigError: a target"
    )
    editor = Editor(tiny_model(), known_units(), device="cpu", steps=2)
    photo = editor.edit(str(example_photo), units={"jawOpen": 1.0}).photo
    assert not np.array_equal(photo.pixels, editor.edit(str(example_photo), units={"jawOpen": 0.0}).photo.pixels)
