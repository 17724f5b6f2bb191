"""The face models' files, hostile ones too, and what turning, opening and smiling does to a mesh."""

from __future__ import annotations

import functools
import json
import os
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError, UnknownNameError
from emorph.face3d import ict_source
from emorph.face3d.convert import convert_flame
from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT
from emorph.face3d.ict_source import convert_ict, is_ict_source
from emorph.face3d.model import neutral, yaw_step
from emorph.face3d.photo import open_model
from emorph.face3d.skinning import axis_angle_of, rodrigues, vertex_normals
from emorph.models import port
from golden_cases import case
from test_golden_flame import golden_coeffs, golden_flame


class Held:
    """Pickles as an object of the class that ``pose_as`` names, with its ``__dict__`` as state."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives classes with foreign names, which pickle as theirs."""

    def pose_as(full: str) -> type[Held]:
        module_name, _, name = full.rpartition(".")
        parts = module_name.split(".")
        for n in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:n]), types.ModuleType(".".join(parts[:n])))
        cls = type(name, (Held,), {"__module__": module_name, "__qualname__": name})
        setattr(sys.modules[module_name], name, cls)
        return cls

    return functools.cache(pose_as)


def model_arrays() -> dict[str, np.ndarray]:
    arrays = case("flame").arrays
    return {key.removeprefix("model_"): value for key, value in arrays.items() if key.startswith("model_")}


def embedding() -> dict[str, Any]:
    arrays = case("flame").arrays
    found: dict[str, Any] = {k.removeprefix("lmk_"): v for k, v in arrays.items() if k.startswith("lmk_")}
    for key in ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"):
        found[key] = torch.from_numpy(found[key])
    return found


def csc_state(dense: np.ndarray) -> dict[str, Any]:
    columns = [np.nonzero(column)[0] for column in dense.T]
    return {
        "_shape": dense.shape,
        "data": np.concatenate([dense[rows, i] for i, rows in enumerate(columns)]),
        "indices": np.concatenate(columns).astype(np.int32),
        "indptr": np.cumsum([0, *map(len, columns)]).astype(np.int32),
        "maxprint": 50,
    }


def write_files(folder: Path, pose_as: Any, **changed: Any) -> Path:
    """FLAME's two files as their owners give them: Python 2's protocol, chumpy, scipy, torch inside numpy."""
    chumpy, sparse = pose_as("chumpy.ch.Ch"), pose_as("scipy.sparse.csc.csc_matrix")
    arrays: dict[str, Any] = dict(model_arrays())
    arrays["J_regressor"] = sparse(**csc_state(arrays["J_regressor"].astype(np.float64)))
    arrays["shapedirs"] = chumpy(x=arrays["shapedirs"].astype(np.float64), _dirty_vars=set())
    arrays |= {"bs_style": "lbs", "bs_type": "lrotmin", **changed}
    (folder / "generic_model.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    np.save(folder / "landmark_embedding.npy", np.array(embedding(), dtype=object), allow_pickle=True)
    return folder


def test_the_official_files_become_a_folder(tmp_path: Path, foreign: Any) -> None:
    folder = convert_flame(write_files(tmp_path, foreign), tmp_path / "flame")
    flame, expected = FLAME.load(folder), golden_flame()
    assert flame.name == "flame2020"
    assert {k: v.shape for k, v in flame.named_buffers()} == {k: v.shape for k, v in expected.named_buffers()}
    for key, buffer in flame.named_buffers():
        assert torch.equal(buffer, dict(expected.named_buffers())[key]), key


def test_a_selection_of_a_chumpy_array_is_read(tmp_path: Path, foreign: Any) -> None:
    whole = model_arrays()["shapedirs"].astype(np.float64)
    wider = np.concatenate([whole, whole[..., :1]], axis=-1)
    order = np.arange(wider.size).reshape(wider.shape)[..., :400].ravel()
    inner = foreign("chumpy.ch.Ch")(x=wider)
    select = foreign("chumpy.reordering.Select")(a=inner, idxs=order, preferred_shape=whole.shape)
    folder = convert_flame(write_files(tmp_path, foreign, shapedirs=select), tmp_path / "flame")
    assert torch.equal(FLAME.load(folder).shape_basis, golden_flame().shape_basis)


class Runs:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("key", ["f", "bs_style"])
def test_a_malicious_model_runs_nothing(tmp_path: Path, foreign: Any, key: str) -> None:
    write_files(tmp_path, foreign, **{key: Runs(tmp_path / "ran")})
    with pytest.raises(CheckpointError, match=r"asks to run os\.system; it was not run"):
        convert_flame(tmp_path, tmp_path / "flame")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "flame").exists()


