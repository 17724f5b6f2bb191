"""An edited film against its source, frame by frame and over time: flicker, jitter, identity, the emotion's curve."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.errors import ClipError, ConfigError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE
from emorph.core.types import Float64, Landmarks, Photo, Target
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.metrics.statistics import pearson
from emorph.faces.detect import Detector, known_face, refine_points
from emorph.video.clip import Clip, opened, read_clip
from emorph.video.encode import stored
from emorph.video.flicker import Warper, Window, unsteadiness
from emorph.video.frames import Frame, read_frames
from emorph.video.keyframes import Keyframe, as_easing
from emorph.video.look import Described
from emorph.video.pace import Tell
from emorph.video.passes import Passes, Watched, sure_faces
from emorph.video.plan import FilmPlan
from emorph.video.tracks import Track

ASK_EVERY = 3  # frames; of the others judges and recognisers are not asked
CHANGED_LEVELS = 1.0  # mean change inside the face from which a frame counts as edited
N_PROBES = 12  # frames by which is told whose face was edited


@dataclass(frozen=True, eq=False)
class FilmMeasures:
    """What is measured of the frames that show the face that was edited; rows of all arrays are such frames.

    frames: numbers, times_s: (n,). changed: mean levels by which the face differs from the source's. outside: the same
    of all that is not within its hull. warped_source, warped: what optical flow leaves of the difference from the frame
    before, in levels; NaN at a track's first frame. trembles_source, trembles: second differences of landmarks, in eye
    distances. distance: of dlib's descriptors, source to edit; NaN where not asked. judge: its id, "" for none.
    seen_source, seen: its probabilities (n, n_emotions); NaN where not asked. asked: (n, n_emotions), the strength
    asked for of each; NaN where the film does not say.
    facts: of the files.
    """

    source: Clip
    edited: Clip
    frames: np.ndarray
    times_s: Float64
    changed: Float64
    outside: Float64
    warped_source: Float64
    warped: Float64
    trembles_source: Float64
    trembles: Float64
    distance: Float64
    judge: str
    emotions: tuple[Emotion, ...]
    seen_source: Float64
    seen: Float64
    asked: Float64
    facts: Mapping[str, Any]

    @property
    def is_edited(self) -> np.ndarray:
        """Which of the frames were changed."""
        return self.changed > CHANGED_LEVELS

    def summary(self) -> dict[str, float | None]:
        """The numbers of a report; None where there is nothing to tell. Ratios are over the source's own."""
        edited = self.is_edited
        pairs = edited & np.isfinite(self.warped) & np.isfinite(self.warped_source)
        shaky = edited & np.isfinite(self.trembles) & np.isfinite(self.trembles_source)
        told = edited & np.isfinite(self.distance)
        numbers = {
            "flicker": _mean(self.warped[pairs]),
            "flicker_source": _mean(self.warped_source[pairs]),
            "flicker_ratio": _ratio(self.warped[pairs], self.warped_source[pairs]),
            "jitter": _mean(self.trembles[shaky]),
            "jitter_source": _mean(self.trembles_source[shaky]),
            "jitter_ratio": _ratio(self.trembles[shaky], self.trembles_source[shaky]),
            "identity_distance": _mean(self.distance[told]),
            "identity_distance_worst": float(self.distance[told].max()) if told.any() else None,
            "change_outside": _mean(self.outside),
        }
        for i, emotion in enumerate(self.emotions):
            known = np.isfinite(self.seen[:, i]) & np.isfinite(self.asked[:, i])
            if (self.asked[known, i] == 0).all():
                continue
            numbers[f"{emotion.word}_seen"] = _mean(self.seen[known & edited, i])
            numbers[f"{emotion.word}_seen_source"] = _mean(self.seen_source[known & edited, i])
            r = pearson(self.asked[known, i], self.seen[known, i])
            numbers[f"{emotion.word}_follows"] = r if np.isfinite(r) else None
        return {name: value if value is None else round(value, 4) for name, value in numbers.items()}


