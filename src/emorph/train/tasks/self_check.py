"""The closing check of directions: what they do to held-out faces, and what is wrong where nothing is to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emorph.core.expressions import Emotion
from emorph.train.tasks.class_means import ENOUGH
from emorph.train.tasks.tried_edits import Trial, Trials

LEAST_MOVED = 0.02  # eye distances: landmarks that move less cannot be told from a detector's noise
LEAST_DRAWN = 0.6  # levels of 255, over the whole crop
LEAST_GAINED = 0.05  # of the classifier's own probability
MEASURES = ("moved", "drawn", "own_before", "own", "judged_before", "judged", "distance")


def check_json(trials: Trials) -> dict[str, Any]:
    """Medians of what landmarks and pixels do and means of the rest, by emotion; None where it is not known."""
    found = {}
    for emotion in Emotion:
        rows = trials.of(emotion)
        values = {name: _value(rows, name) for name in MEASURES}
        found[emotion.word] = {"n": len(rows), **values}
    return {"stranger_distance": _finite(trials.stranger), "emotions": found}


def check_lines(trials: Trials, counts: Mapping[Emotion, int]) -> list[str]:
    """The same for people, and a warning where edits are not to be seen. counts: training faces of each emotion."""
    head = f"{'edits of held-out faces':<24}{'n':>4}{'moved':>8}{'drawn':>8}{'own':>14}{'judge':>14}{'distance':>10}"
    text = [head]
    for emotion in Emotion:
        rows = trials.of(emotion)
        if rows:
            text.append(_line(emotion, rows))
    text.append(
        "moved: landmarks, in eye distances; drawn: pixels, in levels; own, judge: probability of the emotion by the "
        "classifier and by emorph-judge, before and after"
        + (f"; distance: dlib's, {trials.stranger:.2f} to another face" if np.isfinite(trials.stranger) else "")
    )
    return text + warnings(trials, counts)


def warnings(trials: Trials, counts: Mapping[Emotion, int]) -> list[str]:
    """Sentences, each with what is not to be seen, the likely cause, and what helps."""
    tried = {emotion: rows for emotion in Emotion if (rows := trials.of(emotion))}
    still = [e for e, rows in tried.items() if e != Emotion.NEUTRAL and _median(rows, "moved") < LEAST_MOVED]
    pale = [e for e, rows in tried.items() if e not in still and _median(rows, "drawn") < LEAST_DRAWN]
    unseen = [
        e
        for e, rows in tried.items()
        if e not in still + pale and _mean(rows, "own") - _mean(rows, "own_before") < LEAST_GAINED
    ]
    said = []
    if still:
        few = [f"{counts.get(e, 0)} {e.word}" for e in still if counts.get(e, 0) < ENOUGH]
        cause = f"there are too few training faces ({', '.join(few)})" if few else "the codes hardly tell expressions"
        said.append(
            f"Warning: edits to {_words(still)} move the landmarks by less than {LEAST_MOVED} eye distances, which "
            f"nobody sees. Probably {cause}: label more faces, state [head] units for these emotions, or use a model's "
            "later checkpoint."
        )
    if pale:
        said.append(
            f"Warning: edits to {_words(pale)} move the landmarks, but the model draws next to nothing new. Probably "
            "its checkpoint is too early to follow its code: train it longer and fit the directions again."
        )
    if unseen:
        said.append(
            f"Warning: the classifier itself does not see the edits to {_words(unseen)}. Probably there are too few "
            "such faces, or their labels differ in more than expression: look at a sheet, and raise [head] gains."
        )
    return said


def _line(emotion: Emotion, rows: Sequence[Trial]) -> str:
    own = f"{_mean(rows, 'own_before'):.2f} -> {_mean(rows, 'own'):.2f}"
    judged = f"{_mean(rows, 'judged_before'):.2f} -> {_mean(rows, 'judged'):.2f}"
    judged = judged if np.isfinite(rows[0].judged) else "-"
    distance = f"{_mean(rows, 'distance'):.2f}" if np.isfinite(rows[0].distance) else "-"
    moved, drawn = _median(rows, "moved"), _median(rows, "drawn")
    return f"{emotion.word:<24}{len(rows):>4}{moved:8.3f}{drawn:8.1f}{own:>14}{judged:>14}{distance:>10}"


def _value(rows: Sequence[Trial], name: str) -> float | None:
    if not rows:
        return None
    return _finite(_median(rows, name) if name in ("moved", "drawn") else _mean(rows, name))


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return round(value, 4) if np.isfinite(value) else None


def _median(rows: Sequence[Trial], name: str) -> float:
    return float(np.median([getattr(row, name) for row in rows]))


def _mean(rows: Sequence[Trial], name: str) -> float:
    return float(np.mean([getattr(row, name) for row in rows]))


def _words(emotions: Sequence[Emotion]) -> str:
    words = [emotion.word for emotion in emotions]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
