"""How z_sem goes from one emotion to another: class means where there are faces, action units where there are few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import EXPRESSIVE, STABLE
from emorph.face3d.ict import ICT
from emorph.models.unit_axes import UnitAxes
from emorph.train.codes import Codes
from emorph.train.tasks.class_means import class_means, guarded
from emorph.train.tasks.mouth import ridge_regression
from emorph.train.tasks.units import UnitReader, emotion_offset, fit_units, unit_reader, unit_values, within_expressions

LARGEST_GAIN = 4.0  # a step that would have to be longer still goes elsewhere


@dataclass(frozen=True)
class EmotionSteps:
    """means: (8, z_dim), normalised, where each emotion lies. gains: what brings the landmarks of a neutral face where
    the emotion has them, 1 where landmarks are not known. landmarks: (68, 2, z_dim), the map from codes; None without
    landmarks. units: None without a face model."""

    means: Tensor
    gains: tuple[float, ...]
    landmarks: Tensor | None = None
    units: UnitAxes | None = None


def emotion_steps(
    z: Tensor, faces: Codes, shares: Mapping[str, float], ridge: float, face: ICT | None = None
) -> EmotionSteps:
    """Steps at equal person, light and pose.

    z: ``faces.z``, normalised. faces: with a label or without; the latter tell how landmarks and action units go with
    codes. shares: by emotions' words, how much of their steps action units say. ridge: of the landmark map. face: the
    face model of action units. Raises DataError for action units without landmarks.
    """
    named = faces.labels >= 0
    labelled = faces.rows(named)
    means = expression_means(z[named], labelled)
    if faces.landmarks is None:
        if face is not None:
            raise DataError("action units are read off landmarks, but the data set has no column 'landmarks68'.")
        return EmotionSteps(means, (1.0,) * len(Emotion))
    on_skull = on_one_skull(faces.landmarks.double())
    points = landmark_map(z, faces.landmarks, ridge)
    shown = _mean_landmarks(on_skull[named], labelled)
    axes = None
    if face is not None:
        reader = unit_reader(face, on_skull)
        points = within_expressions(points, reader)
        axes = fit_units(z, faces, reader, on_skull, points)
        means, shown = _by_units(means, shown, shares, face, reader, axes)
    return EmotionSteps(means, needed_gains(means, points, shown), points, axes)


def _by_units(
    means: Tensor, shown: Tensor, shares: Mapping[str, float], face: ICT, reader: UnitReader, axes: UnitAxes
) -> tuple[Tensor, Tensor]:
    """Class means (8, z_dim), and landmarks (8, 68, 2), drawn from those of faces to those of action units."""
    means, shown = means.clone(), shown.clone()
    for word, share in shares.items():
        emotion = Emotion.parse(word)
        units = unit_values(face, emotion, axes.names)
        means[emotion] = means[emotion].lerp(means[Emotion.NEUTRAL] + emotion_offset(face, emotion, axes), share)
        shown[emotion] = shown[emotion].lerp(shown[Emotion.NEUTRAL] + (units @ reader.moves).view(68, 2), share)
    return means, shown


def needed_gains(means: Tensor, points: Tensor, shown: Tensor) -> tuple[float, ...]:
    """For each emotion, how many times its step from neutral brings the landmarks nearest to where it has them.

    means: (8, z_dim); points: (68, 2, z_dim); shown: (8, 68, 2), landmarks of the emotions on one skull. Class means of
    few faces are drawn together, so that their steps are short; landmarks are few numbers, and well known sooner.
    From 1, which neutral has, to LARGEST_GAIN.
    """
    chosen = list(EXPRESSIVE)
    steps = means - means[Emotion.NEUTRAL]
    moved = torch.einsum("kd,pcd->kpc", steps.double(), points.double())[:, chosen].flatten(1)
    wanted = (shown - shown[Emotion.NEUTRAL]).double()[:, chosen].flatten(1)
    gains = (moved * wanted).sum(dim=1) / moved.square().sum(dim=1).clamp(min=1e-12)
    return tuple(round(gain, 3) for gain in gains.clamp(1, LARGEST_GAIN).tolist())


def _mean_landmarks(on_skull: Tensor, train: Codes) -> Tensor:
    """Landmarks of each emotion at equal person, light and pose, (8, 68, 2)."""
    flat = on_skull.flatten(1)
    found = class_means(
        flat, train.labels, len(Emotion), persons=train.persons, confounds=train.confounds, own=train.own
    )
    return found.means.view(-1, 68, 2)


def expression_means(z: Tensor, train: Codes) -> Tensor:
    """The mean code of each emotion at equal person, light and pose, (8, z_dim). z: ``train.z``, normalised."""
    found = class_means(z, train.labels, len(Emotion), persons=train.persons, confounds=train.confounds, own=train.own)
    faces = train.labels if train.own is None else train.labels[train.own]
    return guarded(found, torch.bincount(faces, minlength=len(Emotion))).to(z.dtype)


def landmark_map(z: Tensor, landmarks: Tensor, ridge: float) -> Tensor:
    """How landmarks move with the code: ridge regression. z: (N, z_dim), normalised; landmarks: (N, 68, 2).

    They move against the skull, and not with the crop, whose size goes by where the mouth is.
    Returns (68, 2, z_dim).
    """
    weight, _ = ridge_regression(z.double(), on_one_skull(landmarks.double()).flatten(1), ridge)
    return weight.reshape(landmarks.shape[1], 2, -1).to(z.dtype).contiguous()


def on_one_skull(landmarks: Tensor) -> Tensor:
    """Landmarks (N, 68, 2), each face moved, turned and sized so that what no expression moves lies as on the mean."""
    complexes = torch.view_as_complex(landmarks.contiguous())
    fixed = complexes[:, list(STABLE)]
    middle = fixed.mean(dim=1, keepdim=True)
    mean = (fixed - middle).mean(dim=0, keepdim=True)
    turn = ((fixed - middle).conj() * mean).sum(dim=1, keepdim=True) / (fixed - middle).abs().square().sum(1, True)
    return torch.view_as_real((complexes - middle) * turn + middle.mean())
