"""The editor along a track: what would make an edit flicker, the track has once and its frames share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from emorph.core.images import to_levels
from emorph.core.tone import Tone
from emorph.core.types import AlignedFace, Float32, Float64, Landmarks, Photo, Target
from emorph.edit import latent
from emorph.edit.change import CropChange
from emorph.edit.moving import redrawn
from emorph.edit.painted_mouth import face_whites
from emorph.edit.pipeline import Editor
from emorph.edit.redraw import Motions, motions, move_crops, taken_codes
from emorph.faces.align import align, crop_quad
from emorph.faces.gape import Openings
from emorph.faces.warp import carried_each
from emorph.video.frames import Part
from emorph.video.tracks import Track

STEADY_S = 0.12  # standard deviation of the window in which what is drawn and painted is averaged
AROUND_CROP, AROUND_CROP_PX = 0.15, 16.0  # of a crop's side, and px: what is read of a frame around its crops
LEAST_SHARE = 0.005  # of a mean: frames that have less are left out of it, and need not be carried
FULL_STRENGTH = 0.25  # below it the drawing fades in as well, or its own small errors would appear at once


@dataclass(frozen=True)
class TrackCode:
    """What all frames of a track share, means of its frames.

    z: (1, z_dim). tone: of its crops. whites: how light teeth are, of ``face_whites``; a blink does not dim them.
    """

    z: Tensor
    tone: Tone
    whites: float


def read_code(editor: Editor, photo: Photo, face: Landmarks) -> Float32:
    """z_sem, tone and whites of one frame's face, one row of numbers whose mean over frames makes a ``TrackCode``."""
    whites = face_whites(photo, face.points.astype(np.float64), editor.painter) if editor.painter else 1.0
    with torch.inference_mode():
        crops = editor.pictures(editor.align(photo, [face]))
        tone = editor.model.tone(crops)
        z = editor.model.encode(tone.take_off(crops))
        parts = [z.flatten(), tone.mean.flatten(), tone.spread.flatten().log(), torch.tensor([whites]).log()]
        row: Float32 = torch.cat([part.float().cpu() for part in parts]).numpy()
    return row


def track_code(editor: Editor, row: Float32) -> TrackCode:
    """From a row of ``read_code``, or the mean of several."""
    numbers = torch.from_numpy(row).to(editor.device)
    size = editor.model.config.z_dim
    mean, spread, whites = numbers[size:-2], numbers[-2:-1].exp(), float(numbers[-1].exp())
    if editor.model.config.tone == "as_is":
        return TrackCode(numbers[None, :size], Tone(mean.view(()), spread.view(())), whites)
    return TrackCode(numbers[None, :size], Tone(mean.view(1, -1, 1, 1), spread.view(1, 1, 1, 1)), whites)


def part_around(editor: Editor, wishes: Sequence[tuple[Track, int]], size: tuple[int, int]) -> Part:
    """The part of a frame of ``size`` (width, height) that holds the crops of tracks, each in its ``at``-th frame."""
    corners = []
    for track, at in wishes:
        quad = crop_quad(_landmarks(track.crop_points[at], (0, 0, 1, 1)), editor.model.config.crop)
        margin = AROUND_CROP * float(np.linalg.norm(quad[3] - quad[0])) + AROUND_CROP_PX
        corners += [quad - margin, quad + margin]
    return Part.around(np.concatenate(corners), size)


def aligned(editor: Editor, part: Photo, corner: tuple[int, int], track: Track, at: int) -> AlignedFace:
    """The face of a track in its ``at``-th frame, cut out where the crop of the track is, with its smoothed points.

    part: the frame's pixels from ``corner`` (left, top) on, in which its points are counted then.
    """
    config = editor.model.config
    box = (0, 0, 1, 1)
    crop = align(part, _landmarks(track.crop_points[at] - corner, box), config.image_size, config.crop)
    return AlignedFace(crop.pixels, crop.crop_to_photo, _landmarks(track.points[at] - corner, box))


@dataclass(frozen=True)
class Drawn:
    """What the network drew in one frame of a track.

    change: (S, S, C) levels, after less before. landmarks: (68, 2) in crop px, at which; None if faces do not move.
    """

    change: Float32
    landmarks: Float64 | None


