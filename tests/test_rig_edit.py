"""Transfer between photos: what is asked for moves, the rest stays, and what is missing is said."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from emorph.cli.main import app
from emorph.core.errors import ConfigError, ImageError, MissingAssetError, NoFaceError, UnknownNameError
from emorph.core.images import read_metadata, read_photo, to_levels
from emorph.core.types import CropSpec, FaceCoeffs, Landmarks, Photo
from emorph.diffusion.samplers import Denoise
from emorph.edit.result import Edit
from emorph.edit.rig import RigEditor
from emorph.edit.rig import read as reading
from emorph.edit.rig.editor import MOST_TURN_DEG
from emorph.edit.rig.files import plan_transfer
from emorph.edit.rig.matrix import draw_matrix, write_scores
from emorph.edit.rig.mouth import darkened
from emorph.edit.rig.parts import PARTS, Look, RigFace, check_parts, taken_over, turn_deg, turned
from emorph.edit.sheet import tile
from emorph.face3d.camera import centre_of, project
from emorph.faces import newly_open
from emorph.models import Rig, RigConfig
from emorph.models.rig_faces import LandmarkReader, rig_buffers
from made_face import made_face, made_faces, marks, write_made_face
from profiles import linear_rgb
from test_samplers import flat_denoiser

SIDE = 160
ROOT = Path(__file__).resolve().parents[1]


def tiny_rig(channels: int = 3) -> Rig:
    """A rig whose layers all do something: what training would start at zero is random here."""
    torch.manual_seed(channels)
    config = RigConfig.parse(
        {
            "image_size": 32,
            "image_channels": channels,
            "model_channels": 32,
            "channel_mult": (1, 1),
            "num_res_blocks": 1,
            "attention_resolutions": (),
            "encoder_width": 16,
            "code_dim": 8,
            "face": "ict",
            "prediction": "v",
            "crop": CropSpec(1.2, (0.0, 0.05)),
        }
    )
    rig = Rig(config).eval()
    for module in rig.denoisingUNet.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.06)
    assert rig.encoder.fc is not None
    nn.init.normal_(rig.encoder.fc.weight, std=2.0)
    return rig


@pytest.fixture(scope="module")
def editor() -> RigEditor:
    return RigEditor(tiny_rig(), LandmarkReader(made_face()), model_id="tiny", device="cpu", steps=4)


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """Five photos of made faces."""
    face, coeffs = made_face(), made_faces(made_face(), 5, seed=2)
    shaded = rig_buffers(face, coeffs, SIDE)[:, :3].clamp(0, 1)
    pixels = (shaded * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [Photo(np.maximum(p, 40), Path(f"made{i}.png")) for i, p in enumerate(pixels)]


@pytest.fixture(autouse=True)
def known_landmarks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No detector knows the made faces; where they are is known."""
    if "photos" not in request.fixturenames:
        return
    face = made_face()
    points = marks(face, made_faces(face, 5, seed=2), SIDE).numpy()

    def found(photo: Photo, min_face_px: int = 40, **_: object) -> list[Landmarks]:
        assert photo.path is not None
        return [Landmarks(points[int(photo.path.stem[-1])], (10, 10, 150, 150), 2.0)]

    monkeypatch.setattr(reading, "find_faces", found)


def test_only_what_is_asked_for_is_taken_over() -> None:
    face, coeffs = made_face(), made_faces(made_face(), 2)
    own, other = coeffs[:1], coeffs[1:]
    fields = ("shape", "expression", "pose", "jaw", "camera", "light", "texture")
    moving = {"expression": {"expression"}, "light": {"light"}, "pose": {"pose", "camera"}, "code": set()}
    other = replace(other, jaw=torch.ones(1, 3))
    moving["expression"].add("jaw")
    for part in PARTS:
        result = taken_over(face, own, other, [part])
        assert {f for f in fields if not torch.equal(getattr(result, f), getattr(own, f))} == moving[part], part
        assert all(torch.equal(getattr(result, f), getattr(other, f)) for f in moving[part] - {"camera"})


def test_a_turned_head_stays_where_it_was() -> None:
    face, coeffs = made_face(), made_faces(made_face(), 2)
    own = replace(coeffs[:1], pose=torch.zeros(1, 3))
    far = replace(coeffs[1:], pose=torch.tensor([[0.2, 0.7, 0.1]]))

    def centre(c: object) -> torch.Tensor:
        points = project(face.landmarks(face.vertices(c), c.pose), c.camera)  # type: ignore[arg-type, attr-defined]
        return centre_of(points)

    torch.testing.assert_close(centre(taken_over(face, own, far, ["pose"])), centre(own), atol=1e-5, rtol=1e-5)
    assert (centre(replace(own, pose=far.pose)) - centre(own)).abs().max() > 0.05


