"""ICT-FaceKit's repository to the one file that ``ICT.load`` reads."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import CheckpointError, MissingAssetError
from emorph.core.files import replace_file

FOLDER, MEAN_FILE, INDEX_FILE = "FaceXModel", "generic_neutral_mesh.obj", "vertex_indices.json"
MODEL_FILE = "ict_face.npz"
N_VERTICES, N_QUADS, N_IDENTITIES = 9409, 9230, 100  # of the release's "full face area"; eyes and teeth come after it
ROUNDED_TO = 8192  # parts of a unit; then 16 bits hold most differences exactly
_SIDED = (
    "browDown browInnerUp browOuterUp cheekPuff cheekSquint eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp "
    "eyeSquint eyeWide mouthDimple mouthFrown mouthLowerDown mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer"
)
_WHOLE = (
    "jawForward jawLeft jawOpen jawRight mouthClose mouthFunnel mouthLeft mouthPucker mouthRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper"
)
UNIT_NAMES = tuple(sorted([*(f"{name}_{side}" for name in _SIDED.split() for side in "LR"), *_WHOLE.split()]))


def is_ict_source(folder: Path) -> bool:
    """Whether this is a copy of the repository, or its FaceXModel folder."""
    return (folder / FOLDER / MEAN_FILE).is_file() or (folder / MEAN_FILE).is_file()


def convert_ict(source: Path, path: Path, *, n_identities: int = N_IDENTITIES) -> Path:
    """Write ``ict_face.npz`` from a copy of https://github.com/ICT-VGL/ICT-FaceKit.

    source: the copy, or its FaceXModel folder. n_identities: how many of the identities, the strongest first.
    Raises MissingAssetError if a file is not there, CheckpointError if one is damaged.
    """
    folder = source / FOLDER if (source / FOLDER).is_dir() else source
    mean, uv, quads, uv_quads = _mesh(folder / MEAN_FILE)
    identities = [folder / f"identity{i:03d}.obj" for i in range(n_identities)]
    arrays: dict[str, NDArray[Any]] = {
        "neutral": mean.astype(np.float32),
        "quads": quads,
        "tris": _cut(quads, quads, mean),
        "uv": uv,
        "uv_quads": uv_quads,
        "uv_tris": _cut(uv_quads, quads, mean),
        "id_basis": np.stack([_difference(file, mean) for file in identities]),
        "exp_basis": np.stack([_difference(folder / f"{name}.obj", mean) for name in UNIT_NAMES]),
        "exp_names": np.array(UNIT_NAMES),
        "landmarks68": _landmarks(folder / INDEX_FILE),
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # the stub takes them for its own options
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror}); choose another place.") from None
    return path


def _lines(path: Path, kind: str, count: int | None = None) -> list[list[str]]:
    """The first ``count`` lines of one kind of an .obj file, split, without the kind."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = (line.split()[1:] for line in file if line.startswith(f"{kind} "))
            return list(itertools.islice(found, count))
    except FileNotFoundError:
        raise MissingAssetError(f"{path} is not there; copy ICT-FaceKit's whole {FOLDER} folder.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from None


def _numbers(rows: list[list[str]], shape: tuple[int, ...], path: Path) -> NDArray[np.float64]:
    try:
        numbers = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise CheckpointError(f"{path.name} is damaged: {error}.") from None
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise CheckpointError(f"{path.name} is damaged: it has {numbers.shape} numbers where {shape} are expected.")
    return numbers


def _vertices(path: Path) -> NDArray[np.float64]:
    return _numbers([row[:3] for row in _lines(path, "v", N_VERTICES)], (N_VERTICES, 3), path)


def _difference(path: Path, mean: NDArray[np.float64]) -> NDArray[np.float16]:
    rounded: NDArray[np.float64] = np.rint((_vertices(path) - mean) * ROUNDED_TO) / ROUNDED_TO
    return rounded.astype(np.float16)


def _mesh(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Vertices, texture coordinates, and the polygons' indices into both."""
    rows = [[number for corner in row for number in corner.split("/")[:2]] for row in _lines(path, "f", N_QUADS)]
    corners = _numbers(rows, (N_QUADS, 8), path).astype(np.int32).reshape(N_QUADS, 4, 2) - 1
    quads, uv_quads = corners[..., 0], corners[..., 1]
    if not 0 <= quads.min() <= quads.max() < N_VERTICES or uv_quads.min() < 0:
        raise CheckpointError(f"{path.name} is damaged: its polygons point outside the face.")
    used, places = np.unique(uv_quads, return_inverse=True)
    uv_rows = [row[:2] for row in _lines(path, "vt", int(used.max()) + 1)]
    uv = _numbers(uv_rows, (int(used.max()) + 1, 2), path)[used].astype(np.float32)
    return _vertices(path), uv, quads, places.reshape(N_QUADS, 4).astype(np.int32)


def _cut(indices: NDArray[np.int32], quads: NDArray[np.int32], mean: NDArray[np.float64]) -> NDArray[np.int32]:
    """Each polygon of four as two triangles, along its shorter diagonal in space; polygon i gives 2i and 2i + 1."""
    corner = mean[quads]
    first = np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1) <= np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    along_first, along_second = indices[:, [[0, 1, 2], [0, 2, 3]]], indices[:, [[0, 1, 3], [1, 2, 3]]]
    return np.where(first[:, None, None], along_first, along_second).reshape(-1, 3)


def _landmarks(path: Path) -> NDArray[np.int32]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["idx_to_landmark_verts"]
        landmarks = np.array(found, dtype=np.int32)
    except FileNotFoundError:
        raise MissingAssetError(f"{path} is not there; copy ICT-FaceKit's whole {FOLDER} folder.") from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error}.") from None
    if landmarks.shape != (68,) or not 0 <= landmarks.min() <= landmarks.max() < N_VERTICES:
        raise CheckpointError(f"{path.name} does not hold 68 landmarks on the face.")
    return landmarks
