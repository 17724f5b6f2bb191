"""Faces followed through time: no lag, no jump over a cut, two people kept apart, keyframes as asked."""

from __future__ import annotations

import numpy as np
import pytest

from emorph.core.errors import ConfigError, NoFaceError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.types import Float32, Target
from emorph.video.keyframes import Keyframe, parse_strengths, parse_words, strength_at
from emorph.video.look import Described, Seen, cuts
from emorph.video.plan import FilmPlan
from emorph.video.smooth import smoothed
from emorph.video.tracks import FADE_S, chosen, persons_of, tracks_of

TIMES = np.arange(50) / 25
SHAPE = np.stack([np.linspace(0, 40, 68), np.tile([0.0, 20, 40, 10], 17)], axis=1)


def person(number: int) -> Float32:
    found = np.zeros(128, np.float32)
    found[number] = 1
    return found


def seen(frame: int, x: float, who: int | None = 0) -> Seen:
    described = None if who is None else Described(person(who), np.float32([who, frame]))
    return Seen(frame, np.add(SHAPE, [x, 30]).astype(np.float32), 1.0, described)


def test_smoothing_has_no_lag_and_takes_noise_off() -> None:
    """A sine keeps its phase, a line its ends, also where frames are unevenly spaced; white noise shrinks."""
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 200))
    line = 3 + 40 * times
    np.testing.assert_allclose(smoothed(times, line, 0.1), line, atol=1e-9)
    noise = np.random.default_rng(1).normal(size=(200, 2))
    assert smoothed(times, noise, 0.1)[20:-20].std() < 0.5
    even = np.arange(300) / 25
    wave = np.sin(2 * np.pi * even)
    after = smoothed(even, wave, 0.05)
    shift = np.argmax(np.correlate(after[50:-50], wave[50:-50], "full")) - (len(wave[50:-50]) - 1)
    assert shift == 0
    assert after[50:-50].max() > 0.93


def test_a_gap_is_bridged_and_a_longer_one_ends_the_track() -> None:
    short = [seen(i, i) for i in range(50) if not 10 <= i < 15]
    (track,) = tracks_of(short, TIMES, [])
    assert track.frames == range(50)
    np.testing.assert_allclose(track.points[12], np.add(SHAPE, [12, 30]), atol=0.05)
    long = [seen(i, i) for i in range(50) if not 10 <= i < 25]
    one, other = tracks_of(long, TIMES, [])
    assert (one.frames, other.frames) == (range(10), range(25, 50))
    assert [len(person) for person in persons_of([one, other])] == [2]


def test_points_stay_with_a_head_that_moves_in_steps() -> None:
    """A film that shows every third picture thrice: smoothing alone would put the edit beside the face."""
    steps = np.repeat(np.arange(10), 3)[:30] * 12.0
    noise = np.random.default_rng(0).normal(0, 0.05, (30, 68, 2))
    read = SHAPE + np.stack([steps, 0 * steps], axis=1)[:, None] + noise
    faces = [Seen(i, row.astype(np.float32), 1.0, Described(person(0), np.float32([0]))) for i, row in enumerate(read)]
    (track,) = tracks_of(faces, TIMES[:30], [])
    unit = float(np.linalg.norm(SHAPE[36:42].mean(axis=0) - SHAPE[42:48].mean(axis=0)))
    apart = np.abs(track.points.mean(axis=1) - read.mean(axis=1))[:, 0]
    assert apart.max() < 0.06 * unit < np.abs(smoothed(TIMES[:30], steps, 0.04) - steps).max()
    pairs = zip(noise, faces, strict=True)
    still = [Seen(face.frame, (SHAPE + n).astype(np.float32), 1.0, face.described) for n, face in pairs]
    (track,) = tracks_of(still, TIMES[:30], [])
    assert (track.points - SHAPE).std() < 0.75 * noise.std()


def test_a_picture_that_is_shown_twice_has_one_set_of_points() -> None:
    """A film of 12.5 pictures a second stored as 25: read twice, points differ, and smoothing moves them apart."""
    steps = np.repeat(np.arange(15), 2) * 3.0
    noise = np.random.default_rng(0).normal(0, 0.2, (30, 68, 2))
    read = SHAPE + np.stack([steps, 0 * steps], axis=1)[:, None] + noise
    faces = [Seen(i, row.astype(np.float32), 1.0, Described(person(0), np.float32([0]))) for i, row in enumerate(read)]
    shown_s = np.repeat(TIMES[:30:2], 2)
    (track,) = tracks_of(faces, TIMES[:30], [], shown_s)
    for points in (track.points, track.crop_points):
        np.testing.assert_array_equal(points[::2], points[1::2])
    np.testing.assert_allclose(track.points[:, :, 0].mean(axis=1) - SHAPE[:, 0].mean(), steps, atol=0.1)
    (apart,) = tracks_of(faces, TIMES[:30], [])
    assert np.abs(apart.points[::2] - apart.points[1::2]).mean() > 0.1
    later = [seen(i, i) for i in range(5, 20)]  # the picture was there before the face was seen in it
    (track,) = tracks_of(later, TIMES[:30], [], shown_s)
    assert track.frames == range(5, 20)
    np.testing.assert_array_equal(track.points[1::2][:7], track.points[2::2][:7])


