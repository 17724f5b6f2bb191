"""``emorph face`` on real photos: picture, mesh and numbers, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from emorph.cli.main import app
from emorph.core.errors import ConfigError, EmorphError, ImageError, MissingAssetError, NoFaceError
from emorph.core.images import read_photo
from emorph.core.types import Landmarks, Photo
from emorph.face3d.camera import project, screen_to_pixels
from emorph.face3d.ict import ICT
from emorph.face3d.model import neutral
from emorph.face3d.photo import WINDOW_PX, fit_photo, write_obj
from emorph.face3d.skinning import rodrigues


def run(*argv: object) -> Result:
    return CliRunner().invoke(app, ["face", *map(str, argv)])


def test_picture_mesh_and_numbers(ict_file: Path, example_photo: Path, tmp_path: Path) -> None:
    done = run(example_photo, "-o", tmp_path, "--face-model", ict_file, "--obj", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    shown = read_photo(row["picture"]).pixels
    assert shown.shape == (WINDOW_PX, 4 * WINDOW_PX, 3)
    tiles = np.split(shown.astype(int), 4, axis=1)
    assert all(np.abs(tile - tiles[0]).mean() > 3 for tile in tiles[1:])
    units = row["action_units"]
    assert units["mouthSmile_L"] > 0.3 < units["mouthSmile_R"]
    assert row["error"] < 0.05
    lines = (tmp_path / f"{example_photo.stem}.obj").read_text().splitlines()
    kinds = [line.split(" ")[0] for line in lines]
    assert (kinds.count("v"), kinds.count("vt"), kinds.count("f")) == (9409, 9547, 18460)
    mesh = torch.tensor([[float(n) for n in line.split()[1:]] for line in lines if line.startswith("v ")])
    ict = ICT.load(ict_file)
    points = ict.landmarks(mesh[None], torch.tensor([row["pose"]]))
    in_window = screen_to_pixels(project(points, torch.tensor([row["camera"]]))[..., :2], (WINDOW_PX, WINDOW_PX))
    assert np.abs(in_window[0].numpy() - np.array(row["landmarks"])).max() < 1  # mesh, camera and points agree
    assert rodrigues(torch.tensor([row["pose"]]))[0, 2, 2] > 0.9
    assert not list(tmp_path.glob(".*"))


def test_a_photo_that_fails_does_not_stop_the_others(ict_file: Path, photos_dir: Path, tmp_path: Path) -> None:
    done = run(
        photos_dir / "no_face.jpg",
        photos_dir / "two_faces.jpg",
        "-o",
        tmp_path,
        "--face-model",
        ict_file,
        "--face",
        "all",
        "--obj",
    )
    assert done.exit_code == 1
    assert "no face found in no_face.jpg" in done.stderr
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["two_faces_1.obj", "two_faces_1.png", "two_faces_2.obj", "two_faces_2.png"]
    assert f"{tmp_path / 'two_faces_1.png'} and {tmp_path / 'two_faces_1.obj'}  (mean" in done.stdout


def test_a_source_photo_is_never_replaced(example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the picture nor the mesh may take its place; that is found out before the fit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))  # there is no model, and none is asked for
    content = example_photo.read_bytes()
    for name, *words in (("me.png",), ("me.obj", "--obj")):
        Path(name).write_bytes(content)
        done = run(name, "-o", ".", *words)
        assert isinstance(done.exception, ImageError)
        assert f"{name} is a source photo itself" in str(done.exception)
        assert Path(name).read_bytes() == content


def test_nor_by_one_of_several_faces(ict_file: Path, photos_dir: Path, tmp_path: Path) -> None:
    source = tmp_path / "two_1.png"
    source.write_bytes((photos_dir / "two_faces.jpg").read_bytes())
    done = run(source, "--face", "all", "-o", tmp_path / "two.png", "--face-model", ict_file)
    assert done.exit_code == 1
    assert "two_1.png is a source photo itself" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["two_1.png"]
    assert source.read_bytes() == (photos_dir / "two_faces.jpg").read_bytes()


def test_into_a_named_file(ict_file: Path, example_photo: Path, photos_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "shape.obj").write_text("mine")
    done = run(example_photo, "-o", tmp_path / "shape.jpg", "--obj", "--face-model", ict_file)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shape.jpg", "shape.obj"]
    assert done.stderr == "shape.obj was there already and was replaced; to keep both, name another -o.\n"
    done = run(example_photo, photos_dir / "two_faces.jpg", "-o", tmp_path / "shapes.png")
    assert isinstance(done.exception, ConfigError)
    assert "shapes.png is one picture, but 2 photos are given; name a folder" in str(done.exception)


def test_picture_and_mesh_are_written_together(
    ict_file: Path, example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, *rest: object) -> None:
        signal.raise_signal(signal.SIGINT)
        write_obj(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("emorph.face3d.photo.write_obj", stopped)
    done = run(example_photo, "-o", tmp_path, "--obj", "--face-model", ict_file)
    assert done.exit_code == 130
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".obj", ".png"]


def test_a_missing_model_is_one_sentence(tmp_path: Path, example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    done = run(example_photo, "-o", tmp_path / "out")
    assert isinstance(done.exception, MissingAssetError)
    assert "https://github.com/ICT-VGL/ICT-FaceKit" in str(done.exception)
    done = run(example_photo, "-o", tmp_path / "out", "--face-model", example_photo)
    assert isinstance(done.exception, EmorphError)
    assert "damaged" in str(done.exception)


def test_landmarks_of_no_face_are_refused(ict_file: Path) -> None:
    points = np.random.default_rng(0).random((68, 2), np.float32) * 200
    with pytest.raises(NoFaceError, match="no 3D face fits the face found in the photo: "):
        fit_photo(
            ICT.load(ict_file), Photo(np.zeros((200, 200, 3), np.uint8)), Landmarks(points, (0, 0, 200, 200), 1.0)
        )


def test_a_face_lit_from_one_side_is_shaded_so(ict_file: Path, photos_dir: Path) -> None:
    from emorph.faces import find_faces

    photo = read_photo(photos_dir / "painting_three_quarter.jpg")
    fitted = fit_photo(ICT.load(ict_file), photo, find_faces(photo)[0])
    shaded, mask = fitted.buffers.shaded.mean(dim=1)[0], fitted.buffers.mask[0, 0] > 0
    left = mask & (torch.arange(WINDOW_PX) < WINDOW_PX // 2)
    assert shaded[left].mean() > 1.05 * shaded[mask & ~left].mean()  # the painter's window is on the left


def test_hair_and_background_do_not_darken_the_light(ict_file: Path) -> None:
    ict = ICT.load(ict_file)
    coeffs = replace(neutral(ict), camera=torch.tensor([[0.07, 0.0, 0.0]]))
    on_screen = project(ict.landmarks(ict.vertices(coeffs), coeffs.pose), coeffs.camera)[0, :, :2]
    points = screen_to_pixels(on_screen, (300, 300)).numpy()
    pixels = np.zeros((300, 300, 3), np.uint8)
    cv2.fillConvexPoly(pixels, cv2.convexHull(points.round().astype(np.int32)), (180, 140, 120))
    fitted = fit_photo(ict, Photo(pixels), Landmarks(points, (0, 0, 300, 300), 1.0))
    inner = fitted.buffers.mask[0, 0] > 0
    assert torch.allclose(fitted.buffers.albedo[0, :, inner][:, 0] * 255, torch.tensor([180.0, 140, 120]), atol=6)
    assert (fitted.buffers.shaded[0, 0, inner] * 255 - 180).abs().quantile(0.9) < 15
