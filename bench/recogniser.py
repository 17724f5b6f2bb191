"""dlib's recogniser in torch beside dlib's own call: the same numbers, and how much faster.

python bench/recogniser.py --data lfw.parquet [--faces 100]

Both take the same chips, one after the other, in one process of one thread; processor time is counted, so that what
else the machine does changes little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import torch

from emorph.core.assets import packaged_file
from emorph.core.images import to_tensor
from emorph.core.types import Float32, Landmarks, Photo, UInt8
from emorph.data.store import FaceStore
from emorph.evaluate.judges.dlib_recogniser import chip_of, descriptors_of
from emorph.models.dlib_chip import chips
from emorph.models.dlib_net import RECOGNISER_FILE, RECOGNISER_PACKAGE, dlib_recogniser
from support.measure import table, write_section


def main() -> None:
    """Describe the same faces in three ways, and write the section "Recogniser"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--side", type=int, default=144, help="of the set's pictures, in px")
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/recogniser.py needs faces: --data lfw.parquet. RESULTS.md is left as it is.")
        return
    torch.set_num_threads(1)
    pictures, points = faces_of(FaceStore(arguments.data, side_px=arguments.side, split="val"), arguments.faces)
    own = dlib.face_recognition_model_v1(str(packaged_file(RECOGNISER_PACKAGE, f"models/{RECOGNISER_FILE}")))
    cut = [chip_of(Photo(x), Landmarks(p, (0, 0, 1, 1), 1.0)) for x, p in zip(pictures, points, strict=True)]
    theirs, slow = timed(lambda: np.array([own.compute_face_descriptor(chip) for chip in cut], np.float32))
    ours, fast = timed(lambda: descriptors_of(cut))
    unrounded, whole = timed(lambda: from_pictures(pictures, points))
    rows = [
        ("dlib's own call, face by face", f"{len(cut) / slow:.1f}", "1", "0"),
        ("in torch, of the same chips", *beside(ours, theirs, fast, slow)),
        ("in torch, chips cut from the pictures without rounding", *beside(unrounded, theirs, whole, slow)),
    ]
    body = (
        f"{len(cut)} faces of {arguments.data.name} (val), {arguments.side} px. A face has 128 numbers; two faces\n"
        "nearer than 0.6 count as one person's. Faces a second of processor time:\n\n"
    )
    body += table(["way", "faces a second", "times as fast", "largest distance from dlib's numbers"], rows)
    write_section("Recogniser", f"python bench/recogniser.py --data {arguments.data.name} --faces {len(cut)}", body)


def faces_of(store: FaceStore, n: int) -> tuple[list[UInt8], list[Float32]]:
    """The first n pictures and their 68 points in pixels."""
    items: list[Any] = [store[i] for i in range(min(n, len(store)))]
    points = [((item["landmarks"].numpy() + 1) * store.side_px - 1) / 2 for item in items]
    return [np.ascontiguousarray(item["image"].permute(1, 2, 0).numpy()) for item in items], points


def from_pictures(pictures: list[UInt8], points: list[Float32], batch: int = 16) -> Float32:
    """The numbers by the way that has gradients."""
    found = []
    with torch.inference_mode():
        for i in range(0, len(pictures), batch):
            x, marks = to_tensor(np.stack(pictures[i : i + batch])), torch.from_numpy(np.stack(points[i : i + batch]))
            found.append(dlib_recogniser()(chips(x, marks)).numpy())
    return np.concatenate(found)


def timed(work: Callable[[], Float32]) -> tuple[Float32, float]:
    """What it gives, and its processor time in seconds; a first call does not count."""
    work()
    before = time.process_time()
    return work(), time.process_time() - before


def beside(found: Float32, theirs: Float32, seconds: float, slow: float) -> tuple[str, str, str]:
    """Faces a second, how many times as fast, and the largest distance of a face from dlib's numbers."""
    distance = float(np.linalg.norm(found - theirs, axis=1).max())
    return f"{len(found) / seconds:.1f}", f"{slow / seconds:.1f}", f"{distance:.1e}"


if __name__ == "__main__":
    main()
