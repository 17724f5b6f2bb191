"""Edits of a data set's own faces, tried out: how far they move a face, what is seen in it, whether it stays itself.

Gains are chosen by them on training faces; the closing check makes them on held-out ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emorph.core.errors import MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_tensor
from emorph.core.landmarks import EXPRESSIVE, LEFT_EYE, RIGHT_EYE
from emorph.core.types import AlignedFace, Float32, Landmarks, OnStep, Photo, Target
from emorph.data.store import FaceStore
from emorph.edit.change import CropChange, paste
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.judge import Judge

JUDGE = "emorph-judge"


@dataclass(frozen=True)
class Trial:
    """One edit of one face, towards an emotion that its label does not name.

    moved: of the expressive landmarks, mean, in eye distances. drawn: mean change of the crop's pixels beyond their
    motion, in levels of 255. own, judged: probability of the emotion by the classifier itself, of the edited picture,
    and by emorph-judge, NaN for an emotion that it does not know; before is of the face as it was. distance: of dlib's
    descriptors of the face and its edit, NaN where dlib's network is not installed.
    """

    face: int
    emotion: Emotion
    strength: float
    moved: float
    drawn: float
    own: float
    own_before: float
    judged: float
    judged_before: float
    distance: float


@dataclass(frozen=True)
class Trials:
    """What was tried. stranger: mean distance of dlib's descriptors between different faces of them, NaN if unknown."""

    rows: tuple[Trial, ...]
    stranger: float

    def of(self, emotion: Emotion, strength: float = 1.0) -> list[Trial]:
        """Those towards an emotion with a strength."""
        return [row for row in self.rows if (row.emotion, row.strength) == (emotion, strength)]


def try_edits(
    model: DiffAE,
    directions: Directions,
    faces: FaceStore,
    n_faces: int,
    strengths: Sequence[float],
    *,
    judge: str = JUDGE,
    on_step: OnStep | None = None,
) -> Trials:
    """Edit n faces to every emotion: neutral ones to all others, happy ones to neutral.

    faces: with labels and landmarks, of the model's crop. Every edit is made as ``Editor`` makes it of a photo.
    """
    editor = Editor(model, directions, device=next(model.parameters()).device.type)
    asked = Judge.from_pretrained(judge)
    goals: dict[Emotion, list[Emotion]] = {
        Emotion.NEUTRAL: [e for e in Emotion if e != Emotion.NEUTRAL],
        Emotion.HAPPY: [Emotion.NEUTRAL],
    }
    work = [(row, label) for label in goals for row in _spread(faces, label, n_faces)]
    rows: list[Trial] = []
    known: list[Float32] = []
    for done, (row, label) in enumerate(work, start=1):
        face = stored_face(faces, row)
        targets = [Target(emotion, strength) for emotion in goals[label] for strength in strengths]
        found, descriptor = _tried(editor, asked, face, row, targets)
        rows += found
        known += [descriptor] if descriptor is not None else []
        if on_step:
            on_step(done, len(work))
    pairs = [float(np.linalg.norm(a - b)) for i, a in enumerate(known) for b in known[:i]]
    return Trials(tuple(rows), float(np.mean(pairs)) if pairs else float("nan"))


def stored_face(faces: FaceStore, row: int) -> AlignedFace:
    """A stored crop as the face of a photo that shows nothing else."""
    sample = faces[row]
    pixels = np.ascontiguousarray(sample["image"].expand(3, -1, -1).permute(1, 2, 0).numpy())
    points = ((sample["landmarks"].numpy() + 1) * (pixels.shape[0] / 2) - 0.5).astype(np.float32)
    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    return AlignedFace(
        pixels, np.eye(3), Landmarks(points, (int(low[0]), int(low[1]), int(high[0]), int(high[1])), 1.0)
    )


def _spread(faces: FaceStore, label: Emotion, n: int) -> list[int]:
    """n faces with a label, evenly over the data set."""
    rows = np.flatnonzero(faces.labels == label)
    return [int(row) for row in rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int)]]


@torch.inference_mode()
def _tried(
    editor: Editor, judge: Judge, face: AlignedFace, row: int, targets: Sequence[Target]
) -> tuple[list[Trial], Float32 | None]:
    """The edits of one face, and dlib's descriptor of it."""
    photo = Photo(face.pixels)
    changes = editor.changes([face], targets)[0]
    photos = [photo, *(paste(photo, face, change) for change in changes)]
    own = _own(editor, photos)
    judged = judge_crops(judge, [crop_for(judge, each, face.landmarks) for each in photos])
    descriptors = _descriptors(photos, face.landmarks)
    found = []
    for i, (target, change) in enumerate(zip(targets, changes, strict=True), start=1):
        emotion = target.emotion
        assert emotion is not None
        asked = judge.config.emotions.index(emotion) if emotion in judge.config.emotions else None
        distance = np.nan if descriptors is None else np.linalg.norm(descriptors[i] - descriptors[0])
        found.append(
            Trial(
                face=row,
                emotion=emotion,
                strength=target.strength,
                moved=_moved(face, change),
                drawn=float(np.abs(change.after - change.before).mean()),
                own=float(own[i, emotion]),
                own_before=float(own[0, emotion]),
                judged=np.nan if asked is None else float(judged[i, asked]),
                judged_before=np.nan if asked is None else float(judged[0, asked]),
                distance=float(distance),
            )
        )
    return found, None if descriptors is None else descriptors[0]


def _own(editor: Editor, photos: Sequence[Photo]) -> torch.Tensor:
    """The classifier's own probabilities of pictures, (n, 8)."""
    x = to_tensor(np.stack([photo.pixels for photo in photos])).to(editor.device)
    x = luminance(x) if editor.model.config.image_channels == 1 else x
    assert editor.directions is not None
    z = editor.model.encode(editor.model.tone(x).take_off(x))
    return editor.directions.logits(z).softmax(dim=1).cpu()


def _descriptors(photos: Sequence[Photo], landmarks: Landmarks) -> list[Float32] | None:
    try:
        return [descriptor_of(photo, landmarks) for photo in photos]
    except (ImportError, MissingAssetError):
        return None


def _moved(face: AlignedFace, change: CropChange) -> float:
    """How far an edit moves the expressive landmarks, in eye distances."""
    before = face.crop_points()
    if change.landmarks is None:
        return 0.0
    eyes = np.linalg.norm(before[LEFT_EYE].mean(axis=0) - before[RIGHT_EYE].mean(axis=0))
    steps = np.linalg.norm(change.landmarks - before, axis=1)[list(EXPRESSIVE)]
    return float(steps.mean() / max(float(eyes), 1.0))
