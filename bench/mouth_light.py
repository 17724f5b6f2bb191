"""How light open mouths are inside, by emotion and by the eyes: the constants of ``emorph.edit.mouth_light``.

python bench/mouth_light.py --data lfw.parquet genki.parquet ffhq.parquet aaf.parquet london.parquet

Of training faces with an open mouth: brightness inside over that of the skin around the mouth, brightness of the
eyes' whites over the same, and how the first goes with the second (a power, fitted to logarithms).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from emorph.core.expressions import Emotion
from emorph.core.types import Float64
from emorph.edit.mouth_light import MOST, whites_over_skin
from emorph.faces.mouth_crop import around_inside, cut, light_inside, lip_gap, lip_masks, mouth_crop
from support.measure import table, write_section
from support.validation import Face, read_faces

SIZE, WIDTH_UNITS = (96, 72), 1.3  # the bundled painter's crop
OPEN_GAP = 0.1
LEAST = 15  # faces in a line


def main() -> None:
    """Look at all training faces, and write the section "Light in mouths"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=".parquet files of faces")
    parser.add_argument("--faces", type=int, default=3000, help="at most so many of each file")
    arguments = parser.parse_args()
    lines = [line for data in arguments.data for line in lines_of(data, arguments.faces)]
    header = [
        "faces",
        "label",
        "n",
        "light inside (median)",
        "where eyes are usual",
        "where they are brighter",
        "power",
    ]
    names = " ".join(path.name for path in arguments.data)
    text = (
        "Training faces with an open mouth. Light inside: brightness between the lips over that of the skin around\n"
        "the mouth. Eyes are brighter where their whites are brighter than that skin; the power is\n"
        "fitted to those, and 1 is in proportion. The painter is told an emotion's median, times what the eyes say.\n\n"
        f"{table(header, lines)}"
    )
    write_section("Light in mouths", f"python bench/mouth_light.py --data {names}", text)


def lines_of(data: Path, most: int) -> Iterator[list[str]]:
    """A line for each label of a file's training faces."""
    faces = read_faces(data, "train")
    kept = np.linspace(0, len(faces) - 1, min(most, len(faces))).round().astype(int)
    seen: dict[Emotion | None, list[tuple[float, float]]] = defaultdict(list)
    for i in track(kept, data.name):
        if lip_gap(faces[i].landmarks.points.astype(np.float64)) >= OPEN_GAP:
            seen[faces[i].label].append(looked_at(faces[i]))
    for label, pairs in seen.items():
        if len(pairs) >= LEAST:
            yield [data.stem, "-" if label is None else label.word, str(len(pairs)), *columns(np.array(pairs))]


def looked_at(face: Face) -> tuple[float, float]:
    """Light inside the mouth, and what the eyes say of it."""
    points = face.landmarks.points.astype(np.float64)
    crop = mouth_crop(points, SIZE, WIDTH_UNITS)
    in_crop = crop.points(points)
    inner, _ = lip_masks(in_crop, crop.size)
    light = light_inside(cut(face.photo.pixels, crop), inner, around_inside(in_crop, crop.size, 0.0))
    return light, whites_over_skin(face.photo, points, crop)


def columns(pairs: Float64) -> list[str]:
    """Medians, and the power with which light goes with the eyes where these are brighter than usual."""
    light, whites = pairs.T
    brighter = (whites > 1) & (whites < MOST)
    found = [f"{np.median(light):.2f}", f"{np.median(light[whites <= 1]):.2f}" if (whites <= 1).any() else "-"]
    if brighter.sum() < LEAST:
        return [*found, f"{np.median(light[brighter]):.2f}" if brighter.any() else "-", "-"]
    x, y = np.log(whites[brighter]), np.log(np.maximum(light[brighter], 0.05))
    power = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    return [*found, f"{np.median(light[brighter]):.2f}", f"{power:.2f}"]


if __name__ == "__main__":
    main()
