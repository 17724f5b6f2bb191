"""A small start for expression editing: an autoencoder with directions that are its own, a judge, labelled faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import datasets
import torch
from torch import Tensor

from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.data.memory import TensorFaces
from emorph.face3d import neutral
from emorph.face3d.camera import pixels_to_screen
from emorph.models.directions import AffectAxes, LatentStats
from emorph.models.judge import Judge, JudgeConfig
from emorph.models.shift import CodeShift, ShiftNet
from emorph.train.tasks.expression import ExpressionConfig
from killed_run import made_faces
from made_face import made_face, marks
from tiny import tiny_directions, tiny_model

SIDE = 32
WORDS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")


def made_points(n: int = 1, side_px: int = SIDE) -> Tensor:
    """Landmarks (n, 68, 2) of faces in pixels, each a little elsewhere."""
    head = made_face()
    at = marks(head, neutral(head, 1), side_px)
    shift = torch.arange(n)[:, None, None] % 5 * 0.3
    return at * 0.8 + 0.1 * side_px + shift


def labelled_faces(n: int = 24) -> TensorFaces:
    """The made faces of ``killed_run`` with landmarks."""
    faces = made_faces(n)
    return TensorFaces(faces.images, torch.from_numpy(faces.labels), pixels_to_screen(made_points(n), (SIDE, SIDE)))


def write_store(path: Path) -> Path:
    """The labelled faces as a Parquet file, with a person each, the last six held out."""
    faces, rows = labelled_faces(), []
    points = made_points(len(faces)).numpy().astype("<f2")
    for i, image in enumerate(faces.images):
        ok, png = cv2.imencode(".png", image[0].numpy())
        assert ok
        told = {"label": Emotion(int(faces.labels[i])).word, "identity": f"person{i}"}
        where = {"split": "val" if i >= len(faces) - 6 else "train", "landmarks68": points[i].tobytes()}
        rows.append({"image": png.tobytes(), **told, **where})
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    return path


def write_start(folder: Path, *, landmarks: bool = False, affect: bool = False) -> Path:
    """An autoencoder with its directions; landmarks: that know where these go. affect: and of valence and arousal."""
    model = tiny_model()
    model.save_pretrained(folder)
    with torch.no_grad():
        z = model.encode(unit_range(labelled_faces().images))
    generator = torch.Generator().manual_seed(3)
    directions = replace(
        tiny_directions(),
        stats=LatentStats(z.mean(dim=0), z.std(dim=0)),
        landmarks=0.02 * torch.randn(68, 2, 32, generator=generator) if landmarks else None,
        affect=AffectAxes(*(0.2 * torch.randn(*size, generator=generator) for size in ((2, 32), (2,), (2, 32))))
        if affect
        else None,
    )
    directions.save_pretrained(folder / "directions")
    return folder


def made_shift(z_dim: int = 32, hidden: int = 8) -> CodeShift:
    """A shift that does something."""
    torch.manual_seed(4)
    net = ShiftNet(z_dim, hidden).requires_grad_(False)
    torch.nn.init.normal_(net.outer_weight)
    torch.nn.init.normal_(net.outer_bias)
    return net.shift


def write_judge(folder: Path, seed: int = 0, zoom: float = 1.4, words: Sequence[str] = WORDS) -> Path:
    """A judge with random weights, whose crop the pictures of ``write_start`` show."""
    torch.manual_seed(seed)
    crop = {"zoom": zoom, "shift": (0.0, 0.07)}
    sizes = {"labels": words, "image_size": 16, "channels": (8, 16), "num_res_blocks": 1, "crop": crop}
    judge = Judge(JudgeConfig.parse(sizes))
    for name, value in judge.state_dict().items():
        if name.endswith("norm2.weight"):
            value.fill_(1.0)
    judge.eval().save_pretrained(folder)
    return folder


def write_networks(folder: Path) -> Path:
    """What a run of ``expression_config`` needs in its folder: a start that knows landmarks, and a judge."""
    write_start(folder / "start", landmarks=True)
    write_judge(folder / "judge")
    return folder


def expression_config(folder: Path, out: str, **changed: Any) -> ExpressionConfig:
    """A run of half a second from ``folder``/start, asking ``folder``/judge; changed: also parts of a table."""
    values: dict[str, Any] = {
        "task": "expression",
        "init": str(folder / "start"),
        "out": str(folder / out),
        "seed": 5,
        "data": {"path": "faces.parquet"},
        "losses": {"emotion_networks": [str(folder / "judge")]},
        "optim": {"batch_size": 4, "lr": 1e-3, "ema_decay": 0.9},
        "budget": {"steps": 12},
        "checkpoint": {"every_steps": 3},
        "log": {"every_steps": 1, "tensorboard": False},
        "samples": {"n": 0},
    }
    for key, value in changed.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, Mapping) else value
    return ExpressionConfig.parse(values)
