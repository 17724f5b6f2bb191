"""The held-out faces of data packs as photos with landmarks, the way a user's photos come."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo
from emorph.faces.mouth import REC601

ROWS_A_FILE = 10**7  # rows of the second file count on from here, and so on
AGES = ((0, "under 18"), (18, "18 to 39"), (40, "40 to 59"), (60, "60 and over"))
SKIN = ((0.0, "dark"), (0.35, "medium"), (0.55, "bright"))  # of the cheeks' luminance, 0..1, as the photo shows it
CHEEKS = ((41, 48), (46, 54))  # a cheek lies half way between these landmarks


@dataclass(frozen=True)
class Face:
    """A held-out face. row: which tells it from all others; label: one annotator's opinion, None for a face without.

    groups: what is known of who it is, such as {"sex": "female"}.
    """

    row: int
    photo: Photo
    landmarks: Landmarks
    label: Emotion | None
    person: str
    groups: Mapping[str, str] = field(default_factory=dict)


def held_out_faces(*data: Path) -> list[Face]:
    """All faces of the split "val", in the files' order."""
    found = []
    for k, path in enumerate(data):
        found += [replace(face, row=face.row + k * ROWS_A_FILE) for face in read_faces(path, "val")]
    return found


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
        label = Emotion.known(row["label"] or "")
        faces.append(Face(i, Photo(pixels), landmarks, label, row["identity"], groups_of(row, pixels, points)))
    return faces


def groups_of(row: Mapping[str, Any], pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> dict[str, str]:
    """Age, sex, skin and source of a face, those that its pack tells or its picture shows.

    Skin is how bright the cheeks are in the photo: light and camera are in it as well as the person.
    """
    groups = {"skin": _step(SKIN, _cheeks(pixels, points))}
    if (age := row.get("age")) is not None and age >= 0:
        groups["age"] = _step(AGES, age)
    if word := {"f": "female", "m": "male"}.get(row.get("gender") or ""):
        groups["sex"] = word
    if source := row.get("source_set"):
        groups["source"] = source
    return groups


def _step(table: Sequence[tuple[float, str]], value: float) -> str:
    return next(word for least, word in reversed(table) if value >= least)


def _cheeks(pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """Median luminance of small squares on both cheeks, 0..1."""
    reach = max(1, round(0.08 * float(np.ptp(points[36:48, 0]))))
    values = []
    for first, second in CHEEKS:
        x, y = np.rint((points[first] + points[second]) / 2).astype(int)
        left, top = max(0, x - reach), max(0, y - reach)
        values.append((pixels[top : y + reach + 1, left : x + reach + 1] @ REC601).ravel())
    found = np.concatenate(values)
    return float(np.median(found)) / 255 if found.size else 0.5


def some_of_each(faces: Sequence[Face], labels: Sequence[Emotion | None], n: int) -> list[Face]:
    """n faces, as many of each label, spread evenly over the file."""
    chosen = []
    for label in labels:
        of_label = [face for face in faces if face.label == label]
        places = np.linspace(0, len(of_label) - 1, min(len(of_label), n // len(labels))).round().astype(int)
        chosen += [of_label[i] for i in places]
    return chosen
