"""What of a target's face reaches a source: its expression's change from neutral, and never its own form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emorph.core.errors import ConfigError, NoFaceError
from emorph.core.images import read_metadata
from emorph.core.types import Landmarks, Photo
from emorph.edit.rig import RigEditor
from emorph.edit.rig import read as reading
from emorph.edit.rig.files import transfer_files
from emorph.edit.rig.mouth import light_of
from emorph.edit.rig.parts import RigFace, look_like, unexplained
from emorph.faces.mouth_crop import lip_gap
from emorph.models.painter import Painter
from emorph.models.rig_faces import LandmarkReader, rig_buffers
from made_face import made_face, made_faces, marks
from test_painter import TINY
from test_rig_edit import tiny_rig

SIDE = 160
CALM, SMILING, OTHER = 0, 1, 2


def _coeffs():
    """Of one person without an expression and smiling with an open mouth, and of another one without."""
    face = made_face()
    coeffs = made_faces(face, 3, seed=2)
    shape = torch.tensor([[1.0, -0.8, 0.3], [1.0, -0.8, 0.3], [-0.9, 0.9, 0.0]])
    expression = torch.tensor([[0.1, 0.0, 0.2], [0.7, 0.5, 0.2], [0.0, 0.0, 0.0]])
    pose = torch.tensor([[0.0, 0.0, 0.0], [0.05, 0.15, 0.0], [0.0, -0.1, 0.05]])
    return face, replace(coeffs, shape=shape, expression=expression, pose=pose)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    face, coeffs = _coeffs()
    folder, shaded = tmp_path_factory.mktemp("photos"), rig_buffers(face, coeffs, SIDE)[:, :3].clamp(0, 1)
    pixels = (shaded * 255).round().byte().permute(0, 2, 3, 1).numpy()
    paths = [folder / f"made{i}.png" for i in range(3)]
    for path, levels in zip(paths, pixels, strict=True):
        Image.fromarray(np.maximum(levels, 40)).save(path)
    return paths


@pytest.fixture(autouse=True)
def known_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No detector knows the made faces; where they are is known."""
    points = marks(*_coeffs(), SIDE).numpy()

    def found(photo: Photo, min_face_px: int = 40, **_: object) -> list[Landmarks]:
        assert photo.path is not None
        return [Landmarks(points[int(photo.path.stem[-1])], (10, 10, 150, 150), 2.0)]

    monkeypatch.setattr(reading, "find_faces", found)


