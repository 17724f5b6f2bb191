"""Landmarks move, the photo moves with them, and the model draws the rest."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph import Editor, Emotion
from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError
from emorph.core.landmarks import (
    BROWS,
    CHIN,
    INNER,
    LOWER_LIP_POINTS,
    MIRRORED,
    NOSE_RIDGE,
    STABLE,
    UPPER_LIP_POINTS,
)
from emorph.core.types import AlignedFace, Landmarks, Photo, Target
from emorph.edit import latent, moving, redraw
from emorph.edit.files import edit_files
from emorph.faces import align, face_mask, find_faces, in_order, motion_between, paste_change, warp
from emorph.faces.slits import MOUTH_SLIT
from emorph.faces.turned import LEAST_TAKEN
from emorph.faces.warp import HAIRLINE, STIFFNESS, anchors, warped
from emorph.models.directions import Directions
from emorph.train.tasks.emotion_steps import landmark_map
from emorph.train.tasks.head import HeadConfig
from tiny import tiny_directions, tiny_editor, tiny_model

SIDE = 64


@pytest.fixture(scope="module")
def editor() -> Editor:
    """A tiny editor whose directions know landmarks: its codes move them by a pixel or so."""
    generator = torch.Generator().manual_seed(2)
    landmarks = 0.01 * torch.randn(68, 2, 32, generator=generator)
    directions = dataclasses.replace(tiny_directions(), landmarks=landmarks)
    return Editor(tiny_model(), directions, model_id="tiny", device="cpu", steps=4)


def test_points_in_the_crop_lead_back_to_the_photo(photo: Photo, landmarks: Landmarks) -> None:
    """The way there is the crop's matrix backwards, for a turned crop as well."""
    points = landmarks.points.astype(float)
    turned = dataclasses.replace(landmarks, points=(points @ [[0.9, 0.3], [-0.3, 0.9]] + [90, -30]).astype(np.float32))
    for each in (landmarks, turned):
        face = align(photo, each, SIDE)
        inside = np.column_stack([face.crop_points(), np.ones(68)])
        np.testing.assert_allclose((face.crop_to_photo @ inside.T)[:2].T, each.points, atol=1e-3)
        np.testing.assert_array_equal(redraw.crop_points(face, torch.zeros(1, 68, 2))[0], face.crop_points())


def test_landmarks_that_stay_move_nothing(face: AlignedFace) -> None:
    points = face.crop_points()
    assert np.abs(motion_between(points, points, SIDE)).max() < 1e-4


def test_the_picture_goes_where_its_landmarks_go(face: AlignedFace) -> None:
    """A spot on the nose's tip, moved by (3, -2), is found there; the crop's border stays."""
    before = face.crop_points()
    after = before.copy()
    after[17:] += [3, -2]
    motion = motion_between(before, after, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = np.exp(-((x - before[30, 0]) ** 2 + (y - before[30, 1]) ** 2) / 8)[..., None]
    found = warped(spot, motion)[..., 0]
    centre = np.array([(found * x).sum(), (found * y).sum()]) / found.sum()
    np.testing.assert_allclose(centre, before[30] + [3, -2], atol=0.35)
    border = np.concatenate([motion[0], motion[-1], motion[:, 0], motion[:, -1]])
    assert np.abs(border).max() < 0.5


class OnApplesGpu:
    """Pictures that lie on Apple's GPU: older torch has no cubic grid_sample there."""

    device = torch.device("mps")

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    def cpu(self) -> torch.Tensor:
        return self.here


def test_crops_on_apples_gpu_are_moved_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fields = np.random.default_rng(0).normal(0, 2, (2, 3, 16, 16, 2)).astype(np.float32)
    here = redraw.move_crops(pictures, fields)
    sent: list[torch.device] = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: sent.append(device) or tensor)
    assert torch.equal(redraw.move_crops(OnApplesGpu(pictures), fields), here)  # type: ignore[arg-type]
    assert sent[-1] == torch.device("mps")


def test_the_chin_goes_with_the_jaw_and_the_hairline_stays(face: AlignedFace) -> None:
    before = face.crop_points()
    after = before.copy()
    after[CHIN, 1] += 0.06 * SIDE
    after[55:60, 1] += 0.06 * SIDE
    after[BROWS, 1] += 0.04 * SIDE
    motion = motion_between(before, after, SIDE)
    chin = np.rint(after[8]).astype(int)
    assert motion[min(chin[1], SIDE - 2), chin[0], 1] < -0.03 * SIDE  # what is seen there lay higher before
    height = before[[48, 54], 1].mean() - before[36:48, 1].mean()
    hair = np.rint(before[BROWS].mean(axis=0) - [0, HAIRLINE * height]).astype(int)
    brows = np.rint(after[BROWS].mean(axis=0)).astype(int)
    assert abs(motion[max(hair[1], 0), hair[0], 1]) < 0.5 * abs(motion[brows[1], brows[0], 1])


