"""A stretch of film is looked at with few frames in memory, and faces are found from where they come."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from emorph.core.types import Landmarks, Photo  # noqa: E402
from emorph.faces.detect import find_faces  # noqa: E402
from emorph.video import look as look_module  # noqa: E402
from emorph.video import passes as passes_module  # noqa: E402
from emorph.video.clip import read_clip  # noqa: E402
from emorph.video.encode import stored  # noqa: E402
from emorph.video.frames import Frame  # noqa: E402
from emorph.video.look import DETECT_EVERY, FAR_POINTS, Described, Repeats, Stretch, cuts, look  # noqa: E402
from emorph.video.passes import Passes, Watched  # noqa: E402
from made_clips import RATE, astronaut, moving_face, wall, write_clip  # noqa: E402

NOBODY = Described(np.zeros(128, np.float32), np.zeros(3, np.float32))


def frame(number: int, pixels: np.ndarray) -> Frame:
    return Frame(number, 512 * number, 512, av.VideoFrame.from_ndarray(pixels, format="rgb24"))


def test_few_frames_are_held_however_long_the_film_is() -> None:
    alive: weakref.WeakSet[Frame] = weakref.WeakSet()
    most = 0

    def frames() -> Iterator[Frame]:
        nonlocal most
        for number in range(10 * DETECT_EVERY):
            made = frame(number, wall(0, 32))
            alive.add(made)
            most = max(most, len(alive))
            yield made

    stretch = look(frames(), lambda photo: [], lambda photo, face: NOBODY)
    assert len(stretch.pts) == 10 * DETECT_EVERY
    assert most <= DETECT_EVERY + 3


def test_pictures_that_are_shown_again_are_told_from_those_that_hardly_move() -> None:
    """What encoding makes of the same picture counts as a repeat; motion does not, nor what drifts away slowly."""
    noise = np.random.default_rng(0)
    shown = np.repeat(np.arange(2 * DETECT_EVERY), 2)  # across the chunks that are looked at together
    pictures = [moving_face(number / RATE) for number in range(2 * DETECT_EVERY)]
    pixels = [np.clip(pictures[i] + noise.normal(0, 2, pictures[i].shape), 0, 255).astype(np.uint8) for i in shown]
    stretch = look((frame(i, each) for i, each in enumerate(pixels)), lambda photo: [], lambda photo, face: NOBODY)
    assert stretch.repeats == (False, True) * (2 * DETECT_EVERY)
    is_repeat = Repeats()
    drift = [is_repeat(np.full((54, 96, 3), 100 + level, np.uint8)) for level in range(14)]
    assert [i for i, again in enumerate(drift) if not again] == [0, 6, 12]


def test_a_film_is_seen_alike_whatever_its_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At their borders, a picture that is shown again is told as such, and a face that the detector misses followed."""
    n, missed = DETECT_EVERY + 5, DETECT_EVERY
    shown = [moving_face((number - (number == missed)) / RATE) for number in range(n)]
    clip = read_clip(write_clip(tmp_path / "a.mkv", shown, codec="ffv1"))
    looked_at: list[bytes] = []

    def seen(segment_frames: int) -> Watched:
        def detect(photo: Photo) -> list[Landmarks]:
            looked_at.append(photo.pixels.tobytes())
            return find_faces(photo, detector="hog") if len(looked_at) != 2 else []

        monkeypatch.setattr(passes_module, "SEGMENT_FRAMES", segment_frames)
        looked_at.clear()
        work = tmp_path / str(segment_frames)
        work.mkdir()
        passes = Passes(clip, stored(clip, ".mp4").form, tmp_path / "out.mp4", work, None)
        return passes.watched(detect, lambda photo, face: NOBODY)

    one, other = seen(DETECT_EVERY), seen(4 * DETECT_EVERY)
    assert len(looked_at) == len(set(looked_at)) == 3  # at 0, 12 and the end
    assert one.shown_s[missed] == one.shown_s[missed - 1] < one.times_s[missed]
    np.testing.assert_array_equal(one.shown_s, other.shown_s)
    assert one.pts == other.pts
    tracks = [[track for person in each.persons for track in person] for each in (one, other)]
    assert [track.frames for track in tracks[0]] == [range(n)]
    for a, b in zip(*tracks, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.crop_points, b.crop_points)


