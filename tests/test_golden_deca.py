"""DECA against the official networks' recorded numbers, its file, and its crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError
from emorph.core.images import to_pixels
from emorph.core.types import FaceCoeffs, Photo
from emorph.models import DecaEncoder, load_face_encoder
from emorph.models.deca import CodeEncoder, crop_face, split_code
from emorph.models.resnet import ResNet
from golden_cases import Case, seeded_weights


def network(case: str, table: str, prefix: str) -> dict[str, Tensor]:
    """Seeded weights of one network, hashed by their full keys."""
    golden = Case(case)
    shapes = {f"{prefix}.{key}": tuple(shape) for key, shape, _ in golden.info[table]}
    filled = seeded_weights.fill(shapes, golden.info["seed"])
    crc = golden.info["weights_crc32"]
    assert seeded_weights.crc(filled) == (crc[prefix] if isinstance(crc, dict) else crc)
    return {key: torch.from_numpy(value) for key, value in filled.items()}


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return {
        **network("deca_encoder", "state_dict", "E_flame"),
        **network("deca_detail", "state_dict_E_detail", "E_detail"),
        **network("deca_detail", "state_dict_D_detail", "D_detail"),
    }


@pytest.fixture(scope="module")
def deca(tensors: dict[str, Tensor]) -> DecaEncoder:
    return DecaEncoder.from_tensors(tensors, "golden")


def check_code(golden: Case, coeffs: FaceCoeffs) -> None:
    golden.check("code_shape", coeffs.shape)
    golden.check("code_tex", coeffs.texture)
    golden.check("code_exp", coeffs.expression)
    golden.check("code_pose", torch.cat([coeffs.pose, coeffs.jaw], dim=1))
    golden.check("code_cam", coeffs.camera)
    golden.check("code_light", coeffs.light)


def test_keys_are_the_official_ones(deca: DecaEncoder) -> None:
    tables = (("deca_encoder", "", "E_flame"), ("deca_detail", "_E_detail", "E_detail"))
    official = []
    for name, table, prefix in (*tables, ("deca_detail", "_D_detail", "D_detail")):
        official += [f"{prefix}.{key}" for key, _, _ in Case(name).info[f"state_dict{table}"]]
    assert list(deca.state_dict()) == official


@torch.inference_mode()
def test_encoder(deca: DecaEncoder) -> None:
    golden = Case("deca_encoder")
    image = golden.input("image")
    golden.check("features", deca.E_flame.encoder(image))
    golden.check("params", deca.E_flame(image))
    check_code(golden, deca.encode(image * 2 - 1))


@torch.inference_mode()
def test_relief(deca: DecaEncoder) -> None:
    golden = Case("deca_detail")
    image, pose = golden.input("image"), golden.input("pose")
    golden.check("detailcode", deca.E_detail(image))
    coeffs = split_code(torch.zeros(2, 236), "golden")
    coeffs = FaceCoeffs(**{**vars(coeffs), "jaw": pose[:, 3:], "expression": golden.input("exp")})
    golden.check("uv_z", deca.relief(image * 2 - 1, coeffs))


def test_the_official_file_loads(tmp_path: Path, deca: DecaEncoder) -> None:
    parts: dict[str, dict[str, Tensor]] = {}
    for i, (key, value) in enumerate(deca.state_dict().items()):
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = torch.tensor(float(i)).expand(value.shape)  # one number, repeated
    path = tmp_path / "deca_model.tar"
    torch.save({**parts, "global_step": 7, "opt": {"state": {}, "param_groups": []}, "batch_size": 2}, path)
    loaded = load_face_encoder(path)
    assert type(loaded) is DecaEncoder
    assert not loaded.training
    for i, (key, value) in enumerate(loaded.state_dict().items()):
        assert (value == i).all(), key


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"encoder.conv1.weight": torch.zeros(3)}
    torch.save({"E_flame": one, "E_detail": one}, tmp_path / "cut.tar")
    with pytest.raises(CheckpointError, match="has no D_detail"):
        DecaEncoder.load(tmp_path / "cut.tar")
    torch.save({"E_flame": one, "E_detail": one, "D_detail": one}, tmp_path / "cut.tar")
    with pytest.raises(CheckpointError, match=r"E_flame\.encoder\.conv1\.weight has shape \(3,\)"):
        DecaEncoder.load(tmp_path / "cut.tar")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.tar")
    with pytest.raises(CheckpointError, match="neither DECA's nor EMOCA's"):
        load_face_encoder(tmp_path / "other.tar")
    torch.save([torch.zeros(1)], tmp_path / "list.tar")
    with pytest.raises(CheckpointError, match="neither DECA's nor EMOCA's"):
        load_face_encoder(tmp_path / "list.tar")
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match=r"https://github\.com/yfeng95/DECA"):
        load_face_encoder("deca")


def test_only_crops_of_the_right_size(deca: DecaEncoder) -> None:
    with pytest.raises(ShapeError, match="224, 224"):
        deca.encode(torch.zeros(1, 3, 256, 256))


def test_resnet_18_has_the_rig_keys() -> None:
    with torch.device("meta"):
        keys = {k: tuple(v.shape) for k, v in ResNet(18, n_outputs=64).state_dict().items()}
        deep = {k: tuple(v.shape) for k, v in CodeEncoder(236).state_dict().items()}
    assert keys["fc.weight"] == (64, 512)
    assert keys["layer2.0.downsample.0.weight"] == (128, 64, 1, 1)
    assert "layer1.0.downsample.0.weight" not in keys
    assert deep["encoder.layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert len(keys) == 122
    assert torch.equal(torch.tensor(ResNet(18, n_outputs=5)(torch.zeros(2, 3, 64, 64)).shape), torch.tensor([2, 5]))


def test_the_crop_shows_the_box_of_the_landmarks() -> None:
    generator = np.random.default_rng(0)
    pixels = cv2.resize(generator.integers(0, 256, (20, 30, 3), dtype=np.uint8), (300, 200))
    points = np.full((68, 2), 120, np.float32)
    points[0], points[1] = (90, 60), (170, 160)
    crop, photo_to_crop = crop_face(Photo(pixels), points)
    expected = cv2.warpAffine(pixels.astype(np.float32), photo_to_crop[0, :2].numpy(), (224, 224))
    assert np.abs(to_pixels(crop)[0].astype(float) - expected).mean() < 0.6  # cv2 rounds places to 1/32 px
    points[1] = (290, 190)
    beyond, _ = crop_face(Photo(pixels), points)
    assert (beyond[:, :, -1] == -1).all()