def test_an_edit_fades_where_a_face_comes_and_goes_but_not_at_cuts() -> None:
    (track,) = tracks_of([seen(i, 0) for i in range(10, 40)], TIMES, [])
    assert track.presence[0] == 0
    assert track.presence[-1] == 0
    assert track.presence[round(FADE_S * 25) + 1 : -round(FADE_S * 25) - 1].min() > 0.99
    (track,) = tracks_of([seen(i, 0) for i in range(10, 40)], TIMES, [10, 40])
    assert track.presence.min() == 1
    (track,) = tracks_of([seen(i, 0) for i in range(50)], TIMES, [])
    assert track.presence.min() == 1


def test_no_track_crosses_a_cut() -> None:
    tracks = tracks_of([seen(i, 0, who=0 if i < 20 else 1) for i in range(50)], TIMES, [20])
    assert [track.frames for track in tracks] == [range(20), range(20, 50)]
    assert len(persons_of(tracks)) == 2


def test_people_who_cross_are_kept_apart() -> None:
    """They meet where their boxes are one; the recogniser says who is who, whoever is followed."""
    faces = []
    for i in range(50):
        a, b = 4.0 * i, 200 - 4.0 * i
        faces += [seen(i, a, 0), seen(i, b, 1)]
    tracks = tracks_of(faces, TIMES, [])
    people = persons_of(tracks)
    assert len(people) == 2
    for who, way in ((0, +4), (1, -4)):
        track = chosen(people, str(who + 1), "a.mp4")[0]
        assert np.diff(track.points[:, :, 0].mean(axis=1)) == pytest.approx(way, abs=1.0)
        assert track.code is not None
        assert track.code[0] == who


def test_a_face_is_chosen_by_word_number_and_still() -> None:
    faces = [seen(i, 100, 0) for i in range(50)] + [seen(i, 0, 1) for i in range(20, 50)]
    people = persons_of(tracks_of(sorted(faces, key=lambda face: face.frame), TIMES, []))
    assert chosen(people, "1", "a")[0].points[0, 0, 0] == pytest.approx(100)
    assert chosen(people, "left", "a")[0].points[0, 0, 0] == pytest.approx(0, abs=1e-6)
    assert chosen(people, "largest", "a")[0].frames == range(50)
    assert len(chosen(people, "all", "a")) == 2
    assert chosen(people, person(1), "a")[0].frames == range(20, 50)
    with pytest.raises(NoFaceError, match="looks like the person"):
        chosen(people, person(5), "a")
    with pytest.raises(NoFaceError, match="has 2 people, there is no 3"):
        chosen(people, "3", "a")
    with pytest.raises(UnknownNameError):
        chosen(people, "biggest", "a")
    with pytest.raises(NoFaceError, match="no face found in a"):
        chosen([], "largest", "a")


def test_cuts_are_told_from_motion() -> None:
    generator = np.random.default_rng(0)
    scene = [generator.integers(0, 255, (18, 32, 3)).astype(np.uint8) for _ in range(2)]
    still = np.stack([scene[0]] * 20 + [scene[1]] * 20)
    assert cuts(still) == [20]
    shaking = generator.integers(0, 255, (40, 18, 32, 3)).astype(np.uint8)
    assert cuts(shaking) == []
    fade = np.linspace(0, 200, 40)[:, None, None, None] * np.ones((40, 18, 32, 3))
    assert cuts(fade.astype(np.uint8)) == []


def test_cuts_between_dark_scenes_are_told() -> None:
    """Two scenes of a dim stage, with noise; the same scene in a sudden light, and one that moves, are none."""
    generator = np.random.default_rng(3)

    def film(*scenes: np.ndarray) -> np.ndarray:
        frames = np.concatenate([np.stack([scene] * 12) for scene in scenes])
        return np.clip(frames + generator.normal(0, 0.4, frames.shape), 0, 255).astype(np.uint8)

    one, other = (generator.uniform(4, 24, (18, 32, 1)) * np.ones(3) for _ in range(2))
    assert cuts(film(one, other)) == [12]
    assert cuts(film(one, 1.5 * one)) == []
    assert cuts(film(np.zeros((18, 32, 3)), np.zeros((18, 32, 3)) + 0.4)) == []


def test_keyframes_hold_before_and_after_and_ease_between() -> None:
    keys = parse_strengths("0@0s,1@2s,1@5s,0@6s")
    assert [strength_at(keys, t) for t in (0, 1, 2, 3.3, 5, 6, 9)] == [0, 0.5, 1, 1, 1, 0, 0]
    assert strength_at(keys, 0.5, "linear") == 0.25
    assert strength_at(keys, 0.5) == pytest.approx(3 / 16 - 2 / 64)
    assert strength_at(parse_strengths("0.7"), 100) == 0.7
    assert strength_at(parse_strengths("-0.5@1s"), 0) == -0.5


@pytest.mark.parametrize("text", ["", "x", "1@", "1@2s,0@1s", "1@0s,,0@2s", "9", "1@0s 2@1s", "nan@0s"])
def test_keyframes_that_are_not_read(text: str) -> None:
    with pytest.raises(ConfigError, match="--strength"):
        parse_strengths(text)


def test_emotions_give_way_to_each_other() -> None:
    keys = tuple(Keyframe(Target(Emotion.parse(key.value)), key.at_s) for key in parse_words("happy@0s,sad@2s"))
    plan = FilmPlan(keys, parse_strengths("0.8"))
    (alone,) = plan.targets_at(0)
    assert (alone.emotion, alone.strength) == (Emotion.HAPPY, 0.8)
    happy, sad = plan.targets_at(1.0, presence=0.5)
    assert (happy.strength, sad.strength) == (pytest.approx(0.2), pytest.approx(0.2))
    assert plan.targets_at(1.0, presence=0) == ()
    assert plan.word == "happy@0s_sad@2s_0.8"
