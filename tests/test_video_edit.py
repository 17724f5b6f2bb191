"""A whole film, edited: what changes, what stays, what survives a stop."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

av = pytest.importorskip("av")

from emorph import Editor, Emotion  # noqa: E402
from emorph.core.errors import ClipError, ConfigError, NoFaceError  # noqa: E402
from emorph.core.images import read_photo, write_image  # noqa: E402
from emorph.core.types import Target  # noqa: E402
from emorph.edit.change import CropChange  # noqa: E402
from emorph.faces.align import align  # noqa: E402
from emorph.faces.detect import find_faces  # noqa: E402
from emorph.faces.warp import carried, carried_each  # noqa: E402
from emorph.video import draw as draw_module  # noqa: E402
from emorph.video import edited as edited_module  # noqa: E402
from emorph.video import passes as passes_module  # noqa: E402
from emorph.video.draw import Drawn, drawings, read_code, steadied, track_code  # noqa: E402
from emorph.video.edited import Wish  # noqa: E402
from emorph.video.encode import OPTIONS  # noqa: E402
from emorph.video.keyframes import Keyframe, parse_strengths  # noqa: E402
from emorph.video.plan import FilmPlan  # noqa: E402
from emorph.video.run import _Film, edit_films  # noqa: E402
from made_clips import RATE, astronaut, face_clip, frames_of, moving_face, packets_of, wall, write_clip  # noqa: E402
from tiny import tiny_directions, tiny_model  # noqa: E402

Command = Callable[..., tuple[int, str, str]]
N = 14


@pytest.fixture(scope="module")
def editor() -> Editor:
    return made_editor()


def made_editor() -> Editor:
    """A tiny editor whose directions know landmarks."""
    generator = torch.Generator().manual_seed(2)
    landmarks = 0.01 * torch.randn(68, 2, 32, generator=generator)
    directions = dataclasses.replace(tiny_directions(), landmarks=landmarks)
    return Editor(tiny_model(), directions, model_id="tiny", device="cpu", steps=2, detector="hog")


def plan(strength: str = "1", **options: object) -> FilmPlan:
    return FilmPlan((Keyframe(Target(Emotion.HAPPY), 0.0),), parse_strengths(strength), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves, then a wall; with sound."""
    frames = [moving_face(i / RATE) for i in range(N)] + [wall(i / RATE) for i in range(6)]
    return write_clip(tmp_path_factory.mktemp("films") / "a.mp4", frames, n_sounds=1)


@pytest.fixture(scope="module")
def edited(editor: Editor, source: Path) -> Path:
    """The undisturbed result, in segments of five frames."""
    out = source.parent / "out.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes_module, "SEGMENT_FRAMES", 5)
        report = edit_films(editor, [source], out, plan("0@0s,0@0.16s,1@0.4s"))
    assert not report.failures
    made = report.edits[0].made
    assert (made["n_frames"], made["n_people"], made["n_scenes"]) == (N + 6, 1, 2)
    assert made["n_frames_edited"] == N - 5
    assert min(made["seconds"].values()) > 0
    return out


def test_the_face_changes_and_nothing_else(source: Path, edited: Path) -> None:
    """Frames of strength 0 and of no face come back as they were, to the loss of encoding; sound to the bit."""
    times, own = frames_of(source)
    new_times, made = frames_of(edited)
    assert new_times == times
    assert packets_of(edited, "audio") == packets_of(source, "audio")
    change = np.array([np.abs(a.astype(int) - b).mean(axis=2) for a, b in zip(own, made, strict=True)])
    still = change[[0, 1, 2, 3, 4, *range(N, N + 6)]]
    assert still.mean() < 2.0
    assert still.max() < 40
    face, corner = change[N - 1][40:110, 50:110], change[N - 1][120:, 120:]
    assert face.mean() > 2.5 * max(corner.mean(), 0.5)
    assert still.mean() < change[5][40:110, 50:110].mean() < 0.6 * face.mean()  # on its way
    assert not list(edited.parent.glob(".*"))
    with av.open(str(edited)) as container:
        assert json.loads(container.metadata["comment"])["edited"] is True


def test_a_result_that_is_there_is_not_made_again(editor: Editor, source: Path, edited: Path) -> None:
    before = edited.stat().st_mtime_ns
    report = edit_films(editor, [source], edited, plan("0@0s,0@0.16s,1@0.4s"))
    assert report.n_before == 1
    assert edited.stat().st_mtime_ns == before


