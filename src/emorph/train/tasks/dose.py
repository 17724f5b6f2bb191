"""How far strength 1 goes: chosen on training faces, between being recognised and staying the same person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emorph.core.expressions import Emotion
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.train.tasks.tried_edits import Trial, Trials, try_edits

# Times the gain that landmarks ask for. Judges like caricatures better still, but mouths would be wider than people's.
STRENGTHS = (0.7, 1.0, 1.3, 1.6)


def dosed(
    model: DiffAE,
    directions: Directions,
    faces: FaceStore,
    n_faces: int,
    stated: Sequence[str],
    on_step: OnStep | None = None,
) -> Directions:
    """The directions with the gains that do best on n neutral and n happy training faces. stated: words that stay."""
    trials = try_edits(model, directions, faces, n_faces, STRENGTHS, on_step=on_step)
    gains = [
        gain if word in stated else round(gain * best_strength(trials, Emotion.parse(word)), 3)
        for word, gain in zip(directions.labels, directions.gains, strict=True)
    ]
    return replace(directions, gain=tuple(gains))


def best_strength(trials: Trials, emotion: Emotion) -> float:
    """The strength with the largest ``balance``; 1 where nothing was tried."""
    scores = [balance(trials.of(emotion, strength), trials.stranger) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmax(scores))] if max(scores) > 0 else 1.0


def balance(trials: Sequence[Trial], stranger: float) -> float:
    """Harmonic mean of how surely edits are recognised and how much of the identity they keep, in [0, 1].

    Recognised: the mean probability of the judge, or where it does not know the emotion of the classifier itself.
    Identity: 1 less the distance to the face's own descriptor, over that of a stranger (HES of PixelSmile, arXiv
    2603.25728, with dlib's distances); 1 where it is not known, so that recognition alone counts.
    """
    if not trials:
        return 0.0
    seen = float(np.mean([trial.own if np.isnan(trial.judged) else trial.judged for trial in trials]))
    away = float(np.mean([trial.distance for trial in trials])) / stranger
    kept = 1.0 if np.isnan(away) else max(0.0, 1 - away)
    return 2 * seen * kept / (seen + kept) if seen + kept > 0 else 0.0
