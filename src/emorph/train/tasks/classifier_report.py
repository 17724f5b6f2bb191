"""What a classifier's run says of itself: metrics.json, and a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from emorph.evaluate.metrics.emotion import Confusion
from emorph.train.calibration import Calibration
from emorph.train.tasks.affect import AffectScore

METRICS_FILE = "metrics.json"


def metrics_json(
    answers: Confusion,
    calibration: Calibration,
    affect: Mapping[str, AffectScore],
    settings: Mapping[str, Any],
    edits: Mapping[str, Any] | None = None,
    splits: Mapping[str, str] | None = None,
) -> str:
    """Everything that was measured on held-out faces, as JSON. settings: what to say of how it was made.

    edits: of ``emorph.train.tasks.self_check``. splits: "split", that of these faces, and "chosen_by", the one by which
    the epoch was chosen.
    """
    recall = {e.word: {"recall": _share(answers.recall(e)[0]), "n": answers.recall(e)[1]} for e in answers.emotions}
    values = {
        "measured_on": "held-out faces",
        **(splits or {}),
        "n": int(answers.counts.sum()),
        "accuracy": answers.accuracy,
        "mean_recall": mean_recall(answers),
        "recall": recall,
        "confusion": {"rows": "label", "columns": "answer", "labels": list(recall), "counts": answers.counts.tolist()},
        "calibration": asdict(calibration),
        "affect": {name: asdict(score) for name, score in affect.items()},
        "edits": edits,
        "settings": dict(settings),
    }
    return json.dumps(values, indent=2) + "\n"


def mean_recall(answers: Confusion) -> float:
    """Mean over the emotions that have a face."""
    known = [recall for recall, n in map(answers.recall, answers.emotions) if n]
    return sum(known) / len(known)


def lines(answers: Confusion, calibration: Calibration, affect: Mapping[str, AffectScore]) -> list[str]:
    """The same for people: recall and answers of each emotion, then the calibration."""
    words = [emotion.word for emotion in answers.emotions]
    width = max(map(len, words)) + 1
    text = [f"{'label':<{width}}{'n':>6}{'recall':>8}   answered as {''.join(f'{word:>{width}}' for word in words)}"]
    for emotion, counts in zip(answers.emotions, answers.counts, strict=True):
        recall, n = answers.recall(emotion)
        share = f"{recall:8.1%}" if n else f"{'-':>8}"
        text.append(f"{emotion.word:<{width}}{n:>6}{share}{'':15}{''.join(f'{count:>{width}}' for count in counts)}")
    n = int(answers.counts.sum())
    text.append(f"accuracy {answers.accuracy:.1%}, mean recall {mean_recall(answers):.1%} (n = {n})")
    text.append(
        f"calibration error {calibration.ece:.1%}; {calibration.scaled_ece:.1%} with the logits divided by "
        f"{calibration.temperature:.2f} (fitted on one half of the faces, measured on the other)"
    )
    text += [
        f"{name}: CCC {score.ccc:.2f}, PCC {score.pcc:.2f}, RMSE {score.rmse:.2f}, SAGR {score.sagr:.2f} "
        f"(n = {score.n})"
        for name, score in affect.items()
    ]
    return text


def _share(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value else None
