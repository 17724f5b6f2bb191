"""A mesh as glTF, read back as the format's specification says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import torch

from emorph.face3d.glb import write_glb


def test_a_mesh_reads_back(tmp_path: Path) -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 3]])
    write_glb(tmp_path / "x.glb", corners, faces)
    content = (tmp_path / "x.glb").read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    n_json, kind = struct.unpack_from("<I4s", content, 12)
    assert (kind, n_json % 4) == (b"JSON", 0)
    told = json.loads(content[20 : 20 + n_json])
    n_bytes, kind = struct.unpack_from("<I4s", content, 20 + n_json)
    assert (kind, n_bytes) == (b"BIN\0", told["buffers"][0]["byteLength"])
    body = content[28 + n_json :]
    assert len(body) == n_bytes
    read = []
    for accessor in told["accessors"]:
        view = told["bufferViews"][accessor["bufferView"]]
        dtype = {5126: "<f4", 5121: "u1", 5123: "<u2"}[accessor["componentType"]]
        values = np.frombuffer(body[view["byteOffset"] :][: view["byteLength"]], dtype)
        read.append(values.reshape(accessor["count"], {"VEC3": 3, "VEC4": 4, "SCALAR": 1}[accessor["type"]]))
    (primitive,) = told["meshes"][0]["primitives"]
    points, colours = (read[primitive["attributes"][name]] for name in ("POSITION", "COLOR_0"))
    assert np.array_equal(points, corners.numpy())
    assert (colours[:, 3] == 255).all()
    to_front, downwards = colours[2:, 0] / 255 / 0.8  # skin reflects 0.8 of the red
    assert abs(to_front - (0.25 + 0.75 * 0.77)) < 0.005
    assert abs(downwards - 0.25) < 0.005  # where the light does not come from
    assert told["extensionsUsed"] == list(told["materials"][0]["extensions"]) == ["KHR_materials_unlit"]
    assert read[primitive["indices"]].ravel().tolist() == [0, 1, 2, 0, 1, 3]
    assert (told["accessors"][0]["min"], told["accessors"][0]["max"]) == ([0, 0, 0], [1, 1, 2])
