"""How many faces each detector finds, and in what time: ``python bench/detect.py --data FOLDER``.

FOLDER holds faces.csv (file, left, top, right, bottom, ignore; a file without a face has one row without a box) and
the photos, in photos/ or beside it. A face counts as found if a box overlaps it by LEAST_OVERLAP of the smaller of the
two; faces with ignore = 1 count neither way. Times are CPU time of one thread, with the 68 points.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2

from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.faces.detect import MIN_FACE_PX, Detector, find_faces

LEAST_OVERLAP = 0.5
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """A face that people see, and whether it is to be left out of the count."""

    box: Box
    ignore: bool


@dataclass(frozen=True)
class Tally:
    """What a detector did with one photo."""

    name: str
    n_faces: int
    n_found: int
    n_false: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with faces.csv")
    parser.add_argument("--min-face", type=int, default=MIN_FACE_PX, help="smallest face, px")
    parser.add_argument("--photos", action="store_true", help="also print a line for each photo")
    options = parser.parse_args()
    if not options.data:
        print("bench/detect.py needs photos whose faces are known: --data FOLDER, with faces.csv in it.")
        return
    cv2.setNumThreads(1)
    truths = read_truths(options.data)
    photos = {name: read_photo(found_file(options.data, name)) for name in truths}
    tallies = {
        detector: [tally(name, photos[name], truths[name], detector, options.min_face) for name in truths]
        for detector in get_args(Detector)
    }
    seen_by_hog = {one.name for one in tallies["hog"] if one.n_found}
    print("| detector | faces found | false | recall | precision | s, all photos | s, where hog sees a face |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for detector, rows in tallies.items():
        print(line(detector, rows, seen_by_hog))
    if options.photos:
        for rows in zip(*tallies.values(), strict=True):
            told = ", ".join(
                f"{detector} {one.n_found} ({one.n_false} false, {one.seconds:.3f} s)"
                for detector, one in zip(tallies, rows, strict=True)
            )
            print(f"{rows[0].name}: {rows[0].n_faces} faces; {told}")


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


def tally(name: str, photo: Photo, truths: Sequence[Truth], detector: Detector, min_face_px: int) -> Tally:
    """Find the faces of a photo, the second time against the clock."""
    find_faces(photo, detector=detector, min_face_px=min_face_px)
    started_s = time.process_time()
    faces = find_faces(photo, detector=detector, min_face_px=min_face_px)
    seconds = time.process_time() - started_s
    left = list(truths)
    n_false = 0
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        best = max(left, key=lambda truth: overlap(truth.box, face.box), default=None)
        if best is None or overlap(best.box, face.box) < LEAST_OVERLAP:
            n_false += 1
        else:
            left.remove(best)
    n_faces = sum(not truth.ignore for truth in truths)
    return Tally(name, n_faces, n_faces - sum(not truth.ignore for truth in left), n_false, seconds)


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, of that of the smaller: people draw from hair to chin, HOG does not."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def line(detector: str, rows: Sequence[Tally], seen_by_hog: set[str]) -> str:
    """A row of the table."""
    n_faces, n_found, n_false = (sum(getattr(one, key) for one in rows) for key in ("n_faces", "n_found", "n_false"))
    seconds = sum(one.seconds for one in rows)
    where_seen = sum(one.seconds for one in rows if one.name in seen_by_hog)
    recall, precision = n_found / max(n_faces, 1), n_found / max(n_found + n_false, 1)
    return (
        f"| {detector} | {n_found} of {n_faces} | {n_false} | {recall:.1%} | {precision:.1%} "
        f"| {seconds:.2f} | {where_seen:.2f} |"
    )


if __name__ == "__main__":
    main()
