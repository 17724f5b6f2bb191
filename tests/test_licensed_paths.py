"""What a user with FLAME's, DECA's and EMOCA's files does, from the files to pictures, on imitations of the files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph.core.images import read_photo, write_image
from emorph.data.memory import TensorFaces
from emorph.face3d.convert import convert_flame
from emorph.faces import find_faces
from emorph.models import Rig, RigConfig
from emorph.models.rig_faces import open_face, rig_buffers
from emorph.train.tasks.rig import RigRunConfig
from evaluate_sets import face, save_judge, smudged
from made_face import made_face, made_faces, marks
from made_flame import write_deca, write_emoca, write_flame, write_texture

Command = Callable[..., tuple[int, str, str]]
SIDE = 32


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The licensed files where emorph looks for them, and the converted head beside them."""
    home, head = tmp_path_factory.mktemp("home"), made_face()
    write_flame(home / "flame2020", head)
    write_deca(home / "deca" / "deca_model.tar", head)
    write_emoca(home / "emoca" / "emoca.ckpt", head)
    convert_flame(home / "flame2020", home / "head")
    return home


@pytest.fixture(autouse=True)
def at_home(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(files))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "ann.png"
    write_image(path, face())
    return path


def test_files_are_found_converted_and_told(emorph: Command, files: Path) -> None:
    rows = json.loads(emorph("doctor", "--json")[1])["official_files"]
    assert {row["name"] for row in rows if row["here"]} == {"flame2020", "deca", "emoca"}
    assert emorph("models", "convert", "flame2020", "-o", "again")[0] == 0
    for name, role in (("again", "flame"), ("deca", "deca")):
        status, printed, err = emorph("models", "info", name, "--json")
        assert status == 0, err
        assert json.loads(printed)["role"] == role


def test_deca_and_emoca_read_a_photo(emorph: Command, files: Path, photo: Path) -> None:
    rows: dict[str, Any] = {}
    for encoder in ("deca", "emoca"):
        words = ("--face-model", files / "head", "--encoder", encoder, "--obj", "--json")
        status, printed, err = emorph("face", photo, "-o", encoder, *words)
        assert status == 0, err
        (rows[encoder],) = json.loads(printed)
        lines = Path(encoder, "ann.obj").read_text().splitlines()
        assert lines[0] == f"# flame2020, by emorph from {encoder}"
        assert sum(line.startswith("v ") for line in lines) == len(made_face().mean)
    deca, emoca = rows["deca"], rows["emoca"]
    assert {name for name, value in deca.items() if value != emoca[name]} >= {"expression", "encoder"}
    for name in ("shape", "pose", "jaw", "camera", "texture"):
        assert deca[name] == emoca[name], name
    window = np.array(deca["window_to_photo"])
    seen = np.array(deca["landmarks"]) @ window[:2, :2].T + window[:2, 2]
    found = find_faces(read_photo(photo))[0].points
    low, high = found.min(axis=0), found.max(axis=0)
    off = (seen.min(axis=0) + seen.max(axis=0) - low - high) / 2
    assert np.abs(off).max() < 0.03 * (high - low).mean()  # the made network's head fills the landmarks' box
    assert np.ptp(seen, axis=0).mean() == pytest.approx((high - low).mean(), rel=0.06)


def test_a_texture_needs_its_place_and_keeps_decas_light(emorph: Command, files: Path, photo: Path) -> None:
    write_flame(Path("bare"), made_face())
    write_texture(Path("bare", "FLAME_texture.npz"))
    mesh = Path("bare", "head_template.obj").rename("away.obj")
    status, _, err = emorph("models", "convert", "bare", "-o", "textured")
    assert status == 2
    assert "FLAME_texture.npz has no place on the head without head_template.obj" in err
    mesh.rename(Path("bare", "head_template.obj"))
    assert emorph("models", "convert", "bare", "-o", "textured")[0] == 0
    status, _, err = emorph("face", photo, "-o", ".", "--face-model", "textured", "--encoder", "deca")
    assert status == 0, err
    shading = read_photo(Path("ann.png")).pixels[:, -384:]
    assert (
        np.abs(shading[192, 192].astype(int) - (200, 150, 120)).max() <= 2
    )  # the texture's colour in DECA's even light


