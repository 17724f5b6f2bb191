"""A mesh as binary glTF 2.0, which viewers in browsers light: an OBJ file states no material that they could.

Format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, "GLB File Format".
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from torch import Tensor

from emorph.core.files import replace_file
from emorph.face3d.skinning import vertex_normals

_MATERIAL = {
    "pbrMetallicRoughness": {"baseColorFactor": [0.8, 0.62, 0.52, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7},
    "doubleSided": True,
}
_FLOAT, _UINT32, _VERTICES, _INDICES = 5126, 5125, 34962, 34963  # numbers that the format has for them


def write_glb(path: Path, vertices: Tensor, faces: Tensor) -> None:
    """Write a mesh in the colour of skin. vertices: float (V, 3), y upwards. faces: int64 (F, 3), triangles.

    Raises OSError.
    """
    points = vertices.float().cpu()
    normals = vertex_normals(points[None], faces.cpu())[0]
    parts = [points.numpy(), normals.numpy(), faces.cpu().numpy().astype(np.uint32).reshape(-1)]
    content = b"".join(part.tobytes() for part in parts)
    views, accessors, at = [], [], 0
    for i, part in enumerate(parts):
        target = _INDICES if i == 2 else _VERTICES
        views.append({"buffer": 0, "byteOffset": at, "byteLength": part.nbytes, "target": target})
        kind = {"componentType": _UINT32, "type": "SCALAR"} if i == 2 else {"componentType": _FLOAT, "type": "VEC3"}
        accessors.append({"bufferView": i, "count": len(part), **kind})
        at += part.nbytes
    accessors[0] |= {"min": points.amin(dim=0).tolist(), "max": points.amax(dim=0).tolist()}
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}
    scene = {
        "asset": {"version": "2.0", "generator": "emorph"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}], "materials": [_MATERIAL],
        "buffers": [{"byteLength": len(content)}], "bufferViews": views, "accessors": accessors,
    }  # fmt: skip
    told = json.dumps(scene).encode()
    told += b" " * (-len(told) % 4)
    chunks = struct.pack("<I4s", len(told), b"JSON") + told + struct.pack("<I4s", len(content), b"BIN\0") + content
    replace_file(path, struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
