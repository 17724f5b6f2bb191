"""Licensed FLAME files to one safetensors folder, once, so that no pickle is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.assets import DECA_PAGE, OFFICIAL
from emorph.core.errors import CheckpointError, MissingAssetError
from emorph.core.files import file_digest
from emorph.core.pretrained import atomic_folder, write_model
from emorph.face3d.flame import KIND, N_IDENTITY, PARENTS, check_tensors
from emorph.face3d.licensed import (
    Arrays,
    is_generic_model,
    read_generic_model,
    read_landmark_embedding,
    read_texture,
    read_uv,
)
from emorph.face3d.texture import texture_tensors

RELEASES = ("2020", "2023")
EMBEDDING, UV_MESH = "landmark_embedding.npy", "head_template.obj"
TEXTURES = ("FLAME_texture.npz", "FLAME_albedo_from_BFM.npz")
COMPANIONS = (EMBEDDING, UV_MESH, *TEXTURES)


def convert_flame(source: str | Path, folder: str | Path, *, version: str | None = None) -> Path:
    """Write FLAME as a folder that ``FLAME.load`` reads; texture and UV map come along where they lie beside it.

    source: a folder with FLAME's model file, told by its content, and DECA's landmark_embedding.npy; or the model
    file, with the others beside it. folder: must not exist yet, or be a model folder. version: "2020" or "2023", for
    a model file whose name does not tell it.
    Raises MissingAssetError, naming the page of a file that is not there, and CheckpointError.
    """
    source = Path(source).expanduser()
    model = _model_file(source)
    version = version or version_of(model.name)
    if version not in RELEASES:
        given = f"{version!r} is no release of FLAME" if version else f"{model.name} does not tell FLAME's release"
        raise CheckpointError(
            f"{given}; say which it is, --version 2020 or --version 2023: their coefficients do not mix."
        )
    embedding = model.with_name(EMBEDDING)
    if not embedding.is_file():
        raise MissingAssetError(f"{EMBEDDING} is not beside {model}; it lies in the data folder of {DECA_PAGE}.")
    tensors = flame_tensors(read_generic_model(model), read_landmark_embedding(embedding), model.name)
    tensors |= _surface_tensors(model.parent, tensors["triangles"])
    config = {"version": version, "source": model.name, "sha256": file_digest(model)}
    with atomic_folder(Path(folder)) as draft:
        write_model(draft, KIND, config, tensors)
    return Path(folder)


def is_flame_source(path: Path) -> bool:
    """Whether this is FLAME's model file, by its content, or a folder with one."""
    return is_generic_model(path) or bool(_models_in(path))


def version_of(name: str) -> str | None:
    """The release that a file's name tells: "2023" for flame2023_Open.pkl; None for one such as FLAME_NEUTRAL.pkl."""
    found = [release for release in RELEASES if release in name]
    if name.lower() == "generic_model.pkl":  # as the release of 2020 calls it
        found = ["2020"]
    return found[0] if len(found) == 1 else None


def _models_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.[pP][kK][lL]") if is_generic_model(path))


def _model_file(source: Path) -> Path:
    if source.is_file():
        return source
    models = _models_in(source)
    if len(models) > 1:
        raise CheckpointError(f"{source} holds {models[0].name} and {models[1].name}; name the file that is meant.")
    if models:
        return models[0]
    asset = next(asset for asset in OFFICIAL if asset.name == "flame2020")
    raise MissingAssetError(
        f"there is no model file of FLAME (generic_model.pkl, flame2023.pkl) in {source}; get FLAME from {asset.page} "
        f"({asset.terms})."
    )


def _surface_tensors(folder: Path, triangles: Tensor) -> dict[str, Tensor]:
    """UV map and texture, of those that lie in ``folder``."""
    tensors: dict[str, Tensor] = {}
    if (folder / UV_MESH).is_file():
        uv, uv_faces, faces = read_uv(folder / UV_MESH)
        if not np.array_equal(faces, triangles.numpy()):
            raise CheckpointError(f"{UV_MESH} has other triangles than the model; take DECA's.")
        tensors["uv_coordinates"], tensors["uv_triangles"] = torch.from_numpy(uv), torch.from_numpy(uv_faces)
    for name in TEXTURES:
        if (folder / name).is_file():
            if not tensors:
                raise MissingAssetError(
                    f"{name} has no place on the head without {UV_MESH}, which is not beside it; that lies in the data "
                    f"folder of {DECA_PAGE}."
                )
            mean, directions, scale = read_texture(folder / name)
            small = texture_tensors(torch.from_numpy(mean), torch.from_numpy(directions), scale=scale)
            return tensors | {"texture_mean": small[0], "texture_basis": small[1]}
    return tensors


def flame_tensors(model: Arrays, embedding: Arrays, name: str) -> dict[str, Tensor]:
    """The official arrays under FLAME's own names and shapes here, checked. Raises CheckpointError."""
    n_vertices, parents = len(model["v_template"]), model["kintree_table"][0].astype(np.int64)[1:]
    if tuple(parents) != PARENTS[1:]:
        raise CheckpointError(f"{name} has joints that do not hang together as FLAME's: parents {parents.tolist()}.")
    if model["shapedirs"].shape[:2] != (n_vertices, 3) or model["posedirs"].shape != (n_vertices, 3, 36):
        found = f"shapedirs {model['shapedirs'].shape}, posedirs {model['posedirs'].shape}"
        raise CheckpointError(f"{name} does not fit its {n_vertices} vertices: {found}.")
    basis = _floats(model["shapedirs"]).reshape(3 * n_vertices, -1).T
    tensors = {
        "template": _floats(model["v_template"]),
        "shape_basis": basis[:N_IDENTITY],
        "expression_basis": basis[N_IDENTITY:],
        "pose_basis": _floats(model["posedirs"]).reshape(3 * n_vertices, 36).T,
        "joint_weights": _floats(model["J_regressor"]),
        "skin_weights": _floats(model["weights"]),
        "triangles": _integers(model["f"]),
        "contour_triangles": _integers(embedding["dynamic_lmk_faces_idx"]),
        "contour_barycentric": _floats(embedding["dynamic_lmk_bary_coords"]),
        "inner_triangles": _integers(embedding["static_lmk_faces_idx"]),
        "inner_barycentric": _floats(embedding["static_lmk_bary_coords"]),
        "full_triangles": _integers(embedding["full_lmk_faces_idx"]).reshape(-1),
        "full_barycentric": _floats(embedding["full_lmk_bary_coords"]).reshape(-1, 3),
    }
    check_tensors(tensors)
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise CheckpointError(f"{name} is damaged: it holds numbers that are not finite.")
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


def _floats(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _integers(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
