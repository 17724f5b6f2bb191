"""Where the faces of a stretch of film are: detected now and then, and followed in between, forwards and backwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from emorph.core.files import NPZ_ERRORS, written_beside
from emorph.core.landmarks import INNER
from emorph.core.types import Float32, Float64, Landmarks, Photo, UInt8
from emorph.faces.detect import known_face, refine_points
from emorph.video.frames import Frame

DETECT_EVERY = 12  # frames; faces are followed in between
SMALL_PX, THUMB_PX = (96, 54), (32, 18)
REPEAT_LEVELS = 5  # most that encoding changes a small frame of a picture that is shown twice; motion changes 6 or more
CUT_LEVELS = 28.0  # mean change of a thumb's levels between two frames that is a cut, unless such changes are usual
LEAST_LEVELS = 1.0  # mean change below which nothing is a cut
CUT_ALIKE = 0.5  # correlation of two frames' brightness; pans stay above it, scenes lie below (0 to 0.3 in test films)
CUT_RATIO = 4.0  # times the median of the changes around it
SAME_PATCH = 0.6  # correlation of a followed face with itself a frame before; below, it is lost
PATCH_PX = 32
SAME_POINTS = 0.03  # of a face's diagonal: points that lie nearer on average are those of one face
FAR_POINTS, MOST_READINGS = 0.04, 3  # the same, beyond which a face is looked for, or read again, so often at most
OFF_POINTS = 0.02  # the same, beyond which points read in the box around them are off those of the detector's own box
SAME_BOX = 0.3  # share of two boxes' union that both cover

Detect = Callable[[Photo], list[Landmarks]]
Describe = Callable[[Photo, Landmarks], "Described"]


@dataclass(frozen=True, eq=False)
class Described:
    """What is kept of a face that was detected. person: (128,) of the recogniser. code: what the editor reads of it."""

    person: Float32
    code: Float32


@dataclass(frozen=True, eq=False)
class Seen:
    """A face in a frame. points: float32 (68, 2) in px. described: where it was detected, None where followed."""

    frame: int
    points: Float32
    score: float
    described: Described | None = None


@dataclass(frozen=True, eq=False)
class Stretch:
    """What was seen in some frames: pts (n,) in ticks, thumbs uint8 (n, h, w, 3), faces.

    repeats: (n,), whether each shows the picture of the frame before once more. shown: the last picture, at SMALL_PX,
    that was no such repeat.
    """

    first: int
    pts: tuple[int, ...]
    thumbs: UInt8
    repeats: tuple[bool, ...]
    faces: tuple[Seen, ...]
    shown: UInt8

    @property
    def last(self) -> int:
        """The number of the last frame."""
        return self.first + len(self.pts) - 1

    def until(self, stop: int) -> Stretch:
        """The same without the frames from number ``stop`` on."""
        n, faces = stop - self.first, tuple(face for face in self.faces if face.frame < stop)
        return replace(self, pts=self.pts[:n], thumbs=self.thumbs[:n], repeats=self.repeats[:n], faces=faces)

    def save(self, path: Path) -> None:
        """Write an .npz file that appears whole."""
        sure = [face.described for face in self.faces if face.described is not None]
        rows = {
            "first": np.array(self.first),
            "pts": np.array(self.pts, np.int64),
            "thumbs": self.thumbs,
            "repeats": np.array(self.repeats, bool),
            "shown": self.shown,
            "frame": np.array([face.frame for face in self.faces], np.int64),
            "points": np.array([face.points for face in self.faces], np.float32).reshape(-1, 68, 2),
            "score": np.array([face.score for face in self.faces], np.float64),
            "is_described": np.array([face.described is not None for face in self.faces], bool),
            "person": np.array([each.person for each in sure], np.float32),
            "code": np.array([each.code for each in sure], np.float32),
        }
        with written_beside(path) as draft, draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **rows)

    @classmethod
    def load(cls, path: Path) -> Stretch | None:
        """What ``save`` wrote; None for a file that is not there or not whole."""
        try:
            with np.load(path, allow_pickle=False) as rows:
                described = (Described(*pair) for pair in zip(rows["person"], rows["code"], strict=True))
                faces = tuple(
                    Seen(int(frame), points, float(score), next(described) if sure else None)
                    for frame, points, score, sure in zip(
                        rows["frame"], rows["points"], rows["score"], rows["is_described"], strict=True
                    )
                )
                pts, repeats = tuple(map(int, rows["pts"])), tuple(map(bool, rows["repeats"]))
                return cls(int(rows["first"]), pts, rows["thumbs"], repeats, faces, rows["shown"])
        except (*NPZ_ERRORS, StopIteration):
            return None


def look(frames: Iterable[Frame], detect: Detect, describe: Describe, before: Stretch | None = None) -> Stretch:
    """What is to be seen in a stretch of film.

    before: the stretch whose last frame is the first of these; then all is as if both had been looked at as one, if the
    first has a multiple of DETECT_EVERY frames and one. Frames are held DETECT_EVERY at a time. A face that comes
    within so many frames is followed back to where it came.
    """
    first, pts, thumbs, faces = -1, [], [], []
    carried = None if before is None else [face for face in before.faces if face.frame == before.last]
    repeats, is_repeat = [], Repeats(before)
    for chunk, is_last in _chunks(frames):
        first = chunk[0].number if first < 0 else first
        photos = [Photo(frame.pixels()) for frame in chunk]
        small = [cv2.resize(photo.pixels, SMALL_PX, interpolation=cv2.INTER_AREA) for photo in photos]
        least = np.stack([thumb(pixels) for pixels in small])
        keep = len(chunk) if is_last else len(chunk) - 1
        found = _in_chunk([frame.number for frame in chunk], photos, least, detect, describe, carried)
        carried = [face for face in found if face.frame == chunk[-1].number]
        faces += [face for face in found if is_last or face.frame < chunk[-1].number]
        pts += [frame.pts for frame in chunk[:keep]]
        thumbs += list(least[:keep])
        repeats += [is_repeat(pixels) for pixels in small[:keep]]
        del chunk, photos  # or they would be held while the next are read
    return Stretch(first, tuple(pts), np.array(thumbs, np.uint8), tuple(repeats), tuple(faces), is_repeat.shown)


class Repeats:
    """Tells whether a frame shows the picture before once more, as in a film of 20 pictures stored as 25 a second.

    before: a stretch that ends with the first of the frames. shown: the last picture that was no repeat.
    """

    def __init__(self, before: Stretch | None = None) -> None:
        self.shown = np.zeros((0, 0, 3), np.uint8) if before is None else before.shown
        self._known = None if before is None else before.repeats[-1]

    def __call__(self, small: UInt8) -> bool:
        """small: the next frame, (h, w, 3). It is held against the first of those that are alike: none drifts away."""
        known, self._known = self._known, None
        if known is not None:
            return known
        again = self.shown.size > 0 and int(cv2.absdiff(small, self.shown).max()) <= REPEAT_LEVELS
        if not again:
            self.shown = small
        return again


def thumb(pixels: UInt8) -> UInt8:
    """The frame at THUMB_PX, by which cuts are told."""
    small: UInt8 = cv2.resize(pixels, THUMB_PX, interpolation=cv2.INTER_AREA)
    return small


def cuts(thumbs: UInt8) -> list[int]:
    """Frames that begin a new scene, by thumbs (n, h, w, 3).

    They change at once, more than those around, and either by much or to a picture that is unlike the one before:
    scenes on a dim stage differ by few levels, but lie light and dark elsewhere.
    """
    change = np.abs(np.diff(thumbs.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    gray = thumbs.astype(np.float64).mean(axis=3).reshape(len(thumbs), -1)
    found = []
    for i, amount in enumerate(change):
        around = np.concatenate([change[max(0, i - 8) : i], change[i + 1 : i + 9]])
        usual = float(np.median(around)) if len(around) else 0.0
        is_unlike = amount > LEAST_LEVELS and _correlation(gray[i], gray[i + 1]) < CUT_ALIKE
        if (amount > CUT_LEVELS or is_unlike) and amount > CUT_RATIO * usual:
            found.append(i + 1)
    return found


def overlap(one: Float32, other: Float32) -> float:
    """Share of the union of two faces' boxes that both cover, by their points (68, 2)."""
    a, b = (np.concatenate([points[INNER].min(axis=0), points[INNER].max(axis=0)]) for points in (one, other))
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    areas = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / max(float(areas), 1e-6))


