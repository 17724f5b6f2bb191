"""Cut faces out of films of lively faces, as one more pack for packs.py: many expressions of few people.

python examples/emorph-base/clips.py CLIPS_FOLDER clips.parquet

Frames of one film share person, light and camera, so what differs between them is expression and pose. Actors of MEAD
say in the film's name what they play; other films have no label.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emorph.core.errors import NoFaceError
from emorph.core.expressions import Emotion
from emorph.core.types import Photo
from emorph.faces import align, find_faces, select_faces

SUFFIXES = (".mp4", ".mov")
FRAMES_PER_S = 6.0
SIDE_PX = 256
QUALITY = 92
LEAST_SCORE = 0.3  # of the detector: a film has frames enough to do without its doubts
PLAYED = {
    "contempt": Emotion.CONTEMPT,
    "disgusted": Emotion.DISGUST,
    "fear": Emotion.FEAR,
    "sad": Emotion.SAD,
    "angry": Emotion.ANGER,
    "surprised": Emotion.SURPRISE,
}  # happy actors talk more than they smile
ACTORS = ("eamm_", "spectre_mead_")


def main() -> None:
    """Write the pack, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    films = sorted(path for path in arguments.clips.iterdir() if path.suffix in SUFFIXES)
    table = pa.Table.from_pylist([row for film in films for row in faces_of(film)])
    draft = arguments.out.with_suffix(".part")
    pq.write_table(table, draft, compression="none")
    draft.replace(arguments.out)
    print(f"{arguments.out}: {len(table):,} faces of {len(films)} films")


def faces_of(film: Path) -> Iterator[dict[str, Any]]:
    """The largest face of each frame that is looked at."""
    played = next((word for word in PLAYED if film.name.startswith(ACTORS) and word in film.name), None)
    for number, pixels in frames(film):
        photo = Photo(pixels)
        try:
            chosen = select_faces(find_faces(photo), "largest", photo)[0]
        except NoFaceError:
            continue
        if chosen.score < LEAST_SCORE:
            continue
        face = align(photo, chosen, SIDE_PX)
        encoded = cv2.imencode(".webp", face.pixels[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
        yield {
            "image": encoded.tobytes(),
            "source_file": f"{film.name}#{number}",
            "landmarks68": face.crop_points().astype("<f2").tobytes(),
            "quad_px": SIDE_PX * float(np.linalg.norm(face.crop_to_photo[:2, 0])),
            "age": -1,
            "gender": "",
            "label": PLAYED[played].word if played else "",
            "identity": film.stem,
            "split": "train",
            "source_set": "clips",
        }


def frames(film: Path) -> Iterator[tuple[int, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Frame numbers and pixels (H, W, 3) RGB, FRAMES_PER_S of them a second."""
    capture = cv2.VideoCapture(str(film))
    every = max(1, round(capture.get(cv2.CAP_PROP_FPS) / FRAMES_PER_S))
    number = 0
    while True:
        ok, pixels = capture.read()
        if not ok:
            return
        if number % every == 0:
            yield number, np.ascontiguousarray(pixels[..., ::-1])
        number += 1


if __name__ == "__main__":
    main()
