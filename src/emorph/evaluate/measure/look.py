"""One source photo and its edits, looked at once: faces, descriptors, geometry, and the crops that judges want.

Runs in worker processes: what goes in and out is plain data.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emorph.core.errors import ConfigError, EmorphError, MissingAssetError, NoFaceError
from emorph.core.exposure import brightened, face_gain
from emorph.core.images import read_photo
from emorph.core.records import ScoreRecord, SeenFace
from emorph.core.types import Float32, Float64, Landmarks, Photo, UInt8
from emorph.core.workers import must_see
from emorph.evaluate.judges.asked import Crop, CropPlan
from emorph.evaluate.judges.dlib_recogniser import chip_of, descriptors_of
from emorph.evaluate.measure.records import INFINITE, NO_FACE, NO_VALUE, REVISION
from emorph.evaluate.measure.surroundings import Surroundings
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.takes import Takes
from emorph.faces.detect import find_faces, known_face, refine_points


@dataclass(frozen=True)
class View:
    """A photo to look at. id: as in ``SeenFace``. known: what an earlier run found. wanted: ids of what looks at faces.

    points: of a source whose face is known beforehand. metrics: of an edit with its source, that are not measured yet.
    for_networks: how the networks are still to compare the two. mask: as in ``Pair``.
    """

    id: str
    path: Path
    known: SeenFace | None
    wanted: tuple[str, ...]
    points: tuple[tuple[float, float], ...] = ()
    metrics: tuple[Metric, ...] = ()
    for_networks: tuple[Takes, ...] = ()
    mask: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Task:
    """A source and its edits."""

    source: View
    edits: tuple[View, ...]
    plans: Mapping[str, CropPlan]


@dataclass(frozen=True)
class Window:
    """Two pictures for the networks that compare: of a source, and of an edit (its ``id``)."""

    id: str
    takes: Takes
    source: UInt8
    edited: UInt8


@dataclass(frozen=True)
class Looked:
    """What one task gave: new records, (judge, id of the face, crop) for the judges, and windows for the comparers.

    chips: of faces by id that wait for their descriptors, and shared: faces whose descriptor is another's, by id.
    """

    faces: list[SeenFace] = dataclasses.field(default_factory=list)
    scores: list[ScoreRecord] = dataclasses.field(default_factory=list)
    crops: list[tuple[str, str, Crop]] = dataclasses.field(default_factory=list)
    windows: list[Window] = dataclasses.field(default_factory=list)
    chips: dict[str, UInt8] = dataclasses.field(default_factory=dict)
    shared: dict[str, str] = dataclasses.field(default_factory=dict)

    def described(self) -> Looked:
        """The same with the descriptors of all new faces, asked at once; no chip has to go to another process."""
        rows = dict(zip(self.chips, descriptors_of(list(self.chips.values())), strict=True)) if self.chips else {}
        faces = []
        for face in self.faces:
            row = rows.get(self.shared.get(face.id, face.id))
            if row is not None and not face.trouble:
                face = dataclasses.replace(face, descriptor=_rounded(row, 6))
            faces.append(face)
        return dataclasses.replace(self, faces=faces, chips={}, shared={})


def look(task: Task) -> Looked:
    """Do a task. Trouble with a photo is part of its record; it stops nothing. Raises DataError if its file is gone."""
    must_see(task.source.path, *(view.path for view in task.edits))
    return _looked(task).described()


def _looked(task: Task) -> Looked:
    looked = Looked()
    source = _see(task.source, None, looked, task.plans)
    if source is None:
        return looked
    surroundings = Surroundings(source.photo, source.landmarks)
    moved: dict[str, list[tuple[str, Landmarks]]] = {}
    by_points = {row.name: row for view in task.edits for row in view.metrics if row.takes == Takes.LANDMARKS}
    for view in task.edits:
        edit = _see(view, source, looked, task.plans)
        if edit is None:
            continue
        try:
            plain = [row for row in view.metrics if row.name not in by_points]
            found = surroundings.measured(edit.photo, plain, edit.landmarks, view.mask)
            looked.scores.extend(record for row in plain for record in _records(view.id, row, found[row.name]))
            for takes in view.for_networks:
                pictures = surroundings.pictures(edit.photo, takes)
                if pictures is not None:
                    looked.windows.append(Window(view.id, takes, *pictures))
        except ConfigError:
            raise  # a metric's fault: as the photo's, it would be on record and the edit be left out for good
        except EmorphError as error:
            looked.faces.append(SeenFace(view.id, trouble=str(error)))
            continue
        for row in view.metrics:
            if row.name in by_points:
                moved.setdefault(row.name, []).append((view.id, edit.landmarks))
    for name, edits in moved.items():
        looked.scores.extend(_moved(by_points[name], source.landmarks, edits))
    return looked


@dataclass(frozen=True)
class _Seen:
    photo: Photo
    landmarks: Landmarks
    record: SeenFace
    is_given: bool


def landmarks_of(record: SeenFace) -> Landmarks:
    """The face that a record describes."""
    left, top, right, bottom = record.box
    return Landmarks(np.array(record.points, dtype=np.float32), (left, top, right, bottom), record.score, record.doubt)


def _see(view: View, source: _Seen | None, looked: Looked, plans: Mapping[str, CropPlan]) -> _Seen | None:
    """The photo with its face, noting what is new; None where there is trouble."""
    if view.known is not None and view.known.trouble:
        return None
    try:
        photo = read_photo(view.path)
        record = view.known or _found(view, photo, source, looked)
        landmarks = landmarks_of(record)
        lit = dataclasses.replace(photo, pixels=brightened(photo.pixels, record.gain))
        crops = [(name, view.id, plans[name].cut(lit, landmarks)) for name in view.wanted]
    except MissingAssetError:
        raise  # no trouble of this photo's
    except EmorphError as error:
        looked.faces.append(SeenFace(view.id, trouble=str(error)))
        return None
    if view.known is None:
        looked.faces.append(record)
    looked.crops.extend(crops)
    return _Seen(photo, landmarks, record, bool(view.points))


def _found(view: View, photo: Photo, source: _Seen | None, looked: Looked) -> SeenFace:
    """The face, whose descriptor is noted as wanted: of an unchanged photo its source's, a given one, that of an edit
    of a given one, else the one that is found."""
    if source is not None and np.array_equal(photo.pixels, source.photo.pixels):
        looked.shared[view.id] = source.record.id
        return dataclasses.replace(source.record, id=view.id)
    height, width = photo.pixels.shape[:2]
    n_faces = 1
    if view.points:
        face = known_face(np.array(view.points, dtype=np.float32))
    elif source is not None and source.is_given and source.photo.pixels.shape == photo.pixels.shape:
        face = refine_points(photo, source.landmarks)
    else:
        faces = find_faces(photo)
        if not faces:
            raise NoFaceError(f"{NO_FACE} {photo.name} ({width}x{height} px).")
        face, n_faces = _chosen(faces, photo, source), len(faces)
    # rounded first, so that a run that goes on from the file sees the same face
    points = _rounded(face.points, 2)
    gain = round(face_gain(photo.pixels, face.box), 3) if source is None else source.record.gain
    record = SeenFace(
        view.id, "", (width, height), n_faces, face.box, points, round(face.score, 4), doubt=face.doubt, gain=gain
    )
    lit = dataclasses.replace(photo, pixels=brightened(photo.pixels, gain))
    looked.chips[view.id] = chip_of(lit, landmarks_of(record))
    return record


def _rounded(numbers: Float32, digits: int) -> Float64:
    """Each number as the decimals of a JSON file have it."""
    return np.array([round(number, digits) for number in numbers.ravel().tolist()]).reshape(numbers.shape)


def _chosen(faces: Sequence[Landmarks], photo: Photo, source: _Seen | None) -> Landmarks:
    """The largest face; of an edit, the one that lies where the source's face lies."""
    if source is None:
        return faces[0]
    wanted = _place(source.landmarks, source.photo)
    return min(faces, key=lambda other: float(np.abs(_place(other, photo) - wanted).max()))


def _place(face: Landmarks, photo: Photo) -> np.ndarray:
    """The face's box in shares of the photo, which an edit of another size has in common."""
    height, width = photo.pixels.shape[:2]
    return np.array(face.box) / [width, height, width, height]


def _moved(row: Metric, source: Landmarks, edits: Sequence[tuple[str, Landmarks]]) -> list[ScoreRecord]:
    """What a metric tells of the landmarks of a source and of its edits."""
    b = torch.from_numpy(np.stack([face.points for _, face in edits]))
    a = torch.from_numpy(source.points)[None].expand(len(b), -1, -1)
    values = torch.as_tensor(row.load()(a, b)).tolist()
    return [record for (id, _), value in zip(edits, values, strict=True) for record in _records(id, row, value)]


def _records(id: str, row: Metric, value: float) -> Iterator[ScoreRecord]:
    """A number as a record; where there is none, one that says so."""
    if math.isfinite(value):
        yield ScoreRecord(id, row.name, round(value, 8))
    else:
        yield ScoreRecord(id, row.name, 0, INFINITE if math.isinf(value) else NO_VALUE)
    if row.revision > 1:
        yield ScoreRecord(id, row.name, row.revision, REVISION)
