"""The editor along a track: what would make an edit flicker, the track has once and its frames share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from emorph.core.images import to_levels
from emorph.core.tone import Tone
from emorph.core.types import AlignedFace, Float32, Landmarks, Photo, Target
from emorph.edit import latent
from emorph.edit.change import CropChange, Finish, paste
from emorph.edit.moving import redrawn
from emorph.edit.painted_mouth import face_whites, inside_painted_by
from emorph.edit.pipeline import Editor
from emorph.edit.redraw import motions
from emorph.faces.align import align
from emorph.video.tracks import Track

STEADY_S = 0.04  # standard deviation of the window in which what is drawn is averaged, about a frame
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


def aligned(editor: Editor, photo: Photo, track: Track, at: int) -> AlignedFace:
    """The face of a track in its ``at``-th frame, cut out where the crop of the track is, with its smoothed points."""
    config = editor.model.config
    box = (0, 0, 1, 1)
    crop = align(photo, _landmarks(track.crop_points[at], box), config.image_size, config.crop)
    return AlignedFace(crop.pixels, crop.crop_to_photo, _landmarks(track.points[at], box))


@torch.inference_mode()
def changes(
    editor: Editor, faces: Sequence[AlignedFace], code: TrackCode, targets: Sequence[Sequence[Target]]
) -> list[CropChange]:
    """What the targets change in the crops of one track, one change a face.

    targets: of each face; their steps add up. The step is that of the track's mean face, so it is one for all frames
    with one strength; the noise is the editor's own, which is the same for all.
    """
    crops = editor.pictures(faces)
    seen = code.tone.take_off(crops)
    known = editor.known_directions()
    step = torch.stack([(latent.edited_codes(code.z, known, row)[0] - code.z).sum(dim=0) for row in targets])
    z = editor.model.encode(seen)
    shares = [min(1.0, sum(abs(target.strength) for target in row) / FULL_STRENGTH) for row in targets]
    if known.landmarks is not None:
        motion = motions(faces, latent.landmark_steps(z, z + step, known)[:, None])
        moved, drawn = redrawn(editor.codec, seen, (z + step)[:, None], motion)
        before, after = (to_levels(code.tone.put_back(each[:, 0])) for each in (moved, drawn))
        fields = (motion.fields[:, 0], motion.opened[:, 0], motion.landmarks[:, 0])
        rows = zip(before, after, *fields, shares, strict=True)
        return [CropChange(b, b + share * (a - b), *of_face) for b, a, *of_face, share in rows]
    x_T = editor.codec.invert(seen, z)
    pairs = (to_levels(code.tone.put_back(editor.codec.decode(x_T, each))) for each in (z, z + step))
    return [CropChange(b, b + share * (a - b)) for b, a, share in zip(*pairs, shares, strict=True)]


def steadied(change: CropChange, around: Sequence[tuple[float, CropChange]]) -> CropChange:
    """A change that what is drawn in the frames around it makes steadier: the network draws each a little otherwise.

    around: changes of one track, and how many seconds after this one each comes; this one is among them. Where the crop
    moves to is its own; only what is drawn there, which crops hold at one place, is the mean.
    """
    shares = np.exp([-0.5 * (apart_s / STEADY_S) ** 2 for apart_s, _ in around])
    drawn = [share * (other.after - other.before) for share, (_, other) in zip(shares, around, strict=True)]
    mean = np.sum(drawn, axis=0, dtype=np.float32) / np.float32(shares.sum())
    return replace(change, after=np.clip(change.before + mean, 0, 255).astype(np.float32))


def pasted(
    editor: Editor, photo: Photo, face: AlignedFace, change: CropChange, code: TrackCode, targets: Sequence[Target]
) -> Photo:
    """The photo with one face's change and, where the model has a painter, the inside of its mouth."""
    after = paste(photo, face, change)
    finish = _finish(editor, code, targets)
    return finish(photo, after, face, change) if finish else after


def _finish(editor: Editor, code: TrackCode, targets: Sequence[Target]) -> Finish | None:
    made = inside_painted_by(editor.painter, code.whites)
    return made(max(targets, key=lambda target: abs(target.strength))) if made else None


def _landmarks(points: np.ndarray, box: tuple[int, int, int, int]) -> Landmarks:
    return Landmarks(points.astype(np.float32), box, 1.0)