def _closing(before: np.ndarray, side_px: int) -> np.ndarray:
    """Landmarks of a mouth whose lips all but meet: the spline's largest coefficients."""
    after = before.copy()
    after[[61, 62, 63]] = after[[67, 66, 65]] - [0, 0.002 * side_px]
    after[48:60] += [0, -0.02 * side_px]
    return in_order(before, after)


def _bookstein(start: np.ndarray, end: np.ndarray, stiffness: float, places: np.ndarray) -> np.ndarray:
    """Where ``places`` come from, less themselves, by the formula written out."""

    def basis(at: np.ndarray) -> np.ndarray:
        r = np.linalg.norm(at[:, None] - end[None], axis=2)
        kernel = np.where(r > 0, r**2 * np.log(np.maximum(r, 1e-9) ** 2), 0)
        return np.concatenate([kernel, np.ones((len(at), 1)), at], axis=1)

    n = len(end)
    system = np.zeros((n + 3, n + 3))
    system[:n] = basis(end)
    system[:n, :n] += stiffness * np.eye(n)
    system[n:, :n] = system[:n, n:].T
    found: np.ndarray = basis(places) @ np.linalg.solve(system, np.concatenate([start - end, np.zeros((3, 2))]))
    return found


@pytest.mark.parametrize("side_px", [64, 150, 256])
def test_the_field_is_the_splines_own(photo: Photo, landmarks: Landmarks, side_px: int) -> None:
    """Against Bookstein's formula for some pixels; two of them are landmarks, where r is 0."""
    before = align(photo, landmarks, side_px).crop_points()
    before[30] = before[30].round()
    after = _closing(before, side_px)
    start, end = (np.concatenate([each[CHIN], each[INNER], anchors(before, side_px)]) for each in (before, after))
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.integers(0, side_px, (400, 2)), before[30:31].astype(int), [[0, side_px - 1]]])
    both, upper, lower = (
        _bookstein(np.delete(start, gone, axis=0), np.delete(end, gone, axis=0), STIFFNESS * side_px**2, places)
        for gone in ([], warp.rows_of(LOWER_LIP_POINTS), warp.rows_of(UPPER_LIP_POINTS))
    )
    below = MOUTH_SLIT.below(after, side_px)[0][places[:, 1], places[:, 0]][:, None]
    expected = both + MOUTH_SLIT.parted(before, after) * (upper + below * (lower - upper) - both)
    found = motion_between(before, after, side_px)[places[:, 1], places[:, 0]]
    assert np.abs(found).max() > 0.01 * side_px
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_lips_that_part_take_their_own_skin_along(face: AlignedFace) -> None:
    """Stripes on the lips are as thick after the mouth has opened, and none lies in the gap; above and below part."""
    before = face.crop_points()
    line = before[[60, 61, 62, 63, 64]]
    before[[67, 66, 65]] = before[[61, 62, 63]] + [0, 0.01]
    after = before.copy()
    gap = 0.3 * float(np.linalg.norm(before[36:42].mean(axis=0) - before[42:48].mean(axis=0)))
    after[[55, 56, 57, 58, 59, 65, 66, 67], 1] += gap
    assert MOUTH_SLIT.parted(before, after) == 1
    assert MOUTH_SLIT.parted(before, before) == 0
    motion = motion_between(before, after, SIDE)
    x, top = np.rint(line[2, 0]).astype(int), after[62, 1]
    y = np.arange(SIDE)
    from_above, from_below = y + motion[:, x, 1] < top - 0.5, y + motion[:, x, 1] > top + 0.5
    assert from_above[y < top - 1.5].all()
    assert from_below[y > after[66, 1] + 1.5].all()
    below = MOUTH_SLIT.below(after, SIDE)[0][:, x]
    assert (below[y < top] < 0.02).all()
    assert (below[y > after[66, 1]] > 0.98).all()


