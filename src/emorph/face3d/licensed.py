"""Reads the files that FLAME's and DECA's owners distribute, without running anything in them."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import CheckpointError
from emorph.core.files import NPZ_ERRORS
from emorph.core.inert import Placeholder, Replacement
from emorph.core.stand_ins import refuse_stand_in
from emorph.core.unpickle import read_pickle, read_pickled_dict

Arrays = Mapping[str, NDArray[Any]]

MODEL_KEYS = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_MAX_DENSE = 10**8  # numbers in a sparse matrix that is filled up; FLAME's joint regressor has 25,115
_MAX_MESH_BYTES = 64 * 2**20


class _Chumpy(Placeholder):
    """chumpy.ch.Ch, a plain array inside; or a selection of another one's numbers."""

    def array(self) -> NDArray[Any]:
        state = self.state if isinstance(self.state, dict) else {}
        if "x" in state:
            return _as_array(state["x"])
        if {"a", "idxs", "preferred_shape"} <= state.keys():
            shape = state["preferred_shape"]
            if isinstance(shape, tuple) and all(type(n) is int for n in shape):
                chosen: NDArray[Any] = _as_array(state["a"]).ravel()[_as_array(state["idxs"])].reshape(shape)
                return chosen
        raise ValueError(f"an object of {self.name} of a kind that is not read")


class _Sparse(Placeholder):
    """scipy's compressed sparse matrix, by columns or by rows."""

    def array(self) -> NDArray[Any]:
        state = self.state if isinstance(self.state, dict) else {}
        n_rows, n_columns = (int(n) for n in state["_shape"])
        data, indices, starts = (_as_array(state[key]) for key in ("data", "indices", "indptr"))
        by_columns = "csc" in self.name
        n_major = n_columns if by_columns else n_rows
        if not 0 < n_rows * n_columns <= _MAX_DENSE or starts.shape != (n_major + 1,) or data.shape != indices.shape:
            raise ValueError("a malformed sparse matrix")
        major = np.repeat(np.arange(n_major), np.diff(starts))
        dense = np.zeros((n_rows, n_columns))
        np.add.at(dense, (indices, major) if by_columns else (major, indices), data)
        return dense


def _replacements() -> dict[str, Replacement]:
    table: dict[str, Replacement] = {
        name: (lambda *args, name=name: _Chumpy(name)) for name in ("chumpy.ch.Ch", "chumpy.reordering.Select")
    }
    for kind in ("csc", "csr"):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            name = f"{module}.{kind}_matrix"
            table[name] = lambda *args, name=name: _Sparse(name)
    return table


def _as_array(value: object) -> NDArray[Any]:
    if isinstance(value, _Chumpy | _Sparse):
        return value.array()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return np.asarray(value)
    if hasattr(value, "numpy"):
        return np.asarray(value.numpy())
    raise ValueError(f"a {type(value).__name__} where an array of numbers belongs")


def is_generic_model(path: Path) -> bool:
    """Whether a file is a pickle that names FLAME's arrays, whatever the file is called; nothing in it is run.

    Only what ends in .pkl is looked into. False for a file that cannot be read.
    """
    if path.suffix.lower() not in (".pkl", ".pickle"):
        return False
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(key.encode()) >= 0 for key in MODEL_KEYS[1:])
    except (OSError, ValueError):  # mmap refuses an empty file with ValueError
        return False


def read_generic_model(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays MODEL_KEYS of FLAME's model file: ``generic_model.pkl``, ``flame2023.pkl``, or another name.

    Arrays of chumpy and matrices of scipy are rebuilt without either; anything else that the file asks to build is
    left unbuilt, and anything it asks to run is refused. Raises CheckpointError.
    """
    return _pick(read_pickle(path, _replacements()), MODEL_KEYS, path.name)


def read_landmark_embedding(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of DECA's ``landmark_embedding.npy``: static, dynamic and full landmarks. Raises CheckpointError."""
    parts = ("static", "dynamic", "full")
    keys = tuple(f"{part}_lmk_{what}" for part in parts for what in ("faces_idx", "bary_coords"))
    return _pick(read_pickled_dict(path), keys, path.name)


def _pick(content: object, keys: tuple[str, ...], name: str) -> dict[str, NDArray[Any]]:
    if not isinstance(content, dict) or any(key not in content for key in keys):
        lacking = [key for key in keys if not isinstance(content, dict) or key not in content]
        raise CheckpointError(f"{name} is not the file that is needed here: it has no {lacking[0]}.")
    try:
        return {key: _as_array(content[key]) for key in keys}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{name} is damaged: {error}.") from None


def read_texture(path: Path) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Mean, directions and their scale of ``FLAME_texture.npz`` (255) or ``FLAME_albedo_from_BFM.npz`` (1)."""
    refuse_stand_in(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            for mean, directions, scale in (("mean", "tex_dir", 255.0), ("MU", "PC", 1.0)):
                if mean in archive.files and directions in archive.files:
                    return archive[mean], archive[directions], scale
            found = ", ".join(archive.files[:6]) or "nothing"
    except NPZ_ERRORS as error:
        raise CheckpointError(f"{path.name} is damaged or not a texture file ({error}); get it again.") from None
    raise CheckpointError(f"{path.name} is not FLAME's texture: it holds {found}, not mean and tex_dir (or MU and PC).")


def read_uv(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Texture coordinates of DECA's ``head_template.obj``, and its triangles.

    Returns (T, 2) with v upwards, the triangles' indices into them (F, 3), and into the vertices (F, 3).
    Raises CheckpointError.
    """
    refuse_stand_in(path)
    try:
        if path.stat().st_size > _MAX_MESH_BYTES:
            raise CheckpointError(f"{path.name} is larger than any head mesh; refused.")
        rows = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        uv = np.array([row[1:3] for row in rows if row[:1] == ["vt"]], dtype=np.float32)
        corners = (
            np.array([[c.split("/")[:2] for c in row[1:]] for row in rows if row[:1] == ["f"]], dtype=np.int64) - 1
        )
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path.name} cannot be read as a mesh of triangles: {error}.") from None
    if uv.ndim != 2 or corners.shape[1:] != (3, 2) or not 0 <= corners[..., 1].min() <= corners[..., 1].max() < len(uv):
        raise CheckpointError(f"{path.name} is not a mesh of triangles with texture coordinates.")
    return uv, corners[..., 1], corners[..., 0]
