"""Imitations of the licensed files, made in their owners' layouts: a head for FLAME, weights for DECA and EMOCA."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emorph.face3d import ICT
from emorph.face3d.lighting import CONSTANTS
from emorph.models.deca import CODE_SIZES, DecaEncoder
from emorph.models.emoca import EmocaEncoder

N_SHAPE, N_EXPRESSION = 300, 100
CM = 0.01
_BELOW_MOUTH_CM = -4.5
_PARENTS = ((2**32 - 1, 0, 1, 1, 1), (0, 1, 2, 3, 4))


class _Held:
    """Pickles as an object of a foreign class, with its ``__dict__`` as state."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


@contextmanager
def _foreign(*names: str) -> Iterator[list[type[_Held]]]:
    """Classes that pickle under foreign names, which are importable meanwhile."""
    before, made = dict(sys.modules), []
    for full in names:
        module, _, name = full.rpartition(".")
        parts = module.split(".")
        for n in range(1, len(parts) + 1):
            sys.modules[".".join(parts[:n])] = types.ModuleType(".".join(parts[:n]))
        made.append(type(name, (_Held,), {"__module__": module, "__qualname__": name}))
        setattr(sys.modules[module], name, made[-1])
    try:
        yield made
    finally:
        sys.modules.clear()
        sys.modules.update(before)


def flame_arrays(face: ICT) -> dict[str, np.ndarray]:
    """``generic_model.pkl``'s arrays for the head ``face``, whose jaw turns what lies below the mouth."""
    mean = face.mean.double().numpy()
    directions = np.zeros((len(mean), 3, N_SHAPE + N_EXPRESSION))
    for first, basis in ((0, face.shape_basis), (N_SHAPE, face.expression_basis)):
        directions[..., first : first + len(basis)] = CM * basis.double().numpy().reshape(-1, len(mean), 3).T.swapaxes(
            0, 1
        )
    weights = np.zeros((len(mean), 5))
    weights[:, 2] = mean[:, 1] < _BELOW_MOUTH_CM
    weights[:, 1] = 1 - weights[:, 2]
    joints = np.zeros((5, len(mean)))
    joints[:, np.argsort(mean[:, 2])[:8]] = 1 / 8  # all lie at the back of the head
    return {
        "f": face.faces.numpy().astype(np.uint32),
        "v_template": CM * mean,
        "shapedirs": directions,
        "posedirs": np.zeros((len(mean), 3, 36)),
        "J_regressor": joints,
        "J": joints @ (CM * mean),
        "weights": weights,
        "kintree_table": np.array(_PARENTS),
    }


def _embedding(face: ICT) -> dict[str, Any]:
    """``landmark_embedding.npy``'s: each landmark in a triangle; the contour does not wander."""
    corners = face.mean[face.faces].double()
    a, b, c = corners.unbind(dim=1)
    places = []
    for point in face.landmarks(face.mean[None], torch.zeros(1, 3))[0].double():
        frame = torch.stack([b - a, c - a], dim=2)[:, :2]
        flat = frame.det().abs() > 1e-9
        shares = torch.linalg.solve(frame[flat], (point - a)[flat, :2, None])[..., 0]
        shares = torch.cat([1 - shares.sum(dim=1, keepdim=True), shares], dim=1)
        depth = (shares[:, :, None] * corners[flat]).sum(dim=1)[:, 2]
        outside = (-shares.amin(dim=1)).clamp_min(0) * 1e3
        best = int((outside + (depth - point[2]).abs()).argmin())
        places.append((int(flat.nonzero()[best, 0]), shares[best]))
    index = np.array([triangle for triangle, _ in places])
    weights = np.stack([share.numpy() for _, share in places])
    return {
        "static_lmk_faces_idx": index[17:],
        "static_lmk_bary_coords": weights[17:],
        "dynamic_lmk_faces_idx": torch.from_numpy(index[:17]).repeat(79, 1),
        "dynamic_lmk_bary_coords": torch.from_numpy(weights[:17]).float().repeat(79, 1, 1),
        "full_lmk_faces_idx": index[None],
        "full_lmk_bary_coords": weights[None].astype(np.float32),
    }


