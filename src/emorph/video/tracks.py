"""Faces of single frames joined to tracks, tracks to persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emorph.core.errors import NoFaceError, UnknownNameError
from emorph.core.landmarks import LEFT_EYE, RIGHT_EYE
from emorph.core.types import Float32, Float64
from emorph.video.look import SAME_BOX, Seen, overlap
from emorph.video.smooth import held_near, smoothed

MAX_GAP_S = 0.4  # a face that is not seen for longer has left
LEAST_FRAMES = 3  # of a track; shorter ones are mistakes of the detector
SAME_PERSON = 0.55  # distance of two descriptors; dlib's own limit for one person is 0.6
POINTS_SIGMA_S = 0.04  # smoothing of the points, about a frame
CROP_SIGMA_S = 0.2  # smoothing of where crops are cut out: faces move in them, their edges do not tremble
POINTS_SLACK, CROP_SLACK = 0.015, 0.3  # of the eyes' distance: how far smoothing may move them, see ``held_near``
FADE_S = 0.25  # over which an edit comes and goes where a face comes and goes within a scene


@dataclass(frozen=True, eq=False)
class Track:
    """One face in successive frames, smoothed.

    frames: (n,) numbers, without gaps. points: float64 (n, 68, 2) px. crop_points: the same, smoothed far more, for the
    place of the crop. presence: (n,) in [0, 1], less where the face has just come or is about to leave.
    person: (128,) mean of descriptors. code: mean of what the editor read of it.
    """

    frames: range
    points: Float64
    crop_points: Float64
    presence: Float64
    person: Float32
    code: Float32
    score: float

    @property
    def size_px(self) -> float:
        """Mean side of the face."""
        spans = self.points.max(axis=1) - self.points.min(axis=1)
        return float(np.sqrt(spans.prod(axis=1)).mean())


@dataclass
class _Open:
    seen: list[Seen] = field(default_factory=list)

    @property
    def person(self) -> Float32 | None:
        rows = [face.described.person for face in self.seen if face.described is not None]
        return np.mean(rows, axis=0) if rows else None


def tracks_of(
    faces: Sequence[Seen], times_s: Float64, cuts: Sequence[int], shown_s: Float64 | None = None
) -> list[Track]:
    """Tracks in the order in which they begin, left to right.

    faces: of all frames, in their order. times_s: (n,) of all frames. cuts: frames that begin a scene: no track crosses
    one. shown_s: (n,), of ``Watched``, by default the times. Faces are joined by their place, unless the recogniser is
    sure that they are two people.
    """
    scene = np.searchsorted(np.asarray(sorted(cuts), dtype=np.int64), np.arange(len(times_s)), side="right")
    ended: list[_Open] = []
    going: list[_Open] = []
    by_frame: dict[int, list[Seen]] = {}
    for face in faces:
        by_frame.setdefault(face.frame, []).append(face)
    for frame in sorted(by_frame):
        lost = [track for track in going if _left(track.seen[-1].frame, frame, times_s, scene)]
        ended += lost
        going = [track for track in going if track not in lost]
        free = list(by_frame[frame])
        pairs = sorted(
            ((overlap(track.seen[-1].points, face.points), i, j) for i, track in enumerate(going)
             for j, face in enumerate(free)), reverse=True,
        )  # fmt: skip
        taken: set[int] = set()
        grown: set[int] = set()
        for share, i, j in pairs:
            if share < SAME_BOX or i in grown or j in taken or _two_people(going[i].person, free[j]):
                continue
            going[i].seen.append(free[j])
            grown.add(i)
            taken.add(j)
        going += [_Open([face]) for j, face in enumerate(free) if j not in taken]
    whole = [track for track in ended + going if _is_whole(track, len(times_s))]
    shown_s = times_s if shown_s is None else shown_s
    made = [_closed(track.seen, times_s, shown_s, scene) for track in whole]
    return sorted(made, key=lambda track: (track.frames.start, float(track.points[0, :, 0].mean())))


def persons_of(tracks: Sequence[Track]) -> list[list[Track]]:
    """Tracks of one person together, persons in the order in which they appear, left to right.

    Two tracks are of one person if the recogniser takes them for one and they are never seen together.
    """
    persons: list[list[Track]] = []
    for track in tracks:
        near = [
            (_distance(track.person, _mean_person(person)), number)
            for number, person in enumerate(persons)
            if not any(_together(track, other) for other in person)
        ]
        distance, number = min(near, default=(np.inf, -1))
        if distance < SAME_PERSON:
            persons[number].append(track)
        else:
            persons.append([track])
    return persons


def chosen(persons: Sequence[list[Track]], which: str | Float32, name: str) -> list[Track]:
    """The tracks of whom a user asks for: "largest", "left", "all", a number from 1, or the descriptor of a still.

    Raises NoFaceError if there is nobody, not so many, or nobody like the still; UnknownNameError for another word.
    """
    if not persons:
        raise NoFaceError(
            f"no face found in {name} that stays for {LEAST_FRAMES} frames; try a smaller --min-face or --min-score."
        )
    if not isinstance(which, str):
        distances = [_distance(which, _mean_person(person)) for person in persons]
        best = int(np.argmin(distances))
        if distances[best] >= SAME_PERSON + 0.05:
            raise NoFaceError(
                f"nobody in {name} looks like the person in the photo (nearest distance {distances[best]:.2f}, limit "
                f"{SAME_PERSON + 0.05:.2f}); choose with --face 1 to {len(persons)}."
            )
        return persons[best]
    word = which.strip().lower()
    if word == "all":
        return [track for person in persons for track in person]
    if word == "largest":
        return max(persons, key=lambda person: sum(len(track.frames) * track.size_px**2 for track in person))
    if word == "left":
        return min(persons, key=lambda person: float(np.mean([track.points[:, :, 0].mean() for track in person])))
    if not word.isdecimal():
        numbers = range(1, 1 + len(persons))
        raise UnknownNameError("face", which, ["largest", "left", "all", *map(str, numbers)])
    if not 1 <= int(word) <= len(persons):
        raise NoFaceError(
            f"{name} has {len(persons)} {'person' if len(persons) == 1 else 'people'}, there is no {word} "
            f"(--face {word}); they count from 1 as they appear, left to right."
        )
    return persons[int(word) - 1]


def _left(last: int, now: int, times_s: Float64, scene: np.ndarray) -> bool:
    return bool(scene[last] != scene[now] or times_s[now] - times_s[last] > MAX_GAP_S)


def _is_whole(track: _Open, n_frames: int) -> bool:
    """Whether a track is long enough, and was detected at least once, not followed alone."""
    return track.person is not None and len(track.seen) >= min(LEAST_FRAMES, n_frames)


def _two_people(person: Float32 | None, face: Seen) -> bool:
    if person is None or face.described is None:
        return False
    return (
        _distance(person, face.described.person) > SAME_PERSON + 0.15
    )  # heads that turn away look less like themselves


def _distance(one: Float32, other: Float32) -> float:
    return float(np.linalg.norm(one - other))


def _mean_person(tracks: Sequence[Track]) -> Float32:
    mean: Float32 = np.mean([track.person for track in tracks], axis=0)
    return mean


def _together(one: Track, other: Track) -> bool:
    return one.frames.start < other.frames.stop and other.frames.start < one.frames.stop


def _closed(seen: Sequence[Seen], times_s: Float64, shown_s: Float64, scene: np.ndarray) -> Track:
    first, last = seen[0].frame, seen[-1].frame
    frames = range(first, last + 1)
    times = times_s[first : last + 1]
    known = times_s[[face.frame for face in seen]]
    flat = np.stack([face.points.reshape(-1) for face in seen]).astype(np.float64)
    whole = np.stack([np.interp(times, known, column) for column in flat.T], axis=1).reshape(-1, 68, 2)
    sure = [face.described for face in seen if face.described is not None]
    comes = first > 0 and scene[first - 1] == scene[first]
    goes = last < len(times_s) - 1 and scene[last + 1] == scene[last]
    presence = np.ones(len(frames))
    if comes:
        presence = np.minimum(presence, _ramp(times - times[0]))
    if goes:
        presence = np.minimum(presence, _ramp(times[-1] - times))
    points, crop_points = _steady(whole, shown_s[first : last + 1])
    return Track(
        frames, points, crop_points, presence,
        np.mean([each.person for each in sure], axis=0), np.mean([each.code for each in sure], axis=0),
        max(face.score for face in seen),
    )  # fmt: skip


def _steady(read: Float64, shown_s: Float64) -> tuple[Float64, Float64]:
    """Points (n, 68, 2) as they were read, smoothed for features and for the crop; the same where pictures are."""
    moments, starts, picture = np.unique(shown_s, return_index=True, return_inverse=True)
    means = np.add.reduceat(read, starts) / np.bincount(picture)[:, None, None]
    unit_px = np.linalg.norm(means[:, LEFT_EYE].mean(axis=1) - means[:, RIGHT_EYE].mean(axis=1), axis=1)
    points, crop_points = (
        held_near(means, smoothed(moments, means, sigma_s), slack * unit_px)[picture]
        for sigma_s, slack in ((POINTS_SIGMA_S, POINTS_SLACK), (CROP_SIGMA_S, CROP_SLACK))
    )
    return points, crop_points


def _ramp(apart_s: Float64) -> Float64:
    share = np.clip(apart_s / FADE_S, 0, 1)
    return share * share * (3 - 2 * share)
