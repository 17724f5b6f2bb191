"""Photos on disk to edited photos on disk, from Python: what the commands call."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emorph import Editor, Emotion
from emorph.core import records
from emorph.core.deep_png import write_deep_png
from emorph.core.errors import ConfigError, ImageError, NoFaceError
from emorph.core.images import read_metadata, read_photo
from emorph.core.types import Landmarks, Photo, Target
from emorph.edit.batch import Batch, Failure, FileEdit, Watch
from emorph.edit.files import edit_files, plan_sheet, sheet_file
from emorph.edit.jobs import plan_jobs
from emorph.edit.rig import RigEditor
from emorph.edit.rig import read as reading
from emorph.edit.rig.editor import MOST_TURN_DEG
from emorph.edit.rig.files import express_files, transfer_files
from emorph.edit.sheet import NAME_PX
from emorph.models.rig_faces import LandmarkReader, rig_buffers
from made_face import made_face, made_faces, marks
from profiles import linear_rgb
from test_rig_edit import tiny_rig
from tiny import tiny_editor

SIDE = 160


class Seen(Watch):
    """All that is told of the work."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def start(self, n_photos: int, n_before: int = 0) -> None:
        self.events.append(("start", n_photos, n_before))

    def begin(self, name: str) -> None:
        self.events.append(("begin", name))

    def written(self, edit: FileEdit) -> None:
        self.events.append(("written", edit.files[-1].name))

    def failed(self, failure: Failure) -> None:
        self.events.append(("failed", failure.name))

    def end(self) -> None:
        self.events.append(("end",))


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor(steps=2)


@pytest.fixture
def folder(tmp_path: Path, example_photo: Path) -> Path:
    """Two photos, and a file between them that is none."""
    path = tmp_path / "in"
    path.mkdir()
    for name in ("a.png", "c.png"):
        (path / name).write_bytes(example_photo.read_bytes())
    (path / "b.png").write_bytes(b"no picture")
    return path


def test_a_folder_is_edited_and_gone_on_with(editor: Editor, folder: Path, tmp_path: Path) -> None:
    watch, out = Seen(), tmp_path / "out"
    first = edit_files(editor, [folder], out, "happy", [0.5, 1.0], watch=watch)
    assert [edit.files[-1].name for edit in first.edits] == ["a_happy_0.5-1_strip.png", "c_happy_0.5-1_strip.png"]
    assert [(failure.name, type(failure.error)) for failure in first.failures] == [("b.png", ImageError)]
    assert [event for event in watch.events if event[0] != "begin"] == [
        ("start", 3, 0),
        ("written", "a_happy_0.5-1_strip.png"),
        ("end",),
        ("failed", "b.png"),
        ("end",),
        ("written", "c_happy_0.5-1_strip.png"),
        ("end",),
    ]
    told = [record for edit in first.edits for record in edit.records]
    assert records.read(out / "edits.jsonl") == told
    assert [record.strength for record in told] == [0.5, 1.0, 0.5, 1.0]
    (folder / "b.png").unlink()
    again = edit_files(editor, [folder], out, Emotion.HAPPY, [0.5, 1.0])
    assert (again.n_before, again.failures) == (2, ())
    assert [edit.records for edit in again.edits] == [edit.records for edit in first.edits]
    alone = editor.edit(folder / "a.png", "happy", 0.5)
    assert np.array_equal(read_photo(out / "a_happy_0.5.png").pixels, alone.photo.pixels)


def test_whoever_replaces_another_result_is_told(editor: Editor, folder: Path, tmp_path: Path) -> None:
    photo, out = folder / "a.png", tmp_path / "out"
    asked: list[dict[str, Any]] = [{}, {"again": True}, {"face": "all"}, {"again": True}]
    *silent, told, also = [edit_files(editor, [photo], out, "happy", **more).edits[0].remark for more in asked]
    assert silent == ["", ""]
    assert told.startswith("a_happy.png was there already, made with other settings, and was replaced;")
    assert also == told