def measure_film(
    source: Path,
    edited: Path,
    judge: PanelJudge | None = None,
    *,
    detector: Detector = "auto",
    min_face_px: int = MIN_FACE_PX,
    tell: Tell | None = None,
) -> FilmMeasures:
    """Measure an edited film against its source.

    The films have the same frames, in the same size. Of several people the one whose face was changed most is measured.
    Raises ClipError for films that do not belong together, NoFaceError without a face.
    """
    clips = read_clip(source), read_clip(edited)
    forms = [stored(clip, ".mkv").form for clip in clips]
    if (forms[0].width, forms[0].height) != (forms[1].width, forms[1].height):
        raise ClipError(
            f"{edited.name} has {forms[1].width}x{forms[1].height} px, but {source.name} {forms[0].width}x"
            f"{forms[0].height}; name the film that it was made from (a preview has none)."
        )
    with tempfile.TemporaryDirectory() as folder:
        passes = Passes(clips[0], forms[0], Path(folder) / "x", Path(folder), tell)
        seen = passes.watched(
            lambda photo: sure_faces(photo, min_face_px, detector, SURE_SCORE), lambda photo, face: _nobody(photo, face)
        )
        tracks = _edited_person(seen, clips)
        return _measured(clips, seen, tracks, judge, passes, _plan_of(clips[1]))


def _nobody(photo: Photo, face: Landmarks) -> Described:
    return Described(descriptor_of(photo, face), np.zeros(0, np.float32))


def both(clips: tuple[Clip, Clip]) -> Iterator[tuple[Frame, Frame]]:
    """The frames of two films side by side. Raises ClipError where one has more."""
    films = [read_frames(clip, stored(clip, ".mkv").form) for clip in clips]
    try:
        yield from zip(*films, strict=True)
    except ValueError:
        raise ClipError(
            f"{clips[1].name} has another number of frames than {clips[0].name}; name the film that it was made from."
        ) from None


