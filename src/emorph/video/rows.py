"""What is measured of each frame of an edited film beside its source, kept in files as it is measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from emorph.core.errors import ClipError
from emorph.core.files import NPZ_ERRORS, written_beside
from emorph.core.types import Float64, Photo
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.faces.detect import known_face, refine_points
from emorph.video.clip import Clip
from emorph.video.encode import stored, writing
from emorph.video.flicker import Warper, Window
from emorph.video.frames import Frame, read_frames
from emorph.video.pace import Pace
from emorph.video.passes import SEGMENT_FRAMES, Passes
from emorph.video.tracks import Track

ASK_EVERY = 3  # frames; of the others judges and recognisers are not asked
NOT_KNOWN = float("nan")


@dataclass(eq=False)
class Row:
    """Of one frame. The names are those of ``FilmMeasures``.

    seen_source, seen: (n,) of all judges' emotions, one judge after the other. points_source, points: (68, 2) px.
    """

    number: int
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    changed: float = NOT_KNOWN
    outside: float = NOT_KNOWN
    warped_source: float = NOT_KNOWN
    warped: float = NOT_KNOWN
    distance: float = NOT_KNOWN
    seen_source: Float64 = field(default_factory=lambda: np.zeros(0))
    seen: Float64 = field(default_factory=lambda: np.zeros(0))
    points_source: Float64 = field(default_factory=lambda: np.zeros((68, 2)))
    points: Float64 = field(default_factory=lambda: np.zeros((68, 2)))


def measured_rows(
    clips: tuple[Clip, Clip], tracks: Sequence[Track], judges: Sequence[PanelJudge], passes: Passes
) -> list[Row]:
    """The rows of all frames that show the face of the tracks.

    Each SEGMENT_FRAMES are written to the passes' folder when they are measured, and not measured again. Raises
    ClipError for films with other numbers of frames.
    """
    n_segments = -(-passes.n_frames // SEGMENT_FRAMES)
    known = {number: _load(_path(passes, number)) for number in range(n_segments)}
    if all(rows is not None for rows in known.values()):
        return [row for rows in known.values() for row in rows or ()]
    rows, measure, pace = [], _Measure(tracks, judges), passes.pace("measuring")
    for number, pairs in itertools.groupby(both(clips), key=lambda pair: pair[0].number // SEGMENT_FRAMES):
        found = known.get(number)
        if found is None:
            found = [row for row in (measure.row(pair) for pair in _paced(pairs, pace)) if row is not None]
            with writing(passes.out), written_beside(_path(passes, number)) as draft, draft.open("wb") as file:
                np.savez(file, allow_pickle=False, **{each.name: _column(found, each.name) for each in fields(Row)})
        else:
            for pair in _paced(pairs, pace):
                measure.before = pair
        rows += found
    return rows


def both(clips: tuple[Clip, Clip]) -> Iterator[tuple[Frame, Frame]]:
    """The frames of two films side by side. Raises ClipError where one has more."""
    films = [read_frames(clip, stored(clip, ".mkv").form) for clip in clips]
    try:
        yield from zip(*films, strict=True)
    except ValueError:
        raise ClipError(
            f"{clips[1].name} has another number of frames than {clips[0].name}; name the film that it was made from."
        ) from None


def box_of(points: Float64, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of landmarks (68, 2), within a frame of ``shape`` (H, W, ...)."""
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int), [shape[1], shape[0]])
    return int(left), int(top), int(right), int(bottom)


class _Measure:
    """Measures frames one after the other. before: the pair of frames before the next."""

    def __init__(self, tracks: Sequence[Track], judges: Sequence[PanelJudge]) -> None:
        self._where = {number: (track, at) for track in tracks for at, number in enumerate(track.frames)}
        self._asked = set(sorted(self._where)[::ASK_EVERY])
        self._judges, self._warper = judges, Warper()
        self.before: tuple[Frame, Frame] | None = None

    def row(self, pair: tuple[Frame, Frame]) -> Row | None:
        """What is measured of a pair of frames, of source and edit; None where the face is not seen."""
        before, self.before = self.before, pair
        number = pair[0].number
        if number not in self._where:
            return None
        track, at = self._where[number]
        photos, points = (Photo(pair[0].pixels()), Photo(pair[1].pixels())), track.points[at]
        row, start = Row(number), known_face(points.astype(np.float32))
        row.points_source, row.points = (refine_points(photo, start).points.astype(np.float64) for photo in photos)
        _compare(row, photos, points)
        if before is not None and at > 0:
            window = Window.around(points)
            row.warped_source, row.warped = (
                self._warper.error(window.cut(old.pixels()), window.cut(photo.pixels), window.inside(points))
                for old, photo in zip(before, photos, strict=True)
            )
        self._ask(row, photos)
        return row

    def _ask(self, row: Row, photos: tuple[Photo, Photo]) -> None:
        n = sum(len(judge.emotions) for judge in self._judges)
        row.seen_source, row.seen = np.full(n, NOT_KNOWN), np.full(n, NOT_KNOWN)
        if row.number not in self._asked:
            return
        faces = [known_face(points.astype(np.float32)) for points in (row.points_source, row.points)]
        one, other = (descriptor_of(photo, face) for photo, face in zip(photos, faces, strict=True))
        row.distance = float(np.linalg.norm(one - other))
        answers = []
        for judge in self._judges:
            crops = np.stack([judge.plan.cut(photo, face) for photo, face in zip(photos, faces, strict=True)])
            answers.append(judge.answer(crops)[:, : len(judge.emotions)])
        if answers:
            row.seen_source, row.seen = np.concatenate(answers, axis=1).astype(np.float64)


def _compare(row: Row, photos: tuple[Photo, Photo], points: Float64) -> None:
    apart = np.abs(photos[0].pixels.astype(np.int16) - photos[1].pixels).mean(axis=2)
    row.box = left, top, right, bottom = box_of(points, apart.shape)
    height = bottom - top
    inside = apart[top:bottom, left:right]
    row.changed = float(inside.mean()) if inside.size else NOT_KNOWN
    rest = np.ones(apart.shape, bool)
    rest[max(0, top - height) : bottom + height // 3, max(0, left - height // 3) : right + height // 3] = False
    row.outside = float(apart[rest].mean()) if rest.any() else NOT_KNOWN


def _paced(pairs: Iterator[tuple[Frame, Frame]], pace: Pace) -> Iterator[tuple[Frame, Frame]]:
    for pair in pairs:
        yield pair
        pace(1)


def _path(passes: Passes, number: int) -> Path:
    return passes.work / f"rows_{number:06d}.npz"


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows])


def _load(path: Path) -> list[Row] | None:
    """What was written; None for a file that is not there or not whole."""
    names = [each.name for each in fields(Row)]
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = [file[name] for name in names]
    except NPZ_ERRORS:
        return None
    made = []
    for values in zip(*columns, strict=True):
        of_row = dict(zip(names, values, strict=True))
        of_row |= {"number": int(of_row["number"]), "box": tuple(map(int, of_row["box"]))}
        made.append(Row(**of_row))
    return made