def test_a_malicious_embedding_runs_nothing(tmp_path: Path, foreign: Any) -> None:
    write_files(tmp_path, foreign)
    held = np.array({**embedding(), "more": Runs(tmp_path / "ran")}, dtype=object)
    np.save(tmp_path / "landmark_embedding.npy", held, allow_pickle=True)
    with pytest.raises(CheckpointError, match="asks to run"):
        convert_flame(tmp_path, tmp_path / "flame")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": "text"}, "damaged"),
        ({"v_template": np.zeros((100, 3))}, "does not fit"),
        ({"f": np.full((396, 3), 200, np.uint32)}, "points outside the mesh"),
        ({"v_template": np.full((200, 3), np.nan)}, "not finite"),
        ({"kintree_table": np.zeros((2, 5), np.int64)}, "hang together"),
    ],
)
def test_a_wrong_model_is_refused(tmp_path: Path, foreign: Any, changed: dict[str, Any], message: str) -> None:
    write_files(tmp_path, foreign, **changed)
    with pytest.raises(CheckpointError, match=message):
        convert_flame(tmp_path, tmp_path / "flame")


def test_missing_files_are_named_with_their_page(tmp_path: Path, foreign: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingAssetError, match=r"get FLAME from https://flame\.is\.tue\.mpg\.de"):
        convert_flame(tmp_path, tmp_path / "flame")
    write_files(tmp_path, foreign)
    (tmp_path / "landmark_embedding.npy").unlink()
    with pytest.raises(MissingAssetError, match="yfeng95/DECA"):
        convert_flame(tmp_path, tmp_path / "flame")
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match="ICT-FaceKit"):
        ICT.load()
    with pytest.raises(CheckpointError, match=r"does not tell FLAME's release; say which it is, --version 2020"):
        convert_flame((tmp_path / "generic_model.pkl").rename(tmp_path / "head.pkl"), tmp_path / "flame")


def test_a_rotation_and_back() -> None:
    vectors = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3.4 - 1.7
    assert torch.allclose(axis_angle_of(rodrigues(vectors)), vectors, atol=1e-6)
    assert torch.allclose(axis_angle_of(torch.eye(3)[None]), torch.zeros(1, 3))


def test_turning_the_head_turns_its_normals() -> None:
    flame, coeffs = golden_flame(), golden_coeffs(case("flame"))
    still = replace(coeffs, pose=torch.zeros_like(coeffs.pose))
    turned = vertex_normals(flame.vertices(coeffs), flame.faces)
    expected = vertex_normals(flame.vertices(still), flame.faces) @ rodrigues(coeffs.pose).mT
    assert (turned - expected).abs().max() < 1e-3


def test_landmark_basis_gives_the_landmarks(ict: ICT) -> None:
    generator = torch.Generator().manual_seed(1)
    flame = golden_flame()
    jaw = torch.randn(5, 3, generator=generator) * 0.2
    pose = torch.tensor([[0, yaw, 0] for yaw in (0.0, 0.3, -0.3, 0.6, -0.9)])
    for model, coeffs in ((flame, neutral(flame, 5)), (ict, neutral(ict, 5))):
        basis = model.landmark_basis()
        weights = basis.sigma * torch.rand(5, len(basis.sigma), generator=generator)
        shape, expression = weights[:, : basis.n_shape], weights[:, basis.n_shape :]
        coeffs = replace(coeffs, shape=shape, expression=expression, pose=pose, jaw=jaw)
        expected = model.landmarks(model.vertices(coeffs), pose)
        turn = rodrigues(jaw)
        bend = (turn - torch.eye(3)).flatten(1) if basis.has_jaw else torch.zeros(5, 0)
        q = torch.cat([torch.ones(5, 1), weights, bend], dim=1)
        chosen = basis.candidates[yaw_step(rodrigues(pose))]
        still = torch.einsum("blcq,bq->blc", basis.still[chosen], q)
        moving = torch.einsum("blcq,bq->blc", basis.moving[chosen], q)
        pivot = (q @ basis.pivot.T)[:, None] * basis.share[chosen][..., None]
        points = still + (moving - pivot) @ turn.mT + pivot
        root = (q @ basis.root.T)[:, None]
        found = (points + basis.offset - root) @ rodrigues(pose).mT + root
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_action_units_do_what_they_say(ict: ICT) -> None:
    rest = neutral(ict)
    before = ict.landmarks(ict.vertices(rest), rest.pose)[0]
    open_mouth = replace(rest, expression=ict.expression({"jawOpen": 1.0}))
    after = ict.landmarks(ict.vertices(open_mouth), rest.pose)[0]
    assert before[66, 1] - after[66, 1] > 2  # the lower lip sinks by more than 2 cm
    assert (before[36:48] - after[36:48]).abs().max() < 0.1
    smile = ict.vertices(replace(rest, expression=ict.expression({"mouthSmile_L": 1.0})))
    corner = ict.landmarks(smile, rest.pose)[0, [48, 54]] - before[[48, 54]]
    assert corner[1, 1] > 0.3 > corner[0].norm()  # +x is the person's left
    with pytest.raises(UnknownNameError, match="is not known"):
        ict.expression({"mouthsmile_l": 1.0})
    with pytest.raises(ShapeError, match="from 0 to 1"):
        ict.expression({"jawOpen": 1.5})