def test_a_face_is_followed_back_to_where_it_came_and_not_over_a_cut(tmp_path: Path) -> None:
    """It is there from frame 5 on, and detected in the first frame after DETECT_EVERY and at the cut alone."""
    begin, n = 5, DETECT_EVERY + 4
    shown = [wall(i / RATE, 160) if i < begin else moving_face(i / RATE) for i in range(n)]
    looked_at = []

    def detect(photo: Photo) -> list[Landmarks]:
        number = next(i for i, pixels in enumerate(shown) if np.array_equal(pixels, photo.pixels))
        looked_at.append(number)
        return find_faces(photo, detector="hog") if number > begin else []  # its first frame is missed

    stretch = look((frame(i, pixels) for i, pixels in enumerate(shown)), detect, lambda photo, face: NOBODY)
    assert cuts(stretch.thumbs) == [begin]
    assert looked_at == sorted(set(looked_at))
    assert set(looked_at) == {0, begin - 1, begin, DETECT_EVERY, n - 1}
    found = {face.frame: face for face in stretch.faces}
    assert sorted(found) == list(range(begin + 1, n))
    assert len(stretch.faces) == len(found)
    assert [number for number, face in found.items() if face.described] == [DETECT_EVERY, n - 1]
    for number, face in found.items():
        (own,) = find_faces(Photo(shown[number]), detector="hog") if number % 6 == 0 else (face,)
        assert np.abs(face.points - own.points).mean() < 2.0
    stretch.save(tmp_path / "look.npz")
    again = Stretch.load(tmp_path / "look.npz")
    assert again is not None
    assert (again.pts, again.repeats) == (stretch.pts, stretch.repeats)
    np.testing.assert_array_equal(again.faces[-1].points, stretch.faces[-1].points)
    assert again.faces[-1].described is not None
    (tmp_path / "look.npz").write_bytes((tmp_path / "look.npz").read_bytes()[:-40])
    assert Stretch.load(tmp_path / "look.npz") is None


def test_a_face_that_is_followed_from_the_start_is_not_followed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there all the time is read once a frame, and once more where it meets itself."""
    read = []
    real = look_module.refine_points
    monkeypatch.setattr(look_module, "refine_points", lambda photo, face: read.append(1) or real(photo, face))
    frames = (frame(i, moving_face(i / RATE)) for i in range(DETECT_EVERY + 1))
    stretch = look(frames, lambda photo: find_faces(photo, detector="hog"), lambda photo, face: NOBODY)
    assert [face.frame for face in stretch.faces] == list(range(DETECT_EVERY + 1))
    assert len(read) == DETECT_EVERY + 2


def test_a_head_that_is_thrown_about_is_looked_for() -> None:
    """Where it went far since the frame before, and around there alone."""
    far = [0, 0, 18, 18, 18]  # px; the diagonal of the face is 69 px
    wide = np.pad(astronaut(), ((60, 60), (160, 160), (0, 0)), constant_values=90)
    shown = [np.roll(wide, x, axis=1) for x in far]
    asked = []

    def detect(photo: Photo) -> list[Landmarks]:
        asked.append(photo.pixels.shape[1])
        return find_faces(photo, detector="hog")

    stretch = look((frame(i, pixels) for i, pixels in enumerate(shown)), detect, lambda photo, face: NOBODY)
    assert asked[:2] == [shown[0].shape[1]] * 2
    assert len(asked) == 3, asked
    assert asked[2] < shown[0].shape[1]
    points = np.stack([face.points for face in stretch.faces])
    assert len(points) == len(far)
    gone = np.linalg.norm(points - points[0] - np.array([[[x, 0]] for x in far]), axis=2).mean(axis=1)
    assert gone.max() < FAR_POINTS * np.linalg.norm(np.ptp(points[0], axis=0))


def test_points_of_the_detector_are_kept_where_those_of_the_box_around_them_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a head that leans back, the predictor reads others in a box that is drawn around its points."""
    (face,) = find_faces(Photo(astronaut()), detector="hog")
    for away_px, is_kept in ((0.1, False), (9.0, True)):
        read = dataclasses.replace(face, points=face.points + np.float32(away_px))
        monkeypatch.setattr(look_module, "refine_points", lambda photo, known, read=read: read)
        frames = [frame(i, astronaut()) for i in range(2)]
        stretch = look(frames, lambda photo: [face], lambda photo, known: NOBODY)
        np.testing.assert_array_equal(stretch.faces[0].points, face.points if is_kept else read.points)
