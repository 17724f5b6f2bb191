"""An edited film against its source, frame by frame and over time: flicker, jitter, identity, the emotion's curve."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.errors import ClipError, ConfigError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.files import file_digest
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE
from emorph.core.types import Float64, Landmarks, Photo, Target
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.metrics.statistics import pearson
from emorph.faces.detect import Detector
from emorph.video.clip import Clip, opened, read_clip
from emorph.video.encode import stored
from emorph.video.flicker import unsteadiness
from emorph.video.keyframes import Keyframe, as_easing
from emorph.video.look import Described
from emorph.video.pace import Tell
from emorph.video.passes import Passes, Watched, sure_faces
from emorph.video.plan import FilmPlan
from emorph.video.rows import Row, both, box_of, measured_rows
from emorph.video.tracks import Track

VERSION = 3  # of how films are measured: what another version left half done is not gone on with
CHANGED_LEVELS = 1.0  # mean change inside the face from which a frame counts as edited
N_PROBES = 12  # frames by which is told whose face was edited


@dataclass(frozen=True, eq=False)
class Told:
    """What one judge says of the frames. Arrays are (n, n_emotions), NaN where it was not asked.

    judge: its id. seen_source, seen: its probabilities. asked: the strength asked for of each emotion; NaN where the
    film does not say.
    """

    judge: str
    emotions: tuple[Emotion, ...]
    seen_source: Float64
    seen: Float64
    asked: Float64

    def summary(self, is_edited: np.ndarray) -> dict[str, float | None]:
        """Of each emotion that was asked for: how much of it is seen, and whether it follows what was asked for."""
        numbers: dict[str, float | None] = {}
        for i, emotion in enumerate(self.emotions):
            known = np.isfinite(self.seen[:, i]) & np.isfinite(self.asked[:, i])
            if (self.asked[known, i] == 0).all():
                continue
            numbers[f"{emotion.word}_seen"] = _mean(self.seen[known & is_edited, i])
            numbers[f"{emotion.word}_seen_source"] = _mean(self.seen_source[known & is_edited, i])
            r = pearson(self.asked[known, i], self.seen[known, i])
            numbers[f"{emotion.word}_follows"] = r if np.isfinite(r) else None
        return numbers


@dataclass(frozen=True, eq=False)
class FilmMeasures:
    """What is measured of the frames that show the face that was edited; rows of all arrays are such frames.

    frames: numbers, times_s: (n,). boxes: (n, 4) of the faces: left, top, right, bottom, px. changed: mean levels by
    which the face differs from the source's. outside: the same of all that is not within its hull. warped_source,
    warped: what optical flow leaves of the difference from the frame before, in levels; NaN at a track's first frame.
    trembles_source, trembles: second differences of landmarks, in eye distances. distance: of dlib's descriptors,
    source to edit; NaN where not asked. told: by each judge. facts: of the files.
    """

    source: Clip
    edited: Clip
    frames: np.ndarray
    times_s: Float64
    boxes: np.ndarray
    changed: Float64
    outside: Float64
    warped_source: Float64
    warped: Float64
    trembles_source: Float64
    trembles: Float64
    distance: Float64
    told: tuple[Told, ...]
    facts: Mapping[str, Any]

    @property
    def is_edited(self) -> np.ndarray:
        """Which of the frames were changed."""
        return self.changed > CHANGED_LEVELS

    def summary(self) -> dict[str, float | None]:
        """The numbers of a report; None where there is nothing to tell. Ratios are over the source's own.

        Names of what is seen by other judges than the first end with the judge's id.
        """
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
        for i, each in enumerate(self.told):
            numbers |= {f"{name} ({each.judge})" if i else name: n for name, n in each.summary(edited).items()}
        return {name: value if value is None else round(value, 4) for name, value in numbers.items()}


def measure_film(
    source: Path,
    edited: Path,
    judges: Sequence[PanelJudge] = (),
    *,
    detector: Detector = "auto",
    min_face_px: int = MIN_FACE_PX,
    work: Path | None = None,
    tell: Tell | None = None,
) -> FilmMeasures:
    """Measure an edited film against its source.

    The films have the same frames, in the same size. Of several people the one whose face was changed most is measured.
    work: a folder for what is measured, in which an earlier call that was stopped left the same; it stays.
    Raises ClipError for films that do not belong together, NoFaceError without a face.
    """
    clips = read_clip(source), read_clip(edited)
    forms = [stored(clip, ".mkv").form for clip in clips]
    if (forms[0].width, forms[0].height) != (forms[1].width, forms[1].height):
        raise ClipError(
            f"{edited.name} has {forms[1].width}x{forms[1].height} px, but {source.name} {forms[0].width}x"
            f"{forms[0].height}; name the film that it was made from (a preview has none)."
        )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if work is None else work
        passes = Passes(clips[0], forms[0], folder / "measures", folder, tell)
        seen = passes.watched(
            lambda photo: sure_faces(photo, min_face_px, detector, SURE_SCORE), lambda photo, face: _nobody(photo, face)
        )
        tracks = _edited_person(seen, clips)
        rows = measured_rows(clips, tracks, judges, passes)
    return _joined(clips, seen, tracks, judges, rows, _plan_of(clips[1]))


def measure_key(source: Path, edited: Path, judges: Sequence[PanelJudge]) -> str:
    """What tells the measures of two films by these judges from all others."""
    asked = [VERSION, file_digest(source), file_digest(edited), *(judge.id for judge in judges)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _nobody(photo: Photo, face: Landmarks) -> Described:
    return Described(descriptor_of(photo, face), np.zeros(0, np.float32))


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
                    left, top, right, bottom = box_of(track.points[one.number - track.frames.start], apart.shape)
                    change[i] += float(apart[top:bottom, left:right].mean()) if right > left and bottom > top else 0.0
    return list(seen.persons[int(np.argmax(change))])


def _joined(
    clips: tuple[Clip, Clip], seen: Watched, tracks: Sequence[Track], judges: Sequence[PanelJudge],
    rows: Sequence[Row], plan: FilmPlan | None,
) -> FilmMeasures:  # fmt: skip
    trembles = []
    for name in ("points_source", "points"):
        parts = [
            unsteadiness(np.stack([getattr(row, name) for row in rows if row.number in track.frames]))
            for track in sorted(tracks, key=lambda track: track.frames.start)
        ]
        trembles.append(np.concatenate(parts))
    numbers = np.array([row.number for row in rows], np.int64)
    times_s = seen.times_s[numbers]

    def column(name: str) -> Float64:
        return np.array([getattr(row, name) for row in rows], np.float64)

    return FilmMeasures(
        clips[0], clips[1], numbers, times_s, np.array([row.box for row in rows], np.int64), column("changed"),
        column("outside"), column("warped_source"), column("warped"), trembles[0], trembles[1], column("distance"),
        _told(judges, column("seen_source"), column("seen"), times_s, plan), _facts(clips, seen),
    )  # fmt: skip


def _told(
    judges: Sequence[PanelJudge], seen_source: Float64, seen: Float64, times_s: Float64, plan: FilmPlan | None
) -> tuple[Told, ...]:
    found, start = [], 0
    for judge in judges:
        own = slice(start, start + len(judge.emotions))
        asked = np.full((len(times_s), len(judge.emotions)), np.nan)
        if plan is not None:
            asked = np.array([_asked(plan, float(t), judge.emotions) for t in times_s])
        found.append(Told(judge.id, judge.emotions, seen_source[:, own], seen[:, own], asked))
        start = own.stop
    return tuple(found)


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
    sounds = [sound_of(clip) for clip in clips]
    return {
        "n_frames": len(seen.times_s),
        "n_people": len(seen.persons),
        "n_scenes": len(seen.scenes) + 1,
        "duration_s": [round(clip.duration_s, 4) for clip in clips],
        "sound": "none" if not sounds[0] else "the same, bit for bit" if sounds[0] == sounds[1] else "another",
    }


def sound_of(clip: Clip) -> list[str]:
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
