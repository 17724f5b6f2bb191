"""The held-out faces of lfw_expressions as photos with landmarks, the way a user's photos come."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo


@dataclass(frozen=True)
class Face:
    """A held-out face. row: in the file, which tells it from all others; label: one annotator's opinion."""

    row: int
    photo: Photo
    landmarks: Landmarks
    label: Emotion
    person: str


def held_out_faces(data: Path) -> list[Face]:
    """All faces of the split "val", in the file's order."""
    return read_faces(data, "val")


def read_faces(data: Path, split: str) -> list[Face]:
    """All faces of a split, in the file's order."""
    faces = []
    for i, row in enumerate(pq.read_table(data).to_pylist()):
        if row["split"] != split:
            continue
        pixels = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))
        points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float32)
        box = (*np.floor(points.min(axis=0)).astype(int).tolist(), *np.ceil(points.max(axis=0)).astype(int).tolist())
        landmarks = Landmarks(points, (box[0], box[1], box[2], box[3]), 1.0)
        faces.append(Face(i, Photo(pixels), landmarks, Emotion.parse(row["label"]), row["identity"]))
    return faces


def some_of_each(faces: Sequence[Face], labels: Sequence[Emotion], n: int) -> list[Face]:
    """n faces, as many of each label, spread evenly over the file."""
    chosen = []
    for label in labels:
        of_label = [face for face in faces if face.label == label]
        places = np.linspace(0, len(of_label) - 1, min(len(of_label), n // len(labels))).round().astype(int)
        chosen += [of_label[i] for i in places]
    return chosen
