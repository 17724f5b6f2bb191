"""From a film to the same film with another expression. Read top to bottom.

    film ............ is opened, and what its result can hold is known       clip.py, encode.py
    frames .......... are looked at: faces detected, and followed            passes.py, look.py
    faces ........... become tracks, tracks people, and one is chosen        tracks.py, smooth.py
    track ........... has one code, one tone and a strength at each time     draw.py, keyframes.py
    frame ........... takes over what has changed, and is encoded            edited.py, encode.py
    segments ........ are joined, with the sound of the source               encode.py

What is looked at and what is encoded is written in segments of SEGMENT_FRAMES, each of which depends on the film alone:
a run that was stopped goes on with the first that is missing, and ends as if it had not stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from emorph.core.files import names_apart
from emorph.core.types import Float64, Landmarks, Photo
from emorph.edit.batch import Batch, FileEdit, FileReport, Watch
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.faces.turned import taken_share
from emorph.video.clip import Clip, read_clip
from emorph.video.draw import read_code, track_code
from emorph.video.edited import FrameEditor, Script, Wish
from emorph.video.encode import Stored, check_gif, check_holds, join, segment, stored
from emorph.video.frames import previewed
from emorph.video.look import Described
from emorph.video.pace import Tell
from emorph.video.passes import Passes, Watched, is_made, person_of, resumed, sure_faces
from emorph.video.plan import FilmPlan, film_metadata, film_paths, key_of
from emorph.video.tracks import Track, chosen


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
    batch, edits, names = Batch(watch), [], names_apart(sources)
    batch.watch.start(len(sources))
    for source, path in zip(sources, paths, strict=True):
        with batch.item(names[source]):
            edits.append(edit_film(editor, source, path, plan, again=again, tell=tell))
            batch.watch.written(edits[-1])
    return FileReport(tuple(edits), tuple(batch.failures), sum(not edit.seconds for edit in edits))


def edit_film(
    editor: Editor, source: Path, out: Path, plan: FilmPlan, *, again: bool = False, tell: Tell | None = None
) -> FileEdit:
    """Edit the faces of one film. Raises ClipError, NoFaceError; KeyboardInterrupt says what is kept."""
    clip = read_clip(source)
    check_holds(clip, out.suffix.lower())
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
        n_edited = self._edit(tracks, seen)
        metadata = film_metadata(self.editor, self.plan, key)
        with self.clock.of("encode"):
            join(self.clip, self.passes.segments(), self.out, self.stored, metadata, self.stored.form.until_s)
        seconds = time.perf_counter() - started
        remarks = [*self.stored.remarks, *self._held_back(tracks, seen.times_s)]
        facts = {
            "n_frames": len(seen.times_s), "n_frames_edited": n_edited, "n_people": len(seen.persons),
            "n_tracks": len(tracks), "n_scenes": len(seen.scenes) + 1,
            "frames_per_second": round(len(seen.times_s) / seconds, 2),
            **self.clock.as_facts(),
            "remarks": remarks,
        }  # fmt: skip
        n_changed = sum(any(track is other for other in tracks) for person in seen.persons for track in person[:1])
        return FileEdit(
            self.clip.path, (self.out,), seconds, len(seen.persons), made=facts, remark=" ".join(remarks),
            n_edited=n_changed, score=min(track.score for track in tracks),
        )  # fmt: skip

    # -- looking

    def _detect(self, photo: Photo) -> list[Landmarks]:
        return sure_faces(photo, self.plan.min_face_px, self.editor.detector, self.editor.min_score)

    def _describe(self, photo: Photo, face: Landmarks) -> Described:
        return Described(descriptor_of(photo, face), read_code(self.editor, photo, face))

    # -- editing

    def _edit(self, tracks: Sequence[Track], seen: Watched) -> int:
        """Write the segments that are missing. Returns how many frames the film has that are changed."""
        wishes = self._wishes(tracks, seen.times_s)
        pace = self.passes.pace("editing")
        if self.passes.all_made:
            return len(wishes)
        done = set(self.passes.segments())
        codes = [track_code(self.editor, track.code) for track in tracks]
        every = self.plan.draw_every_at(float(self.clip.rate))
        edited = FrameEditor(self.editor, Script(tracks, codes, wishes, seen.shown_s, every), self.clock)

        def is_wanted(number: int) -> bool:
            return self.passes.path_of(number) not in done

        pace(sum(not is_wanted(number) for number in range(self.passes.n_frames)))
        with contextlib.closing(edited.pictures(self.passes.frames(), is_wanted)) as pictures:
            for path, group in itertools.groupby(pictures, key=lambda pair: self.passes.path_of(pair[0])):
                with segment(path, self.clip, self.stored) as made:
                    for _, picture in group:
                        with self.clock.of("encode"):
                            made.add(picture)
                        pace(1)
        return len(wishes)

    def _held_back(self, tracks: Sequence[Track], times_s: Float64) -> list[str]:
        """A sentence on frames in which a face is nearly in profile and takes a part of its edit only."""
        wishes = self._wishes(tracks, times_s).values() if self.editor.moves_faces else []
        n_held = sum(any(taken_share(tracks[each.track].points[each.at]) < 1 for each in row) for row in wishes)
        many = f"in {n_held} of the {len(wishes)} frames that were changed"
        return [f"{self.clip.name}: {many}, a face is turned far to the side: its edit is held back."] if n_held else []

    def _wishes(self, tracks: Sequence[Track], times_s: Float64) -> dict[int, list[Wish]]:
        """What each frame that is changed is to show."""
        found: dict[int, list[Wish]] = {}
        for number, track in enumerate(tracks):
            for at, frame in enumerate(track.frames):
                targets = self.plan.targets_at(float(times_s[frame]), float(track.presence[at]))
                if targets:
                    found.setdefault(frame, []).append(Wish(number, at, targets))
        return found
