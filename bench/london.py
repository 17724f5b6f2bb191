"""Do edits look like the real thing? Neutral portraits made to smile, smiles made neutral, and the person's own.

python bench/london.py --data london.parquet [--model emorph-base] [--compare OTHER_MODEL]

The London Face Set (DeBruine and Jones 2017, CC BY 4.0) shows each person neutral and smiling in the same light. Those
whom no model saw are measured (``emorph.data.mouths.held_out``), with mouths painted and without.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from rich.progress import track

from emorph.core.errors import NoFaceError
from emorph.core.expressions import Emotion
from emorph.core.types import Photo, Target
from emorph.data.mouths import held_out
from emorph.edit.pipeline import Editor
from emorph.edit.sheet import Row, grid
from emorph.faces.detect import find_faces
from support.likeness import N_SCALES, Likeness, Seen, likeness, upright
from support.measure import table, write_section
from support.two_sample import Exhibit, separability

ROOT = Path(__file__).parent.parent
SHEETS = ROOT / "runs" / "london"
WAYS = ((Emotion.NEUTRAL, Emotion.HAPPY), (Emotion.HAPPY, Emotion.NEUTRAL))
EXPLAINED = """\
Medians over held-out people of the London Face Set, each edit beside the person's own photo with that expression.
Sharpness (mean gradient inside the mouth), width of the mouth and detail (by its size, in shares of the eye
distance) are edit over real: 1 is right. Colour: CIE76 of the mean colours inside the mouth. Shape: mean distance
of the 51 inner landmarks, in eye distances. Distance: of dlib's descriptors of edit and source; beside it, of the
person's two photos. AUC: how well a small network tells edits from photos of people it never saw; 0.5 is not at
all.
"""
RATIOS = ("sharpness", "width", "colour", "shape", "distance", "real_distance")


def main() -> None:
    """Edit, measure, write the section "Likeness" and pages to look at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--directions")
    parser.add_argument("--compare", help="another model, measured on the same faces")
    parser.add_argument("--people", type=int, default=35)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--show", action="store_true", help="print, and leave RESULTS.md as it is")
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/london.py needs the portraits: --data london.parquet. RESULTS.md is left as it is.")
        return
    people = pairs(arguments.data)
    chosen = [people[i] for i in np.linspace(0, len(people) - 1, min(arguments.people, len(people))).astype(int)]
    rows: list[list[str]] = []
    for name in filter(None, (arguments.model, arguments.compare)):
        directions = arguments.directions if name == arguments.model else None
        editor = Editor.from_pretrained(name, directions=directions, device="cpu")
        for title in (name, f"{name}, mouths unpainted") if editor.painter else (name,):
            editor.painter = editor.painter if title == name else None
            for way in WAYS:
                row = measured(editor, chosen, way, arguments.strength, SHEETS / title.replace(", ", "-"))
                rows.append([title, f"{way[0].word} to {way[1].word}", *row])
    header = ["model", "way", "n", *(word.replace("_", " ") for word in RATIOS), *scales(), "AUC"]
    if arguments.show:
        print(table(header, rows))
    else:
        body = f"{EXPLAINED}\n{table(header, rows)}"
        write_section("Likeness", f"python bench/london.py --data {arguments.data.name}", body)


def pairs(data: Path) -> list[dict[Emotion, Photo]]:
    """Each held-out person's two photos."""
    people: dict[str, dict[Emotion, Photo]] = {}
    for row in pq.read_table(data).to_pylist():
        if not held_out(row["identity"], row["source_set"], row["split"]):
            continue
        pixels = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))
        people.setdefault(row["identity"], {})[Emotion.parse(row["label"])] = Photo(pixels)
    return [people[name] for name in sorted(people) if len(people[name]) == len(WAYS)]


def measured(
    editor: Editor, people: Sequence[dict[Emotion, Photo]], way: tuple[Emotion, Emotion], strength: float, folder: Path
) -> list[str]:
    """Medians over the people of one way; pages of pictures are written below the folder."""
    start, target = way
    found: list[Likeness] = []
    shown, exhibits = [], []
    for i, photos in enumerate(track(people, f"{start.word} to {target.word}")):
        edit = editor.edit_many(photos[start], [Target(target, strength)])[0]
        shown.append((photos[start].pixels, edit.photo.pixels, photos[target].pixels))
        try:
            seen = [_seen(photo) for photo in (photos[start], edit.photo, photos[target])]
        except NoFaceError:
            continue
        found.append(likeness(*seen))
        exhibits += [Exhibit(upright(each)[0], str(i), edited) for each, edited in ((seen[1], True), (seen[2], False))]
    _pages(shown, folder / f"{start.word}-{target.word}")
    numbers = [f"{_median(found, word):.2f}" for word in RATIOS]
    energy = np.median([each.energy for each in found], axis=0)
    return [str(len(found)), *numbers, *(f"{value:.2f}" for value in energy), f"{separability(exhibits):.2f}"]


def scales() -> list[str]:
    """Names of the scales, by the size of what they hold."""
    return [f"detail of {2**i}-{2 ** (i + 1)} %" for i in range(N_SCALES)]


def _seen(photo: Photo) -> Seen:
    return Seen(photo, max(find_faces(photo), key=lambda face: face.box[2] - face.box[0]))


def _median(found: Sequence[Likeness], word: str) -> float:
    return float(np.median([getattr(each, word) for each in found]))


def _pages(shown: Sequence[tuple[Any, Any, Any]], folder: Path) -> None:
    """Source, edit and real photo side by side, six people a page."""
    folder.mkdir(parents=True, exist_ok=True)
    titles = ("Source", "Edit", "Real")
    for start in range(0, len(shown), 6):
        rows = [Row(tuple(map(Image.fromarray, photos)), titles) for photos in shown[start : start + 6]]
        grid(rows).save(folder / f"page_{start // 6 + 1}.png")


if __name__ == "__main__":
    main()