def test_whoever_replaces_the_result_of_another_photo_is_told_which(
    editor: Editor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "out", folder / "a.gif"
    Image.open(folder / "a.png").save(other)
    edit_files(editor, [other], out, "happy")
    (edit,) = edit_files(editor, [folder / "a.png"], out, "happy").edits
    assert edit.remark.startswith(f"a_happy.png was there already, made from {other}, and was replaced;")
    monkeypatch.chdir(folder)
    (edit,) = edit_files(editor, ["a.png"], out, "happy", again=True).edits
    assert edit.remark == ""  # the same photo by another name


def test_whoever_replaces_a_named_picture_is_told_unless_it_is_the_same(
    editor: Editor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.png"
    remarks = [
        edit_files(editor, [folder / "a.png"], out, to, face=face).edits[0].remark
        for to, face in (("happy", "largest"), ("happy", "largest"), ("sad", "largest"))
    ]
    assert remarks == ["", "", "x.png was there already and was replaced; to keep both, name another -o."]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_happy.png").write_bytes(b"mine")
    (edit,) = edit_files(editor, [folder / "a.png"], tmp_path / "out", "happy").edits
    assert edit.remark.startswith("a_happy.png was there already and was replaced;")


def test_a_sheet_tells_whose_place_it_took(editor: Editor, folder: Path, tmp_path: Path) -> None:
    out, wishes = tmp_path / "x.png", ("happy", "happy", "sad")
    remarks = [sheet_file(editor, [folder / "a.png"], out, to=[wish]).remark for wish in wishes]
    assert remarks == ["", "", "x.png was there already and was replaced; to keep both, name another -o."]


def test_no_strength_or_wish_takes_the_place_of_another(tmp_path: Path) -> None:
    """Only the run's own plan tells the names: two runs into one folder must not meet in a file."""
    names = [
        file.name
        for wish in (Target(Emotion.HAPPY), Target({"AU12": 0.9}), Target({"AU4": 0.9}), Target(valence=0.5))
        for strengths in ([1.0], [0.5], [1.5], [-2.0])
        for file in plan_jobs([tmp_path / "me.jpg"], tmp_path, wish.file_word, strengths)[0].all_files
    ]
    assert names[:5] == ["me_happy.png", "me_happy_0.5.png", "me_happy_1.5.png", "me_happy_-2.png", "me_AU12=0.9.png"]
    assert len(set(names)) == 16
    several = plan_jobs([tmp_path / "me.jpg"], tmp_path, "happy", [0.5, 1.0])[0]
    assert several.files[0].name == names[1]  # the same strength is one file, alone or among others
    strips = {plan_jobs([tmp_path / "me.jpg"], tmp_path, "happy", s)[0].strip for s in ([0, 1], [0, 1.5], [0, 0.5, 1])}
    assert len(strips) == 3
    assert plan_jobs([tmp_path / "me.jpg"], tmp_path / "x.png", "happy", [0.5])[0].all_files == (tmp_path / "x.png",)


def test_sheets_are_named_after_what_they_show(tmp_path: Path) -> None:
    photos = [tmp_path / "me.jpg", tmp_path / "you.jpg"]
    assert plan_sheet(photos[:1], tmp_path)[1].name == "me_sheet.png"
    assert plan_sheet(photos, tmp_path, 0.5)[1].name == "sheet_0.5.png"
    assert plan_sheet(photos, tmp_path, to=["happy", "sad=0.5,fear=1"])[1].name == "sheet_happy_sad=0.5+fear=1.png"
    assert plan_sheet(photos, tmp_path / "all.png", 0.5)[1].name == "all.png"


def test_results_keep_their_photos_colour_profile(
    editor: Editor, rig: RigEditor, album: Path, example_photo: Path, tmp_path: Path
) -> None:
    wide, made = tmp_path / "wide.png", tmp_path / "wide0.png"
    Image.open(example_photo).convert("RGB").save(wide, icc_profile=linear_rgb())
    Image.open(album / "made0.png").save(made, icc_profile=linear_rgb())
    (edit,) = edit_files(editor, [wide], tmp_path / "out", "sad", [0.5, 1.0]).edits
    *results, strip = (read_photo(path).icc for path in edit.files)
    assert results == [linear_rgb()] * 2
    assert strip is None  # its tiles are in sRGB
    (taken,) = transfer_files(rig, [made], album / "made3.png", tmp_path / "out").edits
    assert read_photo(taken.files[0]).icc == linear_rgb()


def _field_photo(path: Path, example_photo: Path) -> np.ndarray:
    """The example with 16 bits a channel, half transparent on the left; a date, and a place."""
    rgb = np.asarray(Image.open(example_photo).convert("RGB")).astype(np.uint16)
    alpha = np.full((*rgb.shape[:2], 1), 65535, np.uint16)
    alpha[:, :100] = 20_000
    own = np.dstack([rgb * 257 - (rgb > 0) * np.uint16(60), alpha])  # not what 8 bits would tell
    exif = Image.Exif()
    exif[0x0132] = "2026:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    with path.open("wb") as file:
        write_deep_png(file, own, {"exif": exif.tobytes(), "dpi": (300, 300)})
    return own


def test_what_a_photo_holds_survives_its_edit(editor: Editor, example_photo: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "deep.png", tmp_path / "out"
    own = _field_photo(source, example_photo)
    (edit,) = edit_files(editor, [source], out, "happy", [0.0, 1.0]).edits
    same, changed, strip = (read_photo(path) for path in edit.files)
    assert same.extra.own is not None
    assert changed.extra.own is not None
    np.testing.assert_array_equal(same.extra.own, own)
    moved = (changed.extra.own != own).any(axis=2)
    seen = (changed.pixels != same.pixels).any(axis=2)
    assert 1000 < moved.sum() < 0.2 * moved.size
    np.testing.assert_array_equal(moved, seen)
    np.testing.assert_array_equal(changed.extra.own[..., 3], own[..., 3])
    assert (changed.extra.own[moved][:, :3] % 257 != 0).any()  # what 8 bits do not tell is still there
    kept = ("transparency", "16 bits a channel", "EXIF", "location", "dpi")
    assert {(record.kept, record.lost) for record in records.read(out / "edits.jsonl")} == {(kept, ())}
    assert (edit.kept, edit.lost, strip.extra.own) == (kept, (), None)
    assert editor.edit(source, "happy").image.mode == "RGBA"
    assert edit_files(editor, [source], out, "happy", [0.0, 1.0]).n_before == 1
    (again,) = edit_files(editor, [source], out, "happy", [0.0, 1.0], strip_location=True).edits
    assert again.kept == tuple(word for word in kept if word != "location")
    with Image.open(again.files[0]) as image:
        assert dict(image.getexif().get_ifd(0x8825)) == {}
        assert image.getexif()[0x0132] == "2026:01:02 03:04:05"
    (flat,) = edit_files(editor, [source], tmp_path / "flat.jpg", "happy").edits
    assert flat.lost == ("16 bits a channel", "transparency", "exact pixels")


def test_a_chosen_frame_is_edited_and_recorded(editor: Editor, example_photo: Path, tmp_path: Path) -> None:
    frames = [Image.open(example_photo).convert("RGB")] * 2
    frames[0] = Image.new("RGB", frames[1].size)
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    report = edit_files(editor, [tmp_path / "moving.png"], tmp_path / "out", "happy")
    assert "has 2 frames; choose one with --frame 1 to 2" in str(report.failures[0])
    (edit,) = edit_files(editor, [tmp_path / "moving.png"], tmp_path / "out", "happy", [0.0], frame=2).edits
    np.testing.assert_array_equal(read_photo(edit.files[0]).pixels, np.asarray(frames[1]))
    assert [record.frame for record in edit.records] == [2]
    assert edit_files(editor, [tmp_path / "moving.png"], tmp_path / "out", "happy", [0.0], frame=2).n_before == 1
    assert edit_files(editor, [tmp_path / "moving.png"], tmp_path / "out", "happy", [0.0], frame=1).n_before == 0
    sheet = sheet_file(editor, [tmp_path / "moving.png"], tmp_path / "sheet.png", frame=2)
    assert (len(sheet.edits), sheet.failures) == (1, ())


def test_a_transfer_keeps_what_the_photo_holds(rig: RigEditor, album: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8298] = "(c) Zoe"
    exif.get_ifd(0x8825)[1] = "N"
    picture = Image.open(album / "made0.png").convert("RGBA")
    picture.putalpha(77)
    picture.save(album / "made0.png", exif=exif, dpi=(200, 200))
    for strip_location in (False, True):
        report = transfer_files(
            rig, [album / "made0.png"], album / "made3.png", tmp_path / "out", strip_location=strip_location
        )
        (edit,) = report.edits
        assert edit.kept == ("transparency", "EXIF", *(() if strip_location else ("location",)), "dpi")
        with Image.open(edit.files[0]) as image:
            assert (image.mode, image.getexif()[0x8298]) == ("RGBA", "(c) Zoe")
            assert set(np.asarray(image)[..., 3].ravel()) == {77}


def test_what_cannot_be_written_is_said_before_any_work(
    editor: Editor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "edit_many", None)
    with pytest.raises(ConfigError, match="3 photos are given; name a folder"):
        edit_files(editor, [folder], tmp_path / "one.png", "sad")
    with pytest.raises(ImageError, match="is a source photo itself"):
        edit_files(editor, [folder / "a.png"], folder / "a.png", "sad")
    with pytest.raises(ConfigError, match="cannot be written"):
        edit_files(editor, [folder], folder / "a.png" / "sub", "sad")
    with pytest.raises(ImageError, match="is a source photo itself"):
        sheet_file(editor, [folder], folder / "c.png")


def test_a_sheet_file_is_the_sheet_of_its_photos(editor: Editor, folder: Path, tmp_path: Path) -> None:
    report = sheet_file(editor, [folder], tmp_path / "out", 0.5)
    path = tmp_path / "out" / "sheet_0.5.png"
    assert [edit.files for edit in report.edits] == [(path,), (path,)]
    assert [failure.name for failure in report.failures] == ["b.png"]
    assert Image.open(path).tobytes() == editor.sheet([folder / "a.png", folder / "c.png"], 0.5).tobytes()
    targets = json.loads(read_metadata(path)["emorph"])["targets"]
    assert targets == [{"emotion": emotion.word, "strength": 0.5} for emotion in Emotion]
    without_names = editor.sheet([read_photo(folder / "a.png"), read_photo(folder / "c.png")], 0.5)
    assert Image.open(path).height - without_names.height == 2 * NAME_PX
    nothing = sheet_file(editor, [folder / "b.png"], tmp_path / "none.png")
    assert (nothing.edits, len(nothing.failures), (tmp_path / "none.png").exists()) == ((), 1, False)


def test_ctrl_c_is_no_failure_of_a_photo() -> None:
    batch = Batch()
    with pytest.raises(KeyboardInterrupt), batch.item("a.png"):
        raise KeyboardInterrupt
    with batch.item("b.png"):
        raise NoFaceError("no face found")
    assert [str(failure) for failure in batch.failures] == ["b.png: no face found"]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> RigEditor:
    """A tiny rig; where the made faces of ``album`` have their landmarks is known, and 9 has none."""
    points = marks(made_face(), made_faces(made_face(), 4, seed=2), SIDE).numpy()

    def known(photo: Photo, min_face_px: int = 40, **_: object) -> list[Landmarks]:
        assert photo.path is not None
        number = int(photo.path.stem[-1])
        if number == 9:
            raise NoFaceError(f"no face found in {photo.name}")
        return [Landmarks(points[number], (10, 10, 150, 150), 2.0)] * (1 + (number == 1))

    monkeypatch.setattr(reading, "find_faces", known)
    return RigEditor(tiny_rig(), LandmarkReader(made_face()), model_id="tiny", device="cpu", steps=2)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Four photos of made faces, and a fifth without a face."""
    path = tmp_path / "album"
    path.mkdir()
    face = made_face()
    shaded = rig_buffers(face, made_faces(face, 4, seed=2), SIDE)[:, :3].clamp(0, 1)
    for i, pixels in enumerate((shaded * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(np.maximum(pixels, 40)).save(path / f"made{i}.png")
    Image.new("RGB", (SIDE, SIDE)).save(path / "made9.png")
    return path


def test_a_part_is_taken_over_to_an_album(rig: RigEditor, album: Path, tmp_path: Path) -> None:
    photos, target, watch = [album / f"made{i}.png" for i in (0, 1, 9)], album / "made3.png", Seen()
    report = transfer_files(rig, photos, target, tmp_path / "out", ["expression"], album=True, watch=watch)
    assert [edit.files[0].name for edit in report.edits] == ["made0_expression_made3.png", "made1_expression_made3.png"]
    assert [edit.n_faces for edit in report.edits] == [1, 2]
    assert [failure.name for failure in report.failures] == ["made9.png"]
    assert [event for event in watch.events if event[0] == "start"] == [("start", 3, 0), ("start", 2, 0)]
    alone = rig.transfer(photos[:2], target, ["expression"], album=True)
    for edit, done in zip(report.edits, alone, strict=True):
        np.testing.assert_array_equal(read_photo(edit.files[0]).pixels, done.photo.pixels)
    said = read_metadata(report.edits[0].files[0])
    assert said["Description"] == "In this picture, the expression of a face was edited by a machine."
    assert json.loads(said["emorph"]) == {"edited": True, **report.edits[0].made}
    with pytest.raises(ImageError, match="is a source photo itself"):
        transfer_files(rig, photos[:1], target, target)


def test_a_transfer_tells_whose_place_it_took(rig: RigEditor, album: Path, tmp_path: Path) -> None:
    photos, out = [album / "made0.png"], tmp_path / "x.png"
    targets = [album / f"made{i}.png" for i in (3, 3, 2)]
    remarks = [transfer_files(rig, photos, target, out, ["light"]).edits[0].remark for target in targets]
    assert remarks == ["", "", "x.png was there already and was replaced; to keep both, name another -o."]


def test_a_head_that_cannot_be_turned_all_the_way_is_remarked(
    rig: RigEditor, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = rig.target(album / "made0.png")
    far = replace(own, coeffs=replace(own.coeffs, pose=torch.tensor([[0.0, 0.9, 0.0]])))
    monkeypatch.setattr(RigEditor, "target", lambda *_, **__: far)
    turned, lit = (
        transfer_files(rig, [album / "made0.png"], album / "made3.png", tmp_path, [part]).edits[0]
        for part in ("pose", "light")
    )
    assert turned.remark.startswith(f"made0.png: the head is turned by {MOST_TURN_DEG:.0f} of ")
    assert lit.remark == ""


def test_units_are_recorded_apart_from_emotions(rig: RigEditor, album: Path, tmp_path: Path) -> None:
    photos = [album / "made0.png"]
    (smile,) = express_files(rig, photos, tmp_path, {"mouthSmile": 0.5}).edits
    (happy,) = express_files(rig, photos, tmp_path, Emotion.HAPPY).edits
    assert (smile.made, happy.made) == ({"action_units": {"mouthSmile": 0.5}}, {})
    assert [record.target for record in records.read(tmp_path / "action_units.jsonl")] == ["mouthSmile=0.5"]
    assert [record.target for record in records.read(tmp_path / "edits.jsonl")] == ["happy"]
    assert [express_files(rig, photos, tmp_path, {"mouthSmile": x}).n_before for x in (0.5, 0.6)] == [1, 0]
