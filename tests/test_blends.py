"""Blends of expressions: read as written, added in the same space, named in files, and judged as what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emorph import Emotion, Target
from emorph.core.errors import ConfigError, DataError, EmorphError, UnknownNameError
from emorph.core.images import read_metadata
from emorph.core.records import read
from emorph.core.target import MOST_FILE_WORD
from emorph.core.types import Photo
from emorph.edit import latent
from emorph.edit.mouth_light import LIGHT_OF, light_of
from emorph.edit.rig.files import express_files
from emorph.evaluate.measure.inputs import read_pairs
from emorph.evaluate.metrics.emotion import blend_share
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import join
from emorph.face3d.action_units import with_blend, with_units
from emorph.models.shift import ShiftNet
from emorph.video.keyframes import parse_strengths, parse_words
from emorph.video.plan import FilmPlan, Keyframe
from evaluate_sets import JUDGE, Made
from made_face import made_face, made_faces
from test_edit_files import album, rig  # noqa: F401 (fixtures)
from test_evaluate_inputs import pictures
from test_units import known_units
from tiny import tiny_directions, tiny_editor, tiny_model

Command = Callable[..., tuple[int, str, str]]
MIXED = {"happy": 0.6, "surprise": 0.4}


def test_a_blend_is_read_as_written() -> None:
    blend = Target(MIXED)
    assert blend.blend == ((Emotion.HAPPY, 0.6), (Emotion.SURPRISE, 0.4))
    assert (blend.word, blend.file_word) == ("happy=0.6,surprise=0.4", "happy=0.6+surprise=0.4")
    assert blend.title == "Happy 0.6 + surprise 0.4"
    for word in (blend.word, blend.file_word, " joy = 0.6 , 驚き=0.4"):
        assert Target.parse(word) == blend
    assert Target.asked(blend.word) == Target.asked(MIXED) == Target.asked({Emotion.HAPPY: 0.6, Emotion.SURPRISE: 0.4})
    assert Target({"happy": 1.0, "sad": 0.0}) == Target(Emotion.HAPPY)  # what weighs nothing is not named
    assert replace(blend, strength=0.5).blend == blend.blend
    tiny = Target({"happy": 1e-5, "sad": 1.0})
    assert Target.parse(tiny.file_word) == tiny


def test_units_may_be_among_it() -> None:
    mixed = Target({"happy": 0.6, "AU4": 0.5}, 2.0)
    assert (mixed.word, mixed.file_word) == ("happy=0.6,AU4=0.5", "happy=0.6+AU4=0.5")
    assert mixed.parts == (Target(Emotion.HAPPY, 1.2), Target(None, 2.0, units=(("AU4", 0.5),)))
    assert Target.asked("happy", units={"AU4": 0.5}).word == "happy=1,AU4=0.5"
    assert Target.asked("happy", units={"AU4": 0.5}) == Target.parse("happy=1,AU4=0.5")
    assert Target({"AU4": 0.5}).file_word == "AU4=0.5"


def test_long_wishes_have_short_names_of_their_own() -> None:
    units = {f"AU{number}": 0.25 for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 20, 23)}
    one, other = Target(units).file_word, Target({**units, "AU23": 0.5}).file_word
    assert one != other
    assert one.startswith("AU1=0.25+AU2=0.25+")
    assert len(one) <= MOST_FILE_WORD
    keys = (Keyframe(Target({"AU4": 0.5}), 0.0), Keyframe(Target(Emotion.SAD), 1.5))
    assert FilmPlan(keys, parse_strengths("0.5")).word == "AU4=0.5@0s_sad@1.5s_0.5"
    assert FilmPlan(keys[1:], parse_strengths("0@0s,-1@2s"), preview=True).word == "sad_0@0s_-1@2s_preview"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("happy=0.6,hapy=0.4", "emotion 'hapy' is not known; did you mean 'happy'"),
        ("happy=much,sad=1", r"'happy=much' in .* has no number as its weight; a blend is written happy=0.6,surprise"),
        ("happy,sad", "'happy' in 'happy,sad' has no number"),
        ("happy=,sad=1", "'happy=' in .* has no number"),
        ("happy=nan,sad=1", "the weight of happy in a blend must be a number, found nan"),
        ("happy=0.5,happy=0.6", "names happy twice"),
        ("happy=0.5,joy=0.6", "a blend names happy twice"),
        ("happy=7,sad=1", "the weight of happy in a blend must be from -3 to 3, found 7"),
        ("happy=0,sad=0", "a blend needs an emotion whose weight is not 0"),
        ({}, "a blend needs an emotion whose weight is not 0"),
        ({"happy": "0.6"}, "the weight of happy in a blend must be a number, found '0.6'"),
        ({"happy": True}, "must be a number, found True"),
        ({"happy": 0.6, "AU4": 2.0}, "action units are numbers from 0 to 1; found happy=0.6,AU4=2"),
        ("=", "'=' in '=' has no number"),
    ],
)
def test_what_is_no_blend_is_one_sentence(wrong: str | dict[str, float], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message) as raised:
        Target.asked(wrong)
    assert isinstance(raised.value, EmorphError)
    assert "\n" not in str(raised.value)


def test_kinds_that_do_not_go_together_are_refused() -> None:
    for wrong in (
        lambda: Target(MIXED, valence=0.5),
        lambda: Target(Emotion.HAPPY, blend=((Emotion.SAD, 0.5),)),
        lambda: Target(),
        lambda: Target(arousal=0.5, units=(("AU4", 0.5),)),
    ):
        with pytest.raises(ConfigError, match="give one kind"):
            wrong()


def test_steps_add_up_and_strength_scales_all() -> None:
    """Also with a learned shift, which knows single emotions, and with action units."""
    shifted = ShiftNet(32, 8)
    torch.nn.init.normal_(shifted.outer_weight)
    known = replace(known_units(), shift=shifted.shift)
    z = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    mixed = {**MIXED, "AU26": 0.8}
    with torch.inference_mode():
        whole = latent.edited_codes(z, known, [Target(mixed, 0.5)])[:, 0]
        alone = [Target(Emotion.HAPPY, 0.3), Target(Emotion.SURPRISE, 0.2), Target({"AU26": 0.8}, 0.5)]
        steps = latent.edited_codes(z, known, alone) - z[:, None]
    torch.testing.assert_close(whole - z, steps.sum(dim=1))
    assert (steps.abs().mean(dim=(0, 2)) > 1e-3).all()
    happy = replace(tiny_directions(), labels=("happy", *"abcdefg"))
    with pytest.raises(UnknownNameError, match="surprise"):
        latent.edited_codes(z, happy, [Target(MIXED)])


def test_a_photo_shows_a_blend_and_says_so(photo: Photo, example_photo: Path, tmp_path: Path) -> None:
    editor = tiny_editor()
    blended = editor.edit(photo, to=MIXED)
    happy, both = editor.edit_many(photo, [Target(Emotion.HAPPY, 0.6), Target(MIXED)])
    assert np.array_equal(both.photo.pixels, blended.photo.pixels)
    assert not np.array_equal(both.photo.pixels, happy.photo.pixels)
    report = editor.edit_folder(example_photo, tmp_path, to=MIXED, strength=[0.5, 1.0], progress=False)
    names = [file.name for file in report.edits[0].files]
    assert names == [f"astronaut_happy=0.6+surprise=0.4_{end}.png" for end in ("0.5", "1", "0.5-1_strip")]
    said = json.loads(read_metadata(report.edits[0].files[1])["emorph"])
    assert said["targets"] == [{"blend": MIXED, "strength": 1.0}]
    assert [each.target for each in read(tmp_path / "edits.jsonl")] == ["happy=0.6,surprise=0.4"] * 2
    assert editor.edit_folder(example_photo, tmp_path, to=MIXED, strength=[0.5, 1.0], progress=False).n_before == 1
    assert [pair.blend for pair in read_pairs(tmp_path)] == [Target(MIXED).blend] * 2
    sheet = editor.sheet(photo, to=["sad", MIXED])
    assert sheet.width == 3 * 260 - 4


def test_the_commands_take_blends(emorph: Command, example_photo: Path, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    known_units().save_pretrained(tmp_path / "tiny" / "directions")
    quick: list[object] = ["--model", tmp_path / "tiny", "--steps", 2, "--device", "cpu"]
    out = tmp_path / "out"
    assert emorph("edit", example_photo, "--to", "happy=0.6,surprise=0.4", "-o", out, *quick)[0] == 0
    assert emorph("edit", example_photo, "--to", "happy=0.6", "--au", "AU26=0.8", "-o", out, *quick)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "action_units.jsonl", "astronaut_happy=0.6+AU26=0.8.png", "astronaut_happy=0.6+surprise=0.4.png", "edits.jsonl",
    ]  # fmt: skip
    status, _, err = emorph("edit", example_photo, "--to", "happy=0.6,surprise", "-o", out, *quick)
    assert (status, err.splitlines()[-1]) == (
        2,
        "ConfigError: 'surprise' in 'happy=0.6,surprise' has no number as its weight; a blend is written "
        "happy=0.6,surprise=0.4.",
    )
    sheet = tmp_path / "sheet.png"
    assert emorph("sheet", example_photo, "--to", "sad", "--to", "happy=1,sad=-0.5", "-o", sheet, *quick)[0] == 0
    assert Image.open(sheet).width == 3 * 260 - 4
    assert emorph("sheet", example_photo, "--to", "sad=", "-o", sheet)[0] == 2


def test_a_rig_adds_the_steps_of_a_blend(rig, album: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    face = made_face()
    own = 0.3 * torch.ones_like(made_faces(face, 2).expression)
    happy, sad = ({"mouthSmile": 1.0}, {"mouthSmile": 0.0, "jawOpen": 0.5})
    mixed = with_blend(face, own, [(happy, 0.5), (sad, 0.5)], 1.0)
    alone = [with_units(face, own, units, 0.5) - own for units in (happy, sad)]
    torch.testing.assert_close(mixed, own + alone[0] + alone[1])
    photos = [album / "made0.png"]
    (done,) = express_files(rig, photos, tmp_path, {"happy": 0.6, "surprise": 0.4, "jawOpen": 0.5}).edits
    assert done.files[0].name == "made0_happy=0.6+surprise=0.4+jawOpen=0.5.png"
    said = json.loads(read_metadata(done.files[0])["emorph"])
    assert (said["blend"], said["action_units"]) == (MIXED, {"jawOpen": 0.5})
    (single,) = express_files(rig, photos, tmp_path / "one", {"happy": 1.0}).edits
    (emotion,) = express_files(rig, photos, tmp_path / "two", Emotion.HAPPY).edits
    assert single.records[0].target == emotion.records[0].target == "happy"
    assert np.array_equal(*(np.asarray(Image.open(edit.files[0])) for edit in (single, emotion)))


def test_keyframes_of_a_film_may_be_blends() -> None:
    keys = parse_words("happy=0.6,surprise=0.4@0s, sad@2s,fear=1@3s")
    assert [(key.value, key.at_s) for key in keys] == [("happy=0.6,surprise=0.4", 0), ("sad", 2), ("fear=1", 3)]
    assert [key.value for key in parse_words("happy=0.6,surprise=0.4")] == ["happy=0.6,surprise=0.4"]
    plan = FilmPlan(tuple(Keyframe(Target.asked(key.value), key.at_s) for key in keys), parse_strengths("0.5"))
    assert plan.word == "happy=0.6+surprise=0.4@0s_sad@2s_fear@3s_0.5"
    assert plan.targets_at(0.0) == (Target(MIXED, 0.5),)
    with pytest.raises(ConfigError, match="--to"):
        parse_words("happy=0.6@1s,sad=1@0s")


def test_the_light_inside_a_mouth_is_that_of_its_emotions() -> None:
    assert light_of(Target(MIXED).weights) == pytest.approx(
        0.6 * LIGHT_OF[Emotion.HAPPY] + 0.4 * LIGHT_OF[Emotion.SURPRISE]
    )
    assert light_of(Target({"happy": 0.5, "contempt": 2.0, "sad": -1.0}).weights) == LIGHT_OF[Emotion.HAPPY]
    assert light_of(Target({"contempt": 0.5, "neutral": -1.0}).weights) is None


def test_blends_in_lists_and_names(tmp_path: Path) -> None:
    pictures(
        tmp_path,
        "me.png",
        "me_happy=0.6+surprise=0.4.png",
        "me_happy=0.6+surprise=0.4_0.5.png",
        "me_happy=0.6+AU4=0.5.png",
    )
    found = read_pairs(tmp_path)
    assert sorted((pair.word, pair.strength, pair.sets_units) for pair in found) == [
        ("happy=0.6,AU4=0.5", 1.0, True),
        ("happy=0.6,surprise=0.4", 0.5, False),
        ("happy=0.6,surprise=0.4", 1.0, False),
    ]
    table = tmp_path / "theirs.csv"
    table.write_text('source,edited,target\nme.png,x.png,"happy=0.6,surprise=0.4"\n')
    assert read_pairs(table)[0].blend == Target(MIXED).blend
    table.write_text('source,edited,target\nme.png,x.png,"happy=0.6,AU4=0.4"\n')
    assert [(pair.sets_units, pair.blend) for pair in read_pairs(table)] == [(True, ())]
    table.write_text('source,edited,target\nme.png,x.png,"happy=0.6,surprise"\n')
    with pytest.raises(DataError, match=r"line 2: 'surprise' in 'happy=0\.6,surprise' has no number"):
        read_pairs(table)


def test_what_a_judge_sees_is_held_against_the_shares() -> None:
    asked = np.array([[0, 0.6, 0.4], [0, 0.6, 0.4], [1, 0, 0], [np.nan] * 3])
    seen = np.array([[0, 0.6, 0.4], [0.5, 0.5, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(blend_share(seen, asked), [1, 0.5, 0, np.nan])


def test_a_blend_is_scored_by_itself_and_counts_for_no_single_emotion() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    singles = len(made.judged)
    made.edit("m", Emotion.FEAR, Emotion.SURPRISE)  # becomes a blend below
    blend = Target({"happy": 3.0, "surprise": 1.0}).blend
    odd = Target({"happy": 1.0, "sad": 1.0}).blend  # the judge knows no sadness
    for i, item in enumerate(made.judged[singles:], singles):
        pair = replace(item.pair, target=None, asked_word="blend", blend=odd if i == singles else blend)
        made.judged[i] = replace(item, pair=pair)
    (evidence,) = join(made.judged, made.records)
    scores = EmotionScores.of(JUDGE, evidence)
    (line,) = (line for line in scores.lines() if line.metric.name == "blend_share")
    assert line.values is not None
    assert line.before is not None
    assert np.isnan(line.values[: singles + 1]).all()
    np.testing.assert_allclose(line.values[singles + 1 :], 0.25 + 0.1)  # surprise is seen at 0.7, happiness at 0.1
    np.testing.assert_allclose(line.before[singles + 1 :], 0.1 + 0.1)
    assert int(np.isfinite(scores.after).sum()) == singles
    assert "Blend as asked for" in str(made.summary().tables)
    only = Made()
    only.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    assert "Blend as asked for" not in str(only.summary().tables)