def write_flame(folder: Path, face: ICT) -> Path:
    """FLAME's model file and what DECA gives with it: landmarks, UV map. Returns the model file."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(flame_arrays(face))
    dense = arrays["J_regressor"]
    rows = [np.flatnonzero(column) for column in dense.T]
    with _foreign("chumpy.ch.Ch", "scipy.sparse.csc.csc_matrix") as (chumpy, sparse):
        arrays["shapedirs"] = chumpy(x=arrays["shapedirs"], _dirty_vars=set())
        arrays["J_regressor"] = sparse(
            _shape=dense.shape,
            data=np.concatenate([dense[found, i] for i, found in enumerate(rows)]),
            indices=np.concatenate(rows).astype(np.int32),
            indptr=np.cumsum([0, *map(len, rows)]).astype(np.int32),
        )
        path = folder / "generic_model.pkl"
        path.write_bytes(pickle.dumps(arrays | {"bs_style": "lbs", "bs_type": "lrotmin"}, protocol=2))
    np.save(folder / "landmark_embedding.npy", np.array(_embedding(face), dtype=object), allow_pickle=True)
    lines = [f"v {x} {y} {z}" for x, y, z in (CM * face.mean).tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in face.uv_coordinates.tolist()]
    pairs = zip((face.faces + 1).tolist(), (face.uv_triangles + 1).tolist(), strict=True)
    lines += ["f " + " ".join(f"{v}/{t}" for v, t in zip(*pair, strict=True)) for pair in pairs]
    (folder / "head_template.obj").write_text("\n".join(lines) + "\n")
    return path


def write_texture(path: Path) -> Path:
    """``FLAME_texture.npz``: one skin colour in BGR, 0..255, and as many directions as DECA's code has."""
    mean = np.full((512, 512, 3), (120, 150, 200), np.uint8)
    np.savez_compressed(path, mean=mean, tex_dir=np.zeros((512, 512, 3, CODE_SIZES["texture"]), np.uint8))
    return path


def _code(face: ICT) -> dict[str, Tensor]:
    """What E_flame is to answer: the mean head where DECA's crop has it, in even light."""
    points = CM * face.landmarks(face.mean[None], torch.zeros(1, 3))[0, :, :2]
    low, high = points.amin(dim=0), points.amax(dim=0)
    scale = 2 / ((high - low).mean() * 1.1 * 1.25)
    code = {name: torch.zeros(size) for name, size in CODE_SIZES.items()}
    code["camera"] = torch.cat([scale[None], -(low + high) / 2])
    code["light"][:3] = 1 / CONSTANTS[0]
    return code


def encoder_state(kind: type[DecaEncoder], face: ICT) -> dict[str, Tensor]:
    """Weights whose answers hang a little on the picture; a tensor of one number is that number, repeated."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {key: (value.shape, value.dtype) for key, value in kind().state_dict().items()}
    state = {key: torch.zeros((), dtype=dtype).expand(shape) for key, (shape, dtype) in shapes.items()}
    for key, (shape, _) in shapes.items():
        if key.endswith(("running_var", "bn1.weight", "downsample.1.weight")):
            state[key] = torch.ones(()).expand(shape)
        elif key.startswith("E_detail"):
            continue
        elif key.endswith(("encoder.conv1.weight", "downsample.0.weight", "layers.0.weight")):
            state[key] = torch.randn(shape, generator=generator) / float(np.prod(shape[1:])) ** 0.5
    state["E_flame.layers.2.bias"] = torch.cat(list(_code(face).values()))
    first = CODE_SIZES["shape"] + CODE_SIZES["texture"]
    for network, start in (("E_flame", first), ("E_expression", 0)):
        key = f"{network}.layers.2.weight"
        if key in state:
            state[key] = torch.zeros(shapes[key][0])
            state[key][start : start + 3] = torch.randn(3, 1024, generator=generator) / 32
    return state


def write_deca(path: Path, face: ICT) -> Path:
    """``deca_model.tar``: a dictionary for each network, and what its trainer adds."""
    nested: dict[str, Any] = {}
    for key, value in encoder_state(DecaEncoder, face).items():
        network, _, inner = key.partition(".")
        nested.setdefault(network, {})[inner] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**nested, "global_step": 7, "opt": {"state": {}, "param_groups": []}, "batch_size": 2}, path)
    return path


def write_emoca(path: Path, face: ICT) -> Path:
    """EMOCA's Lightning checkpoint, with one of the buffers that its official files hold besides."""
    state = {f"deca.{key}": value for key, value in encoder_state(EmocaEncoder, face).items()}
    state["deca.flame.eye_pose"] = torch.zeros(1, 6)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "epoch": 10, "pytorch-lightning_version": "1.4.9"}, path)
    return path
