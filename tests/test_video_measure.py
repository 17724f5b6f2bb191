"""Films measured over time: flicker is told from motion, and what a film was asked for from what it shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from emorph.core.errors import ClipError  # noqa: E402
from emorph.core.expressions import Emotion  # noqa: E402
from emorph.core.types import UInt8  # noqa: E402
from emorph.evaluate.judges.asked import CropPlan, PanelJudge  # noqa: E402
from emorph.video import rows as rows_module  # noqa: E402
from emorph.video.flicker import WINDOW_PX, Warper, Window, unsteadiness  # noqa: E402
from emorph.video.measure import FilmMeasures, measure_film  # noqa: E402
from emorph.video.report import write_pages  # noqa: E402
from emorph.video.run import edit_films  # noqa: E402
from made_clips import RATE, face_clip, moving_face, wall, write_clip  # noqa: E402
from test_video_edit import made_editor, plan  # noqa: E402

Command = Callable[..., tuple[int, str, str]]
N = 14
JUDGE = PanelJudge(
    "bright@1", (Emotion.NEUTRAL, Emotion.HAPPY), CropPlan("box", 32),
    lambda crops: np.stack([1 - (p := crops.mean(axis=(1, 2, 3)) / 255), p], axis=1),
)  # fmt: skip


def lit(pixels: UInt8, levels: float) -> UInt8:
    """The frame with the face's middle brighter."""
    result = pixels.astype(np.float32)
    result[30:110, 50:110] += levels
    return np.clip(result, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face_clip(tmp_path_factory.mktemp("films") / "a.mp4", N, n_sounds=1)


def changed(folder: Path, levels: Callable[[int], float], *, n: int = N) -> Path:
    """The same film with its face brighter by so many levels in each frame."""
    frames = [lit(moving_face(i / RATE), levels(i)) for i in range(n)]
    return write_clip(folder / "a_happy.mp4", frames, n_sounds=1)


def test_motion_is_no_flicker_and_light_that_changes_is() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(128, 40, (24, 24))
    picture = np.kron(coarse, np.ones((12, 12)))
    smooth = np.array([np.convolve(row, np.ones(9) / 9, "same") for row in picture])
    smooth = np.array([np.convolve(row, np.ones(9) / 9, "same") for row in smooth.T]).T

    def at(x: int) -> np.ndarray:
        return np.clip(smooth[40 : 40 + WINDOW_PX, 40 + x : 40 + x + WINDOW_PX], 0, 255).astype(np.uint8)

    inside = np.zeros((WINDOW_PX, WINDOW_PX), bool)
    inside[40:150, 40:150] = True
    warper = Warper()
    assert warper.error(at(0), at(0), inside) < 0.1
    moved = warper.error(at(0), at(3), inside)
    assert moved < 0.25 * float(np.abs(at(0).astype(float) - at(3))[inside].mean())
    brighter = np.clip(at(3).astype(int) + 10, 0, 255).astype(np.uint8)
    assert warper.error(at(0), brighter, inside) > moved + 5
    assert np.isnan(warper.error(at(0), at(0), np.zeros_like(inside)))


def test_a_window_follows_the_face() -> None:
    points = np.array([[20.0, 40], [60, 40], [40, 80], [40, 20]])
    window = Window.around(points)
    assert window.side == pytest.approx(1.35 * 60)
    inside = window.inside(points)
    assert inside[WINDOW_PX // 2, WINDOW_PX // 2]
    assert not inside[2, 2]
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[48:52, 38:42] = 255
    assert window.cut(frame)[WINDOW_PX // 2 - 2, WINDOW_PX // 2] > 200


def test_landmarks_that_move_steadily_do_not_tremble() -> None:
    points = np.zeros((6, 68, 2))
    points[:, 42:48, 0] = 50  # the eyes' distance
    steady = points + 3 * np.arange(6)[:, None, None]
    assert np.nanmax(unsteadiness(steady)) == 0
    shaken = points.copy()
    shaken[1::2] += [0, 1.0]
    np.testing.assert_allclose(unsteadiness(shaken)[1:-1], 2 / 50)
    assert np.isnan(unsteadiness(shaken)[[0, -1]]).all()


@pytest.fixture(scope="module")
def steady(source: Path, tmp_path_factory: pytest.TempPathFactory) -> FilmMeasures:
    return measure_film(source, changed(tmp_path_factory.mktemp("s"), lambda _: 12), [JUDGE], detector="hog")


def test_a_film_against_itself_has_nothing_changed(source: Path) -> None:
    found = measure_film(source, source, [JUDGE], detector="hog")
    assert not found.is_edited.any()
    assert found.summary()["flicker_ratio"] is None
    assert found.facts["sound"] == "the same, bit for bit"
    np.testing.assert_array_equal(found.warped, found.warped_source)


def test_what_changes_once_does_not_flicker_and_what_changes_in_every_frame_does(
    source: Path, steady: FilmMeasures, tmp_path: Path
) -> None:
    flickering = measure_film(source, changed(tmp_path, lambda i: 12 + 6 * (i % 2)), [JUDGE], detector="hog")
    calm, wild = steady.summary(), flickering.summary()
    assert steady.is_edited.all()
    assert calm["flicker_ratio"] == pytest.approx(1, abs=0.25)
    assert wild["flicker_ratio"] > 2 * calm["flicker_ratio"]
    assert calm["identity_distance"] is not None
    assert 0 < calm["identity_distance"] <= calm["identity_distance_worst"] < 0.6
    assert calm["change_outside"] < 3 < steady.changed.min()


def test_the_emotions_curve_stands_against_the_keyframes(tmp_path: Path) -> None:
    film = face_clip(tmp_path / "b.mp4", 24)
    out = tmp_path / "b_happy.mp4"
    assert not edit_films(made_editor(), [film], out, plan("0@0s,1@0.8s")).failures
    found = measure_film(film, out, [JUDGE], detector="hog")
    (told,) = found.told
    asked = told.asked[:, told.emotions.index(Emotion.HAPPY)]
    assert asked[0] == 0
    assert asked[-1] == pytest.approx(1)
    assert (np.diff(asked) >= 0).all()
    assert set(found.summary()) >= {"happy_seen", "happy_seen_source"}
    assert "neutral_seen" not in found.summary()


def test_every_judge_is_asked_and_a_measuring_that_was_stopped_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "SEGMENT_FRAMES", 5)
    other = PanelJudge("dark@1", (Emotion.HAPPY,), CropPlan("box", 32), lambda crops: 1 - JUDGE.answer(crops)[:, 1:])
    edited, asked = changed(tmp_path, lambda _: 12), []
    undisturbed = measure_film(source, edited, [JUDGE], detector="hog")

    def stops(crops: np.ndarray) -> np.ndarray:
        asked.append(len(crops))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return JUDGE.answer(crops)

    judges = [PanelJudge(JUDGE.id, JUDGE.emotions, JUDGE.plan, stops), other]
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(KeyboardInterrupt):
        measure_film(source, edited, judges, detector="hog", work=work)
    assert len(list(work.glob("rows_*.npz"))) == 1
    found = measure_film(source, edited, judges, detector="hog", work=work)
    assert len(asked) == 4 + 3  # of five frames one after the other, where every third is asked
    np.testing.assert_array_equal(found.warped, undisturbed.warped)
    np.testing.assert_array_equal(found.told[0].seen, undisturbed.told[0].seen)
    np.testing.assert_allclose(found.told[1].seen[:, 0], 1 - found.told[0].seen[:, 1])
    assert measure_film(source, edited, judges, detector="hog", work=work).summary() == found.summary()
    assert len(asked) == 4 + 3


def test_films_of_others_say_nothing_of_what_was_asked(steady: FilmMeasures) -> None:
    assert np.isnan(steady.told[0].asked).all()
    assert not any(name.endswith("_seen") for name in steady.summary())


def test_films_that_do_not_belong_together_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"has 96x96 px, but a\.mp4 160x160; name the film"):
        measure_film(source, write_clip(tmp_path / "s.mp4", [moving_face(0, 96)] * 3), detector="hog")
    with pytest.raises(ClipError, match="has another number of frames than"):
        measure_film(source, changed(tmp_path, lambda _: 5, n=N - 3), detector="hog")
    blank = write_clip(tmp_path / "blank.mp4", [wall(0)] * 4)
    with pytest.raises(ClipError, match="shows no face"):
        measure_film(blank, blank, detector="hog")


def test_of_several_people_the_one_who_was_edited_is_measured(tmp_path: Path) -> None:
    def two(i: int, levels: float) -> UInt8:
        one = moving_face(i / RATE)
        return np.concatenate([one, lit(one[:, ::-1], levels)], axis=1)

    source = write_clip(tmp_path / "two.mp4", [two(i, 0) for i in range(6)])
    edited = write_clip(tmp_path / "two_happy.mp4", [two(i, 20) for i in range(6)])
    found = measure_film(source, edited, detector="hog")
    assert found.facts["n_people"] == 2
    assert found.is_edited.all()
    assert found.changed.min() > 5


def test_films_of_one_name_are_kept_apart(steady: FilmMeasures, tmp_path: Path) -> None:
    films = [replace(steady, edited=replace(steady.edited, path=tmp_path / at / "a.mp4")) for at in ("mild", "strong")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emorph.video.report._write_side_by_side", lambda path, film: path.write_bytes(b""))
        page = write_pages(tmp_path, films, "emorph evaluate")
    assert list(json.loads((tmp_path / "clips.json").read_text())) == ["mild/a.mp4", "strong/a.mp4"]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "a-2.csv").read_bytes() != b""
    assert all(f"<h2>{at}/a.mp4</h2>" in page.read_text() for at in ("mild", "strong"))


def test_the_command_writes_a_page(emorph: Command, source: Path, tmp_path: Path) -> None:
    edited = changed(tmp_path, lambda _: 12)
    report = tmp_path / "report"
    status, out, err = emorph("evaluate", edited, "--sources", source, "-o", report, "--json")
    assert status == 0, err
    (found,) = json.loads(out)["films"]
    assert found["flicker_ratio"] == pytest.approx(1, abs=0.25)
    assert (found["sound"], found["n_frames"]) == ("the same, bit for bit", N)
    assert json.loads((report / "clips.json").read_text())["a_happy.mp4"] == {
        name: value for name, value in found.items() if name != "report"
    }
    page = (report / "clips.html").read_text()
    assert page.count("<svg") == 3
    assert f"{N} of them changed by more than 1 level on average" in page
    assert "one that 1 % of pairs of different persons pass" in page
    assert 'src="data:video/webm;base64,' in page
    assert "https://" not in page
    with (report / "a_happy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N
    assert rows[0]["flicker"] == ""
    assert float(rows[3]["flicker"]) > 0
    assert sorted(path.name for path in report.iterdir()) == ["a_happy.csv", "clips.html", "clips.json"]
    by_folder = emorph("evaluate", edited, "--sources", source.parent, "-o", report)
    assert by_folder[0] == 0, by_folder[2]
    assert "Flicker" in by_folder[1]


def test_what_is_wrong_is_said_before_any_work(emorph: Command, source: Path, tmp_path: Path) -> None:
    def said(*words: object) -> str:
        status, _, err = emorph("evaluate", *words, "-o", tmp_path / "r")
        assert status == 2
        return err.splitlines()[-1]

    assert "name the film that a.mp4 was made from" in said(source)
    assert "has no film with whose name a.mp4 begins" in said(source, "--sources", tmp_path)
    assert "--compare does not apply to films" in said(source, "--sources", source, "--compare")
    assert "is a film, but other edits are given as well" in said(source, tmp_path)
