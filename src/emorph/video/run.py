"""From a film to the same film with another expression. Read top to bottom.

    film ............ is opened, and what its result can hold is known       clip.py, encode.py
    frames .......... are looked at: faces detected, and followed            passes.py, look.py
    faces ........... become tracks, tracks people, and one is chosen        tracks.py, smooth.py
    track ........... has one code, one tone and a strength at each time     draw.py, keyframes.py
    frame ........... takes over what has changed, and is encoded            frames.py, encode.py
    segments ........ are joined, with the sound of the source               encode.py

What is looked at and what is encoded is written in segments of SEGMENT_FRAMES, each of which depends on the film alone:
a run that was stopped goes on with the first that is missing, and ends as if it had not stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emorph.core.errors import NoFaceError
from emorph.core.types import AlignedFace, Float64, Landmarks, Photo, Target
from emorph.edit.batch import Batch, FileEdit, FileReport, Watch
from emorph.edit.change import CropChange
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.video.clip import Clip, read_clip
from emorph.video.draw import TrackCode, aligned, changes, pasted, read_code, steadied, track_code
from emorph.video.encode import Stored, check_gif, check_holds, join, segment, stored
from emorph.video.frames import Frame, previewed, with_change
from emorph.video.look import Described
from emorph.video.pace import STAGES, Tell
from emorph.video.passes import Passes, is_made, person_of, resumed, sure_faces
from emorph.video.plan import FilmPlan, film_metadata, film_paths, key_of
from emorph.video.tracks import Track, chosen

if TYPE_CHECKING:
    from av import VideoFrame

SEGMENT_FRAMES = 48
BATCH_FRAMES = 8  # whose faces are drawn together
REACH_FRAMES = 2  # on both sides, by whose changes one is steadied
_Key = tuple[int, int]  # of a face: its track, and its frame


def edit_films(
    editor: Editor,
    clips: Sequence[str | Path],
    out: str | Path,
    plan: FilmPlan,
    *,
    again: bool = False,
    watch: Watch | None = None,
    tell: Tell | None = None,
) -> FileReport:
    """Edit the faces of films; one that fails does not end the others.

    out: a folder, where each result is NAME_happy.mp4 (or as the source is); or a film's name, for one. again: redo
    what an earlier call finished, and what it left half done. tell: is told of progress.
    Of each result, ``made`` says how many frames it has and how many were changed, the shares of time, and remarks.
    Raises ConfigError, ClipError for what no film can be done with, UnknownNameError for an emotion.
    """
    sources = [Path(clip) for clip in clips]
    paths = film_paths(sources, Path(out), plan.word)
    editor.check_targets([key.value for key in plan.targets])
    batch, edits = Batch(watch), []
    batch.watch.start(len(sources))
    for source, path in zip(sources, paths, strict=True):
        with batch.item(source.name):
            edits.append(edit_film(editor, source, path, plan, again=again, tell=tell))
            batch.watch.written(edits[-1])
    return FileReport(tuple(edits), tuple(batch.failures), sum(not edit.seconds for edit in edits))


def edit_film(
    editor: Editor, source: Path, out: Path, plan: FilmPlan, *, again: bool = False, tell: Tell | None = None
) -> FileEdit:
    """Edit the faces of one film. Raises ClipError, NoFaceError; KeyboardInterrupt says what is kept."""
    clip = read_clip(source)
    check_holds(clip, out.suffix.lower(), out.parent)
    if out.suffix.lower() == ".gif" and not plan.preview:
        check_gif(clip)
    key = key_of(editor, source, plan, out.suffix.lower())
    if not again and is_made(out, key):
        return FileEdit(source, (out,), 0.0, 0)
    return resumed(out, key, lambda work: _Film(editor, clip, out, plan, work, tell).made(key), again=again)


class _Film:
    """One film on its way."""

    def __init__(self, editor: Editor, clip: Clip, out: Path, plan: FilmPlan, work: Path, tell: Tell | None) -> None:
        self.editor, self.clip, self.out, self.plan = editor, clip, out, plan
        held = stored(clip, out.suffix.lower())
        form = previewed(held.form) if plan.preview else held.form
        self.stored = Stored(held.codec, form, held.remarks)
        self.passes = Passes(clip, form, out, work, tell)
        self.clock = self.passes.clock

    def made(self, key: str) -> FileEdit:
        """Look, edit and join. Raises as ``edit_film``."""
        started = time.perf_counter()
        seen = self.passes.watched(self._detect, self._describe)
        tracks = chosen(seen.persons, person_of(self.plan.face, self.editor.detector), self.clip.name)
        n_edited = self._edit(tracks, seen.times_s)
        metadata = film_metadata(self.editor, self.plan, key)
        with self.clock.of("encode"):
            join(self.clip, self.passes.segments(), self.out, self.stored, metadata, self.stored.form.until_s)
        seconds = time.perf_counter() - started
        facts = {
            "n_frames": len(seen.times_s), "n_frames_edited": n_edited, "n_people": len(seen.persons),
            "n_tracks": len(tracks), "n_scenes": len(seen.scenes) + 1,
            "frames_per_second": round(len(seen.times_s) / seconds, 2),
            "seconds": {stage: round(self.clock.seconds[stage], 3) for stage in STAGES},
            "remarks": list(self.stored.remarks),
        }  # fmt: skip
        n_changed = sum(any(track is other for other in tracks) for person in seen.persons for track in person[:1])
        return FileEdit(
            self.clip.path, (self.out,), seconds, len(seen.persons), made=facts, remark=" ".join(self.stored.remarks),
            n_edited=n_changed, score=min(track.score for track in tracks),
        )  # fmt: skip

    # -- looking

    def _detect(self, photo: Photo) -> list[Landmarks]:
        return sure_faces(photo, self.plan.min_face_px, self.editor.detector, self.editor.min_score)

    def _describe(self, photo: Photo, face: Landmarks) -> Described:
        return Described(descriptor_of(photo, face), read_code(self.editor, photo, face))

    # -- editing

    def _edit(self, tracks: Sequence[Track], times_s: Float64) -> int:
        """Write the segments that are missing. Returns how many frames the film has that are changed."""
        codes = [track_code(self.editor, track.code) for track in tracks]
        wanted = self._wishes(tracks, times_s)
        pace = self.passes.pace("editing")
        if self.passes.all_made:
            return len(wanted)
        done = self.passes.segments()
        for number, frames in self.passes.groups():
            path = self.passes.segment_path(number)
            if path in done:
                pace(sum(1 for _ in frames))
                continue
            with segment(path, self.clip, self.stored) as made:
                for picture in self._edited(frames, _Desk(tracks, codes, wanted, times_s)):
                    with self.clock.of("encode"):
                        made.add(picture)
                    pace(1)
        return len(wanted)

    def _wishes(self, tracks: Sequence[Track], times_s: Float64) -> dict[int, list[_Wish]]:
        """What each frame that is changed is to show."""
        found: dict[int, list[_Wish]] = {}
        for number, track in enumerate(tracks):
            for at, frame in enumerate(track.frames):
                targets = self.plan.targets_at(float(times_s[frame]), float(track.presence[at]))
                if targets:
                    found.setdefault(frame, []).append(_Wish(number, at, targets))
        return found

    def _edited(self, frames: Iterator[Frame], desk: _Desk) -> Iterator[VideoFrame]:
        """The pictures of a segment's frames, changed where something is wished for.

        A frame waits until its neighbours are drawn, by whose changes its own is steadied.
        """
        held: list[Frame] = []
        while True:
            batch = list(itertools.islice(frames, BATCH_FRAMES))
            with self.clock.of("edit"):
                self._draw(batch, desk)
            held += batch
            n_ready = max(0, len(held) - REACH_FRAMES) if batch else len(held)
            for frame in held[:n_ready]:
                with self.clock.of("paste"):
                    picture = self._pasted(frame, desk)
                yield picture
            del held[:n_ready]
            if not batch:
                return
            desk.clear(held[0].number - REACH_FRAMES)

    def _draw(self, batch: Sequence[Frame], desk: _Desk) -> None:
        """Draw the faces of frames that follow each other, each track's together."""
        photos = {frame.number: Photo(frame.pixels()) for frame in batch if frame.number in desk.wanted}
        faces = self._faces(photos, desk.tracks, desk.wanted)
        for number, keys in itertools.groupby(sorted(faces), key=lambda key: key[0]):
            rows = list(keys)
            crops = [faces[key][0] for key in rows]
            found = changes(self.editor, crops, desk.codes[number], [faces[key][1] for key in rows])
            desk.drawn.update(zip(rows, found, strict=True))
        desk.photos.update(photos)
        desk.faces.update(faces)

    def _pasted(self, frame: Frame, desk: _Desk) -> VideoFrame:
        if frame.number not in desk.photos:
            return frame.picture
        photo = own = desk.photos.pop(frame.number)
        for key in [key for key in desk.faces if key[1] == frame.number]:
            face, targets = desk.faces.pop(key)
            change = steadied(desk.drawn[key], desk.around(key))
            photo = pasted(self.editor, photo, face, change, desk.codes[key[0]], targets)
        return with_change(frame.picture, own.pixels, photo.pixels)

    def _faces(
        self, photos: Mapping[int, Photo], tracks: Sequence[Track], wanted: Mapping[int, Sequence[_Wish]]
    ) -> dict[_Key, tuple[AlignedFace, tuple[Target, ...]]]:
        """The crops that are changed, by track and frame, and what they are to show."""
        faces = {}
        for frame, photo in photos.items():
            for wish in wanted[frame]:
                with contextlib.suppress(NoFaceError):  # the crop has left the picture, and the face all but has
                    face = aligned(self.editor, photo, tracks[wish.track], wish.at)
                    faces[wish.track, frame] = (face, wish.targets)
        return faces


@dataclass(frozen=True)
class _Wish:
    track: int
    at: int
    targets: tuple[Target, ...]


@dataclass
class _Desk:
    """What is held of a segment while it is edited: frames that are read, faces that are cut out, changes drawn."""

    tracks: Sequence[Track]
    codes: Sequence[TrackCode]
    wanted: Mapping[int, Sequence[_Wish]]
    times_s: Float64
    photos: dict[int, Photo] = field(default_factory=dict)
    faces: dict[_Key, tuple[AlignedFace, tuple[Target, ...]]] = field(default_factory=dict)
    drawn: dict[_Key, CropChange] = field(default_factory=dict)

    def around(self, key: _Key) -> list[tuple[float, CropChange]]:
        """The changes of a track's frames around one, itself among them, and how many seconds after it each is."""
        track, at = key
        near = [number for number in range(at - REACH_FRAMES, at + REACH_FRAMES + 1) if (track, number) in self.drawn]
        return [(float(self.times_s[number] - self.times_s[at]), self.drawn[track, number]) for number in near]

    def clear(self, before: int) -> None:
        """Forget changes of frames before one."""
        for key in [key for key in self.drawn if key[1] < before]:
            del self.drawn[key]
