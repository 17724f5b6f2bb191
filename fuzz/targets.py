"""The kinds of file that are damaged: a sound one of each, made here, and the way that emorph reads it."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emorph.core import records
from emorph.core.errors import EmorphError
from emorph.core.images import read_photo
from emorph.core.unpickle import read_pickle, read_torch_file
from emorph.data.layouts import open_index
from emorph.data.store import FaceStore
from emorph.evaluate.judges.onnx_file import OnnxGraph, opening_operations
from emorph.evaluate.measure.inputs import read_pairs
from emorph.face3d.ict import ICT
from emorph.face3d.licensed import read_texture, read_uv
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.judge import Judge, JudgeConfig
from emorph.models.port import convert, load_any, model_info
from emorph.train.tasks import read_task
from mutations import BINARY, MIXED, TEXT, Mutation

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """One kind of file.

    seeds: makes sound files in a folder, whose one file ``damaged`` is then mutated; read: what is done with it there.
    """

    name: str
    seeds: Callable[[Path], list[Path]]
    read: Read
    ways: tuple[Mutation, ...]


_TINY = DiffAEConfig(
    image_size=32, model_channels=32, channel_mult=(1,), encoder_channel_mult=(1, 1), attention_resolutions=(), z_dim=32
)


def _pictures(folder: Path) -> list[Path]:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[274], exif[315] = 6, "somebody"
    for suffix in ("png", "jpg", "webp", "tiff", "gif", "bmp"):
        image.save(folder / f"a.{suffix}", **({"exif": exif.tobytes()} if suffix in ("png", "jpg", "webp") else {}))
    return sorted(folder.glob("a.*"))


def _checkpoints(folder: Path) -> list[Path]:
    """One that is read, a linear classifier of z_sem, and one of a kind that emorph does not know."""
    torch.manual_seed(0)
    one, few = torch.ones(1, 8), torch.rand(8, 8)
    known = {f"{ema}classifier.weight": few for ema in ("", "ema_")} | {
        f"{ema}classifier.bias": few[0] for ema in ("", "ema_")
    }
    torch.save({"state_dict": known | {"conds_mean": 0 * one, "conds_std": one}, "epoch": 3}, folder / "zip.ckpt")
    state = {"encoder.a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2).half()}
    torch.save({"model": state}, folder / "old.pt", _use_new_zipfile_serialization=False)
    return [folder / "zip.ckpt", folder / "old.pt"]


def _read_checkpoint(path: Path) -> None:
    for read in (read_torch_file, read_pickle):
        _each(lambda read=read: read(path))  # type: ignore[misc]
    load_any(path)


def _each(read: Callable[[], object]) -> None:
    """A refusal of one reader does not keep the file from the next."""
    with contextlib.suppress(EmorphError):
        read()


def _model_folder(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    DiffAE(_TINY).save_pretrained(folder / "model")
    return [folder / "model" / "config.json"]


def _weights(folder: Path) -> list[Path]:
    """Of the smallest judge: a few kilobytes, half of them header, so that few mutations fall on mere numbers."""
    torch.manual_seed(0)
    tiny = JudgeConfig(labels=("happy", "sad"), image_size=4, channels=(4,), num_res_blocks=1)
    Judge(tiny).save_pretrained(folder / "judge")
    return [folder / "judge" / "model.safetensors"]


def _read_folder(path: Path) -> None:
    _each(lambda: model_info(path.parent))
    load_any(path.parent)


def _onnx(folder: Path) -> list[Path]:
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 8, 8]), ("y", [1, 192]))]
    nodes = [helper.make_node("Sub", ["x", "m"], ["d"]), helper.make_node("Flatten", ["d"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [helper.make_tensor("m", TensorProto.FLOAT, [1], [0.5])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "judge.onnx"))
    return [folder / "judge.onnx"]


def _read_onnx(path: Path) -> None:
    _each(lambda: opening_operations(path))
    OnnxGraph.load(path, threads=1).run(np.zeros((1, 3, 8, 8), np.float32))


def _npz(folder: Path) -> list[Path]:
    np.savez(folder / "texture.npz", mean=np.zeros(12), tex_dir=np.zeros((12, 2)))
    np.savez_compressed(folder / "small.npz", MU=np.zeros(12), PC=np.zeros((12, 2)))
    points = np.random.default_rng(0).random((70, 3)).astype(np.float32)
    corners = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
    np.savez(
        folder / "ict.npz", neutral=points, tris=corners, uv=points[:, :2], uv_tris=corners, exp_names=np.array(["a"]),
        id_basis=points[None], exp_basis=points[None], landmarks68=np.arange(68, dtype=np.int32),
    )  # fmt: skip
    return [folder / "texture.npz", folder / "small.npz", folder / "ict.npz"]


def _read_npz(path: Path) -> None:
    if path.name == "ict.npz":
        ICT.load(path)
    else:
        read_texture(path)


def _obj(folder: Path) -> list[Path]:
    text = "".join(f"v {i} 0 1\nvt 0.{i} 0.5\n" for i in range(6)) + "f 1/1 2/2 3/3\nf 4/4 5/5 6/6\n"
    (folder / "mesh.obj").write_text(text)
    return [folder / "mesh.obj"]


def _flame(folder: Path) -> list[Path]:
    import pickle

    shapes = {
        "f": (2, 3), "v_template": (6, 3), "shapedirs": (6, 3, 400), "posedirs": (6, 3, 36), "J_regressor": (5, 6),
        "weights": (6, 5),
    }  # fmt: skip
    arrays = {key: np.zeros(shape, int if key == "f" else np.float32) for key, shape in shapes.items()}
    arrays["kintree_table"] = np.array([[-1, 0, 1, 1, 1], range(5)])
    (folder / "flame2023.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    embedding: dict[str, np.ndarray] = {}
    for part, shape in (("static", (51,)), ("dynamic", (79, 17)), ("full", (1, 68))):
        embedding[f"{part}_lmk_faces_idx"] = np.zeros(shape, int)
        embedding[f"{part}_lmk_bary_coords"] = np.zeros((*shape, 3))
    np.save(folder / "landmark_embedding.npy", np.array(embedding, dtype=object), allow_pickle=True)
    return [folder / "flame2023.pkl", folder / "landmark_embedding.npy"]


def _read_flame(path: Path) -> None:
    convert(path.parent, path.parent / "out")


def _toml(folder: Path) -> list[Path]:
    (folder / "run.toml").write_text(
        'out = "run"\nseed = 1\n[data]\npath = "faces.parquet"\nbalance = "repeat"\nwindow = [0, 0, 32]\n[model]\n'
        "image_size = 32\nmodel_channels = 32\nchannel_mult = [1, 1]\n"
        "encoder_channel_mult = [1, 1, 1]\nattention_resolutions = [16]\n[optim]\n"
        "batch_size = 4\nlr = 1e-4\nbetas = [0.9, 0.99]\n[samples]\nn = 0\n[budget]\nsteps = 3\nmax_minutes = 1.5\n"
    )
    return [folder / "run.toml"]


def _jsonl(folder: Path) -> list[Path]:
    row = {
        "id": "1", "source": "a.png", "edited": "b/c.png", "target": "happy", "strength": 0.5,
        "editor": "emorph 0.1.0", "kept": ["exif"], "n_faces": 1,
        "model_id": "m", "solver": "ddim", "steps": 4, "seconds": 0.5, "face": "largest", "min_face_px": 40,
    }  # fmt: skip
    path = folder / "edits.jsonl"
    path.write_text("".join(json.dumps(row | {"id": str(i), "edited": f"b/{i}.png"}) + "\n" for i in range(3)))
    return [path]


def _read_jsonl(path: Path) -> None:
    _each(lambda: records.read(path))
    read_pairs(path)


def _csv(folder: Path) -> list[Path]:
    (folder / "pairs.csv").write_text("source,edited,target,strength,valence,arousal\na.png,b.png,happy,0.5,0.1,-0.2\n")
    (folder / "labels.csv").write_text("path,label,split,valence,arousal\na.png,happy,train,0.5,0.1\nb.png,sad,val,,\n")
    return [folder / "pairs.csv", folder / "labels.csv"]


def _read_csv(path: Path) -> None:
    _each(lambda: read_pairs(path))
    open_index(path)


def _affectnet(folder: Path) -> list[Path]:
    points = ";".join(["1.5"] * 136)
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    (folder / "training.csv").write_text(f"{head}\n" + f"1/a.jpg,4,5,30,31,{points},1,0.1,0.2\n" * 3)
    return [folder / "training.csv"]


def _parquet(folder: Path) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 9, np.uint8)).save(stream, "PNG")
    cells = [{"bytes": stream.getvalue(), "path": None}] * 3
    table = pa.table({"image": cells, "label": ["happy", "sad", None], "landmarks68": [b"\0" * 272] * 3})
    pq.write_table(table, folder / "faces.parquet", compression="none")
    return [folder / "faces.parquet"]


def _read_parquet(path: Path) -> None:
    store = FaceStore(path, side_px=16)
    for row in range(min(len(store), 3)):
        store[row]


def _paths(folder: Path) -> list[Path]:
    (folder / "name.txt").write_text("runs/model.ckpt")
    return [folder / "name.txt"]


def _read_paths(path: Path) -> None:
    """The content as the name of a file, wherever a name is taken."""
    name = path.read_bytes().decode("utf-8", errors="surrogateescape")
    _each(lambda: load_any(name))
    _each(lambda: model_info(name))
    _each(lambda: read_photo(Path(name)))
    _each(lambda: open_index(Path(name)))
    _each(lambda: read_pairs(Path(name)))


TARGETS: tuple[Target, ...] = (
    Target("pictures", _pictures, read_photo, BINARY),
    Target("checkpoints", _checkpoints, _read_checkpoint, MIXED),
    Target("safetensors", _weights, _read_folder, MIXED),
    Target("model folders", _model_folder, _read_folder, TEXT),
    Target("onnx", _onnx, _read_onnx, BINARY),
    Target("npz", _npz, _read_npz, MIXED),
    Target("obj", _obj, read_uv, TEXT),
    Target("flame", _flame, _read_flame, MIXED),
    Target("toml", _toml, read_task, TEXT),
    Target("jsonl", _jsonl, _read_jsonl, TEXT),
    Target("csv", _csv, _read_csv, TEXT),
    Target("affectnet", _affectnet, lambda path: open_index(path.parent), TEXT),
    Target("parquet", _parquet, _read_parquet, BINARY),
    Target("paths", _paths, _read_paths, TEXT),
)


def seeded(name: str, seed: int) -> random.Random:
    """Randomness of one input, so that it can be made again alone."""
    return random.Random(f"{name}/{seed}")