@pytest.mark.parametrize("part", PARTS)
def test_each_part_changes_the_face_and_nothing_else(editor: RigEditor, photos: list[Photo], part: str) -> None:
    (done,) = editor.transfer(photos[:1], photos[1], [part])
    assert done.photo.pixels.shape == photos[0].pixels.shape
    changed = (done.photo.pixels != photos[0].pixels).any(axis=2)
    assert changed[60:110, 50:110].mean() > 0.3
    assert not changed[:5].any()
    assert not changed[-5:].any()
    assert np.abs(done.after - done.before).max() > 2
    (same,) = editor.transfer(photos[:1], photos[0], [part])
    assert np.array_equal(same.photo.pixels, photos[0].pixels)
    assert np.array_equal(np.asarray(done.image), done.photo.pixels)


def test_a_wide_gamut_photo_keeps_its_profile(editor: RigEditor, photos: list[Photo], tmp_path: Path) -> None:
    wide = replace(photos[0], icc=linear_rgb())
    (done,) = editor.transfer([wide], photos[1], ["expression"])
    done.image.save(tmp_path / "edit.png")
    assert read_photo(tmp_path / "edit.png").icc == linear_rgb()


def test_the_crop_moves_only_with_the_mesh(editor: RigEditor, photos: list[Photo]) -> None:
    light, code, shape = (editor.transfer(photos[:1], photos[1], [part])[0] for part in ("light", "code", "expression"))
    own = to_levels(editor.sources(photos[0])[0].picture)[0]
    np.testing.assert_allclose(light.before, own, atol=0.05)
    np.testing.assert_allclose(code.before, own, atol=0.05)
    assert np.abs(shape.before - own).max() > 10
    assert np.abs(light.after - code.after).max() > 1


def test_the_photos_own_pixels_go_where_the_mesh_goes(editor: RigEditor, photos: list[Photo]) -> None:
    """A mark painted at a mouth corner lies, after the edit, where the mesh has the corner."""
    face = editor.sources(photos[0])[0]
    x, y = face.aligned.landmarks.points[54].round().astype(int)
    pixels = np.full_like(photos[0].pixels, 90)
    pixels[y - 2 : y + 3, x - 2 : x + 3] = (250, 0, 0)
    marked = replace(face, photo=Photo(pixels, photos[0].path))
    (done,) = editor.express([marked], {"mouthSmile": 1.0}, [0.4])

    def corner(coeffs: FaceCoeffs) -> np.ndarray:
        points = project(editor.face_model.landmarks(editor.face_model.vertices(coeffs), coeffs.pose), coeffs.camera)
        half_sides = points[0, 54, :2].numpy() * face.aligned.side_px / 2
        return half_sides * face.aligned.photo_px_per_crop_px

    wanted = corner(done.target.coeffs) - corner(face.coeffs)
    red = done.photo.pixels[..., 0].astype(float) - done.photo.pixels[..., 1]
    red = np.where(red > 60, red, 0)
    rows, columns = np.mgrid[: red.shape[0], : red.shape[1]]
    found = np.array([(red * columns).sum(), (red * rows).sum()]) / red.sum() - [x, y]
    assert np.linalg.norm(wanted) > 2
    assert np.linalg.norm(found - wanted) < 0.5 * np.linalg.norm(wanted)


def test_a_head_is_turned_no_farther_than_its_pixels_reach() -> None:
    start, far = torch.tensor([[0.1, 0.2, 0.0]]), torch.tensor([[0.1, 1.2, 0.0]])
    assert torch.equal(turned(start, far, 90.0), far)
    part = turned(start, far, 20.0)
    assert turn_deg(start, part) == pytest.approx(20.0, abs=1e-3)
    assert turn_deg(part, far) == pytest.approx(turn_deg(start, far) - 20.0, abs=1e-3)