def test_an_official_rig_takes_over_an_expression(emorph: Command, files: Path, photo: Path) -> None:
    torch.manual_seed(0)
    sizes = {"model_channels": 32, "channel_mult": (1, 1), "num_res_blocks": 1, "attention_resolutions": (16,)}
    rig = Rig(RigConfig.parse({"image_size": SIDE, **sizes}))
    torch.save(rig.state_dict(), "model005000.pt")
    status, _, err = emorph("transfer", photo, photo, "--model", "model005000.pt")
    assert status == 2
    assert "get its files from https://flame.is.tue.mpg.de, convert them once" in err
    words = ("--model", "model005000.pt", "--face-model", files / "head", "--steps", 2)
    status, printed, err = emorph("transfer", photo, photo, "-o", "out", *words, "--part", "expression,light", "--json")
    assert status == 0, err
    (row,) = json.loads(printed)
    assert row["encoders"] == ["deca", "deca"]
    assert read_photo(Path(row["edited"])).pixels.shape == read_photo(photo).pixels.shape
    status, _, err = emorph("edit", photo, "--to", "happy", "--model", "model005000.pt")
    assert (status, "emorph transfer --model" in err) == (2, True)


def test_coefficients_measure_an_edit(emorph: Command, photo: Path) -> None:
    write_image(Path("happy.png"), smudged(read_photo(photo).pixels, 250))
    with Path("pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("source", "edited", "target"), (photo, "happy.png", "happy")])
    words = ("--face-model", "deca", "--judge", save_judge(Path("judge")), "--workers", 1, "--json")
    status, printed, err = emorph("evaluate", "pairs.csv", "-o", "report", *words)
    assert status == 0, err
    tables = json.loads(printed)["tables"]
    rows = [row for table in tables.values() for row in table["rows"]]
    found = {word: row for row in rows for word in ("AED", "APD", "ASD") if word in str(row)}
    assert set(found) == {"AED", "APD", "ASD"}, tables
    assert "not measured" not in str(found)


def test_training_a_rig_reads_its_faces_with_deca(files: Path) -> None:
    head, truth = made_face(), made_faces(made_face(), 2)
    pictures = (rig_buffers(head, truth, SIDE)[:, :3].clamp(0, 1) * 255).round().byte()
    points = (2 * marks(head, truth, SIDE) + 1) / SIDE - 1
    asked = {"encoder": "deca", "face_model": str(files / "head")}
    model = {"image_size": SIDE, "model_channels": 32, "channel_mult": [1, 1], "encoder_width": 8}
    data, budget = {"path": "faces.parquet"}, {"steps": 1}
    config = RigRunConfig.parse(
        {"task": "rig", "out": "run", "data": data, "model": model, "coefficients": asked, "budget": budget}
    )
    told = config.told(TensorFaces(pictures, torch.zeros(2, dtype=torch.int64), points))
    assert told.known.all()
    assert told.coeffs.encoder == "deca"
    buffers = rig_buffers(open_face("flame", files / "head"), told.coeffs, SIDE)
    assert (buffers[:, 3:6] != 0).any(dim=1).float().mean() > 0.3  # the head lies in its picture
    torch.testing.assert_close(told.coeffs.texture.mean(dim=1), truth.texture.mean(dim=1), atol=0.2, rtol=0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("models convert . -o out", "generic_model.pkl or flame2023.pkl (FLAME, from https://flame.is.tue.mpg.de)"),
        ("models convert {home}/head -o out", "was converted before; use it as it is"),
        ("models convert {home}/flame2020/head_template.obj -o out", "comes along with FLAME's model file"),
        ("models info {home}/flame2020", "look into what this writes: emorph models convert"),
        ("face ann.png --face-model {home}/flame2020", "name the folder that this writes: emorph models convert"),
        ("face ann.png --face-model gone", "made of FLAME's files (from https://flame.is.tue.mpg.de)"),
        ("face ann.png --encoder deca", "get its files from https://flame.is.tue.mpg.de"),
        ("face ann.png --face-model {home}/head --encoder mica", "there is no encoder 'mica'"),
        ("evaluate . --face-model {home}/head", "is a folder of another model (flame), but DECA or EMOCA is needed"),
    ],
)
def test_wrong_words_say_what_to_do(emorph: Command, files: Path, photo: Path, words: str, message: str) -> None:
    write_image(Path("ann.png"), face())
    write_image(Path("ann_happy.png"), face())
    place = [] if not words.startswith("evaluate") else ["--sources", "."]
    status, printed, err = emorph(*words.format(home=files).split(), *place)
    assert (status, printed) == (2, "")
    assert message in err