@torch.inference_mode()
def drawings(
    editor: Editor,
    faces: Sequence[AlignedFace],
    code: TrackCode,
    targets: Sequence[Sequence[Target]],
    is_drawn: Sequence[bool],
) -> tuple[list[CropChange], list[Drawn]]:
    """How the targets move the crops of one track, one change a face in which nothing is drawn, and what is drawn.

    targets: of each face; their steps add up. is_drawn: for which faces the network draws; for all, if it knows no
    landmarks. The step is that of the track's mean face, so it is one for all frames with one strength; the noise is
    the editor's own, which is the same for all.
    """
    seen = code.tone.take_off(editor.pictures(faces))
    known = editor.known_directions()
    step = torch.stack([(latent.edited_codes(code.z, known, row)[0] - code.z).sum(dim=0) for row in targets])
    shares = [min(1.0, sum(abs(target.strength) for target in row) / FULL_STRENGTH) for row in targets]
    if known.landmarks is None:
        z = editor.model.encode(seen)
        x_T = editor.codec.invert(seen, z)
        before, after = (to_levels(code.tone.put_back(editor.codec.decode(x_T, each))) for each in (z, z + step))
        moves = [CropChange.nothing(levels) for levels in before]
        return moves, [Drawn(share * (a - b), None) for b, a, share in zip(before, after, shares, strict=True)]
    shut = [[Openings(lids=latent.lids(known, row))] for row in targets]
    even = [all(map(latent.is_even, row)) for row in targets]
    steps = latent.landmark_steps(code.z, code.z + step, known, even)[:, None]
    motion = motions(faces, steps, frontal=True, openings=shut)
    fields = (motion.fields[:, 0], motion.opened[:, 0], motion.landmarks[:, 0])
    levels = to_levels(code.tone.put_back(move_crops(seen, motion.fields)[:, 0]))
    creases = [latent.creases(known, row) for row in targets]
    made = map(CropChange, levels, levels, *fields)
    moves = [replace(change, creases=kinds) for change, kinds in zip(made, creases, strict=True)]
    rows = np.flatnonzero(is_drawn)
    if not len(rows):
        return moves, []
    picked = Motions(motion.fields[rows], motion.opened[rows], motion.landmarks[rows], motion.drawable[rows])
    z = editor.model.encode(seen[rows])[:, None]
    z_to = taken_codes(z, z + step[rows, None], [face.crop_points() for face in itertools.compress(faces, is_drawn)])
    pictures = redrawn(editor.codec, seen[rows], z_to, picked)
    before, after = (to_levels(code.tone.put_back(each[:, 0])) for each in pictures)
    found = zip(rows, before, after, strict=True)
    return moves, [Drawn(shares[row] * (a - b), motion.landmarks[row, 0]) for row, b, a in found]


def steadied(move: CropChange, around: Sequence[tuple[float, Drawn]]) -> CropChange:
    """A face's move with what is drawn in the frames around it: the network draws each a little otherwise.

    around: of frames of the same track, and how many seconds after this one each comes; its own may be among them.
    Where the crop moves to is its own. What is drawn is the mean, carried along by the landmarks.
    """
    shares = shares_by_time([apart_s for apart_s, _ in around])
    kept = [(share, drawn) for share, (_, drawn) in zip(shares, around, strict=True) if share]
    changes, places = [drawn.change for _, drawn in kept], [drawn.landmarks for _, drawn in kept]
    known = [each for each in places if each is not None]
    if move.landmarks is not None and len(known) == len(places):
        changes = carried_each(changes, known, move.landmarks)
    mean = np.zeros_like(move.before)
    for (share, _), change in zip(kept, changes, strict=True):
        mean += np.float32(share) * change
    return replace(move, after=np.clip(move.before + mean, 0, 255))


def shares_by_time(apart_s: Sequence[float]) -> Float64:
    """How much of a mean each frame has that comes so many seconds later, (n,) with the sum 1."""
    squares = np.square(apart_s)
    return of_sum(np.exp(-0.5 * (squares - squares.min()) / STEADY_S**2))


def of_sum(shares: Float64) -> Float64:
    """Shares (n,) brought to the sum 1, without those under LEAST_SHARE of it.

    >>> of_sum(np.array([2.0, 2.0, 0.001])).tolist()
    [0.5, 0.5, 0.0]
    """
    kept = np.where(shares < LEAST_SHARE * shares.sum(), 0.0, shares)
    brought: Float64 = kept / kept.sum()
    return brought


def _landmarks(points: np.ndarray, box: tuple[int, int, int, int]) -> Landmarks:
    return Landmarks(points.astype(np.float32), box, 1.0)