def test_a_seed_turns_the_whole_way_and_pixels_do_not(editor: RigEditor, photos: list[Photo]) -> None:
    own = editor.sources(photos[0])
    goal = replace(own[0], coeffs=replace(own[0].coeffs, pose=torch.tensor([[0.0, 0.9, 0.0]])))
    asked = turn_deg(own[0].coeffs.pose, goal.coeffs.pose)
    assert asked > 30
    assert editor.apply(own, goal, ["pose"]).target.turned_deg == pytest.approx(MOST_TURN_DEG, abs=0.01)
    assert editor.apply(own, goal, ["pose"], seed=1).target.turned_deg == pytest.approx(asked, abs=0.01)


def test_an_opening_mouth_is_dark_where_it_was_closed() -> None:
    before = marks(made_face(), made_faces(made_face(), 1), 64)[0].double().numpy()
    after = before.copy()
    after[[67, 66, 65, 56, 57, 58]] += [0, 9]
    share = newly_open(before, after, 64)
    middle = after[[62, 66]].mean(axis=0).round().astype(int)
    assert share[middle[1] + 1, middle[0]] > 0.9
    outside = np.ones_like(share, bool)
    (left, top), (right, bottom) = after[60:68].min(axis=0), after[60:68].max(axis=0)
    outside[int(top) : int(bottom) + 2, int(left) : int(right) + 2] = False
    assert not share[outside].any()
    assert not newly_open(before, before, 64).any()
    assert not newly_open(after, before, 64).any()  # one that closes
    gray = torch.zeros(1, 1, 64, 64)
    dark = darkened(gray, share[None], after[None])
    assert dark[0, 0, middle[1] + 1, middle[0]] < -0.6
    assert torch.equal(dark[0, 0][torch.from_numpy(share) == 0], gray[0, 0][torch.from_numpy(share) == 0])


def test_several_sources_and_an_album(editor: RigEditor, photos: list[Photo]) -> None:
    alone = editor.transfer(photos[:1], photos[4], ["expression"])[0]
    together = editor.transfer(photos[:3], photos[4], ["expression"])
    np.testing.assert_allclose(alone.after, together[0].after, atol=0.05)
    shapes = torch.cat([done.target.coeffs.shape for done in together])
    album = editor.transfer(photos[:3], photos[4], ["expression"], album=True)
    assert all(torch.allclose(done.target.coeffs.shape[0], shapes.mean(dim=0), atol=1e-5) for done in album)
    assert not torch.allclose(shapes[0], shapes.mean(dim=0), atol=1e-2)