def painter() -> Painter:
    torch.manual_seed(0)
    model = Painter(TINY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def editor(of: Painter | None = None) -> RigEditor:
    return RigEditor(tiny_rig(), LandmarkReader(made_face()), device="cpu", steps=2, painter=of)


def shifted(face: RigFace, px: list[float]) -> RigFace:
    """The face as a detector sees it that marks the right mouth corner elsewhere, by photo pixels."""
    points = face.aligned.landmarks.points.copy()
    points[54] += px
    return replace(face, aligned=replace(face.aligned, landmarks=replace(face.aligned.landmarks, points=points)))


def test_the_change_from_neutral_is_taken_over_and_the_form_is_not(photos: list[Path]) -> None:
    rig = editor()
    own = rig.sources(photos[OTHER])[0]
    target, calm = rig.target_and_neutral(photos[SMILING], photos[CALM])
    assert torch.equal(target.coeffs.shape, calm.coeffs.shape)
    look = look_like(rig.face_model, own, target, ("expression",), neutral=calm)
    change = (own.coeffs.expression + target.coeffs.expression - calm.coeffs.expression).clamp(0, 1)
    torch.testing.assert_close(look.coeffs.expression, change)
    assert torch.equal(look.coeffs.shape, own.coeffs.shape)
    assert torch.equal(look.coeffs.pose, own.coeffs.pose)
    alone = look_like(rig.face_model, own, target, ("expression",))
    assert torch.equal(alone.coeffs.expression, target.coeffs.expression)
    assert alone.beyond is None


def test_a_neutral_face_taken_from_its_own_changes_nothing(photos: list[Path]) -> None:
    rig = editor()
    own = rig.sources(photos[OTHER])
    calm = rig.target(photos[CALM])
    (done,) = rig.apply_each(own, [calm], ["expression"], neutral=calm)
    assert np.array_equal(done.photo.pixels, own[0].photo.pixels)
    assert rig.apply(own, calm, ["expression"]).photo.pixels.shape == own[0].photo.pixels.shape
    assert not np.array_equal(rig.apply(own, calm, ["expression"]).photo.pixels, own[0].photo.pixels)


def test_what_no_coefficient_explains_moves_the_landmarks_besides(photos: list[Path]) -> None:
    """A corner that a detector sees 6 px farther out goes about as far in the source, as its head is turned."""
    rig = editor()
    own, calm = rig.sources(photos[OTHER])[0], rig.target(photos[CALM])
    wider = shifted(calm, [6.0, 0.0])
    beyond = unexplained(rig.face_model, wider) - unexplained(rig.face_model, calm)
    assert beyond[0, [i for i in range(68) if i != 54]].abs().max() < 1e-4
    assert beyond[0, 54, 0] > 0.1
    look = look_like(rig.face_model, own, wider, ("expression",), neutral=calm)
    (change,) = rig._painter.draw([own], [[look]], seed=None, on_step=None)[0]
    assert change.landmarks is not None
    moved = (change.landmarks - own.aligned.crop_points()) * own.aligned.photo_px_per_crop_px
    assert 4 < moved[54, 0] < 8
    assert np.abs(np.delete(moved, 54, axis=0)).max() < 0.5


def test_mouths_that_open_are_painted(photos: list[Path]) -> None:
    bare, painted = (editor(of) for of in (None, painter()))
    edits = [rig.transfer([photos[OTHER]], photos[SMILING])[0] for rig in (bare, painted)]
    differs = (edits[0].photo.pixels != edits[1].photo.pixels).any(axis=2)
    rows, columns = np.nonzero(differs)
    corners = edits[0].face.landmarks.points[[48, 54], 0]
    assert differs.sum() > 20
    assert columns.min() > corners[0] - 12
    assert columns.max() < corners[1] + 12
    assert rows.min() > edits[0].face.landmarks.points[33, 1] - 2
    units = [rig.express(rig.sources(photos[OTHER]), {"jawOpen": 0.8})[0].photo.pixels for rig in (bare, painted)]
    assert (units[0] != units[1]).any()
    smile = [rig.express(rig.sources(photos[OTHER]), {"browUp": 0.5})[0].photo.pixels for rig in (bare, painted)]
    assert np.array_equal(*smile)


def test_the_light_inside_is_the_targets(photos: list[Path]) -> None:
    rig = editor(painter())
    calm, smiling = (rig.target(photos[i]) for i in (CALM, SMILING))
    assert lip_gap(smiling.aligned.landmarks.points.astype(float)) > 0.06
    dark, light = (np.full_like(smiling.photo.pixels, 120) for _ in range(2))
    inside = smiling.aligned.landmarks.points[60:68]
    rows, columns = (slice(int(inside[:, i].min()), int(inside[:, i].max()) + 1) for i in (1, 0))
    dark[rows, columns], light[rows, columns] = 20, 250
    seen = [
        light_of(replace(smiling, photo=replace(smiling.photo, pixels=pixels)), rig.painter) for pixels in (dark, light)
    ]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0] < 0.6 < 1.2 < seen[1]
    assert light_of(smiling, None) is None
    shut = calm.aligned.landmarks.points.copy()
    shut[60:68, 1] = shut[60:68, 1].mean()
    closed = replace(calm, aligned=replace(calm.aligned, landmarks=replace(calm.aligned.landmarks, points=shut)))
    assert light_of(closed, rig.painter) is None


def test_files_say_which_neutral_photo_was_used(photos: list[Path], tmp_path: Path) -> None:
    rig = editor()
    options = {"target_neutral": photos[CALM]}
    report = transfer_files(rig, [photos[OTHER]], photos[SMILING], tmp_path / "out", ["expression"], **options)
    (done,) = report.edits
    assert done.files[0].name.endswith("_made1_made0.png")  # a transfer without the neutral photo is kept
    assert json.loads(read_metadata(done.files[0])["emorph"])["target_neutral"] == "made0.png"
    (same,) = rig.transfer([photos[OTHER]], photos[SMILING], target_neutral=photos[CALM])
    assert np.array_equal(np.asarray(Image.open(done.files[0]).convert("RGB")), same.photo.pixels)
    with pytest.raises(ConfigError, match="a neutral photo of the target tells its expression"):
        transfer_files(rig, [photos[OTHER]], photos[SMILING], tmp_path / "out", ["pose"], **options)


def test_photos_of_two_persons_are_not_taken_for_one(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = editor()
    faces = [rig.target(photos[i]) for i in (SMILING, CALM)]
    upside_down = faces[1].aligned.landmarks.points.copy()
    upside_down[17:] = upside_down[17:][::-1]
    aligned = replace(faces[1].aligned, landmarks=replace(faces[1].aligned.landmarks, points=upside_down))
    with pytest.raises(NoFaceError, match=r"made0\.png does not show the person of the other photos"):
        rig.as_one_person([faces[0], replace(faces[1], aligned=aligned)])
