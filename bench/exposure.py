"""What darkness, glare and tint do to what looks at faces: ``python bench/exposure.py --data london.parquet``.

Of each person two photos are taken (columns image and identity). The first is given gains, on the file's levels,
rounded and cut off at 255 as a bad exposure is, and looked at again: as it is, and as emorph looks at it, which
brightens what is far too dark (``emorph.core.exposure``).
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.progress import track

from emorph.core.exposure import brightened, face_gain
from emorph.core.landmarks import LEFT_EYE, RIGHT_EYE, SURE_SCORE
from emorph.core.types import Float32, Float64, Landmarks, Photo
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.faces.detect import find_faces
from emorph.models.judge import Judge
from support.measure import table, write_section

GAINS = (0.03, 0.05, 0.1, 0.2, 0.35, 0.5, 1.5, 2.0)
WAYS = {f"{gain:g}": (gain, gain, gain) for gain in GAINS}
WAYS |= {"warm": (1.0, 0.6, 0.25), "cold": (0.4, 0.7, 1.0), "green": (0.4, 1.0, 0.5)}
SAME_PERSON = 0.6  # dlib's own limit for the distance of two descriptors
AS_IS, LIT = "as it is", "as emorph looks"


@dataclass(frozen=True)
class Looked:
    """What is seen of one photo under one gain. moved: of the 68 points, in eye distances, NaN where no face is found.

    judged: how far the judge's probabilities are from those of the photo itself, half the sum of the differences.
    apart: distance of dlib's descriptors to the photo itself; is_same: whether the person's other photo is in reach.
    """

    found: bool
    moved: float
    is_word: bool
    judged: float
    apart: float
    is_same: bool


@dataclass(frozen=True)
class Person:
    """The photo as it was taken, its face, and what is known of it and of the other photo."""

    photo: Photo
    face: Landmarks
    answer: Float64
    descriptor: Float32
    other: Float32


def main() -> None:
    """Look at everybody's photo under each gain, and write the section "Exposure"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a .parquet file of faces")
    parser.add_argument("--people", type=int, default=15)
    options = parser.parse_args()
    if not options.data:
        print("bench/exposure.py needs people with two photos: --data london.parquet. RESULTS.md is left as it is.")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    judge = Judge.from_pretrained()
    people = [person for pair in pairs(options.data, options.people) if (person := known(judge, *pair)) is not None]
    looks: dict[tuple[str, str], list[Looked]] = defaultdict(list)
    for person in track(people, "looking"):
        for way, gains in WAYS.items():
            dark = given(person.photo, gains)
            with (
                patch("emorph.faces.detect.photo_gain", lambda _: 1.0),
                patch("emorph.faces.detect.face_gain", lambda *_: 1.0),
            ):
                looks[way, AS_IS].append(look(judge, person, dark, dark))
            lit = replace(dark, pixels=brightened(dark.pixels, face_gain(dark.pixels, person.face.box)))
            looks[way, LIT].append(look(judge, person, dark, lit))
    write_section("Exposure", f"python bench/exposure.py --data {options.data.name}", body(len(people), looks))


def pairs(data: Path, n: int) -> list[tuple[Photo, Photo]]:
    """Two photos of each of the first n people who have two."""
    photos: dict[str, list[bytes]] = defaultdict(list)
    for row in pq.read_table(data, columns=["image", "identity"]).to_pylist():
        photos[row["identity"]].append(row["image"])
    first = [those[:2] for those in photos.values() if len(those) > 1][:n]
    return [(opened(a), opened(b)) for a, b in first]


def opened(content: bytes) -> Photo:
    return Photo(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def given(photo: Photo, gains: tuple[float, float, float]) -> Photo:
    """The photo as these gains of red, green and blue expose it."""
    return replace(photo, pixels=np.rint(photo.pixels * np.array(gains)).clip(0, 255).astype(np.uint8))


def sure(photo: Photo) -> Landmarks | None:
    return next((face for face in find_faces(photo) if face.score >= SURE_SCORE), None)


def known(judge: Judge, photo: Photo, other: Photo) -> Person | None:
    face, face_of_other = sure(photo), sure(other)
    if face is None or face_of_other is None:
        return None
    answer = judge_crops(judge, [crop_for(judge, photo, face)])[0]
    return Person(photo, face, answer, descriptor_of(photo, face), descriptor_of(other, face_of_other))


def look(judge: Judge, person: Person, dark: Photo, seen: Photo) -> Looked:
    """dark: in which the face is sought. seen: which judge and recogniser get, with the face where it was before."""
    found, face = sure(dark), person.face
    eyes = face.points[RIGHT_EYE].mean(axis=0) - face.points[LEFT_EYE].mean(axis=0)
    moved = np.nan if found is None else np.linalg.norm(found.points - face.points, axis=1).mean()
    answer = judge_crops(judge, [crop_for(judge, seen, face)])[0]
    descriptor = descriptor_of(seen, face)
    return Looked(
        found is not None,
        float(moved / np.linalg.norm(eyes)),
        bool(answer.argmax() == person.answer.argmax()),
        float(np.abs(answer - person.answer).sum() / 2),
        float(np.linalg.norm(descriptor - person.descriptor)),
        bool(np.linalg.norm(descriptor - person.other) < SAME_PERSON),
    )


def body(n: int, looks: dict[tuple[str, str], list[Looked]]) -> str:
    """What the section says."""
    rows = []
    for way in WAYS:
        cells = [row(looks[way, how]) for how in (AS_IS, LIT)]
        rows.append((way, *(a if a == b else f"{a} → {b}" for a, b in zip(*cells, strict=True))))
    header = ("gain", "faces found", "points moved", "same emotion", "answers moved", "descriptor moved", "recognised")
    return f"""{n} people, each photo under gains of its levels (tints: of red, green and blue), against the photo as it
was taken. Where emorph changes anything: as the file is → as emorph looks at it. Points moved: mean of the 68, in eye
distances. Same emotion: that `emorph-judge` names; answers moved: half the sum of the differences of its probabilities.
Descriptor moved: distance of dlib's; recognised: within {SAME_PERSON} of the person's other photo.

{table(header, rows)}"""


def row(looks: list[Looked]) -> tuple[str, ...]:
    moved = [one.moved for one in looks if one.found]
    return (
        f"{np.mean([one.found for one in looks]):.0%}",
        f"{np.mean(moved):.1%}" if moved else "-",
        f"{np.mean([one.is_word for one in looks]):.0%}",
        f"{np.mean([one.judged for one in looks]):.2f}",
        f"{np.mean([one.apart for one in looks]):.2f}",
        f"{np.mean([one.is_same for one in looks]):.0%}",
    )


if __name__ == "__main__":
    main()
