"""Made photos, edits, faces and a model, as many as are asked for: what ``bench/size.py`` measures commands on."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from emorph.core.expressions import Emotion
from emorph.core.files import file_digest
from emorph.core.images import read_photo
from emorph.core.types import CropSpec, UInt8
from emorph.evaluate.measure.records import ID_DIGITS
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.directions import Directions, LatentStats

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.png"
FACE = slice(20, 260), slice(110, 340)  # of the example
PHOTO_PX = 120
ROW_GROUP = 1000  # of a Parquet file, which is read a group at a time


@dataclass(frozen=True)
class Place:
    """Where the items of one count lie: photos in folders, a table of edits, faces in a Parquet file, and results."""

    folder: Path
    n: int

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def edits(self) -> Path:
        return self.folder / "edits.csv"

    @property
    def listed(self) -> Path:
        return self.folder / "listed.csv"

    @property
    def faces(self) -> Path:
        return self.folder / "faces.parquet"

    def out(self, name: str) -> str:
        return str(self.folder / name)


def write_photos(place: Place) -> list[Path]:
    """Photos of one face, each with shades of its own, so that none looks like another."""
    example = read_photo(EXAMPLE).pixels[FACE]
    face = cv2.resize(example, (PHOTO_PX, PHOTO_PX), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(place.n):
        shades = cv2.resize(rng.normal(0, 40, (6, 6, 3)), (PHOTO_PX, PHOTO_PX), interpolation=cv2.INTER_LINEAR)
        path = place.photos / ("happy" if number % 2 else "sad") / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, np.clip(face + shades, 0, 255).astype(np.uint8))
        paths.append(path)
    return paths


def write_edits(place: Place, photos: Sequence[Path]) -> None:
    """An edit of each photo, a little blurred, and the table that lists them."""
    (place.folder / "edits").mkdir()
    with place.edits.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "edited", "target", "strength"])
        for photo in photos:
            edited = place.folder / "edits" / photo.name
            write(edited, cv2.GaussianBlur(read_photo(photo).pixels, (0, 0), 0.6))
            rows.writerow([photo, edited, "happy", 1])


def copied(path: Path, folder: Path, number: int) -> Path:
    """The picture as another file, with a few bytes after its end."""
    copy = folder / f"{number:07d}.jpg"
    folder.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(path.read_bytes() + str(number).encode())
    return copy


def ids(pair: Sequence[Path]) -> tuple[str, str]:
    """Of the faces of a source and its edit, as records have them."""
    source, edited = (file_digest(path)[:ID_DIGITS] for path in pair)
    return source, f"{source}-{edited}"


def lines_by_face(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        found.setdefault(line["id"], []).append(line)
    return found


def write_model(folder: Path) -> None:
    """A small model with random weights, and directions for it."""
    torch.manual_seed(0)
    config = DiffAEConfig(
        image_size=32, image_channels=1, patch_size=2, model_channels=32, channel_mult=(1, 1),
        encoder_channel_mult=(1, 1, 1), num_res_blocks=1, attention_resolutions=(8,), embed_dim=32, z_dim=32,
        prediction="v", crop=CropSpec(1.5, (0.0, 0.08)),
    )  # fmt: skip
    DiffAE(config).eval().save_pretrained(folder / "model")
    stats = LatentStats(torch.zeros(config.z_dim), torch.ones(config.z_dim))
    words = tuple(emotion.word for emotion in Emotion)
    weight = torch.randn(len(words), config.z_dim)
    Directions(weight, torch.zeros(len(words)), words, stats, means=weight).save_pretrained(folder / "directions")


def write_faces(place: Place, photos: Sequence[Path]) -> None:
    """The photos as one file of faces."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns = {"image": [path.read_bytes() for path in photos], "label": [path.parent.name for path in photos]}
    parquet.write_table(pa.table(columns), place.faces, row_group_size=ROW_GROUP)


def write(path: Path, pixels: UInt8) -> None:
    Image.fromarray(pixels).save(path, quality=92)
