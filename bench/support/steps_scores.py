"""Edits of held-out faces by the models of bench/steps.py, and what judges, recogniser, shapes and pixels say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_tensor
from emorph.core.tone import face_window
from emorph.core.types import AlignedFace, Landmarks, Photo, Target
from emorph.edit.change import CropChange, paste_all
from emorph.edit.painted_mouth import inside_painted_by
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.metrics.fidelity import ssim
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.ict import ICT
from emorph.faces.points import predict_points
from emorph.train.tasks.expression_networks import AskedNetwork, Frozen
from support.validation import Face

FIT_PX = 384
_AROUND = 1.8  # of the landmarks' box: the square in which they are fitted


@dataclass(frozen=True)
class Measurer:
    """What measures edits: judges by their names, the networks of the losses, and a face model for fits, if it is here.

    losses: those that were asked in training, shown beside the judges and never in their place.
    """

    judges: dict[str, PanelJudge]
    emotion: AskedNetwork
    shape: AskedNetwork
    face_model: ICT | None


Values = dict[str, NDArray[np.float64]]


def scores_of(
    model: str, directions: str | None, faces: Sequence[Face], targets: Sequence[Emotion], by: Measurer, folder: Path
) -> list[Values]:
    """Numbers of each face, (n_targets,) each; kept in ``folder``, so that a stopped run goes on.

    "right:NAME", "before:NAME": whether a judge (or "loss", the network of the losses) takes the edit, and the unedited
    photo, for the target; NaN for one that it does not know. "shows:NAME": its probability. "distance", "shape", "fit":
    how far dlib's numbers, the shape network's and the fit's identity moved; with "own:" before it, the photo's own.
    "around": mean change of the crop around the face, in levels of 255. "ssim": of the reconstruction, for all targets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    editor: Editor | None = None
    rows = []
    for face in track(faces, folder.name):
        file = folder / f"{face.row}.npz"
        if not file.exists():
            editor = editor or Editor.from_pretrained(model, directions=directions)
            draft = file.with_suffix(".part.npz")
            np.savez(draft, **_measured(editor, face, targets, by))  # type: ignore[arg-type]  # numpy's stubs
            draft.replace(file)
        with np.load(file) as kept:
            rows.append({key: kept[key] for key in kept.files})
    return rows


def _measured(editor: Editor, face: Face, targets: Sequence[Emotion], by: Measurer) -> Values:
    crops = editor.align(face.photo, [face.landmarks])
    asked = [Target(emotion) for emotion in targets]
    (changes,) = editor.changes(crops, asked)
    finish = inside_painted_by(editor.painter)
    photos = [
        paste_all(face.photo, crops, [change], finish and finish(target))
        for target, change in zip(asked, changes, strict=True)
    ]
    values: Values = {}
    for name, judge in by.judges.items():
        answers = judge.answer(np.stack([judge.plan.cut(photo, face.landmarks) for photo in (face.photo, *photos)]))
        told = answers[:, : len(judge.emotions)]
        values |= _named(name, told, judge.emotions, targets)
    told = network_answers(by.emotion, editor, [face.photo, *photos], face.landmarks)
    values |= _named("loss", told, by.emotion.emotions, targets)
    codes = network_answers(by.shape, editor, [face.photo, *photos], face.landmarks)
    values |= _moves("shape", codes)
    values |= _moves("distance", np.stack([descriptor_of(p, face.landmarks) for p in (face.photo, *photos)]))
    if by.face_model is not None:
        fits = [fitted_shape(by.face_model, photo, face.landmarks) for photo in (face.photo, *photos)]
        values |= _moves("fit", np.stack(fits))
    return values | _pixels(editor, crops[0], changes)


def _moves(name: str, numbers: NDArray[np.floating]) -> Values:
    """How far the numbers of edits lie from those of their photo (row 0), and the photo's own."""
    return {name: np.linalg.norm(numbers[1:] - numbers[0], axis=1), f"own:{name}": numbers[0]}


def _named(name: str, told: NDArray[np.float64], known: Sequence[Emotion], targets: Sequence[Emotion]) -> Values:
    """What a network says of the photo (row 0) and its edits; NaN for an emotion that it does not know."""
    columns = [known.index(target) if target in known else -1 for target in targets]
    rows = range(1, len(targets) + 1)
    shows = [told[i, c] if c >= 0 else np.nan for i, c in zip(rows, columns, strict=True)]
    right = [float(told[i].argmax() == c) if c >= 0 else np.nan for i, c in zip(rows, columns, strict=True)]
    before = [float(told[0].argmax() == c) if c >= 0 else np.nan for c in columns]
    return {f"shows:{name}": np.array(shows), f"right:{name}": np.array(right), f"before:{name}": np.array(before)}


@torch.inference_mode()
def network_answers(
    network: AskedNetwork, editor: Editor, photos: Sequence[Photo], landmarks: Landmarks
) -> NDArray[np.float64]:
    """What a network of the losses says of photos of one face, in the model's crop: probabilities, or a code."""
    faces = [editor.align(photo, [landmarks])[0] for photo in photos]
    pictures = to_tensor(np.stack([face.pixels for face in faces]))
    points = torch.from_numpy(np.stack([face.crop_points() for face in faces])).float()
    found = Frozen(network, editor.model.config.crop)(pictures, points)
    numbers = found.code if found.logits is None else found.logits.softmax(dim=1)
    assert numbers is not None
    told: NDArray[np.float64] = numbers.double().numpy()
    return told


def fitted_shape(model: ICT, photo: Photo, landmarks: Landmarks) -> NDArray[np.float64]:
    """The identity that fits the landmarks which are found anew in a photo, at the place of the known ones."""
    low, high = landmarks.points.min(axis=0), landmarks.points.max(axis=0)
    centre, side = (low + high) / 2, float((high - low).max())
    points = predict_points(photo.pixels, np.array([*(centre - side / 2), *(centre + side / 2)], dtype=np.float64))
    at = (points - centre) * (FIT_PX / (_AROUND * side)) + (FIT_PX - 1) / 2
    fit = fit_landmarks(model, torch.from_numpy(at).float()[None], FIT_PX)
    shape: NDArray[np.float64] = fit.coeffs.shape[0].double().numpy()
    return shape


@torch.inference_mode()
def _pixels(editor: Editor, face: AlignedFace, changes: Sequence[CropChange]) -> Values:
    """What the model changes around the face, and how well it draws the face as it is."""
    side = editor.model.config.image_size
    outside = 1 - face_window(side).numpy()[..., None]
    moved = [np.abs(change.after - change.before) * outside for change in changes]
    around = [float(change.mean() / outside.mean()) for change in moved]
    code = editor.encode([face])
    drawn = editor.decode_targets(code, [])[:, 0]
    picture = to_tensor(face.pixels[None])
    picture = luminance(picture) if drawn.shape[1] == 1 else picture
    same = float(ssim(drawn.clamp(-1, 1).cpu(), picture, data_range=2.0)[0])
    return {"around": np.array(around), "ssim": np.full(len(changes), same)}
