"""What all work on a film shares: passes over its frames in segments that a stopped run does not do again."""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emorph.core.errors import ClipError, EmorphError
from emorph.core.files import is_file, replace_file
from emorph.core.images import read_photo
from emorph.core.types import Float32, Float64, Landmarks, Photo
from emorph.edit.batch import FileEdit
from emorph.edit.replaced import said_of_replaced
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.faces.detect import Detector, find_faces
from emorph.faces.select import select_faces
from emorph.video.clip import Clip, opened, parser_of
from emorph.video.encode import writing
from emorph.video.frames import Form, Frame, read_frames
from emorph.video.look import Describe, Detect, Seen, Stretch, cuts, look
from emorph.video.pace import Clock, Pace, Tell
from emorph.video.tracks import Track, persons_of, tracks_of

SEGMENT_FRAMES = 48


@dataclass(frozen=True)
class Watched:
    """What a film shows. times_s: (n,) of its frames, the first at 0. pts: the same as ticks. persons: their tracks.

    shown_s: (n,), since when each frame's picture is shown: of frames that repeat it, the time of the first.
    """

    times_s: Float64
    shown_s: Float64
    pts: tuple[int, ...]
    scenes: tuple[int, ...]
    persons: tuple[list[Track], ...]


class Passes:
    """One film on its way to ``out``, read as ``form`` says; what is finished lies in the folder ``work``."""

    def __init__(self, clip: Clip, form: Form, out: Path, work: Path, tell: Tell | None) -> None:
        self.clip, self.form, self.out, self.work = clip, form, out, work
        self.clock = Clock()
        self._tell = tell
        self.n_frames = clip.n_frames or max(1, round(clip.duration_s * float(clip.rate)))
        if form.until_s is not None:
            self.n_frames = min(self.n_frames, round(form.until_s * float(clip.rate)))

    def watched(self, detect: Detect, describe: Describe) -> Watched:
        """Look at all frames; those that a stopped run looked at are not looked at again. Raises ClipError."""
        looked_at = self._look(detect, describe)
        stretches = [one.until(other.first) for one, other in itertools.pairwise(looked_at)] + looked_at[-1:]
        pts = np.concatenate([stretch.pts for stretch in stretches])
        times_s = (pts.astype(np.float64) - pts[0]) * float(self.clip.time_base)
        self.n_frames = len(pts)
        seen: list[Seen] = [face for stretch in stretches for face in stretch.faces]
        scenes = cuts(np.concatenate([stretch.thumbs for stretch in stretches]))
        repeats = np.concatenate([stretch.repeats for stretch in stretches])
        shown_s = np.maximum.accumulate(np.where(repeats, 0.0, times_s))
        persons = persons_of(tracks_of(seen, times_s, scenes, shown_s))
        return Watched(times_s, shown_s, tuple(map(int, pts)), tuple(scenes), tuple(persons))

    def frames(self) -> Iterator[Frame]:
        """All frames."""
        return self.clock.each("decode", read_frames(self.clip, self.form))

    def path_of(self, frame: int) -> Path:
        """Where the segment of a frame lies."""
        return self.segment_path(frame // SEGMENT_FRAMES)

    def segment_path(self, number: int) -> Path:
        """Where the pictures of a segment lie once they are encoded."""
        return self.work / f"film_{number:06d}.nut"

    def segments(self) -> list[Path]:
        """Those that are finished."""
        return sorted(self.work.glob("film_*.nut"))

    @property
    def all_made(self) -> bool:
        """Whether every segment is finished."""
        return len(self.segments()) == -(-self.n_frames // SEGMENT_FRAMES)

    def pace(self, what: str) -> Pace:
        """Tells how fast frames pass."""
        return Pace(f"{self.clip.name}: {what}", self.n_frames, self._tell)

    def _look(self, detect: Detect, describe: Describe) -> list[Stretch]:
        whole = self.work / "looked_at"
        found = self._looked_at()
        if whole.is_file() and len(found) == int(whole.read_text()):
            return [stretch for _, stretch in sorted(found.items())]
        pace = self.pace("finding faces")
        for number, frames in _overlapping(map(pace.passed, self.frames())):
            if number in found:
                collections.deque(frames, maxlen=0)
                continue
            with self.clock.of("detect"):
                found[number] = look(frames, detect, describe, found.get(number - 1))
            with writing(self.out):
                found[number].save(self.work / f"look_{number:06d}.npz")
        if sum(len(stretch.pts) for stretch in found.values()) < 2:
            raise ClipError(f"{self.clip.name} has fewer than two frames that can be read; edit it as a picture.")
        with writing(self.out):
            replace_file(whole, str(len(found)).encode())
        return [stretch for _, stretch in sorted(found.items())]

    def _looked_at(self) -> dict[int, Stretch]:
        read = {int(path.stem[5:]): Stretch.load(path) for path in self.work.glob("look_*.npz")}
        return {number: stretch for number, stretch in read.items() if stretch is not None}


def _overlapping(frames: Iterator[Frame]) -> Iterator[tuple[int, Iterator[Frame]]]:
    """The frames of each segment and the one after, with which the next begins; each to be read to its end."""
    following = next(frames, None)

    def of_segment(number: int, frame: Frame | None) -> Iterator[Frame]:
        nonlocal following
        following = None
        while frame is not None:
            yield frame
            if frame.number // SEGMENT_FRAMES != number:
                following = frame
                return
            frame = next(frames, None)

    while following is not None:
        number = following.number // SEGMENT_FRAMES
        yield number, of_segment(number, following)


def is_made(out: Path, key: str) -> bool:
    """Whether the film at ``out`` says that it was made so."""
    try:
        with out.open("rb") as file:
            parser = parser_of(file.read(512))
        with opened(out, parser) as container:
            said = {name.lower(): text for name, text in container.metadata.items()}
        return bool(parser) and bool(json.loads(said["comment"])["key"] == key)
    except (OSError, EmorphError, KeyError, ValueError, TypeError):
        return False


def resumed(out: Path, key: str, make: Callable[[Path], FileEdit], *, again: bool) -> FileEdit:
    """Make a film in a folder beside ``out``, which keeps what is finished until it is whole.

    make: is given the folder, in which lies what an earlier run of the same key left there. The remark of what it made
    also names another file whose place it took. Raises as it does; KeyboardInterrupt says what is kept.
    """
    others = [out.name] if is_file(out) and not is_made(out, key) else []
    is_new = not out.parent.exists()
    work = _work_folder(out, key, again=again)
    try:
        made = make(work)
    except KeyboardInterrupt:
        n = len(list(work.glob("film_*.nut")))
        what = f"segment of {out.name} is" if n == 1 else f"segments of {out.name} are"
        raise KeyboardInterrupt(f"{n} finished {what} kept in {work}; run the same command again to go on.") from None
    except EmorphError:
        if not any(work.glob("film_*.nut")):
            shutil.rmtree(work, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):
                    out.parent.rmdir()  # unless something else lies there by now
        raise
    shutil.rmtree(work, ignore_errors=True)
    return replace(made, remark=" ".join(filter(None, (made.remark, said_of_replaced(others)))))


def _work_folder(out: Path, key: str, *, again: bool) -> Path:
    """Beside ``out``, with what an earlier run of the same left there."""
    work = out.with_name(f".{out.name[:60]}.work")
    told = work / "key"
    if again or not told.is_file() or told.read_text(encoding="utf-8", errors="replace") != key:
        shutil.rmtree(work, ignore_errors=True)
    with writing(out):
        work.mkdir(parents=True, exist_ok=True)
        replace_file(told, key.encode())
    return work


def sure_faces(photo: Photo, min_face_px: int, detector: Detector, min_score: float) -> list[Landmarks]:
    """The faces of a frame that are followed: detected well enough, with points that can be trusted."""
    found = find_faces(photo, min_face_px=min_face_px, detector=detector, min_score=min_score)
    return [face for face in found if face.score >= min_score and not face.doubt]


def person_of(word: str, detector: Detector) -> str | Float32:
    """Whom ``chosen`` is to choose: a word or number, or of a still's path the descriptor of its person."""
    still = Path(word)
    if not still.is_file():
        return word
    photo = read_photo(still)
    (face,) = select_faces(find_faces(photo, detector=detector), "largest", photo)
    return descriptor_of(photo, face)


def missing(passes: Passes) -> Iterator[tuple[Path, range]]:
    """The segments that are not finished: where they are to lie, and the numbers of their frames."""
    done = {path.name for path in passes.segments()}
    for number, first in enumerate(range(0, passes.n_frames, SEGMENT_FRAMES)):
        path = passes.segment_path(number)
        if path.name not in done:
            yield path, range(first, min(first + SEGMENT_FRAMES, passes.n_frames))
