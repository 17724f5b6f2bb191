"""The frames of a film, edited along its tracks.

    batch ........... frames are cut out and moved, and the network draws every so many of them      draw.py
    mouths .......... of a batch are painted together                                                mouths.py
    frame ........... takes over what was drawn and painted around it                                frames.py

Batches lie on one grid over the whole film: what a frame becomes does not depend on which others are wanted.
While one is painted and pasted, the next is drawn in another thread.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from emorph.core.errors import NoFaceError
from emorph.core.types import AlignedFace, Float64, Photo, Target
from emorph.edit.change import CropChange, kept_gray, paste
from emorph.edit.pipeline import Editor
from emorph.faces.paste import MovedFace, moved_face
from emorph.video.ahead import ahead
from emorph.video.draw import Drawn, TrackCode, aligned, drawings, part_around, steadied
from emorph.video.frames import Frame, Part, with_change
from emorph.video.keyframes import MOST_APART
from emorph.video.mouths import OpenMouth, PaintedMouth, open_mouth, own_inside, painted, with_mouth
from emorph.video.pace import Clock
from emorph.video.tracks import Track

if TYPE_CHECKING:
    from av import VideoFrame

BATCH_FRAMES = 12
REACH_FRAMES = MOST_APART  # on both sides, from which a frame takes over what is drawn; half a batch
T = TypeVar("T")
_Key = tuple[int, int]  # of a face: its track, and its frame


@dataclass(frozen=True)
class Wish:
    """What a face is to show: that of a track, in its ``at``-th frame."""

    track: int
    at: int
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Script:
    """What a film is to show. wishes: of each frame that is changed. every: how many frames the network draws one of.

    codes: of the tracks. shown_s: (n,) of all frames, see ``Watched``.
    """

    tracks: Sequence[Track]
    codes: Sequence[TrackCode]
    wishes: Mapping[int, Sequence[Wish]]
    shown_s: Float64
    every: int

    def is_drawn(self, wish: Wish, frame: int) -> bool:
        """Whether the network draws this face: in every so many frames, and where a change begins or ends."""
        beside = (frame - 1, frame + 1)
        return frame % self.every == 0 or not all(self._is_shown(wish.track, number) for number in beside)

    def _is_shown(self, track: int, frame: int) -> bool:
        return any(wish.track == track for wish in self.wishes.get(frame, ()))


@dataclass
class _Face:
    wish: Wish
    face: AlignedFace
    move: CropChange
    moved: MovedFace | None = None


@dataclass
class _Sheet:
    """A frame that is worked on. part: that holds its faces; photo: its pixels there."""

    frame: Frame
    part: Part | None = None
    photo: Photo | None = None
    faces: list[_Face] = field(default_factory=list)


@dataclass(frozen=True)
class _Batch:
    sheets: list[_Sheet]
    drawn: dict[_Key, Drawn]
    stop: int  # the frame after its last


class FrameEditor:
    """Edits a film's frames as its script says."""

    def __init__(self, editor: Editor, script: Script, clock: Clock) -> None:
        self._editor, self._script, self._clock = editor, script, clock
        self._drawn: dict[_Key, Drawn] = {}
        self._mouths: dict[_Key, PaintedMouth] = {}
        whens = [script.shown_s[track.frames.start : track.frames.stop] for track in script.tracks]
        self._own = [own_inside(track.points, when) for track, when in zip(script.tracks, whens, strict=True)]

    def pictures(self, frames: Iterator[Frame], is_wanted: Callable[[int], bool]) -> Generator[tuple[int, VideoFrame]]:
        """The numbers and pictures of the frames that are wanted, in their order."""
        held: list[_Sheet] = []
        with contextlib.closing(ahead(self._batches(frames, is_wanted))) as batches:
            for batch in batches:
                held += batch.sheets
                self._drawn |= batch.drawn
                with self._clock.of("paste"):
                    self._paint(batch)
                n_ready = sum(sheet.frame.number < batch.stop - REACH_FRAMES for sheet in held)
                yield from self._group(held[:n_ready], is_wanted)
                del held[:n_ready]
                self._forget(batch.stop - 2 * REACH_FRAMES)
        yield from self._group(held, is_wanted)

    def _batches(self, frames: Iterator[Frame], is_wanted: Callable[[int], bool]) -> Generator[_Batch]:
        """Frames that are worked on together, their faces moved and some of them drawn."""
        for number, group in itertools.groupby(frames, key=lambda frame: frame.number // BATCH_FRAMES):
            start, stop = number * BATCH_FRAMES, (number + 1) * BATCH_FRAMES
            if not any(map(is_wanted, range(max(0, start - REACH_FRAMES), stop + REACH_FRAMES))):
                for _ in group:
                    pass
                continue
            sheets = [_Sheet(frame) for frame in group]
            with self._clock.of("edit"):
                drawn = self._draw(sheets)
            yield _Batch(sheets, drawn, sheets[-1].frame.number + 1)

    def _draw(self, sheets: Sequence[_Sheet]) -> dict[_Key, Drawn]:
        """Cut out and move the faces of frames that follow each other; what the network draws of them."""
        rows: dict[int, list[tuple[_Sheet, Wish, AlignedFace]]] = {}
        for sheet in sheets:
            for wish, face in self._cut_out(sheet):
                rows.setdefault(wish.track, []).append((sheet, wish, face))
        found: dict[_Key, Drawn] = {}
        for track, of_track in rows.items():
            asked = [wish.targets for _, wish, _ in of_track]
            is_drawn = [self._script.is_drawn(wish, sheet.frame.number) for sheet, wish, _ in of_track]
            faces = [face for _, _, face in of_track]
            moves, drawn = drawings(self._editor, faces, self._script.codes[track], asked, is_drawn)
            all_drawn = len(drawn) == len(of_track)
            numbers = [row[0].frame.number for row, yes in zip(of_track, is_drawn, strict=True) if yes or all_drawn]
            found |= {(track, number): each for number, each in zip(numbers, drawn, strict=True)}
            for (sheet, wish, face), move in zip(of_track, moves, strict=True):
                sheet.faces.append(_Face(wish, face, move))
        return found

    def _cut_out(self, sheet: _Sheet) -> Iterator[tuple[Wish, AlignedFace]]:
        script, frame = self._script, sheet.frame
        wishes = script.wishes.get(frame.number, ())
        if not wishes:
            return
        places = [(script.tracks[wish.track], wish.at) for wish in wishes]
        sheet.part = part_around(self._editor, places, (frame.picture.width, frame.picture.height))
        sheet.photo = Photo(frame.pixels(sheet.part))
        for wish, (track, at) in zip(wishes, places, strict=True):
            with contextlib.suppress(NoFaceError):  # the crop has left the picture, and the face all but has
                yield wish, aligned(self._editor, sheet.photo, sheet.part.corner, track, at)

    def _paint(self, batch: _Batch) -> None:
        """Paint the mouths of a batch together."""
        painter = self._editor.painter
        if painter is None:
            return
        found: list[tuple[_Key, OpenMouth]] = []
        for sheet in batch.sheets:
            for each in sheet.faces:
                if sheet.photo is None or each.move.motion is None:
                    continue
                each.moved = moved_face(sheet.photo, each.face, each.move.motion)
                pixels, whites = each.moved.in_photo(sheet.photo), self._script.codes[each.wish.track].whites
                own = float(self._own[each.wish.track][each.wish.at])
                mouth = open_mouth(painter, each.face, each.move, pixels, each.wish.targets, whites, own)
                found += [] if mouth is None else [((each.wish.track, sheet.frame.number), mouth)]
        paintings = painted(painter, [mouth for _, mouth in found])
        self._mouths |= {key: painting for (key, _), painting in zip(found, paintings, strict=True)}

    def _group(self, sheets: Sequence[_Sheet], is_wanted: Callable[[int], bool]) -> Iterator[tuple[int, VideoFrame]]:
        """Paste what is drawn into frames that follow each other."""
        for sheet in sheets:
            if not is_wanted(sheet.frame.number):
                continue
            with self._clock.of("paste"):
                picture = sheet.frame.picture
                if sheet.photo is not None:
                    picture = with_change(picture, sheet.photo.pixels, self._pasted(sheet).pixels, sheet.part)
            yield sheet.frame.number, picture

    def _pasted(self, sheet: _Sheet) -> Photo:
        """The frame's part with its faces changed."""
        if sheet.photo is None:
            raise ValueError("a frame without faces has nothing to paste.")
        photo = sheet.photo
        for i, each in enumerate(sheet.faces):
            key = (each.wish.track, sheet.frame.number)
            around = self._around(key, self._drawn)
            if around:
                change = steadied(each.move, around)
                photo = paste(photo, each.face, change, None if i else each.moved)
        for each in sheet.faces:
            key = (each.wish.track, sheet.frame.number)
            if key in self._mouths:
                photo = with_mouth(photo, self._mouths[key], self._around(key, self._mouths))
        for each in sheet.faces:
            photo = kept_gray(sheet.photo, photo, each.face)
        return photo

    def _around(self, key: _Key, of_frames: Mapping[_Key, T]) -> list[tuple[float, T]]:
        """What there is of a track around a frame, and how many seconds after it."""
        track, at = key
        shown_s = self._script.shown_s
        near = [number for number in range(at - REACH_FRAMES, at + REACH_FRAMES + 1) if (track, number) in of_frames]
        return [(float(shown_s[number] - shown_s[at]), of_frames[track, number]) for number in near]

    def _forget(self, before: int) -> None:
        self._drawn = {key: drawn for key, drawn in self._drawn.items() if key[1] >= before}
        self._mouths = {key: mouth for key, mouth in self._mouths.items() if key[1] >= before}
