"""How many faces each detector finds, and in what time: ``python bench/detect.py --data FOLDER``.

FOLDER holds faces.csv (file, left, top, right, bottom, ignore; a file without a face has one row without a box) and
the photos, in photos/ or beside it. A face counts as found if a box shares LEAST_SHARED with it; faces with ignore = 1
count neither way.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from emorph.core.images import read_photo
from emorph.core.landmarks import LEFT_EYE, RIGHT_EYE
from emorph.core.types import Landmarks, Photo
from emorph.faces.detect import MIN_FACE_PX, Detector, find_faces
from support.measure import table, write_section

LEAST_SHARED = 0.5  # of the smaller of two boxes: people draw from hair to chin, HOG does not
REPEATS = 3
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """A face that people see, and whether it is to be left out of the count."""

    box: Box
    ignore: bool


@dataclass(frozen=True)
class Tally:
    """What a detector did with one photo. seconds: of one core, with the 68 points."""

    faces: list[Landmarks]
    n_wanted: int
    n_found: int
    n_false: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with faces.csv and photos")
    parser.add_argument("--min-face", type=int, default=MIN_FACE_PX, help="smallest face, px")
    options = parser.parse_args()
    if not options.data:
        print("bench/detect.py needs photos whose faces are known: --data FOLDER. RESULTS.md is left as it is.")
        return
    cv2.setNumThreads(1)
    truths = read_truths(options.data)
    photos = {name: read_photo(found_file(options.data, name)) for name in truths}
    tallies: dict[str, list[Tally]] = {
        detector: [tally(photos[name], truths[name], detector, options.min_face) for name in truths]
        for detector in get_args(Detector)
    }
    write_section("Faces", f"python bench/detect.py --data {options.data.name}", body(list(truths), tallies))


def read_truths(folder: Path) -> dict[str, list[Truth]]:
    """The faces of each file of faces.csv."""
    truths: dict[str, list[Truth]] = defaultdict(list)
    with (folder / "faces.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            faces = truths[row["file"]]
            if row["left"]:
                left, top, right, bottom = (float(row[edge]) for edge in ("left", "top", "right", "bottom"))
                faces.append(Truth((left, top, right, bottom), row["ignore"] == "1"))
    return truths


def found_file(folder: Path, name: str) -> Path:
    """Where a photo of the list lies."""
    inside = folder / "photos" / name
    return inside if inside.exists() else folder / name


def tally(photo: Photo, truths: Sequence[Truth], detector: Detector, min_face_px: int) -> Tally:
    """Find the faces of a photo, once to count them, and then against the clock."""
    faces = find_faces(photo, detector=detector, min_face_px=min_face_px)
    times = []
    for _ in range(REPEATS):
        started_s = time.process_time()
        find_faces(photo, detector=detector, min_face_px=min_face_px)
        times.append(time.process_time() - started_s)
    left = list(truths)
    n_false = 0
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        best = max(left, key=lambda truth: shared(truth.box, face.box), default=None)
        if best is None or shared(best.box, face.box) < LEAST_SHARED:
            n_false += 1
        else:
            left.remove(best)
    n_wanted = sum(not truth.ignore for truth in truths)
    n_found = n_wanted - sum(not truth.ignore for truth in left)
    return Tally(faces, n_wanted, n_found, n_false, statistics.median(times))


def shared(a: Box, b: Box) -> float:
    """The area that two boxes share, of that of the smaller."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def body(names: Sequence[str], tallies: dict[str, list[Tally]]) -> str:
    """What the section says."""
    hog, auto = tallies["hog"], tallies["auto"]
    seen = [i for i, one in enumerate(hog) if one.n_found]
    ratios = [auto[i].seconds / hog[i].seconds for i in seen]
    apart = [distance for i in range(len(names)) for distance in distances(hog[i].faces, tallies["mtcnn"][i].faces)]
    found = table(
        (
            "detector",
            "faces found",
            "false",
            "recall",
            "precision",
            "points not trusted",
            "CPU s",
            "where hog sees any",
        ),
        [row(name, rows, seen) for name, rows in tallies.items()],
    )
    each = table(
        ("photo", "faces", *tallies, *(f"{name}, s" for name in tallies)),
        [
            (name, rows[0].n_wanted, *(one.n_found for one in rows), *(f"{one.seconds:.3f}" for one in rows))
            for name, *rows in zip(names, *tallies.values(), strict=True)
        ],
    )
    return f"""{len(names)} hard photos of other projects (groups, heads turned and hidden, poor light), faces of 40 px
or more. Times are CPU time of one thread, medians of {REPEATS}, with the 68 points of every face.
On photos in which HOG sees a face, both together take {statistics.median(ratios):.2f} times HOG's time (median; at most
{max(ratios):.2f}).

The 68 points in MTCNN's box lie {np.mean(apart):.1%} of the eyes' distance from those in HOG's (mean of
{len(apart)} faces that both find; median {np.median(apart):.1%}).

{found}

{each}"""


def row(name: str, rows: Sequence[Tally], seen: Sequence[int]) -> tuple[object, ...]:
    """A detector's line."""
    wanted, found, false = (sum(getattr(one, key) for one in rows) for key in ("n_wanted", "n_found", "n_false"))
    doubtful = sum(bool(face.doubt) for one in rows for face in one.faces)
    return (
        name, f"{found} of {wanted}", false, f"{found / wanted:.1%}", f"{found / max(found + false, 1):.1%}", doubtful,
        f"{sum(one.seconds for one in rows):.2f}", f"{sum(rows[i].seconds for i in seen):.2f}",
    )  # fmt: skip


def distances(one: Sequence[Landmarks], other: Sequence[Landmarks]) -> list[float]:
    """How far the points of each face lie from those of the same face by another detector, in eye distances."""
    found = []
    for face in one:
        same = max(other, key=lambda candidate: shared(face.box, candidate.box), default=None)
        if same is not None and shared(face.box, same.box) >= LEAST_SHARED:
            eyes = face.points[RIGHT_EYE].mean(axis=0) - face.points[LEFT_EYE].mean(axis=0)
            apart = np.linalg.norm(face.points - same.points, axis=1).mean()
            found.append(float(apart / np.linalg.norm(eyes)))
    return found


if __name__ == "__main__":
    main()