def _chunks(frames: Iterable[Frame]) -> Iterator[tuple[list[Frame], bool]]:
    """DETECT_EVERY frames and the one after, with which the next chunk begins."""
    held: list[Frame] = []
    for frame in frames:
        if len(held) > DETECT_EVERY:
            yield held, False
            held = held[-1:]
        held.append(frame)
    if held:
        yield held, True


def _in_chunk(
    numbers: Sequence[int],
    photos: Sequence[Photo],
    small: UInt8,
    detect: Detect,
    describe: Describe,
    carried: list[Seen] | None,
) -> list[Seen]:
    """Faces detected at the ends of a chunk and at its cuts, and those followed between.

    carried: those of the first frame, where they are known already.
    """
    seen: dict[int, list[Seen]] = {}
    starts = [0, *cuts(small), len(photos)]
    for start, stop in itertools.pairwise(starts):
        for at in sorted({start, stop - 1}):
            known = carried if at == 0 else None
            if known is None:
                known = [_detected(photos[at], face, numbers[at], describe) for face in detect(photos[at])]
            seen[at] = list(known)
        for face in seen[start]:
            for at, points in _followed(photos, face.points, range(start, stop - 1), +1, detect):
                seen.setdefault(at, []).append(Seen(numbers[at], points, face.score))
        for face in seen[stop - 1] if stop - 1 > start else []:
            for at, points in _followed(photos, face.points, range(stop - 1, start, -1), -1, detect):
                others = seen.setdefault(at, [])
                if any(_is_same(points, other.points) for other in others):
                    break  # it has met itself on its way from the start
                near = [i for i, other in enumerate(others) if overlap(points, other.points) >= SAME_BOX]
                if not near:
                    others.append(Seen(numbers[at], points, face.score))
                elif stop - 1 - at < at - start:  # the longer way from the start may have slipped
                    others[near[0]] = replace(others[near[0]], points=points)
    return [face for at in sorted(seen) for face in seen[at]]


