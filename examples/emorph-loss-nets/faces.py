"""Gather what the two networks learn from: gray windows of faces, their labels and persons, and fits of ICT-FaceKit.

python examples/emorph-loss-nets/faces.py DATA_FOLDER faces.npz

DATA_FOLDER holds faces/lfw.parquet, aaf, genki and ffhq, lfw_expressions/lfw_expressions.parquet,
fer2013/fer2013.parquet and ict_face.npz. Of FER-2013 only the part "val" is read, which emorph-judge never learnt from;
a third of it is kept for testing. The London Face Set is not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from rich.progress import track

from emorph.core.images import to_tensor
from emorph.core.types import CropSpec
from emorph.evaluate.judges.dlib_recogniser import descriptors_of
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.ict import ICT
from emorph.models.face_window import gray_window

WINDOW = CropSpec(zoom=1.446, shift=(0.0, 0.053))  # what the networks look at: FER-2013's part of FFHQ's square
MARGIN = 1.25  # of what is stored over the window, so that a window can be moved and turned
STORED = CropSpec(zoom=WINDOW.zoom / MARGIN, shift=WINDOW.shift)
SIDE_PX = 80
PACKS = ("lfw", "aaf", "genki", "ffhq")
FILM = CropSpec(zoom=1.25)  # the crop of lfw_expressions, whose film frames are read
SAME_PICTURE = 0.35  # distance of dlib's descriptors under which two of FER-2013 may show one photo
BATCH = 256


def main() -> None:
    """Write the file, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = ICT.load(arguments.data / "ict_face.npz")
    parts = [pack(arguments.data / "faces" / f"{name}.parquet", model) for name in PACKS]
    parts.append(film_frames(arguments.data / "lfw_expressions" / "lfw_expressions.parquet", model))
    parts.append(fer_rest(arguments.data / "fer2013" / "fer2013.parquet", model))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    draft = arguments.out.with_suffix(".part")
    with draft.open("wb") as file:
        np.savez(file, units=np.array(model.unit_names), **columns)
    draft.replace(arguments.out)
    print(f"{arguments.out}: {len(columns['label']):,} faces, {int(columns['fitted'].sum()):,} of them fitted")


def pack(path: Path, model: ICT) -> dict[str, NDArray[Any]]:
    """A pack of colour crops."""
    rows = pq.read_table(path, columns=["image", "landmarks68", "label", "identity", "split", "source_set"])
    pixels, points = [], []
    for row in track(rows.to_pylist(), path.name):
        picture = decoded(row["image"], cv2.IMREAD_COLOR)
        pixels.append(window(picture, CropSpec()))
        marks = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float32)
        points.append((marks + 0.5) / len(picture))
    columns = {name: np.array(rows[name].to_pylist()) for name in ("label", "identity", "split", "source_set")}
    return {"pixels": np.stack(pixels), **fits(np.stack(points), model), **columns}


def film_frames(path: Path, model: ICT) -> dict[str, NDArray[Any]]:
    """The film frames of lfw_expressions; its press photos are in the packs already."""
    rows = [row for row in pq.read_table(path).to_pylist() if row["source_set"] == "imfdb"]
    pixels = [window(decoded(row["image"], cv2.IMREAD_COLOR), FILM) for row in rows]
    columns = {name: np.array([row[name] for row in rows]) for name in ("label", "identity", "split", "source_set")}
    return {"pixels": np.stack(pixels), **no_fits(len(rows), model), **columns}


def fer_rest(path: Path, model: ICT) -> dict[str, NDArray[Any]]:
    """The part of FER-2013 that the judge did not learn from; pictures that may show one photo stay on one side."""
    rows = [row for row in pq.read_table(path).to_pylist() if row["split"] == "val"]
    colour = [decoded(row["image"], cv2.IMREAD_COLOR) for row in rows]
    enlarged = [cv2.resize(picture, (150, 150), interpolation=cv2.INTER_CUBIC) for picture in colour]
    groups = clusters(descriptors_of(enlarged))
    return {
        "pixels": np.stack([window(picture, WINDOW) for picture in colour]),
        **no_fits(len(rows), model),
        "label": np.array([row["label"] for row in rows]),
        "identity": np.array([f"fer {group}" for group in groups]),
        "split": np.array(["val" if group % 3 == 0 else "train" for group in groups]),
        "source_set": np.array(["fer2013"] * len(rows)),
    }


def decoded(encoded: bytes, way: int) -> NDArray[np.uint8]:
    """A picture, uint8 (S, S, 3) RGB."""
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), way)[..., ::-1])


def window(picture: NDArray[np.uint8], crop: CropSpec) -> NDArray[np.uint8]:
    """The stored part of a face, uint8 (SIDE_PX, SIDE_PX) gray."""
    x = gray_window(to_tensor(picture[None]), crop, STORED, SIDE_PX)[0, 0]
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def fits(points: NDArray[np.float32], model: ICT) -> dict[str, NDArray[Any]]:
    """Coefficients of faces by their landmarks, in shares of a square picture's side."""
    parts = list(batches(points))
    found = [fit_landmarks(model, torch.from_numpy(part) * 128 - 0.5, 128) for part in track(parts, "fitting")]
    return {
        "shape": torch.cat([fit.coeffs.shape for fit in found]).numpy(),
        "expression": torch.cat([fit.coeffs.expression for fit in found]).numpy(),
        "fitted": torch.cat([fit.ok for fit in found]).numpy(),
    }


def no_fits(n: int, model: ICT) -> dict[str, NDArray[Any]]:
    """Of pictures whose landmarks are not used."""
    n_units = len(model.unit_names)
    return {
        "shape": np.zeros((n, 40), np.float32),
        "expression": np.zeros((n, n_units), np.float32),
        "fitted": np.zeros(n, bool),
    }


def batches(rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """A part after the other."""
    for i in range(0, len(rows), BATCH):
        yield rows[i : i + BATCH]


def clusters(descriptors: NDArray[np.float32]) -> NDArray[np.int64]:
    """A number for each row, the same for rows that a chain of near ones joins."""
    near = np.linalg.norm(descriptors[:, None] - descriptors[None], axis=2) < SAME_PICTURE
    group = np.arange(len(near))
    for i in range(len(near)):
        joined = np.isin(group, group[near[i]])
        group[joined] = group[joined].min()
    return np.unique(group, return_inverse=True)[1]


if __name__ == "__main__":
    main()