def test_a_stopped_run_goes_on_and_gives_the_same_file(
    editor: Editor, source: Path, edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while looking and while editing, at several frames; finished segments are not done again."""
    monkeypatch.setattr(passes_module, "SEGMENT_FRAMES", 5)
    out, wanted = tmp_path / "out.mp4", plan("0@0s,0@0.16s,1@0.4s")
    real_look, real_pasted = passes_module.look, edited_module.with_change
    calls = {"look": 0, "pasted": 0}

    def stops(name: str, real: Callable[..., object], after: int) -> Callable[..., object]:
        def counted(*args: object) -> object:
            calls[name] += 1
            if calls[name] > after:
                raise KeyboardInterrupt
            return real(*args)

        return counted

    for name, after in (("look", 2), ("pasted", 2), ("pasted", 6)):
        calls.update(look=0, pasted=0)
        monkeypatch.setattr(passes_module, "look", real_look)
        if name == "look":
            monkeypatch.setattr(passes_module, "look", stops(name, real_look, after))
        else:
            monkeypatch.setattr(edited_module, "with_change", stops(name, real_pasted, after))
        with pytest.raises(KeyboardInterrupt, match=r"finished segments? of out\.mp4"):
            edit_films(editor, [source], out, wanted)
        assert not out.exists()
        assert not list(tmp_path.rglob("*.part"))
    calls.update(look=0, pasted=0)
    monkeypatch.setattr(passes_module, "look", stops("look", real_look, 0))  # everything has been looked at
    monkeypatch.setattr(edited_module, "with_change", stops("pasted", real_pasted, 99))
    assert not edit_films(editor, [source], out, wanted).failures
    assert calls["pasted"] < N - 5
    assert out.read_bytes() == edited.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_another_plan_does_not_go_on_with_the_segments(editor: Editor, source: Path, tmp_path: Path) -> None:
    work = tmp_path / ".out.mp4.work"
    work.mkdir()
    (work / "key").write_text("another")
    (work / "film_000000.nut").write_bytes(b"old")
    (tmp_path / "out.mp4").write_bytes(b"somebody's")
    (first,) = edit_films(editor, [source], tmp_path / "out.mp4", plan("0")).edits
    (second,) = edit_films(editor, [source], tmp_path / "out.mp4", plan("0"), again=True).edits
    assert not work.exists()
    assert first.remark == "out.mp4 was there already and was replaced; to keep both, name another -o."
    assert second.remark == ""


def test_one_that_fails_does_not_end_the_others_and_leaves_nothing(editor: Editor, tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    write_clip(films / "wall.mp4", [wall(i / RATE) for i in range(5)])
    (films / "bad.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    face_clip(films / "face.mp4", 4)
    report = edit_films(editor, sorted(films.iterdir()), out, plan())
    assert [type(failure.error) for failure in report.failures] == [ClipError, NoFaceError]
    assert [path.name for path in out.iterdir()] == ["face_happy.mp4"]
    assert len(edit_films(editor, [films / "wall.mp4"], tmp_path / "new", plan()).failures) == 1
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_a_sentence(
    editor: Editor, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes_module.Stretch, "save", full)
    (failure,) = edit_films(editor, [source], tmp_path / "out.mp4", plan()).failures
    assert "cannot be written (No space left on device)" in str(failure)
    assert not list(tmp_path.iterdir())


def test_the_result_may_not_take_the_films_place(editor: Editor, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="is a source film itself"):
        edit_films(editor, [source], source, plan())
    with pytest.raises(ConfigError, match="is one film, but 2 are given"):
        edit_films(editor, [source, source], tmp_path / "x.mp4", plan())
    with pytest.raises(ConfigError, match=r"films are not written as \.png; use "):
        edit_films(editor, [source], tmp_path / "x.png", plan())
    assert not list(tmp_path.iterdir())


def test_a_still_chooses_the_person(editor: Editor, source: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "me.png", astronaut(300))
    report = edit_films(editor, [source], tmp_path / "out.mp4", plan(face=str(tmp_path / "me.png")))
    assert not report.failures
    assert report.edits[0].made["n_frames_edited"] == N


def test_frames_of_a_track_share_noise_tone_and_step(editor: Editor) -> None:
    """The same face gives the same drawing beside whatever frames, and its step is the track's."""
    photo = read_photo(astronaut())
    (face,) = find_faces(photo)
    bright = read_photo((astronaut() * 0.8).astype(np.uint8))
    code = track_code(editor, read_code(editor, photo, face))
    crops = [*editor.align(photo, [face]), *editor.align(bright, [face])]
    targets = [[Target(Emotion.HAPPY)]] * 2
    moves, together = drawings(editor, crops, code, targets, [True, True])
    (_, (alone,)), (_, (second,)) = (
        drawings(editor, crops[:1], code, targets[:1], [True]),
        drawings(editor, crops, code, targets, [False, True]),
    )
    np.testing.assert_allclose(together[0].change, alone.change, atol=0.05)  # levels
    np.testing.assert_allclose(together[1].change, second.change, atol=0.05)
    shifts = [move.landmarks - crop.crop_points() for move, crop in zip(moves, crops, strict=True)]
    np.testing.assert_allclose(shifts[0], shifts[1], atol=1e-4)
    _, (faint,) = drawings(editor, crops[:1], code, [[Target(Emotion.HAPPY, 0.01)]], [True])
    assert np.abs(faint.change).mean() < 0.1 * np.abs(alone.change).mean()


def test_what_is_drawn_is_steadied_by_its_neighbours() -> None:
    """Noise of single frames goes, steady changes and slow ones stay; where the crop moves to is each frame's own."""
    times = np.arange(-2, 3) / RATE
    before = np.random.default_rng(0).uniform(50, 200, (8, 8, 1)).astype(np.float32)
    move = CropChange(before, before, motion=np.ones((8, 8, 2), np.float32))

    def shown(levels: list[float], at: np.ndarray = times) -> np.ndarray:
        rows = [Drawn(np.full((8, 8, 1), level, np.float32), None) for level in levels]
        found = steadied(move, list(zip(at.tolist(), rows, strict=True)))
        assert found.motion is move.motion
        assert found.before is move.before
        return found.after - found.before

    np.testing.assert_allclose(shown([9, 9, 9, 9, 9]), 9, atol=1e-4)
    np.testing.assert_allclose(shown([5, 7, 9, 11, 13]), 9, atol=1e-4)
    assert np.abs(shown([6, 12, 6, 12, 6]) - 9).max() < 0.4 * 3
    np.testing.assert_allclose(shown([7], np.array([0.0])), 7, atol=1e-4)
    np.testing.assert_allclose(shown([7], np.array([9.0])), 7, atol=1e-4)  # however far the nearest is


def test_what_is_drawn_is_carried_along_by_the_landmarks() -> None:
    """A spot between the eyes stays between them where the face has moved in its crop, at a crop's full resolution."""
    photo = read_photo(astronaut())
    points = align(photo, find_faces(photo, detector="hog")[0], 128).crop_points()
    spot = np.zeros((128, 128, 1), np.float32)
    x, y = np.rint(points[27]).astype(int)
    spot[y - 3 : y + 4, x - 3 : x + 4] = 10
    assert carried(spot, points, points) is spot
    moved = carried(spot, points, points + np.array([4, -3]))
    rows, columns = np.nonzero(moved[..., 0] > 5)
    np.testing.assert_allclose([columns.mean() - x, rows.mean() - y], [4, -3], atol=0.6)
    assert 0.8 < moved.sum() / spot.sum() < 1.2
    stays, again, other = carried_each(
        [spot, spot, 2 * spot], [points + np.array([4, -3]), points, points + 1.5], points + np.array([4, -3])
    )
    assert stays is spot
    np.testing.assert_allclose(again, moved, atol=1e-3)
    np.testing.assert_allclose(other, 2 * carried(spot, points + 1.5, points + np.array([4, -3])), atol=1e-3)


def test_frames_between_those_that_are_drawn_are_changed_alike(editor: Editor, source: Path, tmp_path: Path) -> None:
    """One drawn frame in three gives nearly the film of which each is drawn, and calls the network less."""
    calls = []
    films = {}
    for every in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            real = edited_module.drawings
            patch.setattr(edited_module, "drawings", lambda *args, real=real: _counted(calls, real(*args)))
            patch.setitem(OPTIONS, "libx264", OPTIONS["libx264"] | {"crf": "0"})  # what encoding loses is no edit
            out = tmp_path / f"{every}.mkv"
            assert not edit_films(editor, [source], out, plan(draw_every=every)).failures
        films[every] = np.array(frames_of(out)[1]).astype(int)
        calls.append(None)
    assert calls[: calls.index(None)] == [12, N - 12]
    assert calls[calls.index(None) + 1 : -1] == [4, 2]  # 0, 3, 6, 9 and 12, 13: the last before the cut
    own = np.array(frames_of(source)[1]).astype(int)
    change, apart = (np.abs(films[1] - other)[:N, 40:110, 50:110].mean() for other in (own, films[3]))
    assert 0 < apart < 0.15 * change


def _counted(calls: list[int | None], found: tuple[list[CropChange], list[Drawn]]) -> object:
    calls.append(len(found[1]))
    return found


def test_kill_leaves_what_the_same_command_ends(source: Path, edited: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of editing; the next run gives the undisturbed file."""
    out = tmp_path / "out.mp4"
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "import test_video_edit as t\n"
        "t.passes_module.SEGMENT_FRAMES = 5\n"
        f"t.edit_films(t.made_editor(), [Path({str(source)!r})], Path({str(out)!r}), t.plan('0@0s,0@0.16s,1@0.4s'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ, cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out.mp4.work/film_*.nut")) and not out.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes_module, "SEGMENT_FRAMES", 5)
        assert not edit_films(made_editor(), [source], out, plan("0@0s,0@0.16s,1@0.4s")).failures
    assert out.read_bytes() == edited.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_frames_with_a_face_nearly_in_profile_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emorph.video.run.taken_share", lambda points: float(points))
    film: Any = object.__new__(_Film)
    film.editor, film.clip = SimpleNamespace(moves_faces=True), SimpleNamespace(name="a.mp4")
    tracks: list[Any] = [SimpleNamespace(points=[1, 0.5, 0.3]), SimpleNamespace(points=[0.9, 1])]
    film._wishes = lambda *_: {0: [Wish(0, 0, ())], 1: [Wish(0, 1, ()), Wish(1, 0, ())], 2: [Wish(1, 1, ())]}
    (said,) = film._held_back(tracks, np.zeros(3))
    assert said.startswith("a.mp4: in 1 of the 3 frames that were changed, a face is turned far to the side")
    film.editor = SimpleNamespace(moves_faces=False)
    assert film._held_back(tracks, np.zeros(3)) == []


def test_the_command_edits_films(emorph: Command, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    tiny_model().save_pretrained(model)
    tiny_directions().save_pretrained(model / "directions")
    clip = face_clip(tmp_path / "a.mov", 3)
    quick = ["--model", model, "--steps", 2, "--device", "cpu", "--detector", "hog"]
    status, out, err = emorph("edit", clip, "--to", "happy@0s,sad@1s", "-o", tmp_path / "out", "--json", *quick)
    assert status == 0, err
    (row,) = json.loads(out)
    assert row["edited"].endswith("a_happy@0s_sad@1s.mov")
    assert row["n_frames_edited"] == 3
    status, out, err = emorph("edit", clip, "--au", "AU12=0.5", "-o", tmp_path / "out", "--json", *quick[2:])
    assert status == 0, err
    (row,) = json.loads(out)
    assert (Path(row["edited"]).name, row["n_frames_edited"]) == ("a_AU12=0.5.mov", 3)
    status, out, err = emorph("edit", clip, "--to", "happy", "-o", tmp_path / "a.mov.mp4", *quick)
    assert status == 0, err
    assert "(3 of 3 frames edited, " in out
    picture = tmp_path / "picture.mp4"
    write_image(tmp_path / "p.jpg", astronaut())
    picture.write_bytes((tmp_path / "p.jpg").read_bytes())
    status, out, err = emorph("edit", picture, "--to", "happy", "-o", tmp_path / "x.mp4", *quick)
    assert (status, out) == (1, "")
    assert "is a picture, not a film" in err
    assert not (tmp_path / "x.mp4").exists()
    status, _, err = emorph("edit", tmp_path / "p.jpg", "--to", "happy", "--preview", "-o", tmp_path / "o", *quick)
    assert status == 2
    assert "--preview does not apply to photos" in err
    status, _, err = emorph("edit", clip, tmp_path / "p.jpg", "--to", "happy", "-o", tmp_path / "o", *quick)
    assert status == 2
    assert "one after the other" in err
    status, _, err = emorph("edit", clip, "--to", "happy", "-o", tmp_path / "x.png", *quick)
    assert (status, (tmp_path / "x.png").exists()) == (2, False)
    assert "films are not written as .png; use .mp4, " in err


def test_frames_that_say_next_to_nothing_are_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def carried_each(pictures: list[np.ndarray], befores: object, after: object) -> list[np.ndarray]:
        asked.append(len(pictures))
        return pictures

    monkeypatch.setattr(draw_module, "carried_each", carried_each)
    points = np.zeros((68, 2))
    drawn = Drawn(np.ones((4, 4, 3), np.float32), points)
    move = CropChange(np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.float32), landmarks=points)
    around = [(number / 12.5, drawn) for number in range(-6, 7)]
    mean = steadied(move, around)
    assert asked == [9]
    np.testing.assert_allclose(mean.after, 1.0, atol=1e-6)