def _is_same(one: Float32, other: Float32) -> bool:
    """Whether two sets of points (68, 2) are one face's, read twice."""
    return _apart(one, other) < SAME_POINTS


def _apart(one: Float32, other: Float32) -> float:
    """Mean distance of two sets of points (68, 2), in diagonals of a face."""
    return float(np.linalg.norm(one - other, axis=1).mean()) / max(float(np.linalg.norm(np.ptp(one, axis=0))), 1e-6)


def _detected(photo: Photo, face: Landmarks, number: int, describe: Describe) -> Seen:
    """With points as those of faces that are followed, whose boxes are drawn around points; unless these are off."""
    points = refine_points(photo, known_face(face.points)).points
    points = points if _apart(points, face.points) < OFF_POINTS else face.points
    return Seen(number, points, face.score, describe(photo, face))


def _followed(
    photos: Sequence[Photo], points: Float32, steps: range, way: int, detect: Detect
) -> Iterator[tuple[int, Float32]]:
    """Places and points of a face from frame to frame, up to where it is lost; not at the last step, which detects."""
    before = _patch(photos[steps[0]].pixels, points) if len(steps) else None
    for at in steps[:-1] if len(steps) else ():
        there = photos[at + way]
        points = _in_next(there, points, detect)
        patch = _patch(there.pixels, points)
        if before is None or _correlation(before, patch) < SAME_PATCH:
            return
        yield at + way, points
        before = patch


def _in_next(photo: Photo, points: Float32, detect: Detect) -> Float32:
    """A face's points in the next frame, by those in the last; a face that has gone far is looked for.

    The predictor looks in a box around the last points, and reads a face that has left its middle only roughly. One
    that the detector does not see is read again from where it was read.
    """
    for reading in range(MOST_READINGS):
        before, points = points, refine_points(photo, known_face(points)).points
        if _apart(before, points) < FAR_POINTS:
            break
        found = _found_near(photo, before, detect) if not reading else None
        if found is not None:
            return found
    return points


def _found_near(photo: Photo, points: Float32, detect: Detect) -> Float32 | None:
    """The points (68, 2) of the face that the detector sees about where these lie, or None."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = float((high - low).max())
    left, top = np.maximum(np.floor(low - margin), 0).astype(int)
    right, bottom = np.ceil(high + margin).astype(int)
    part = np.ascontiguousarray(photo.pixels[top : max(bottom, top + 1), left : max(right, left + 1)])
    corner = np.array([left, top], np.float32)
    faces = [face.points + corner for face in (detect(Photo(part)) if part.size else [])]
    nearest = max(faces, key=lambda found: overlap(points, found), default=points)
    return nearest if faces and overlap(points, nearest) >= SAME_BOX else None


def _patch(pixels: UInt8, points: Float32) -> Float64:
    """The face upright, (PATCH_PX, PATCH_PX) gray levels, as its points place it."""
    eyes, mouth = points[36:48].mean(axis=0), points[48:68].mean(axis=0)
    down = (mouth - eyes).astype(np.float64)
    across = np.array([down[1], -down[0]])
    middle = (eyes + mouth) / 2
    corners = np.array([middle - across - down, middle + across - down, middle - across + down], np.float32)
    side = PATCH_PX - 1
    to_patch = cv2.getAffineTransform(corners, np.array([[0, 0], [side, 0], [0, side]], np.float32))
    patch = cv2.warpAffine(pixels, to_patch, (PATCH_PX, PATCH_PX), borderMode=cv2.BORDER_REPLICATE)
    gray: Float64 = patch.astype(np.float64).mean(axis=2)
    return gray


def _correlation(one: Float64, other: Float64) -> float:
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))
