"""A mesh as binary glTF 2.0 for viewers in browsers, with its light in its colours.

A viewer that is to light a mesh prepares a large shader first, which takes it seconds without a GPU.
Format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, "GLB File Format", and KHR_materials_unlit.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.files import replace_file
from emorph.core.types import Float32
from emorph.face3d.skinning import vertex_normals

_SKIN = (0.8, 0.62, 0.52)  # linear, as the format's colours are
_TO_LIGHT = (-0.4, 0.5, 0.77)  # from in front of the face, above and to the viewer's left
_AMBIENT = 0.25  # share of the light that comes from everywhere
_UNLIT = "KHR_materials_unlit"
_MATERIAL = {"pbrMetallicRoughness": {"metallicFactor": 0.0}, "extensions": {_UNLIT: {}}, "doubleSided": True}
_UINT8, _UINT16, _UINT32, _FLOAT = 5121, 5123, 5125, 5126  # numbers that the format has for them
_VERTICES, _INDICES = 34962, 34963


def write_glb(path: Path, vertices: Tensor, faces: Tensor) -> None:
    """Write a mesh in the colour of skin, lit from the front. vertices: float (V, 3), y upwards. faces: int64 (F, 3).

    Raises OSError.
    """
    points = vertices.float().cpu()
    is_small = len(points) < 2**16
    corners = faces.cpu().numpy().astype(np.uint16 if is_small else np.uint32).reshape(-1)
    parts = [points.numpy(), _lit(vertex_normals(points[None], faces.cpu())[0].numpy()), corners]
    kinds = (
        {
            "componentType": _FLOAT,
            "type": "VEC3",
            "min": points.amin(dim=0).tolist(),
            "max": points.amax(dim=0).tolist(),
        },
        {"componentType": _UINT8, "type": "VEC4", "normalized": True},
        {"componentType": _UINT16 if is_small else _UINT32, "type": "SCALAR"},
    )
    content = b"".join(part.tobytes() for part in parts)
    views, accessors, at = [], [], 0
    for i, (part, kind) in enumerate(zip(parts, kinds, strict=True)):
        target = _INDICES if i == 2 else _VERTICES
        views.append({"buffer": 0, "byteOffset": at, "byteLength": part.nbytes, "target": target})
        accessors.append({"bufferView": i, "count": len(part), **kind})
        at += part.nbytes
    content += b"\0" * (-len(content) % 4)
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    scene = {
        "asset": {"version": "2.0", "generator": "emorph"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}], "materials": [_MATERIAL],
        "extensionsUsed": [_UNLIT],
        "buffers": [{"byteLength": len(content)}], "bufferViews": views, "accessors": accessors,
    }  # fmt: skip
    told = json.dumps(scene).encode()
    told += b" " * (-len(told) % 4)
    chunks = struct.pack("<I4s", len(told), b"JSON") + told + struct.pack("<I4s", len(content), b"BIN\0") + content
    replace_file(path, struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _lit(normals: Float32) -> NDArray[np.uint8]:
    """The colours of skin that faces these ways, (V, 4). normals: (V, 3), of length 1."""
    to_light = np.asarray(_TO_LIGHT) / np.linalg.norm(_TO_LIGHT)
    light = _AMBIENT + (1 - _AMBIENT) * np.maximum(normals @ to_light, 0)
    colours = np.full((len(light), 4), 255, np.uint8)
    colours[:, :3] = np.rint(255 * light[:, None] * np.asarray(_SKIN))
    return colours
