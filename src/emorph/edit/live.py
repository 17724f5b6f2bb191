"""A photo that is edited again and again while somebody moves a slider: faces are found and encoded once.

``draw`` gives what ``Editor.edit`` gives. ``sketch`` runs no denoiser: pixels go where the target's landmarks go, and
what the model added to pictures that were drawn before is added in the share that makes their steps in z_sem the
target's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.errors import NoFaceError
from emorph.core.images import to_levels
from emorph.core.tone import Tone
from emorph.core.types import AlignedFace, FaceCode, Float32, Float64, Landmarks, OnStep, Photo, Target
from emorph.edit import latent
from emorph.edit.change import CropChange
from emorph.edit.painted_mouth import DEFAULT_STEPS, inside_painted_by
from emorph.edit.pipeline import Editor
from emorph.edit.redraw import motions, move_crops
from emorph.edit.result import Edit, pasted_edits
from emorph.faces.detect import MIN_FACE_PX, find_faces
from emorph.faces.select import area_px, select_faces
from emorph.faces.warp import carried

PREVIEW_PX = 1024  # longer side of what is shown
MOST_DRAWN = 8  # pictures of a face that sketches are made from; the oldest goes first
SKETCHED_MOUTH_STEPS = 2  # evaluations of the mouths' painter for a sketch
RIDGE = 0.05  # of a step's own length: steps that nearly agree share what they tell, instead of cancelling out


class LivePhoto:
    """A photo, its faces, and what an editor knows of them already.

    faces: as found in ``photo``, by their numbers, from 1, from left to right, without those whose features cannot be
    placed reliably (n_left_out). preview: the photo at PREVIEW_PX at most. Not to be used by two threads at once.
    """

    def __init__(self, editor: Editor, photo: Photo, *, min_face_px: int = MIN_FACE_PX) -> None:
        """Find the faces. Raises NoFaceError."""
        self.editor, self.photo = editor, photo
        found = find_faces(photo, min_face_px=min_face_px, detector=editor.detector, min_score=editor.min_score)
        trusted = select_faces(found, "all", photo, min_score=editor.min_score)
        sure = sorted((f for f in found if f.score >= editor.min_score), key=lambda face: face.box[0] + face.box[2])
        self.faces = {number: face for number, face in enumerate(sure, 1) if any(face is one for one in trusted)}
        self.n_left_out = len(sure) - len(self.faces)
        self.scale = min(1.0, PREVIEW_PX / max(photo.pixels.shape[:2]))
        self.preview = shrunk(photo, self.scale)
        self._known: dict[int, _Known] = {}

    @property
    def largest(self) -> int:
        """Number of the largest face."""
        return max(self.faces, key=lambda number: area_px(self.faces[number]))

    def draw(self, number: int, target: Target, *, on_step: OnStep | None = None) -> Edit[Target]:
        """The preview with face ``number`` changed. Raises as ``Editor.edit``."""
        started_s = time.perf_counter()
        self.editor.check_targets([target])
        known = self._face(number)
        change = self._drawn(known, target, on_step)
        known.keep(self.editor, target, change)
        return self._pasted(known, target, change, started_s, DEFAULT_STEPS)

    def sketch(self, number: int, target: Target) -> Edit[Target]:
        """As ``draw``, without the denoiser: as near as the pictures come that were drawn of this face before."""
        started_s = time.perf_counter()
        self.editor.check_targets([target])
        known = self._face(number)
        change = known.sketched(self.editor, target)
        return self._pasted(known, target, change, started_s, SKETCHED_MOUTH_STEPS)

    def finished(self, number: int, targets: Sequence[Target], *, on_step: OnStep | None = None) -> list[Edit[Target]]:
        """The photo at its own size with a face changed, for each target. Raises as ``Editor.edit``."""
        self.editor.check_targets(targets)
        crops = self.editor.align(self.photo, [self._landmarks(number)])
        edits = self.editor.edit_faces(self.photo, crops, targets, on_step=on_step)
        return [replace(edit, n_faces=len(self.faces)) for edit in edits]

    def _landmarks(self, number: int) -> Landmarks:
        if number not in self.faces:
            raise NoFaceError(f"{self.photo.name} has no face {number}; there are {', '.join(map(str, self.faces))}.")
        return self.faces[number]

    def _face(self, number: int) -> _Known:
        """What is known of a face. Raises NoFaceError for a number that there is not."""
        if number not in self._known:
            (crop,) = self.editor.align(self.preview, [scaled(self._landmarks(number), self.scale)])
            self._known[number] = _Known.of(self.editor, crop)
        return self._known[number]

    @torch.inference_mode()
    def _drawn(self, known: _Known, target: Target, on_step: OnStep | None) -> CropChange:
        """Where crops are moved first, the noise depends on the target; else it is found once and only decoded."""
        editor = self.editor
        if known.knows_motion or not target.strength:
            return editor.changes([known.crop], [target], on_step=on_step)[0][0]
        code, before = known.inverted(editor, on_step)
        z_to = latent.edited_codes(known.z, editor.known_directions(), [target])[:, 0]
        assert code.x_T is not None
        drawn = editor.decode(code.x_T, z_to, on_step=on_step)
        return CropChange(before, to_levels(known.tone.put_back(drawn))[0])

    def _pasted(
        self, known: _Known, target: Target, change: CropChange, started_s: float, painter_steps: int
    ) -> Edit[Target]:
        paint = inside_painted_by(self.editor.painter, steps=painter_steps)
        return pasted_edits(self.preview, [known.crop], len(self.faces), [target], [[change]], started_s, paint)[0]


@dataclass(frozen=True)
class _Added:
    """What a model drew of a face.

    step: (z_dim,), z_sem's, normalised. added: float32 (S, S, C), levels of 0..255, over what it started from.
    landmarks: (68, 2) of the picture in crop pixels; None where nothing moves.
    """

    step: Tensor
    added: Float32
    landmarks: Float64 | None

    def at(self, goal: Float64) -> Float32:
        """What was added, carried to where another picture has its landmarks (68, 2)."""
        return self.added if self.landmarks is None else carried(self.added, self.landmarks, goal)


@dataclass
class _Known:
    """A face that is encoded. z: (1, z_dim); seen: its picture without tone, (1, C, S, S)."""

    crop: AlignedFace
    z: Tensor
    tone: Tone
    seen: Tensor
    knows_motion: bool
    drawn: list[_Added] = field(default_factory=list)
    _code: tuple[FaceCode, Float32] | None = None

    @classmethod
    @torch.inference_mode()
    def of(cls, editor: Editor, crop: AlignedFace) -> _Known:
        pictures = editor.pictures([crop])
        tone = editor.model.tone(pictures)
        seen = tone.take_off(pictures)
        return cls(crop, editor.model.encode(seen), tone, seen, editor.moves_faces)

    @torch.inference_mode()
    def inverted(self, editor: Editor, on_step: OnStep | None) -> tuple[FaceCode, Float32]:
        """The code with its noise, and the reconstruction, float32 (S, S, C) in 0..255."""
        if self._code is None:
            code = editor.encode([self.crop], on_step=on_step)
            self._code = code, to_levels(editor.decode_targets(code, [])[:, 0])[0]
        return self._code

    def keep(self, editor: Editor, target: Target, change: CropChange) -> None:
        """Remember what was drawn, for sketches."""
        if target.strength:
            new = _Added(self.step(editor, target), change.after - change.before, change.landmarks)
            self.drawn = [*self.drawn, new][-MOST_DRAWN:]

    @torch.inference_mode()
    def step(self, editor: Editor, target: Target) -> Tensor:
        """How far a target's z_sem lies from the face's, (z_dim,), normalised."""
        directions = editor.known_directions()
        z_to = latent.edited_codes(self.z, directions, [target])[:, 0]
        return (directions.stats.normalise(z_to) - directions.stats.normalise(self.z))[0]

    @torch.inference_mode()
    def sketched(self, editor: Editor, target: Target) -> CropChange:
        own = to_levels(self.tone.put_back(self.seen))[0]
        if not target.strength:
            return CropChange.nothing(own)
        shares = _shares(self.step(editor, target), self.drawn)
        if not self.knows_motion:
            before = own if self._code is None else self._code[1]
            return CropChange(before, before + sum(s * one.added for s, one in zip(shares, self.drawn, strict=True)))
        directions = editor.known_directions()
        z_to = latent.edited_codes(self.z, directions, [target])
        steps = latent.landmark_steps(self.z[:, None], z_to, directions, [latent.is_even(target)])
        motion = motions([self.crop], steps, frontal=True, openings=[latent.openings(directions, [target])])
        before = to_levels(self.tone.put_back(move_crops(self.seen, motion.fields))[0])[0]
        goal = motion.landmarks[0, 0]
        added = sum(share * one.at(goal) for share, one in zip(shares, self.drawn, strict=True))
        creases = latent.creases(directions, [target])
        return CropChange(before, before + added, motion.fields[0, 0], motion.opened[0, 0], goal, creases=creases)


def _shares(step: Tensor, drawn: Sequence[_Added]) -> list[float]:
    """How much of each picture's step makes up a step, by least squares; a small ridge keeps shares small."""
    if not drawn:
        return []
    steps = torch.stack([one.step for one in drawn]).double()
    gram = steps @ steps.T
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(drawn), dtype=gram.dtype, device=gram.device)
    shares: list[float] = torch.linalg.solve(gram + ridge, steps @ step.double()).tolist()
    return shares


def shrunk(photo: Photo, scale: float) -> Photo:
    """The photo at a smaller size, without what else its file holds; itself at scale 1."""
    if scale == 1:
        return photo
    height, width = photo.pixels.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Photo(cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA), photo.path, photo.icc)


def scaled(face: Landmarks, scale: float) -> Landmarks:
    """Landmarks of a photo in the pixels of the photo at another scale.

    >>> face = Landmarks(np.zeros((68, 2), np.float32), (10, 20, 30, 40), 1.0)
    >>> scaled(face, 0.5).box
    (5, 10, 15, 20)
    """
    left, top, right, bottom = (round(edge * scale) for edge in face.box)
    points = ((face.points + 0.5) * scale - 0.5).astype(np.float32)
    return Landmarks(points, (left, top, right, bottom), face.score, face.doubt)