def _edited_person(seen: Watched, clips: tuple[Clip, Clip]) -> list[Track]:
    """The tracks of the person whose face differs most between the films."""
    if not seen.persons:
        raise ClipError(f"{clips[0].name} shows no face that stays for some frames, so there is nothing to measure.")
    if len(seen.persons) == 1:
        return list(seen.persons[0])
    shown = sorted({number for person in seen.persons for track in person for number in track.frames})
    probes = set(shown[:: max(1, len(shown) // N_PROBES)])
    change = np.zeros(len(seen.persons))
    for one, other in both(clips):
        if one.number not in probes:
            continue
        apart = np.abs(one.pixels().astype(np.int16) - other.pixels()).mean(axis=2)
        for i, person in enumerate(seen.persons):
            for track in person:
                if one.number in track.frames:
                    left, top, right, bottom = _box(track.points[one.number - track.frames.start], apart.shape)
                    change[i] += float(apart[top:bottom, left:right].mean()) if right > left and bottom > top else 0.0
    return list(seen.persons[int(np.argmax(change))])


def _box(points: Float64, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int), [shape[1], shape[0]])
    return int(left), int(top), int(right), int(bottom)


class _Row:
    """What is measured of one frame."""

    def __init__(self, number: int, judge: PanelJudge | None) -> None:
        n = len(judge.emotions) if judge else 0
        self.number = number
        self.changed = self.outside = self.warped_source = self.warped = self.distance = float("nan")
        self.seen_source, self.seen = np.full(n, np.nan), np.full(n, np.nan)
        self.points_source = self.points = np.zeros((68, 2))


def _measured(
    clips: tuple[Clip, Clip], seen: Watched, tracks: Sequence[Track], judge: PanelJudge | None, passes: Passes,
    plan: FilmPlan | None,
) -> FilmMeasures:  # fmt: skip
    where = {number: (track, at) for track in tracks for at, number in enumerate(track.frames)}
    warper, pace, rows = Warper(), passes.pace("measuring"), []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for one, other in both(clips):
        pace(1)
        found = where.get(one.number)
        if found is None:
            before = None
            continue
        track, at = found
        photos = Photo(one.pixels()), Photo(other.pixels())
        row = _Row(one.number, judge)
        rows.append(row)
        start = known_face(track.points[at].astype(np.float32))
        row.points_source, row.points = (refine_points(photo, start).points.astype(np.float64) for photo in photos)
        _compare(row, photos, track.points[at])
        if before is not None and at > 0:
            window = Window.around(track.points[at])
            inside = window.inside(track.points[at])
            row.warped_source, row.warped = (
                warper.error(window.cut(old), window.cut(photo.pixels), inside)
                for old, photo in zip(before, photos, strict=True)
            )
        if len(rows) % ASK_EVERY == 1 or ASK_EVERY == 1:
            _ask(row, photos, judge)
        before = photos[0].pixels, photos[1].pixels
    return _joined(clips, seen, tracks, judge, rows, plan)


def _compare(row: _Row, photos: tuple[Photo, Photo], points: Float64) -> None:
    apart = np.abs(photos[0].pixels.astype(np.int16) - photos[1].pixels).mean(axis=2)
    left, top, right, bottom = _box(points, apart.shape)
    height = bottom - top
    inside = apart[top:bottom, left:right]
    row.changed = float(inside.mean()) if inside.size else float("nan")
    rest = np.ones(apart.shape, bool)
    rest[max(0, top - height) : bottom + height // 3, max(0, left - height // 3) : right + height // 3] = False
    row.outside = float(apart[rest].mean()) if rest.any() else float("nan")


def _ask(row: _Row, photos: tuple[Photo, Photo], judge: PanelJudge | None) -> None:
    faces = [known_face(points.astype(np.float32)) for points in (row.points_source, row.points)]
    one, other = (descriptor_of(photo, face) for photo, face in zip(photos, faces, strict=True))
    row.distance = float(np.linalg.norm(one - other))
    if judge is not None:
        crops = np.stack([judge.plan.cut(photo, face) for photo, face in zip(photos, faces, strict=True)])
        row.seen_source, row.seen = judge.answer(crops)[:, : len(judge.emotions)]


def _joined(
    clips: tuple[Clip, Clip], seen: Watched, tracks: Sequence[Track], judge: PanelJudge | None, rows: Sequence[_Row],
    plan: FilmPlan | None,
) -> FilmMeasures:  # fmt: skip
    numbers = np.array([row.number for row in rows], np.int64)
    emotions = judge.emotions if judge else ()
    trembles = []
    for name in ("points_source", "points"):
        parts = [
            unsteadiness(np.stack([getattr(row, name) for row in rows if row.number in track.frames]))
            for track in sorted(tracks, key=lambda track: track.frames.start)
        ]
        trembles.append(np.concatenate(parts))
    times = seen.times_s[numbers]
    asked = np.full((len(rows), len(emotions)), np.nan)
    if plan is not None:
        asked = np.array([_asked(plan, float(t), emotions) for t in times]).reshape(len(rows), len(emotions))

    def column(name: str) -> Float64:
        return np.array([getattr(row, name) for row in rows], np.float64)

    return FilmMeasures(
        clips[0], clips[1], numbers, times, column("changed"), column("outside"), column("warped_source"),
        column("warped"), trembles[0], trembles[1], column("distance"), judge.id if judge else "", emotions,
        column("seen_source").reshape(len(rows), -1), column("seen").reshape(len(rows), -1), asked,
        _facts(clips, seen),
    )  # fmt: skip


def _asked(plan: FilmPlan, at_s: float, emotions: Sequence[Emotion]) -> list[float]:
    """The strength that is asked of each emotion at a time."""
    found = dict.fromkeys(emotions, 0.0)
    for target in plan.targets_at(at_s):
        for emotion, weight in target.weights:
            if emotion in found:
                found[emotion] += target.strength * weight
    return list(found.values())


def _plan_of(clip: Clip) -> FilmPlan | None:
    """What the film says that it was asked for; None if it does not."""
    try:
        with opened(clip.path, clip.parser) as container:
            said = {name.lower(): text for name, text in container.metadata.items()}
        made = json.loads(said["comment"])
        return FilmPlan(
            tuple(Keyframe(Target.parse(word), float(at)) for word, at in made["targets"]),
            tuple(Keyframe(float(value), float(at)) for value, at in made["strengths"]),
            as_easing(made.get("easing", "smooth")),
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError, UnknownNameError):
        return None


def _facts(clips: tuple[Clip, Clip], seen: Watched) -> dict[str, Any]:
    sounds = [_sound(clip) for clip in clips]
    return {
        "n_frames": len(seen.times_s),
        "n_people": len(seen.persons),
        "n_scenes": len(seen.scenes) + 1,
        "duration_s": [round(clip.duration_s, 4) for clip in clips],
        "sound": "none" if not sounds[0] else "the same, bit for bit" if sounds[0] == sounds[1] else "another",
    }


def _sound(clip: Clip) -> list[str]:
    """A digest of the packets of each track of sound."""
    if not clip.audio:
        return []
    with opened(clip.path, clip.parser) as container:
        digests = {stream.index: hashlib.sha256() for stream in container.streams.audio}
        for packet in container.demux(*container.streams.audio):
            if packet.dts is not None:
                digests[packet.stream.index].update(bytes(packet))
    return [digests[index].hexdigest() for index in sorted(digests)]


def _mean(values: Float64) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _ratio(one: Float64, other: Float64) -> float | None:
    return float(one.sum() / other.sum()) if len(one) and other.sum() > 0 else None
