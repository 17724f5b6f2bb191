"""A photo driven by a film: its motion is taken over from a neutral frame, and nothing of the driver's shape."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

av = pytest.importorskip("av")

from emorph.core.errors import ClipError, ConfigError, NoFaceError  # noqa: E402
from emorph.core.types import FaceCoeffs, Float64, Landmarks, Photo  # noqa: E402
from emorph.edit.rig import RigEditor  # noqa: E402
from emorph.edit.rig import read as reading  # noqa: E402
from emorph.face3d import ICT, neutral  # noqa: E402
from emorph.face3d.skinning import axis_angle_of, rodrigues  # noqa: E402
from emorph.models.rig_faces import LandmarkReader, rig_buffers  # noqa: E402
from emorph.video import drive as drive_module  # noqa: E402
from emorph.video import passes as passes_module  # noqa: E402
from emorph.video.clip import read_clip  # noqa: E402
from emorph.video.drive import DrivePlan, _Drive, drive_film, driven  # noqa: E402
from emorph.video.frames import Frame  # noqa: E402
from emorph.video.look import Described, Seen, Stretch, thumb  # noqa: E402
from emorph.video.motion import driver_of  # noqa: E402
from emorph.video.tracks import Track  # noqa: E402
from made_clips import RATE, face_clip, frames_of, packets_of, wall, write_clip  # noqa: E402
from made_face import made_face, marks  # noqa: E402
from test_rig_edit import tiny_rig  # noqa: E402

Command = Callable[..., tuple[int, str, str]]
FACE = made_face()
SIDE = 160
N = 30
TIMES = np.arange(N) / RATE
JAW, SMILE = 1, 0
MOST_YAW = 0.2


def performed(shape: float = 0.0, *, n: int = N, yaw: float = MOST_YAW) -> FaceCoeffs:
    """A jaw that falls and a head that turns and rises again, after a fifth of the time at rest."""
    course = torch.from_numpy(np.clip(np.arange(n) / n - 0.2, 0, 1)).float() / 0.8
    still = neutral(FACE, n)
    expression, pose = still.expression.clone(), still.pose.clone()
    expression[:, JAW] = 0.8 * course
    expression[:, SMILE] = 0.3  # a mouth that always smiles is the driver's own
    pose[:, 1] = 0.1 + yaw * course
    camera = torch.tensor([[0.085, 0.0, 0.6]]).repeat(n, 1)
    skin = torch.full((n, 3), 0.6)
    return replace(
        still, shape=shape * torch.ones(n, 3), expression=expression, pose=pose, camera=camera, texture=skin
    )  # fmt: skip


def track_of(coeffs: FaceCoeffs, presence: Float64 | None = None) -> Track:
    points = marks(FACE, coeffs, SIDE).double().numpy()
    n = len(points)
    return Track(
        range(n), points, points, np.ones(n) if presence is None else presence, np.zeros(128), np.zeros(2), 1.0
    )


def test_a_motion_is_that_of_the_coefficients_from_the_first_calm_frame() -> None:
    coeffs = performed()
    driver = driver_of(FACE, [track_of(coeffs)], TIMES, SIDE, "a.mp4")
    (motion,) = driver.motions
    assert driver.neutral_frame <= N // 5 + 1
    change = coeffs.expression - coeffs.expression[:1]
    assert (motion.expression - change).abs().max() < 0.12
    assert motion.expression[-1, JAW] > 0.6
    assert motion.turn[-1, 1] == pytest.approx(MOST_YAW, abs=0.03)
    assert motion.turn[driver.neutral_frame].norm() < 0.02


def test_the_drivers_shape_and_its_own_mouth_stay_behind() -> None:
    """Two people of quite other shapes who do the same give the same motion; so does no pose or size of them."""
    (plain,), (other,) = (
        driver_of(FACE, [track_of(performed(shape))], TIMES, SIDE, "a.mp4").motions for shape in (0.0, 1.2)
    )
    assert (plain.expression - other.expression).abs().max() < 0.08
    assert (plain.turn - other.turn).norm(dim=1).max() < 0.03
    own = photo_face()
    look = driven(FACE, own, other, N - 1, ("expression", "pose"))
    assert torch.equal(look.coeffs.shape, own.coeffs.shape)
    assert torch.equal(look.code, own.code)


def test_frames_that_fit_no_face_are_bridged_and_too_many_are_refused() -> None:
    track = track_of(performed())
    broken = track.points.copy()
    broken[12:15] = np.random.default_rng(0).normal(80, 20, (3, 68, 2))
    (whole,) = driver_of(FACE, [track], TIMES, SIDE, "a.mp4").motions
    (bridged,) = driver_of(FACE, [replace(track, points=broken)], TIMES, SIDE, "a.mp4").motions
    assert (whole.expression - bridged.expression).abs().max() < 0.1
    broken[5:] = broken[12]
    with pytest.raises(NoFaceError, match=r"most frames of a\.mp4 cannot drive a face: the landmarks"):
        driver_of(FACE, [replace(track, points=broken)], TIMES, SIDE, "a.mp4")


def photo_face(roll_rad: float = 0.0):  # type: ignore[no-untyped-def]
    """A face in a photo, as a rig reads it, whose crop was turned by an angle."""
    editor = RigEditor(tiny_rig(), LandmarkReader(FACE), model_id="tiny", device="cpu", steps=2)
    coeffs = performed(0.3, n=1)
    pixels = (rig_buffers(FACE, coeffs, SIDE)[0, :3].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    photo = Photo(np.maximum(pixels, 40))
    points = marks(FACE, coeffs, SIDE)[0].numpy()
    c, s = math.cos(roll_rad), math.sin(roll_rad)
    points = ((points - 80) @ np.array([[c, s], [-s, c]], np.float32) + 80).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "find_faces", lambda *_, **__: [Landmarks(points, (10, 10, 150, 150), 2.0)])
        (face,) = editor.sources(photo)
    return face


def test_a_driven_gif_that_would_be_huge_is_refused(tmp_path: Path) -> None:
    """By the photo's size and the film's length; a preview is small whatever they are."""
    clip = replace(read_clip(face_clip(tmp_path / "a.mp4", 3)), n_frames=20_000)
    photo = Photo(np.zeros((600, 800, 3), np.uint8))
    rest = (tmp_path / "x.gif", DrivePlan(), tmp_path, None)
    with pytest.raises(ClipError, match=r"a GIF of a\.mp4 \(800x600"):
        _Drive(None, clip, photo, *rest)  # type: ignore[arg-type]
    _Drive(None, clip, photo, rest[0], DrivePlan(preview=True), *rest[2:])  # type: ignore[arg-type]
    _Drive(None, replace(clip, n_frames=30), photo, *rest)  # type: ignore[arg-type]


def test_what_is_not_asked_for_stays_and_a_face_that_has_not_come_yet_does_nothing() -> None:
    own = photo_face()
    presence = np.ones(N)
    presence[-1] = 0
    (motion,) = driver_of(FACE, [track_of(performed(), presence)], TIMES, SIDE, "a.mp4").motions
    alone = driven(FACE, own, motion, N - 2, ("expression",))
    assert torch.equal(alone.coeffs.pose, own.coeffs.pose)
    assert alone.coeffs.expression[0, JAW] > own.coeffs.expression[0, JAW] + 0.5
    turned = driven(FACE, own, motion, N - 2, ("pose",))
    assert torch.equal(turned.coeffs.expression, own.coeffs.expression)
    assert turned.beyond is None
    assert turned.turned_deg == pytest.approx(math.degrees(MOST_YAW), abs=2)
    absent = driven(FACE, own, motion, N - 1, ("expression", "pose"))
    torch.testing.assert_close(absent.coeffs.expression, own.coeffs.expression)
    torch.testing.assert_close(absent.coeffs.pose, own.coeffs.pose, atol=1e-4, rtol=1e-4)
    assert not absent.beyond.any()


def test_a_head_turns_in_the_pictures_axes_also_where_its_crop_was_turned() -> None:
    (motion,) = driver_of(FACE, [track_of(performed())], TIMES, SIDE, "a.mp4").motions
    turns = []
    for roll in (0.0, 0.5):
        own = photo_face(roll)
        look = driven(FACE, own, motion, N - 1, ("pose",))
        in_crop = axis_angle_of(rodrigues(look.coeffs.pose) @ rodrigues(own.coeffs.pose).mT)[0]
        across = own.aligned.crop_to_photo[:2, 0]
        angle = -math.atan2(across[1], across[0])
        back = torch.tensor(
            [[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]]
        )
        turns.append(in_crop @ back)
        assert abs(angle) == pytest.approx(roll, abs=0.05)
    torch.testing.assert_close(turns[0], turns[1], atol=0.02, rtol=0)
    torch.testing.assert_close(turns[0], motion.turn[-1], atol=0.02, rtol=0)


def test_turns_beyond_what_the_photo_shows_end_there() -> None:
    (motion,) = driver_of(FACE, [track_of(performed(yaw=0.7))], TIMES, SIDE, "a.mp4").motions
    look = driven(FACE, photo_face(), motion, N - 1, ("pose",))
    assert (look.turned_deg, look.asked_deg) == (pytest.approx(20, abs=0.1), pytest.approx(40, abs=4))


@pytest.mark.parametrize("parts", [("light",), ("expression", "code")])
def test_parts_that_no_film_gives_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=f"a film moves a photo by expression and pose; leave {parts[-1]} out"):
        DrivePlan(parts)  # type: ignore[arg-type]


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch) -> RigEditor:
    """A tiny rig; in films and photos the made face is where it is known to be."""
    points = marks(FACE, performed(), SIDE).numpy()

    def looked(frames: Iterator[Frame], *_: object) -> Stretch:
        seen, pts, thumbs = [], [], []
        first = next(frames)
        for frame in itertools.chain([first], frames):
            described = Described(np.zeros(128, np.float32), np.array([0.5, 1.0], np.float32))
            if frame.number >= 2:
                seen.append(Seen(frame.number, points[frame.number], 1.0, described))
            pts.append(frame.pts)
            thumbs.append(thumb(frame.pixels()))
        still = (False,) * len(pts)
        return Stretch(first.number, tuple(pts), np.array(thumbs, np.uint8), still, tuple(seen), thumbs[-1])

    monkeypatch.setattr(passes_module, "look", looked)
    known = marks(FACE, performed(0.5), SIDE).numpy()[0]
    monkeypatch.setattr(reading, "find_faces", lambda *_, **__: [Landmarks(known, (10, 10, 150, 150), 2.0)])
    return RigEditor(tiny_rig(), LandmarkReader(FACE), model_id="tiny", device="cpu", steps=2)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = (rig_buffers(FACE, performed(0.5, n=1), SIDE)[0, :3].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    path = tmp_path / "me.png"
    Image.fromarray(np.maximum(pixels, 40)).save(path)
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    ticks = [512 * i + (100 if i > 3 else 0) for i in range(14)]
    return write_clip(tmp_path / "drive.mp4", [wall(0.0)] * 14, ticks=ticks, n_sounds=1)


def test_a_photo_moves_with_the_films_sound_and_times(
    editor: RigEditor, film: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    made = drive_film(editor, film, photo, out, DrivePlan(("expression", "pose"))).made
    assert (made["n_frames"], made["n_frames_edited"], made["parts"]) == (14, 12, ["expression", "pose"])
    assert frames_of(out)[0] == frames_of(film)[0]
    assert packets_of(out, "audio") == packets_of(film, "audio")
    pictures = [picture.astype(int) for picture in frames_of(out)[1]]
    still = np.asarray(Image.open(photo)).astype(int)
    assert np.abs(pictures[0] - still).mean() < 4  # nobody is seen yet: the photo as it is
    moved = [np.abs(picture - pictures[0]).mean() for picture in pictures]
    assert moved[-1] > 2 * moved[2] + 0.5
    corner = np.abs(pictures[-1] - pictures[0])[:12, :12]
    assert corner.mean() < 1
    with av.open(str(out)) as container:
        said = dict(container.metadata)
    assert said["description"] == "In this film, a machine moves the face of a photo."
    assert json.loads(said["comment"])["target"] == "drive.mp4"
    assert drive_film(editor, film, photo, out, DrivePlan(("expression", "pose"))).made == {}  # done before


def test_a_stopped_run_goes_on_and_gives_the_same_film(
    editor: RigEditor, film: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_module, "SEGMENT_FRAMES", 5)
    plan = DrivePlan(("expression", "pose"))
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    drive_film(editor, film, photo, whole, plan)
    real, calls = drive_module.picture_of, []

    def stops(*args: object) -> object:
        calls.append(args)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(drive_module, "picture_of", stops)
    with pytest.raises(KeyboardInterrupt, match=r"1 finished segment of out\.mp4 is kept"):
        drive_film(editor, film, photo, out, plan)
    drive_film(editor, film, photo, out, plan)
    assert len(calls) == 8 + 9
    (times, pictures), (times_again, again) = frames_of(whole), frames_of(out)
    assert times_again == times
    differences = [np.abs(a.astype(int) - b).max() for a, b in zip(pictures, again, strict=True)]
    assert max(differences) <= 2  # a sum's last bit may depend on where its numbers lie in memory
    assert not list(tmp_path.glob(".*"))


def test_what_does_not_go_together_is_said(
    emorph: Command, editor: RigEditor, film: Path, photo: Path, tmp_path: Path
) -> None:
    def said(*words: object) -> str:
        status, _, err = emorph("transfer", *words, "-o", tmp_path / "o.mp4")
        assert status == 2
        return err.splitlines()[-1]

    assert "a film moves one photo: name a film and a photo; found 2 films and 0 others" in said(film, film)
    assert "--album does not apply to a photo that a film moves" in said(film, photo, "--album")
    assert "leave light out" in said(film, photo, "--part", "light")
    assert "--preview does not apply to photos" in said(photo, photo, "--preview")
    with pytest.raises(ClipError, match="is a source film itself"):
        drive_film(editor, film, photo, film, DrivePlan())
    large = tmp_path / "large.png"
    Image.new("RGB", (4000, 1001)).save(large)
    assert drive_module._small(Photo(np.asarray(Image.open(large))), preview=False).pixels.shape == (480, 1920, 3)
    assert drive_module._small(Photo(np.asarray(Image.open(large))), preview=True).pixels.shape == (360, 1438, 3)


def test_a_real_film_drives_a_real_photo(ict: ICT, example_photo: Path, tmp_path: Path) -> None:
    """Detector, recogniser and fits as they are; the film's face only drifts and grows, so the photo hardly changes."""
    film = face_clip(tmp_path / "drive.mp4", 6)
    editor = RigEditor(tiny_rig(), LandmarkReader(ict), model_id="tiny", device="cpu", steps=2, detector="hog")
    made = drive_film(editor, film, example_photo, tmp_path / "o.mp4", DrivePlan(("expression", "pose"))).made
    assert made["n_frames_edited"] == 6
    pictures = frames_of(tmp_path / "o.mp4")[1]
    assert pictures[0].shape == (512, 512, 3)
