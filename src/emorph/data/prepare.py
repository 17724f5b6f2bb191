"""From a data set to training data: detect, align, judge and write each face, on all cores, resumable at any moment."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from emorph.core.config import Config
from emorph.core.errors import ConfigError, DataError, EmorphError
from emorph.core.files import said_of
from emorph.core.records import Box, FaceRecord
from emorph.core.shard import Shard
from emorph.core.types import AlignedFace, Landmarks, Photo, UInt8
from emorph.core.workers import Crew, must_see, spread
from emorph.data.index import FaceIndex
from emorph.data.parts import PLAN, Plan, Row, Summary, begin, finish, missing_parts, write_part
from emorph.data.quality import SHARPNESS_SIDE_PX, Gate, fault, measure
from emorph.data.splits import picture_hash, split_faces
from emorph.faces import align, find_faces

BOX_MARGIN = 0.6  # of the listed box's longer side: the surroundings that the detector and the crop need
LEAST_OVERLAP = 0.3  # intersection over union of the listed box and the found one
SOUGHT_FACE_PX = 40  # faces down to here are found, and then told to be too small; smaller ones only if asked for
FACES_A_PART = 256  # written, and after a crash lost, at once
LEAST_PARTS = 64  # small sets have smaller parts, so that all cores have work
OPTIONS: dict[str, dict[str, int]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"quality": 95, "method": 4},
}


class Settings(Config):
    """How faces are prepared. side_px: of the crops. image_format: JPEG (quality 95), PNG or WEBP.

    holdout, test: faces of each emotion for validation and, out of the rest, for test.
    """

    side_px: int = 256
    image_format: str = "JPEG"
    holdout: int = 500
    test: int = 0
    seed: int = 0
    gate: Gate = Gate()

    def told(self) -> dict[str, Any]:
        """What a preparation writes down, and is recognised by; without a test set as before there were any."""
        return self.model_dump(exclude=None if self.test else {"test"})


def prepare(
    index: FaceIndex,
    out: Path,
    settings: Settings,
    *,
    workers: int | Crew = 1,
    shard: Shard | None = None,
    on_step: Callable[[int, int, int], None] | None = None,
) -> Summary | None:
    """Write the faces of ``index`` as an Arrow data set that FaceStore opens.

    workers: processes, or a crew, such as a cluster. shard: the share to do here. on_step: called with faces done,
    faces of this share, and faces that an earlier run had done. What is written depends on the faces and the settings
    alone. Parts that are there are not done again.
    Returns None while parts of other shards are missing. Raises DataError if the folder holds something else or cannot
    be written.
    """
    if index.encoded is not None:
        raise DataError(f"{index.root} is prepared already; prepare the data set it was made from.")
    if settings.image_format not in OPTIONS:
        raise ConfigError(f"image format {settings.image_format!r}: expected one of {', '.join(OPTIONS)}.")
    faces, plan = make_plan(index, settings)
    begin(out, plan)
    mine = [n for n in range(plan.n_parts) if shard is None or n % shard.of == shard.number - 1]
    left = sorted(set(mine) & set(missing_parts(out, plan)))
    size = part_size(len(faces))
    jobs = {n: faces[n * size : (n + 1) * size] for n in mine}
    before = sum(len(jobs[n]) for n in set(mine) - set(left))
    done, total = before, sum(map(len, jobs.values()))
    if on_step is not None:
        on_step(done, total, before)
    bench = _Bench(FaceIndex(index.root.absolute(), index.layout, aligned=index.aligned), out.absolute(), settings)
    with spread(bench.do, [(n, jobs[n]) for n in left], workers) as numbers:
        for number in numbers:
            done += len(jobs[number])
            if on_step is not None:
                on_step(done, total, before)
    return None if missing_parts(out, plan) else finish(out)


def make_plan(index: FaceIndex, settings: Settings) -> tuple[list[FaceRecord], Plan]:
    """The faces in the order in which they are written, each in its split, and the plan. Raises DataError."""
    divided = split_faces(index.usable(), holdout=settings.holdout, seed=settings.seed, test=settings.test)
    faces = sorted((replace(face, landmarks=None) for face in divided), key=lambda face: face.id)
    if not faces:
        raise DataError(f"{index.root} has no face to train with; look at it with emorph data scan.")
    digest = hashlib.sha256(json.dumps([settings.told(), index.layout, index.aligned]).encode())
    for face in faces:
        digest.update(repr(face).encode("utf-8", errors="surrogateescape"))
    n_parts = -(-len(faces) // part_size(len(faces)))
    return faces, Plan(index.layout, settings.told(), len(faces), n_parts, digest.hexdigest())


def part_size(n_faces: int) -> int:
    """Faces a part; of their number alone, so that parts are the same whoever makes them."""
    return int(np.clip(n_faces // LEAST_PARTS, 1, FACES_A_PART))


def prepare_face(index: FaceIndex, record: FaceRecord, settings: Settings) -> tuple[Row | None, Row | None]:
    """One face as a row, or as a reject with its reason: exactly one of the two."""
    try:
        pixels = index.pixels(record)
    except EmorphError as error:
        reason = "unreadable file" if (index.root / record.path).exists() else "missing file"
        return None, _reject(record, reason, said_of(_text(record.path), _text(str(error))))
    try:
        least = min(settings.gate.min_face_px, SOUGHT_FACE_PX)
        face, n_faces = _face_in_box(pixels, record.box, least) if record.box else _largest_face(pixels, least)
        if face is None:
            return None, _reject(record, *_not_found(pixels, record, n_faces))
        cut = whole if index.aligned else align
        crop = cut(Photo(pixels), face, settings.side_px)
        fine = crop if crop.side_px >= SHARPNESS_SIDE_PX else cut(Photo(pixels), face, SHARPNESS_SIDE_PX)
        quality = measure(crop, n_faces, fine.pixels)
        doubt = "" if settings.gate.doubtful else face.doubt
    except (EmorphError, cv2.error, RuntimeError, ValueError, MemoryError) as error:  # dlib and OpenCV on odd pictures
        return None, _reject(record, "failed", f"{type(error).__name__}: {error}")
    broken = fault(quality, settings.gate) or (("doubtful landmarks", doubt) if doubt else None)
    if broken is not None:
        return None, _reject(record, *broken)
    return {
        "image": encode(crop.pixels, settings.image_format),
        "id": _text(record.id),
        "path": _text(record.path),
        "label": record.emotion.word if record.emotion is not None else None,
        "identity": _text(record.identity) if record.identity is not None else None,
        "split": record.split,
        "source": record.source,
        "valence": record.valence,
        "arousal": record.arousal,
        "landmarks68": crop.crop_points().astype("<f2").tobytes(),
        "attributes": " ".join(record.attributes),
        "quality": dataclasses.asdict(quality),
        "picture_hash": picture_hash(crop.pixels),
    }, None


def whole(photo: Photo, face: Landmarks, side_px: int) -> AlignedFace:
    """The whole picture as the crop, for pictures that are FFHQ squares already."""
    height, width = photo.pixels.shape[:2]
    shrinks = min(height, width) > side_px
    resized = cv2.resize(photo.pixels, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    to_photo = np.diag([width / side_px, height / side_px, 1.0])
    to_photo[:2, 2] = (np.diag(to_photo)[:2] - 1) / 2  # between pixel centres
    return AlignedFace(resized, to_photo, face)


def encode(pixels: UInt8, image_format: str) -> bytes:
    """A crop as a file's bytes; JPEG keeps its full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **OPTIONS[image_format])
    return buffer.getvalue()


