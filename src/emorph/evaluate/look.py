"""One source photo and its edits, looked at once: faces, descriptors, geometry, and the crops that judges want.

Runs in worker processes: what goes in and out is plain data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emorph.core.errors import EmorphError, MissingAssetError, NoFaceError
from emorph.core.images import read_photo, to_tensor
from emorph.core.records import ScoreRecord, SeenFace
from emorph.core.types import Landmarks, Photo, UInt8
from emorph.evaluate.geometry import expression_distance, mae_outside, pose_distance
from emorph.evaluate.identity import describe
from emorph.evaluate.panel import CropPlan
from emorph.faces.align import align
from emorph.faces.detect import find_faces
from emorph.faces.mask import face_mask

MASK_CROP_PX = 256
LAST_PAIR_METRIC = "pose_distance"  # is written last, so that with it all are there


@dataclass(frozen=True)
class View:
    """A photo to look at. id: as in ``SeenFace``. known: what an earlier run found. wanted: judges' ids."""

    id: str
    path: Path
    known: SeenFace | None
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A source and its edits; ``to_pair``: ids of the edits whose geometry is not known yet."""

    source: View
    edits: tuple[View, ...]
    to_pair: frozenset[str]
    plans: Mapping[str, CropPlan]


@dataclass(frozen=True)
class Looked:
    """What one task gave: new records, and (judge, id of the face, crop) for the judges."""

    faces: list[SeenFace]
    scores: list[ScoreRecord]
    crops: list[tuple[str, str, UInt8]]


def look(task: Task) -> Looked:
    """Do a task. Trouble with a photo is part of its record; it stops nothing."""
    looked = Looked([], [], [])
    source = _see(task.source, None, looked, task.plans)
    if source is None:
        return looked
    for view in task.edits:
        edit = _see(view, source, looked, task.plans)
        if edit is not None and view.id in task.to_pair:
            try:
                looked.scores.extend(_paired(view.id, source, edit))
            except EmorphError as error:
                looked.faces.append(SeenFace(view.id, trouble=str(error)))
    return looked


@dataclass(frozen=True)
class _Seen:
    photo: Photo
    landmarks: Landmarks


def landmarks_of(record: SeenFace) -> Landmarks:
    """The face that a record tells of."""
    left, top, right, bottom = record.box
    return Landmarks(np.array(record.points, dtype=np.float32), (left, top, right, bottom), record.score)


def _see(view: View, source: _Seen | None, looked: Looked, plans: Mapping[str, CropPlan]) -> _Seen | None:
    """The photo with its face, noting what is new; None where there is trouble."""
    if view.known is not None and view.known.trouble:
        return None
    try:
        photo = read_photo(view.path)
        record = view.known or _found(view.id, photo, source)
        landmarks = landmarks_of(record)
        crops = [(name, view.id, plans[name].cut(photo, landmarks)) for name in view.wanted]
    except MissingAssetError:
        raise  # no trouble of this photo's
    except EmorphError as error:
        looked.faces.append(SeenFace(view.id, trouble=str(error)))
        return None
    if view.known is None:
        looked.faces.append(record)
    looked.crops.extend(crops)
    return _Seen(photo, landmarks)


def _found(id: str, photo: Photo, source: _Seen | None) -> SeenFace:
    """The largest face; of an edit, the one that lies where the source's face lies."""
    faces = find_faces(photo)
    height, width = photo.pixels.shape[:2]
    if not faces:
        raise NoFaceError(f"no face found in {photo.name} ({width}x{height} px).")
    face = faces[0]
    if source is not None:
        wanted = _place(source.landmarks, source.photo)
        face = min(faces, key=lambda other: float(np.abs(_place(other, photo) - wanted).max()))
    # rounded first, so that a run that goes on from the file sees the same face
    points = tuple((round(float(x), 2), round(float(y), 2)) for x, y in face.points)
    record = SeenFace(id, "", (width, height), len(faces), face.box, points, round(face.score, 4))
    descriptor = tuple(round(float(v), 6) for v in describe(photo, landmarks_of(record)))
    return dataclasses.replace(record, descriptor=descriptor)


def _place(face: Landmarks, photo: Photo) -> np.ndarray:
    """The face's box in shares of the photo, which an edit of another size has in common."""
    height, width = photo.pixels.shape[:2]
    return np.array(face.box) / [width, height, width, height]


def _paired(id: str, source: _Seen, edit: _Seen) -> list[ScoreRecord]:
    """Geometry of a pair; change outside the face only where both photos have one size."""
    a, b = (torch.from_numpy(seen.landmarks.points)[None] for seen in (source, edit))
    outside = _changed_outside(source, edit.photo)
    found = {} if outside is None else {"mae_outside": outside}
    found["expression_distance"] = float(expression_distance(a, b))
    found[LAST_PAIR_METRIC] = float(pose_distance(a, b))
    return [ScoreRecord(id, metric, round(value, 8)) for metric, value in found.items()]


def _changed_outside(source: _Seen, edited: Photo) -> float | None:
    """``mae_outside`` with the mask of the source's face; None where it cannot be measured."""
    if source.photo.pixels.shape != edited.pixels.shape:
        return None
    mask = face_mask(align(source.photo, source.landmarks, MASK_CROP_PX), source.photo.pixels.shape)
    weights = torch.zeros(1, 1, *source.photo.pixels.shape[:2])
    height, width = mask.weights.shape
    weights[0, 0, mask.top : mask.top + height, mask.left : mask.left + width] = torch.from_numpy(mask.weights)
    if bool((weights == 1).all()):
        return None
    a, b = to_tensor(source.photo.pixels), to_tensor(edited.pixels)
    return float(mae_outside(a, b, weights, data_range=2))
