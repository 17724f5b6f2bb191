"""Faces edited by emorph-base, as the two networks' training sees faces: expressions that photos seldom show.

python examples/emorph-loss-nets/edits.py DATA_FOLDER edits.npz

DATA_FOLDER holds faces/lfw.parquet, aaf and ffhq, of which training faces are edited. Each gets blends of two emotions,
drawn at random, at strengths up to 2. They have no label: `teacher.py` says what it sees in them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from faces import decoded, window
from numpy.typing import NDArray
from rich.progress import track

from emorph import Editor
from emorph.core.expressions import Emotion
from emorph.core.types import CropSpec, Landmarks, Photo, Target

PACKS = ("lfw", "aaf", "ffhq")
N_EACH = 4  # edits of a face
STRONGEST = 2.0


def main() -> None:
    """Write the file, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=1000, help="of all packs together")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [row for name in PACKS for row in training_rows(arguments.data / "faces" / f"{name}.parquet")]
    editor = Editor.from_pretrained("emorph-base", device="cpu")
    pixels, persons = [], []
    for i in track(rng.permutation(len(rows))[: arguments.faces], "editing"):
        row = rows[i]
        photo = Photo(decoded(row["image"], cv2.IMREAD_COLOR))
        points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float64)
        side = len(photo.pixels)
        faces = editor.align(photo, [Landmarks(points, (0, 0, side, side), 1.0)])
        edits = editor.edit_faces(photo, faces, [blend(rng) for _ in range(N_EACH)])
        pixels += [window(edit.photo.pixels, CropSpec()) for edit in edits]
        persons += [row["identity"]] * N_EACH
    save(arguments.out, pixels=np.stack(pixels), identity=np.array(persons))
    print(f"{arguments.out}: {len(pixels):,} edited faces")


def training_rows(path: Path) -> list[dict[str, object]]:
    """A pack's rows of the part "train"."""
    columns = ["image", "landmarks68", "identity", "split"]
    return [row for row in pq.read_table(path, columns=columns).to_pylist() if row["split"] == "train"]


def blend(rng: np.random.Generator) -> Target:
    """One emotion or two, at any strength up to the strongest."""
    first, second = rng.choice(len(Emotion), 2, replace=False)
    share = float(rng.choice([1.0, rng.uniform(0.3, 0.7)]))
    parts = {Emotion(int(first)).word: share} | ({Emotion(int(second)).word: 1 - share} if share < 1 else {})
    return Target(parts, float(rng.uniform(0.3, STRONGEST)))


def save(path: Path, **columns: NDArray[np.generic]) -> None:
    """Arrays by their names, whole or not at all."""
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        np.savez(file, **columns)
    draft.replace(path)


if __name__ == "__main__":
    main()