def test_a_seed_starts_from_its_own_noise(editor: RigEditor, photos: list[Photo]) -> None:
    a, b, c = (editor.transfer(photos[:1], photos[1], ["pose"], seed=seed)[0].after for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert np.abs(a - c).max() > 1
    assert np.abs(a - editor.transfer(photos[:1], photos[1], ["pose"])[0].after).max() > 1


def test_a_face_drawn_from_a_seed_holds_no_noise(photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = tiny_rig()
    monkeypatch.setattr(rig, "denoiser", lambda buffers, code: flat_denoiser(rig.diffusion, 0.3))
    drawing = RigEditor(rig, LandmarkReader(made_face()), device="cpu", steps=4)
    (done,) = drawing.transfer(photos[:1], photos[1], ["pose"], seed=1)
    np.testing.assert_allclose(done.after, (0.3 + 1) * 127.5, atol=0.02)


def test_progress_counts_every_step_once(editor: RigEditor, photos: list[Photo]) -> None:
    own, other = editor.sources(photos[0]), editor.sources(photos[1])[0]
    for part, seed, total in (("code", None, 8), ("expression", None, 8), ("code", 3, 4)):
        steps: list[tuple[int, int]] = []
        editor.apply(own, other, [part], seed=seed, on_step=lambda *s, steps=steps: steps.append(s))
        assert steps == [(i, total) for i in range(1, total + 1)]
    twice: list[tuple[int, int]] = []
    editor.apply([*own, *own], other, ["code"], seed=1, on_step=lambda *s: twice.append(s))
    assert twice == [(i, 8) for i in range(1, 9)]
    mixed: list[tuple[int, int]] = []
    editor.apply([*own, other], other, ["expression"], on_step=lambda *s: mixed.append(s))  # one has it already
    assert mixed == [(i, 8) for i in range(1, 9)]


def _evaluations(editor: RigEditor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills, as the editor draws, with the rows of each evaluation of its network."""
    counted: list[int] = []
    original = editor.rig.denoiser

    def denoiser(buffers: torch.Tensor, code: torch.Tensor) -> Denoise:
        denoise = original(buffers, code)
        return lambda x_t, t: counted.append(len(x_t)) or denoise(x_t, t)

    monkeypatch.setattr(editor.rig, "denoiser", denoiser)
    return counted


@pytest.mark.parametrize("seed", [None, 1])
def test_a_look_that_changes_nothing_is_not_drawn(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    faces = editor.sources(photos[0])
    strong = editor.express(faces, {"mouthSmile": 1.0}, [0.5], seed=seed)[0]
    counted = _evaluations(editor, monkeypatch)
    unchanged, same = editor.express(faces, {"mouthSmile": 1.0}, [0.0, 0.5], seed=seed)
    assert sum(counted) == (4 * 1 + 4 * 2 if seed is None else 4 * 2)
    np.testing.assert_array_equal(unchanged.photo.pixels, photos[0].pixels)
    np.testing.assert_array_equal(unchanged.before, unchanged.after)
    np.testing.assert_array_equal(same.photo.pixels, strong.photo.pixels)
    counted.clear()
    steps: list[tuple[int, int]] = []
    editor.apply(faces, faces[0], ["expression", "light"], seed=seed, on_step=lambda *s: steps.append(s))
    assert not counted
    assert not steps


def test_what_moves_nothing_is_drawn_from_noise_found_once(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five lights of one face: one inversion of one row, then a group of four and one of one."""
    faces = editor.sources(photos[0])
    lights = [
        replace(faces[0], coeffs=replace(faces[0].coeffs, light=faces[0].coeffs.light * (1 + i / 5))) for i in range(6)
    ]
    alone = [editor.apply(faces, light, ["light"]).photo.pixels.astype(int) for light in lights]
    counted = _evaluations(editor, monkeypatch)
    together = editor.apply_each(faces, lights, ["light"])
    assert counted == [1] * 4 + [1 + 4 * 2] * 4 + [1 + 1 * 2] * 4
    for one, each in zip(alone, together, strict=True):
        assert np.abs(each.photo.pixels - one).max() <= 1
    assert not np.array_equal(alone[1], alone[5])


def test_a_matrix_holds_one_row_of_photos(editor: RigEditor, photos: list[Photo]) -> None:
    faces = [editor.sources(photo)[0] for photo in photos[:3]]
    seen: list[tuple[int, int, weakref.ref[np.ndarray]]] = []
    kept: list[np.ndarray] = []
    steps: list[float] = []

    def see(i: int, j: int, edit: Edit[Look]) -> None:
        if i and j == 0:  # the row before is done
            gc.collect()
        assert all(pixels() is None for row, _, pixels in seen if row < i)
        assert (edit.source.name, edit.target.parts) == (photos[i].name, ("expression",))
        assert np.array_equal(edit.photo.pixels, photos[i].pixels) == (i == j)
        seen.append((i, j, weakref.ref(edit.photo.pixels)))
        kept.append(np.asarray(tile(edit.photo, faces[i].aligned)))

    def report(done: int, total: int) -> None:
        steps.append(done / total)

    picture = draw_matrix(editor, faces, ["expression"], see=see, on_step=report)
    assert [(i, j) for i, j, _ in seen] == [(i, j) for i in range(3) for j in range(3)]
    assert steps == [(i + 1) / 24 for i in range(24)]
    for (i, j, _), own in zip(seen, kept, strict=True):
        top, left = 28 + (i + 1) * 260, (j + 1) * 260
        np.testing.assert_array_equal(picture[top : top + 256, left : left + 256], own)
    with pytest.raises(ConfigError, match="at least two faces; found 1"):
        draw_matrix(editor, faces[:1], ["expression"])


def test_scores_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    write_scores(tmp_path / "matrix.json", {"pairs": []})
    assert json.loads((tmp_path / "matrix.json").read_text()) == {"pairs": []}
    (tmp_path / "taken.json").mkdir()
    for path in (tmp_path / "none" / "matrix.json", tmp_path / "taken.json"):
        with pytest.raises(ImageError, match=rf"cannot write {path}: .*; check permissions and free space"):
            write_scores(path, {"pairs": []})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matrix.json", "taken.json"]


def test_looks_of_every_kind_keep_their_order(editor: RigEditor, photos: list[Photo]) -> None:
    faces = editor.sources(photos[0])
    lit = replace(faces[0], coeffs=replace(faces[0].coeffs, light=faces[0].coeffs.light * 1.3))
    smiling = replace(faces[0], coeffs=replace(faces[0].coeffs, expression=torch.ones(1, 3)))
    targets = [smiling, faces[0], lit, smiling, lit]
    for seed in (None, 2):
        for target, done in zip(targets, editor.apply_each(faces, targets, PARTS, seed=seed), strict=True):
            alone = editor.apply(faces, target, PARTS, seed=seed)
            assert np.abs(done.photo.pixels.astype(int) - alone.photo.pixels).max() <= 1
            np.testing.assert_allclose(done.after, alone.after, atol=0.05)


def test_a_gray_rig_keeps_the_photos_colours(photos: list[Photo]) -> None:
    editor = RigEditor(tiny_rig(1), LandmarkReader(made_face()), device="cpu", steps=3)
    (done,) = editor.transfer(photos[:1], photos[1], ["expression"])
    assert done.before.shape == (32, 32, 1)
    change = done.photo.pixels.astype(int) - photos[0].pixels
    moved = np.abs(change).sum(axis=2) > 9
    inside = (done.photo.pixels > 3).all(axis=2) & (done.photo.pixels < 252).all(axis=2) & moved
    assert inside.sum() > 100
    assert np.ptp(change[inside], axis=1).mean() < 0.5 * np.abs(change[inside]).mean()


def test_the_readers_are_chosen_apart(photos: list[Photo]) -> None:
    face = made_face()

    class Smiling(LandmarkReader):
        def read(self, pictures: torch.Tensor, points: torch.Tensor) -> object:  # type: ignore[override]
            fit = super().read(pictures, points)
            return replace(fit, coeffs=replace(fit.coeffs, expression=torch.ones(1, 3)))

    editor = RigEditor(tiny_rig(), LandmarkReader(face), Smiling(face), device="cpu", steps=3)  # type: ignore[arg-type]
    source, target = editor.sources(photos[0])[0], editor.target(photos[1])
    assert (target.coeffs.expression == 1).all()
    assert not (source.coeffs.expression == 1).any()
    assert (editor.apply([source], target, ["expression"]).target.coeffs.expression == 1).all()


def test_coefficients_belong_to_the_crop(editor: RigEditor, photos: list[Photo]) -> None:
    own: RigFace = editor.sources(photos[2])[0]
    covered = rig_buffers(editor.face_model, own.coeffs, 32)[0, 6] > 0
    bright = own.picture[0].amax(dim=0) > -0.6  # the background is 40 of 255
    assert (covered == bright).float().mean() > 0.9


def test_a_face_that_is_none_is_refused(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = reading.find_faces

    def upside_down(photo: Photo, min_face_px: int = 40, **_: object) -> list[Landmarks]:
        (found,) = original(photo, min_face_px=min_face_px)
        points = found.points.copy()
        points[27:68] = points[27:68][::-1]
        return [replace(found, points=points)]

    monkeypatch.setattr(reading, "find_faces", upside_down)
    with pytest.raises(NoFaceError, match=r"no 3D face fits the face found in made1\.png: "):
        editor.transfer(photos[:1], photos[1])  # the target is read first


def _crowd(
    editor: RigEditor, monkeypatch: pytest.MonkeyPatch, shifts: list[tuple[float, bool]], name: str = "made1.png"
) -> None:
    """Photos show their face moved to the right by each number of pixels; where it is not sound, upside down."""
    points = marks(made_face(), made_faces(made_face(), 5, seed=2), SIDE).numpy()[int(name[4])]

    def found(photo: Photo, min_face_px: int = 40, **_: object) -> list[Landmarks]:
        faces = []
        for shift, sound in shifts:
            own = points + np.float32([shift, 0])
            if not sound:
                own[27:68] = own[27:68][::-1]
            faces.append(Landmarks(own, (10 + int(shift), 10, 150 + int(shift), 150), 2.0))
        return faces

    monkeypatch.setattr(reading, "find_faces", found)


def test_a_bystander_that_no_3d_face_fits_loses_nothing(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = editor.apply(editor.sources(photos[1]), editor.target(photos[2]), ["light"])
    _crowd(editor, monkeypatch, [(30, True), (-30, False), (0, True)])
    again = editor.reread(done)
    np.testing.assert_array_equal(again.aligned.landmarks.points, done.faces[0].landmarks.points)
    assert (again.n_faces, again.photo) == (3, done.photo)
    assert not caplog.records
    found = editor.sources(photos[1], "all")
    assert [face.aligned.landmarks.box[0] for face in found] == [10, 40]
    (warned,) = caplog.records
    assert warned.getMessage().startswith("made1.png: face 1 from the left is left out: no 3D face fits it: ")
    assert editor.target(photos[1], "all").aligned.landmarks.box[0] == 10
    for which in (1, "left"):
        with pytest.raises(NoFaceError, match=r"no 3D face fits the face found in made1\.png: "):
            editor.sources(photos[1], which)


def test_where_no_face_of_several_fits_that_is_said(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    _crowd(editor, monkeypatch, [(20, False), (0, False)])
    with pytest.raises(NoFaceError, match=r"^no 3D face fits any of the 2 faces found in made1\.png: [^;]+\.$"):
        editor.sources(photos[1], "all")


def test_another_face_is_not_taken_for_the_one_that_was_changed(
    editor: RigEditor, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = editor.apply(editor.sources(photos[1]), editor.target(photos[2]), ["light"])
    for shifts in ([(75.0, True), (-80.0, True)], []):
        _crowd(editor, monkeypatch, shifts)
        with pytest.raises(NoFaceError, match=r"changed in made1\.png is not found again in the result"):
            editor.reread(done)
    _crowd(editor, monkeypatch, [(65.0, True)])  # of a box of 140
    assert editor.reread(done).aligned.landmarks.box[0] == 75
    _crowd(editor, monkeypatch, [(5.0, False), (60.0, True)])
    with pytest.raises(NoFaceError, match=r"no 3D face fits the face that was changed in made1\.png: "):
        editor.reread(done)


def test_parts_that_are_not_known() -> None:
    assert check_parts(["light", "expression", "light"]) == ("expression", "light")
    with pytest.raises(UnknownNameError, match="did you mean 'expression'"):
        check_parts(["expresion"])
    with pytest.raises(ConfigError, match="name what to take over: expression, pose"):
        check_parts([])


def test_the_rigs_own_face_model_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    tiny_rig().save_pretrained(tmp_path / "rig")
    with pytest.raises(MissingAssetError, match=r"ict_face\.npz is not there"):
        RigEditor.from_pretrained(tmp_path / "rig")
    found = RigEditor.from_pretrained(tmp_path / "rig", face_model=write_made_face(tmp_path / "ict_face.npz"))
    assert (found.source_reader.name, found.target_reader.name, found.steps) == ("landmarks", "landmarks", 10)
    with pytest.raises(ConfigError, match="emoca gives FLAME's coefficients"):
        RigEditor.from_pretrained(tmp_path / "rig", face_model=tmp_path / "ict_face.npz", target_encoder="emoca")


def test_a_transfer_does_not_take_the_place_of_another(tmp_path: Path) -> None:
    photo = ROOT / "examples" / "astronaut.png"
    names = [
        plan_transfer([photo], tmp_path / name, tmp_path / "out", ["pose"])[photo].name for name in ("a.jpg", "b.png")
    ]
    assert names == ["astronaut_pose_a.png", "astronaut_pose_b.png"]


def test_the_command_on_real_photos(tmp_path: Path, ict_file: Path, photos_dir: Path) -> None:
    tiny_rig().save_pretrained(tmp_path / "rig")
    source, target = photos_dir / "woman_smile.jpg", ROOT / "examples" / "astronaut.png"
    common = ["--model", str(tmp_path / "rig"), "--face-model", str(ict_file), "--steps", "2", "--json"]
    asked = ["transfer", str(source), str(photos_dir / "no_face.jpg"), str(target), "--part", "light,expression"]
    done = CliRunner().invoke(app, [*asked, "-o", str(tmp_path / "out"), "--album", *common])
    assert done.exit_code == 1, done.output  # one of the sources has no face
    (row,) = json.loads(done.stdout)
    path = tmp_path / "out" / "woman_smile_expression-light_astronaut.png"
    assert row["edited"] == str(path)
    assert read_photo(path).pixels.shape == read_photo(source).pixels.shape
    assert (read_photo(path).pixels != read_photo(source).pixels).any()
    made = json.loads(read_metadata(path)["emorph"])
    assert made["parts"] == ["expression", "light"]
    assert made["target"] == "astronaut.png"
    assert "expression and light" in read_metadata(path)["Description"]
    assert "no face" in done.stderr


def test_the_command_needs_two_photos() -> None:
    done = CliRunner().invoke(app, ["transfer", "a.jpg"])
    assert isinstance(done.exception, ConfigError)
    assert "at least one photo to change" in str(done.exception)