def test_the_field_of_a_large_crop_needs_little_memory(photo: Photo, landmarks: Landmarks) -> None:
    before = align(photo, landmarks, 512).crop_points()
    after = _closing(before, 512)
    tracemalloc.start()
    motion_between(before, after, 512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20  # a kernel of all pixels is 170 MB


def test_landmarks_are_set_in_order_once(face: AlignedFace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        calls.append(1)
        return in_order(before, after)

    monkeypatch.setattr(redraw, "in_order", counted)
    monkeypatch.setattr("emorph.faces.bounds.in_order", counted)
    redraw.motions([face], torch.zeros(1, 3, 68, 2))
    assert len(calls) == 3


def test_broken_landmarks_are_refused(face: AlignedFace) -> None:
    points = face.crop_points()
    for bad in (points[:51], np.where(np.arange(68)[:, None] == 5, np.nan, points)):
        with pytest.raises(ShapeError, match="68 finite landmarks"):
            motion_between(points, bad, SIDE)


def test_the_photos_own_detail_moves(face: AlignedFace, photo: Photo) -> None:
    """With nothing redrawn, the face's middle is the photo's own pixels, four photo pixels to the right."""
    step = np.linalg.inv(face.crop_to_photo[:2, :2]) @ [-4.0, 0.0]  # where pixels come from, in crop pixels
    motion = np.broadcast_to(step, (SIDE, SIDE, 2)).astype(np.float32)
    same = np.full((SIDE, SIDE, 1), 90, np.uint8)
    result = paste_change(photo, face, same, same, motion=motion).pixels.astype(int)
    mask = face_mask(face, photo.pixels.shape)
    full = np.zeros(photo.pixels.shape[:2])
    height, width = mask.weights.shape
    full[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights
    shifted = np.roll(photo.pixels, 4, axis=1).astype(int)
    core = full > 0.9999
    assert core.sum() > 500
    assert np.abs(result - shifted)[core].max() <= 2
    assert np.abs(result - photo.pixels)[core].mean() > 2
    np.testing.assert_array_equal(result[full == 0], photo.pixels[full == 0])
    with pytest.raises(ShapeError, match="motion"):
        paste_change(photo, face, same, same, motion=motion[:9])


def test_strength_0_is_the_photo(editor: Editor, photo: Photo) -> None:
    unchanged, strong = editor.edit_many(photo, [Target(Emotion.HAPPY, 0.0), Target(Emotion.HAPPY, 1.0)])
    np.testing.assert_array_equal(unchanged.photo.pixels, photo.pixels)
    np.testing.assert_array_equal(unchanged.before, unchanged.after)
    changed = (strong.photo.pixels != photo.pixels).any(axis=2)
    assert changed.sum() > 500
    mask = face_mask(strong.face, photo.pixels.shape)
    inside = np.zeros(changed.shape, bool)
    height, width = mask.weights.shape
    inside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights > 0
    assert not (changed & ~inside).any()
    alone = editor.edit(photo, "happy", 0)
    np.testing.assert_array_equal(alone.photo.pixels, photo.pixels)


def test_a_redrawn_face_does_not_depend_on_the_others(editor: Editor, photo: Photo) -> None:
    own = editor.faces(photo)[0]
    turned = AlignedFace(own.pixels[:, ::-1].copy(), own.crop_to_photo, own.landmarks)
    targets = [Target(emotion) for emotion in Emotion] + [Target(Emotion.SAD, 0.5)]
    together = editor.changes([turned, own, turned, own, own], targets)  # 45 rows: more than go at once
    alone = editor.changes([own], [Target(Emotion.FEAR)])[0][0]
    same = together[3][Emotion.FEAR]
    assert alone.motion is not None
    assert same.motion is not None
    np.testing.assert_allclose(alone.motion, same.motion, atol=1e-4)
    np.testing.assert_allclose(alone.after, same.after, atol=0.02)
    assert np.abs(together[2][Emotion.FEAR].after - alone.after).max() > 1


def test_a_face_nearly_in_profile_is_drawn_with_a_part_of_its_step_and_said_so(
    editor: Editor, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = find_faces(photo)
    middle = found.points[NOSE_RIDGE, 0].mean()
    away = found.points[:, 0] - middle
    squeezed = np.stack([middle + np.where(away < 0, 0.1, 1) * away, found.points[:, 1]], axis=1)
    drawn_with: list[torch.Tensor] = []
    redrawn = moving.redrawn
    monkeypatch.setattr(moving, "redrawn", lambda *args: [drawn_with.append(args[2]), redrawn(*args)][1])

    def step_of(face: Landmarks) -> torch.Tensor:
        crops = editor.align(photo, [face])
        editor.changes(crops, [Target(Emotion.HAPPY)])
        z = torch.from_numpy(editor.z_sem(crops))
        return (drawn_with[-1] - z[:, None]) / (
            latent.edited_codes(z, directions, [Target(Emotion.HAPPY)]) - z[:, None]
        )

    directions = editor.known_directions()
    turned = dataclasses.replace(found, points=squeezed)
    assert step_of(found).median() == pytest.approx(1, abs=1e-4)
    assert step_of(turned).median() == pytest.approx(LEAST_TAKEN, abs=1e-4)
    (tmp_path / "a.png").write_bytes(photo.path.read_bytes())
    remarks = []
    for name, each in (("front", found), ("side", turned)):
        monkeypatch.setattr("emorph.edit.pipeline.find_faces", lambda *args, face=each, **options: [face])
        report = edit_files(editor, [tmp_path / "a.png"], tmp_path / name, "happy")
        remarks.append(report.edits[0].remark)
    assert remarks == ["", "a.png: the face is turned far to the side: its edit is held back."]


def test_progress_counts_to_the_end(editor: Editor, photo: Photo) -> None:
    seen: list[tuple[int, int]] = []
    editor.edit(photo, "sad", on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 8) for i in range(8)]


def test_landmarks_follow_z(editor: Editor) -> None:
    assert editor.directions is not None
    z = torch.zeros(2, 32)
    steps = latent.landmark_steps(z, z + editor.directions.stats.std, editor.directions)
    torch.testing.assert_close(steps[0], editor.directions.landmarks.sum(dim=-1))  # type: ignore[union-attr]
    with pytest.raises(MissingAssetError, match="landmarks68"):
        latent.landmark_steps(z, z, tiny_directions())


def test_both_sides_move_alike_but_for_what_has_sides(editor: Editor) -> None:
    assert editor.directions is not None
    z = torch.zeros(2, 32)
    z_to = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    plain = latent.landmark_steps(z, z_to, editor.directions)
    steps = latent.landmark_steps(z, z_to, editor.directions, [True, False])
    torch.testing.assert_close(steps[1], plain[1])
    torch.testing.assert_close(steps[0, list(MIRRORED)] * torch.tensor([-1.0, 1.0]), steps[0])
    torch.testing.assert_close(steps[0, 30, 1], plain[0, 30, 1])  # on the midline
    even = [latent.is_even(Target.asked(word)) for word in ("sad", "neutral", "contempt", "happy=1,AU46_L=1")]
    assert even == [True, False, False, False]
    assert latent.is_even(Target(valence=0.5))


def test_gains_of_single_emotions(tmp_path: Path) -> None:
    """Strength 1 goes as far as the target's own gain says, and landmarks and gains survive the disk."""
    gains = tuple(1.0 + 0.1 * i for i in range(8))
    landmarks = torch.randn(68, 2, 32)
    directions = dataclasses.replace(tiny_directions(), gain=gains, landmarks=landmarks)
    directions.save_pretrained(tmp_path / "d")
    again = Directions.from_pretrained(tmp_path / "d")
    assert again.gains == pytest.approx(gains)
    assert again.landmarks is not None
    torch.testing.assert_close(again.landmarks, landmarks)
    z = torch.zeros(1, 32)
    one = dataclasses.replace(directions, gain=1.0)
    for emotion in (Emotion.NEUTRAL, Emotion.ANGER):
        far = latent.edited_codes(z, again, [Target(emotion)]) - z
        near = latent.edited_codes(z, one, [Target(emotion)]) - z
        torch.testing.assert_close(far, gains[emotion] * near)
    with pytest.raises(ShapeError, match="gain"):
        dataclasses.replace(directions, gain=(1.0, 2.0))
    (tmp_path / "d" / "config.json").write_text(
        (tmp_path / "d" / "config.json").read_text().replace('"gain": [', '"gain": [0.5, ')
    )
    with pytest.raises(CheckpointError, match="gain"):
        Directions.from_pretrained(tmp_path / "d")


def test_the_landmark_map_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    z, weight = torch.randn(500, 16, generator=generator), torch.randn(68, 2, 16, generator=generator)
    weight[list(STABLE)] = 0  # no expression moves these
    face = 20 * torch.randn(68, 2, generator=generator)
    landmarks = face + torch.einsum("nd,pcd->npc", z, weight) + 0.01 * torch.randn(500, 68, 2, generator=generator)
    torch.testing.assert_close(landmark_map(z, landmarks, 0.01), weight, atol=0.01, rtol=0)


def test_a_gain_for_no_emotion_is_refused() -> None:
    with pytest.raises(ValueError, match="'hapy' is not an emotion"):
        HeadConfig(gains={"hapy": 2.0})


def test_without_known_landmarks_z_alone_moves(photo: Photo) -> None:
    assert all(
        change.motion is None for change in tiny_editor().changes(tiny_editor().faces(photo), [Target(Emotion.SAD)])[0]
    )


def test_a_spline_is_solved_as_numpy_solves_it_and_without_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the largest pivot lies elsewhere than on the diagonal, as in the zeros of a spline's affine part."""
    generator = np.random.default_rng(3)
    system, right = generator.normal(size=(60, 60)), generator.normal(size=(60, 4))
    system[:20, :20] = 0
    expected = np.linalg.solve(system, right)
    before = generator.uniform(20, 44, (68, 2))
    monkeypatch.delattr(np.linalg, "solve")
    np.testing.assert_allclose(warp._solved(system, right), expected, atol=1e-9)
    assert motion_between(before, before + np.array([3, 0]), side_px=64)[40, 32, 0] < -2