def _largest_face(pixels: UInt8, least_px: int) -> tuple[Landmarks | None, int]:
    faces = find_faces(Photo(pixels), min_face_px=least_px)
    return (faces[0] if faces else None), len(faces)


def _face_in_box(pixels: UInt8, box: Box, least_px: int) -> tuple[Landmarks | None, int]:
    """The face that lies in the listed box, sought in its surroundings alone, and how many faces were seen there."""
    corners = np.array(box).reshape(2, 2)
    margin = BOX_MARGIN * (corners[1] - corners[0]).max()
    limit = [pixels.shape[1], pixels.shape[0]]
    (x0, y0), (x1, y1) = (np.clip(corners + np.array([[-margin], [margin]]), 0, limit)).astype(int)
    if x1 <= x0 or y1 <= y0:
        return None, 0
    faces = [_moved(face, int(x0), int(y0)) for face in find_faces(Photo(pixels[y0:y1, x0:x1]), min_face_px=least_px)]
    best = max(faces, key=lambda face: _overlap(face.box, box), default=None)
    if best is None or _overlap(best.box, box) < LEAST_OVERLAP:
        return None, len(faces)
    return best, len(faces)


def _not_found(pixels: UInt8, record: FaceRecord, n_faces: int) -> tuple[str, str]:
    where = f"in {pixels.shape[1]}x{pixels.shape[0]} px"
    if record.box is None:
        return "no face", where
    box = ", ".join(f"{edge:g}" for edge in record.box)
    if n_faces:
        return "other face", f"{n_faces} found beside the listed box {box}, {where}"
    return "no face", f"around the listed box {box}, {where}"


def _moved(face: Landmarks, x: int, y: int) -> Landmarks:
    left, top, right, bottom = face.box
    points = face.points + np.array([x, y], np.float32)
    return replace(face, points=points, box=(left + x, top + y, right + x, bottom + y))


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def _text(name: str) -> str:
    """A name that UTF-8 can hold; file names need not be."""
    return name.encode("utf-8", "backslashreplace").decode()


def _reject(record: FaceRecord, reason: str, detail: str) -> Row:
    return {
        "id": _text(record.id),
        "path": _text(record.path),
        "split": record.split,
        "reason": reason,
        "detail": detail,
    }


@dataclass(frozen=True)
class _Bench:
    """What a worker needs for every part."""

    index: FaceIndex
    out: Path
    settings: Settings

    def do(self, part: tuple[int, Sequence[FaceRecord]]) -> int:
        """Prepare and write one part, and return its number."""
        number, faces = part
        must_see(self.index.root, self.out / PLAN)
        results = [prepare_face(self.index, face, self.settings) for face in faces]
        write_part(self.out, number, [row for row, _ in results if row], [no for _, no in results if no])
        return number
