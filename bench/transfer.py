"""Does a smile that is transferred look like the person's own? Neutral portraits with their own smile, and another's.

python bench/transfer.py --data london.parquet --face ict_face.npz [--people 35]

The London Face Set (DeBruine and Jones 2017, CC BY 4.0) shows each person neutral and smiling in the same light. Those
whom no model saw are measured (``emorph.data.mouths.held_out``).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from emorph.core.errors import MissingAssetError, NoFaceError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import EYES, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from emorph.core.types import Photo
from emorph.edit.rig.editor import DEFAULT_RIG, RigEditor
from emorph.edit.rig.parts import RigFace
from emorph.edit.sheet import Row, grid
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.faces.detect import find_faces
from london import pairs
from support.likeness import Seen, likeness
from support.measure import table, write_section

ROOT = Path(__file__).parent.parent
SHEETS = ROOT / "runs" / "transfer"
OTHER = 7  # whose smile another person gets: of the one so many further on
EXPLAINED = """\
Medians over held-out people of the London Face Set: each person's neutral portrait with the expression of their own
smiling photo, and with that of another person's. Width and rise: how much wider the mouth became, and how much its
corners rose towards the eyes, over the smile that was given (its change from that person's neutral photo), all in eye
distances; 1 is all of it. Sharpness (mean gradient inside the mouth, edit over photo) and colour (CIE76 of the means
inside it) are measured against the smile that was given. Distance: of dlib's descriptors of edit and source; beside
it, of the person's two photos. "With neutral": the neutral photo of the one who smiles is given (--target-neutral).
"""


@dataclass(frozen=True)
class Transferred:
    """One edit beside what was given: shares of width and rise, and the likeness of the mouth's inside."""

    width: float
    rise: float
    sharpness: float
    colour: float
    distance: float
    real_distance: float


def main() -> None:
    """Transfer, measure, write the section "Transfer" and pages to look at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--face", type=Path, help="ict_face.npz")
    parser.add_argument("--model", default=DEFAULT_RIG, help="a rig of ICT-FaceKit's faces")
    parser.add_argument("--people", type=int, default=35)
    parser.add_argument("--show", action="store_true", help="print, and leave RESULTS.md as it is")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/transfer.py needs the portraits: --data london.parquet. RESULTS.md is left as it is.")
        return
    try:
        editor = RigEditor.from_pretrained(asked.model, face_model=asked.face, device="cpu")
    except MissingAssetError as error:
        print(f"bench/transfer.py needs --face ict_face.npz: {error} RESULTS.md is left as it is.")
        return
    photos = pairs(asked.data)
    chosen = np.linspace(0, len(photos) - 1, min(asked.people, len(photos))).astype(int)
    people = [Person.of(editor, photos[i]) for i in track(chosen, "reading")]
    rows = []
    for whose, step in (("own", 0), ("another's", OTHER)):
        for with_neutral in (False, True):
            found = measured(editor, people, step, with_neutral=with_neutral)
            numbers = [f"{np.median([getattr(each, word) for each in found]):.2f}" for word in _WORDS]
            rows.append([whose, "with neutral" if with_neutral else "alone", str(len(found)), *numbers])
    header = ["smile", "given", "n", *(word.replace("_", " ") for word in _WORDS)]
    if asked.show:
        print(table(header, rows))
    else:
        body = f"{editor.model_id}, {editor.steps} steps.\n\n{EXPLAINED}\n{table(header, rows)}"
        write_section("Transfer", f"python bench/transfer.py --data {asked.data.name} --face ict_face.npz", body)


_WORDS = tuple(Transferred.__dataclass_fields__)


@dataclass(frozen=True)
class Person:
    """Of one person: the photos, what detectors see in them, and the faces as the rig has read them."""

    photos: dict[Emotion, Photo]
    seen: dict[Emotion, Seen]
    faces: dict[Emotion, RigFace]

    @classmethod
    def of(cls, editor: RigEditor, photos: dict[Emotion, Photo]) -> Person:
        """Read once. Raises NoFaceError."""
        seen = {emotion: _seen(photo) for emotion, photo in photos.items()}
        return cls(photos, seen, {emotion: editor.target(photo) for emotion, photo in photos.items()})


def measured(editor: RigEditor, people: Sequence[Person], step: int, *, with_neutral: bool) -> list[Transferred]:
    """Every person with the smile of the one ``step`` further on; pages of pictures are written."""
    found, shown = [], []
    for i, own in enumerate(track(people)):
        giver = people[(i + step) % len(people)]
        smile, calm = giver.faces[Emotion.HAPPY], None
        if with_neutral:
            smile, calm = editor.as_one_person([smile, giver.faces[Emotion.NEUTRAL]])
        edit = editor.apply([own.faces[Emotion.NEUTRAL]], smile, ["expression"], neutral=calm)
        photos = (own.photos[Emotion.NEUTRAL], edit.photo, own.photos[Emotion.HAPPY], giver.photos[Emotion.HAPPY])
        shown.append(tuple(photo.pixels for photo in photos))
        try:
            changed = _seen(edit.photo)
        except NoFaceError:
            continue
        given = _mouth(giver.seen[Emotion.HAPPY]) - _mouth(giver.seen[Emotion.NEUTRAL])
        gained = (_mouth(changed) - _mouth(own.seen[Emotion.NEUTRAL])) / given
        like = likeness(own.seen[Emotion.NEUTRAL], changed, giver.seen[Emotion.HAPPY])
        real = [descriptor_of(seen.photo, seen.landmarks) for seen in own.seen.values()]
        real_distance = float(np.linalg.norm(real[1] - real[0]))
        found.append(
            Transferred(float(gained[0]), float(gained[1]), like.sharpness, like.colour, like.distance, real_distance)
        )
    name = f"{'another' if step else 'own'}-{'neutral' if with_neutral else 'alone'}"
    _pages(shown, SHEETS / name)
    return found


def _mouth(seen: Seen) -> NDArray[np.float64]:
    """Its width, and how near its corners are to the eyes: in eye distances."""
    points = np.asarray(seen.landmarks.points, np.float64)
    unit = np.linalg.norm(points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0))
    left, right = points[list(MOUTH_CORNERS)]
    to_eyes = np.linalg.norm((left + right) / 2 - points[EYES].mean(axis=0))
    found: NDArray[np.float64] = np.array([np.linalg.norm(right - left), -to_eyes]) / unit
    return found


def _seen(photo: Photo) -> Seen:
    return Seen(photo, max(find_faces(photo), key=lambda face: face.box[2] - face.box[0]))


def _pages(shown: Sequence[tuple[Any, ...]], folder: Path) -> None:
    """Source, edit, the person's own smile and the smile that was given, four people a page, at the photos' size."""
    folder.mkdir(parents=True, exist_ok=True)
    titles = ("Source", "Edit", "Own smile", "Given")
    for start in range(0, len(shown), 4):
        rows = [Row(tuple(map(Image.fromarray, photos)), titles) for photos in shown[start : start + 4]]
        grid(rows).save(folder / f"page_{start // 4 + 1}.png")


if __name__ == "__main__":
    main()