def test_the_contour_slides_on_the_far_side_only(ict: ICT) -> None:
    ahead, turned = torch.zeros(1, 3), torch.tensor([[0.0, 0.6, 0.0]])
    rest = neutral(ict)
    vertices = ict.vertices(rest)
    marked = [ict.landmarks(vertices, pose) - ict.offset @ rodrigues(pose).mT for pose in (turned, ahead)]
    moved = (marked[0] - marked[1])[0].norm(dim=-1)
    assert (moved[:9] < 1e-5).all()
    assert (moved[12:16] > 0.4).all()
    assert (moved[17:] < 1e-5).all()
    far = ict.landmarks(ict.vertices(replace(rest, pose=turned)), turned)[0, 12:16, 0]
    edge = ict.landmarks(ict.vertices(replace(rest, pose=turned)), ahead)[0, 12:16, 0]
    assert (far > edge + 0.1).all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"<html>"])
def test_a_damaged_ict_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ict_face.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"ict_face\.npz"):
        ICT.load(path)


def test_an_ict_file_that_does_not_fit(tmp_path: Path, ict: ICT, ict_file: Path) -> None:
    arrays = dict(np.load(ict_file))
    np.savez(tmp_path / "other.npz", **{**arrays, "landmarks68": arrays["landmarks68"] + 9000})
    with pytest.raises(CheckpointError, match="landmarks68 points outside"):
        ICT.load(tmp_path / "other.npz")
    with pytest.raises(ShapeError, match="at most 100"):
        ict.vertices(replace(neutral(ict), shape=torch.zeros(1, 101)))


def write_repository(folder: Path, units: tuple[str, ...], ict_file: Path) -> Path:
    """ICT-FaceKit's layout with the pack's numbers: two identities, some units, and eyes behind the face."""
    inner = folder / "FaceXModel"
    inner.mkdir(parents=True)
    pack = dict(np.load(ict_file))
    eyes = np.ones((5, 3))

    def vertex_lines(points: np.ndarray) -> list[str]:
        return ["v " + " ".join(map(repr, row)) for row in np.concatenate([points, eyes]).tolist()]

    mean = pack["neutral"].astype(np.float64)
    corners = np.stack([pack["quads"], pack["uv_quads"]], axis=-1) + 1
    polygons = ["f " + " ".join(f"{v}/{t}/7" for v, t in row) for row in corners.tolist()]
    uv = [f"vt {u!r} {v!r} 0" for u, v in [*pack["uv"].tolist(), (0.5, 0.5)]]
    tail = ["f 9410/9548/1 9411/9548/1 9412/9548/1 9413/9548/1"]
    mesh = "\n".join(["# mesh", *vertex_lines(mean), *uv, "vn 0 0 1", *polygons, *tail])
    (inner / "generic_neutral_mesh.obj").write_text(mesh)
    for name, difference in [(f"identity{i:03d}", pack["id_basis"][i]) for i in range(2)]:
        (inner / f"{name}.obj").write_text("\n".join(vertex_lines(mean + difference)))
    for name in units:
        difference = pack["exp_basis"][pack["exp_names"].tolist().index(name)]
        (inner / f"{name}.obj").write_text("\n".join(vertex_lines(mean + difference)))
    indices = {"idx_to_landmark_verts": pack["landmarks68"].tolist(), "expressions": []}
    (inner / "vertex_indices.json").write_text(json.dumps(indices))
    return folder


def test_the_ict_repository_becomes_the_pack(
    tmp_path: Path, ict: ICT, ict_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ict.unit_names == ict_source.UNIT_NAMES
    units = ("jawOpen", "mouthSmile_L")
    monkeypatch.setattr(ict_source, "UNIT_NAMES", units)
    source = write_repository(tmp_path / "ICT-FaceKit", units, ict_file)
    assert is_ict_source(source)
    assert not is_ict_source(tmp_path)
    made = dict(np.load(convert_ict(source, tmp_path / "out" / "ict_face.npz", n_identities=2)))
    pack = dict(np.load(ict_file))
    for key in ("quads", "tris", "uv_quads", "uv_tris", "uv", "neutral", "landmarks68"):
        assert np.array_equal(made[key], pack[key]), key
    assert np.array_equal(made["id_basis"], pack["id_basis"][:2])
    for i, name in enumerate(units):
        assert np.array_equal(made["exp_basis"][i], pack["exp_basis"][ict.unit_names.index(name)])
    assert ICT.load(tmp_path / "out" / "ict_face.npz").unit_names == units
    (source / "FaceXModel" / "jawOpen.obj").write_text("v 1 2 nonsense\n")
    with pytest.raises(CheckpointError, match=r"jawOpen\.obj is damaged"):
        convert_ict(source, tmp_path / "again.npz", n_identities=2)
    (source / "FaceXModel" / "jawOpen.obj").unlink()
    with pytest.raises(MissingAssetError, match="whole FaceXModel folder"):
        convert_ict(source, tmp_path / "again.npz", n_identities=2)
    assert not (tmp_path / "again.npz").exists()


def test_the_converting_command_knows_flame(tmp_path: Path, foreign: Any) -> None:
    source = tmp_path / "source"
    source.mkdir()
    folder = port.convert(write_files(source, foreign), tmp_path / "flame")
    assert FLAME.load(folder).version == "2020"
    assert isinstance(open_model(folder), FLAME)
