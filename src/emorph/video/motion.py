"""What a face in a film does, as changes from a neutral frame: expression, jaw and turns of the head, but no shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emorph.core.errors import NoFaceError
from emorph.core.types import Float64
from emorph.edit.rig.parts import unexplained_points
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.model import FaceModel
from emorph.face3d.skinning import axis_angle_of, rodrigues
from emorph.video.smooth import smoothed
from emorph.video.tracks import Track

SHAPE_FRAMES = 40  # spread over the film, whose faces tell the person's shape together
FRAMES_AT_ONCE = 200
CALM_SHARE = 0.1  # of the frames, those with the least expression; the first of them is the neutral one
SIGMA_S = 0.05  # smoothing of what the fits tell, beside that of the points
MOST_UNFIT = 0.5  # of the frames, which may be turned too far for a fit: those are bridged
_JAW, _TURN = 3, 3


@dataclass(frozen=True, eq=False)
class Motion:
    """What a driver's face does in each frame of a track, less what it does in the neutral frame.

    frames: (n,) numbers. expression: (n, m), jaw: (n, 3), as of ``FaceCoeffs``. turn: (n, 3), axis-angle of the head's
    turn in the film's axes (x to the right, y up). beyond: (n, 68, 3), how far landmarks go besides, see ``Look``.
    presence: (n,) in [0, 1], see ``Track``.
    """

    frames: range
    expression: Tensor
    jaw: Tensor
    turn: Tensor
    beyond: Tensor
    presence: Float64


@dataclass(frozen=True, eq=False)
class Driver:
    """One person's motion: a part for each track, and the number of the frame that it starts from."""

    motions: tuple[Motion, ...]
    neutral_frame: int


def driver_of(model: FaceModel, tracks: Sequence[Track], times_s: Float64, side_px: int, name: str) -> Driver:
    """What one person does in a film.

    tracks: of that person. times_s: of all frames. side_px: the longer side of one. name: of the film, for messages.
    The person's shape is fitted once, on frames of the whole film, and all frames have it; it goes no further.
    Raises NoFaceError where most frames fit no face.
    """
    tracks = sorted(tracks, key=lambda track: track.frames.start)
    points = torch.from_numpy(np.concatenate([track.points for track in tracks])).float()
    chosen = np.unique(np.linspace(0, len(points) - 1, SHAPE_FRAMES).round().astype(np.int64))
    together = fit_landmarks(model, points[chosen], side_px, persons=[0] * len(chosen))
    parts = torch.split(points, FRAMES_AT_ONCE)
    fits = [fit_landmarks(model, part, side_px, shape=together.coeffs.shape[:1]) for part in parts]
    fit_well = torch.cat([fit.ok for fit in fits]).numpy()
    if fit_well.mean() < 1 - MOST_UNFIT:
        reason = next(reason for fit in fits for reason in fit.reasons if reason)
        raise NoFaceError(f"most frames of {name} cannot drive a face: {reason}.")
    expression = torch.cat([fit.coeffs.expression for fit in fits])
    neutral = _first_calm(expression.abs().mean(dim=1).numpy(), fit_well)
    heads = rodrigues(torch.cat([fit.coeffs.pose for fit in fits]))
    beyond = torch.cat(
        [unexplained_points(model, fit.coeffs, part, side_px) for fit, part in zip(fits, parts, strict=True)]
    )
    jaw = torch.cat([fit.coeffs.jaw for fit in fits])
    changes = [each - each[neutral] for each in (expression, jaw, beyond.flatten(1))]
    turn = axis_angle_of(heads @ heads[neutral].mT)
    rows = torch.cat([changes[0], changes[1], turn, changes[2]], dim=1).numpy().astype(np.float64)
    first, motions = 0, []
    for track in tracks:
        here = slice(first, first + len(track.frames))
        times = times_s[track.frames.start : track.frames.stop]
        whole = smoothed(times, _bridged(times, rows[here], fit_well[here]), SIGMA_S)
        motions.append(_motion(track, torch.from_numpy(whole).float(), expression.shape[1]))
        first = here.stop
    numbers = [number for track in tracks for number in track.frames]
    return Driver(tuple(motions), numbers[neutral])


def _first_calm(amount: np.ndarray, fit_well: np.ndarray) -> int:
    """The first frame whose amount of expression, (n,), is among the least; fit_well: bool (n,), which count."""
    return int(np.flatnonzero(fit_well & (amount <= np.quantile(amount[fit_well], CALM_SHARE)))[0])


def _bridged(times_s: Float64, rows: Float64, known: np.ndarray) -> Float64:
    """Rows (n, k) with those that are not known drawn straight from one neighbour to the next; 0 where none is."""
    if known.all():
        return rows
    if not known.any():
        return np.zeros_like(rows)
    columns = [np.interp(times_s, times_s[known], column[known]) for column in rows.T]
    return np.stack(columns, axis=1)


def _motion(track: Track, rows: Tensor, n_units: int) -> Motion:
    sizes = [n_units, _JAW, _TURN, rows.shape[1] - n_units - _JAW - _TURN]
    expression, jaw, turn, beyond = torch.split(rows, sizes, dim=1)
    return Motion(track.frames, expression, jaw, turn, beyond.reshape(-1, 68, 3), track.presence)
