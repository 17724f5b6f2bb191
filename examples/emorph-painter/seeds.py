"""Compare seeds of the noise that mouths are painted from, on training people of the London Face Set.

python examples/emorph-painter/seeds.py london.parquet [--seeds 1 3 24] [--people 12] [--out seeds.png]

Prints, for each seed, how the smile that is painted into each neutral portrait differs from the person's own: sharpness
inside the mouth (mean gradient, painted over own) and colour (CIE76 of the means), medians. The picture shows, for the
first of these people, every emotion's mouth (rows) by every seed (columns): what to choose by, where there is no photo.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from emorph import Editor, Emotion, Target
from emorph.core.types import Float32, Float64, Photo
from emorph.data.mouths import held_out
from emorph.edit.mouth_change import MouthChange
from emorph.edit.painted_mouth import UnpaintedMouth, face_whites, moved_pixels, painted_mouths, unpainted_mouth
from emorph.faces.detect import find_faces
from emorph.faces.mouth_crop import cut, lip_masks, mouth_crop
from emorph.models.painter import Painter

SHOWN = (Emotion.HAPPY, Emotion.SURPRISE, Emotion.FEAR, Emotion.ANGER, Emotion.DISGUST)


def main() -> None:
    """Print the table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 24])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("seeds.png"))
    arguments = parser.parse_args()
    editor = Editor.from_pretrained()
    painter = editor.painter
    if painter is None:
        parser.error("the model has no painter.")
    people = training_pairs(arguments.data)[: arguments.people]
    smiles = [mouth_of(editor, painter, neutral, Emotion.HAPPY) for neutral, _ in people]
    own = [inside_of_photo(smile, painter) for _, smile in people]
    print("seed  sharpness  colour")
    for seed in arguments.seeds:
        found = [inside(*painted(smile, painter, seed)) for smile in smiles]
        sharpness = np.median([a[0] / b[0] for a, b in zip(found, own, strict=True)])
        colour = np.median([np.linalg.norm(a[1] - b[1]) for a, b in zip(found, own, strict=True)])
        print(f"{seed:4d}  {sharpness:9.2f}  {colour:6.1f}")
    mouths = [mouth_of(editor, painter, people[0][0], emotion) for emotion in SHOWN]
    rows = [np.hstack([painted(mouth, painter, seed)[0] for seed in arguments.seeds]) for mouth in mouths]
    Image.fromarray(np.clip(np.vstack(rows), 0, 255).astype(np.uint8)).save(arguments.out)
    print(arguments.out)


def training_pairs(data: Path) -> list[tuple[Photo, Photo]]:
    """The neutral and the smiling photo of each person whom the painter was trained on."""
    people: dict[str, dict[str, Photo]] = {}
    for row in pq.read_table(data).to_pylist():
        if not held_out(row["identity"], row["source_set"], row["split"]):
            pixels = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))
            people.setdefault(row["identity"], {})[row["label"]] = Photo(pixels)
    return [(photos["neutral"], photos["happy"]) for _, photos in sorted(people.items()) if len(photos) == 2]


def mouth_of(editor: Editor, painter: Painter, photo: Photo, emotion: Emotion) -> tuple[UnpaintedMouth, Float64]:
    """What the painter is shown of an edit, and the landmarks (68, 2) of the mouth in its crop."""
    face = editor.align(photo, find_faces(photo)[:1])[0]
    change = editor.changes([face], [Target(emotion)])[0][0]
    if change.motion is None or change.landmarks is None:
        raise SystemExit("the model does not move faces.")
    mouth = MouthChange.in_crop(face, change.landmarks)
    light = mouth.light_of([(emotion, 1.0)])
    light = None if light is None else light * face_whites(photo, mouth.before, painter)
    unpainted = unpainted_mouth(moved_pixels(photo, face, change.motion), mouth, painter, light)
    return unpainted, unpainted.crop.points(mouth.after)


def painted(mouth: tuple[UnpaintedMouth, Float64], painter: Painter, seed: int) -> tuple[Float32, Float64]:
    """The crop as it is painted from a seed's noise, and its landmarks."""
    unpainted, points = mouth
    return painted_mouths([replace(unpainted, seed=seed)], painter)[0], points


def inside_of_photo(photo: Photo, painter: Painter) -> tuple[float, Float64]:
    """As ``inside``, of the mouth in a photo."""
    points = find_faces(photo)[0].points.astype(np.float64)
    crop = mouth_crop(points, painter.config.size, painter.config.width_units)
    return inside(cut(photo.pixels, crop), crop.points(points))


def inside(levels: Float32, points: Float64) -> tuple[float, Float64]:
    """Mean gradient and mean colour (L*, a*, b*) inside a mouth. levels: (h, w, 3) of 0..255, points: (68, 2)."""
    inner = lip_masks(points, (levels.shape[1], levels.shape[0]))[0] > 0.5
    lab = cv2.cvtColor(np.clip(levels / 255, 0, 1).astype(np.float32), cv2.COLOR_RGB2LAB)
    if not inner.any():
        inner[:] = True
    gradient = np.hypot(cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0), cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1))
    return float(gradient[inner].mean()), lab[inner].mean(axis=0).astype(np.float64)


if __name__ == "__main__":
    main()
