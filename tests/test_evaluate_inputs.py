"""Pairs of photos from every kind of list, and what is wrong with a list said with its place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.records import EditRecord, append
from emorph.evaluate.measure.inputs import method_names, read_pairs

GRAY = np.full((8, 8, 3), 128, np.uint8)


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        write_image(folder / name, GRAY)


def record(**changes: object) -> EditRecord:
    values = {
        "id": "a_happy.png",
        "source": "a.png",
        "edited": "out/a_happy.png",
        "target": "happy",
        "strength": 0.5,
        "editor": "emorph",
        "model_id": "tiny",
        "solver": "dpm",
        "steps": 4,
        "seconds": 1.0,
    }
    return EditRecord(**(values | changes))


def test_records_of_emorph_edit(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures(out, "a_happy.png")
    append(out / "edits.jsonl", [record(source=str(tmp_path / "a.png"))])
    (pair,) = read_pairs(out)
    assert pair == read_pairs(out / "edits.jsonl")[0]
    assert (pair.method, pair.target, pair.strength, pair.person) == ("out", Emotion.HAPPY, 0.5, "")
    assert pair.edited == out / "a_happy.png"  # written from another folder, found beside the list
    assert pair.source == tmp_path / "a.png"


def test_photos_that_lie_elsewhere_by_now(tmp_path: Path) -> None:
    pictures(tmp_path / "out", "a_happy.png", "a.png")  # an a.png of the results' folder is another one
    pictures(tmp_path / "moved", "a.png", "a_happy.png")
    append(tmp_path / "out" / "edits.jsonl", [record(source="gone/a.png")])
    (pair,) = read_pairs(tmp_path / "out", sources=tmp_path / "moved")
    assert (pair.source, pair.edited) == (tmp_path / "moved" / "a.png", tmp_path / "out" / "a_happy.png")
    (tmp_path / "edits.csv").write_text(f"source,edited,target\ngone/a.png,{tmp_path}/out/a_happy.png,happy\n")
    assert read_pairs(tmp_path / "edits.csv", sources=tmp_path / "moved")[0].source == tmp_path / "moved" / "a.png"


def test_edits_to_valence_and_arousal(tmp_path: Path) -> None:
    asked = [("valence_0.5", 1.0), ("valence_-0.5_arousal_0.25", 1.0), ("arousal_1", 0.5)]
    append(tmp_path / "edits.jsonl", [record(id=f"{word}.png", target=word, strength=s) for word, s in asked])
    pairs = read_pairs(tmp_path)
    assert [(pair.word, pair.target) for pair in pairs] == [(word, None) for word, _ in asked]
    # at half the strength nobody knows where the arousal should lie
    assert [pair.affect for pair in pairs] == [(0.5, None), (-0.5, 0.25), (None, None)]


def test_a_table_of_another_method(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    table = tmp_path / "theirs.csv"
    table.write_text("\ufeffSource, edited,target,identity,strength\na.png,b.png,Happy,Ann,\na.png,c.png,3,\n")
    with pytest.raises(DataError, match=r"theirs\.csv, line 3: emotion '3' is not known"):
        read_pairs(table)
    table.write_text("source,edited,target,identity,strength\na.png,b.png,Happiness,Ann,\na.png,c.png,sad,,1.5\n")
    first, second = read_pairs(table)
    assert (first.source, first.edited) == (tmp_path / "a.png", tmp_path / "b.png")
    assert (first.method, first.target, first.strength, first.person) == ("theirs", Emotion.HAPPY, 1.0, "Ann")
    assert (second.edited, second.strength, second.person) == (Path("c.png"), 1.5, "")


def test_a_folder_beside_its_sources(tmp_path: Path) -> None:
    pictures(tmp_path, "me_2.png", "me_2_happy.png", "me_2_sad_0.5.png", "me_2_sad_strip.png", "fear/me_2.jpg")
    found = read_pairs(tmp_path)
    assert {pair.source for pair in found} == {tmp_path / "me_2.png"}
    assert [(pair.edited.name, pair.target, pair.strength) for pair in found] == [
        ("me_2_happy.png", Emotion.HAPPY, 1.0),
        ("me_2_sad_0.5.png", Emotion.SAD, 0.5),
        ("me_2.jpg", Emotion.FEAR, 1.0),
    ]


def test_edits_by_action_units_ask_for_no_emotion(tmp_path: Path) -> None:
    pictures(tmp_path, "me.png", "me_AU12=0.9_0.5.png", "me_happy=0.6+AU26=0.8.png", "me_other=1.png")
    found = read_pairs(tmp_path)
    assert [(pair.word, pair.strength) for pair in found] == [("AU12=0.9", 0.5), ("happy=0.6,AU26=0.8", 1.0)]
    assert [(pair.target, pair.blend, pair.sets_units, pair.asks_affect) for pair in found] == [
        (None, (), True, False)
    ] * 2
    record = EditRecord("a", str(tmp_path / "me.png"), "b.png", "mouthSmile=0.9", 1.0, "DiffAE", "m", "ddim", 4, 1.0)
    append(tmp_path / "action_units.jsonl", [record])
    (pair,) = read_pairs(tmp_path)  # what emorph wrote goes before names of files
    assert (pair.method, pair.word, pair.sets_units) == (tmp_path.name, "mouthSmile=0.9", True)
    assert method_names([tmp_path / "action_units.jsonl"]) == [tmp_path.name]


def test_a_folder_with_its_sources_elsewhere(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "me.jpg")
    pictures(tmp_path / "edits", "me_anger.png")
    (pair,) = read_pairs(tmp_path / "edits", sources=tmp_path / "photos")
    assert (pair.source, pair.target) == (tmp_path / "photos" / "me.jpg", Emotion.ANGER)
    with pytest.raises(DataError, match=r"me_anger\.png was made from me\.\*, which is not in .*--sources"):
        read_pairs(tmp_path / "edits")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'source'"),
        ("source,edited\na.png,b.png\n", "no column 'target'"),
        ("source,edited,target\n", "holds no edit"),
        ("source,edited,target\na.png,,happy\n", "line 2: edited must be text"),
        ("source,edited,target\na.png,b.png,hapy\n", "line 2: emotion 'hapy' is not known; did you mean 'happy'"),
        ("source,edited,target,strength\na.png,b.png,happy,nan\n", "line 2: strength must be a finite number"),
        ("source,edited,target\na.png,b.png,happy\na.png,b.png,happy\n", r"names b\.png twice"),
        ("source,edited,target\n" + "a" * 5000 + ",b.png,happy\n", "cannot be looked up"),
        ("source,edited,target\n" + '"' + "a" * 200_000, "is not CSV"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, "does not say which photo"),
        ({"source": 3}, "source must be text, found 3"),
        ({"strength": "much"}, "strength must be a finite number, found 'much'"),
        ({"id": []}, "line 1 is not an edit record"),
        ({"target": "valence_2"}, "numbers from -1 to 1; found 2"),
        ({"target": "valence_0.5arousal_1"}, "emotion 'valence_0.5arousal_1' is not known"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    append(tmp_path / "edits.jsonl", [record(**changes)])
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "edits.jsonl").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="line 1 is not an edit record"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match=r"nothing\.mp4 does not exist"):
        read_pairs(tmp_path / "nothing.mp4")
    (tmp_path / "t.txt").write_text("happy")
    with pytest.raises(DataError, match=r"none of a folder, an edits\.jsonl, a CSV of .* or a film"):
        read_pairs(tmp_path / "t.txt")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="neither UTF-8 nor UTF-16 text"):
        read_pairs(tmp_path / "t.csv")


def test_sets_get_different_names(tmp_path: Path) -> None:
    sets = [tmp_path / "a" / "edits.jsonl", tmp_path / "b" / "a.csv", tmp_path / "theirs.csv"]
    assert method_names(sets) == ["a", "a-2", "theirs"]


def test_known_landmarks_are_read_from_a_table(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    numbers = [float(i) for i in range(136)]
    text = ";".join(f"{n:.2f}" for n in numbers)
    table = tmp_path / "known.csv"
    table.write_text(f"source,edited,target,landmarks\na.png,b.png,happy,{text}\nb.png,a.png,sad,\n")
    first, second = read_pairs(table)
    assert first.points == tuple(zip(numbers[::2], numbers[1::2], strict=True))
    assert second.points == ()
    for wrong, found in ((text[:-7], "135 of them among 135"), (text.replace("3.00", "x", 1), "135 of them among 136")):
        table.write_text(f"source,edited,target,landmarks\na.png,b.png,happy,{wrong}\n")
        with pytest.raises(DataError, match=rf"line 2: landmarks must be 136 finite numbers .*{found}"):
            read_pairs(table)
