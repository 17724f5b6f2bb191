"""Models side by side, and each of them by groups of people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.identity import verified
from support.measure import table
from support.quality_report import DOSE, Measured, Results, Score, mean, percent

LEAST = 5  # faces of a group: fewer say nothing, not even with an interval


def comparison(measured: Sequence[Measured]) -> str:
    """One column a model: recognised at the dose, identity, and how well edits are told from photos."""
    rows: list[list[str]] = []
    first = measured[0].found
    measurable = [emotion for emotion in Emotion if first.measurable(emotion)]
    for emotion in measurable:
        rows.append([emotion.word, *(percent(each.found.recognised(emotion, DOSE)) for each in measured)])
    rows.append(["mean of these", *(f"{100 * mean_recognised(each.found):.0f} %" for each in measured)])
    rows.append(["passes for the source", *(percent(each.found.verified(DOSE)) for each in measured)])
    rows.append(["told from photos (AUC)", *(f"{each.auc:.2f}" for each in measured)])
    return (
        f"Side by side at strength {DOSE:g}. AUC: a small network that learnt neutral and happy edits and photos, on "
        f"people it never saw; 0.5 cannot tell them apart.\n\n{table(['', *names(measured)], rows)}"
    )


def names(measured: Sequence[Measured]) -> list[str]:
    """The models, as columns are headed."""
    return [f"`{each.model_id}`" for each in measured]


def mean_recognised(found: Results) -> float:
    """Mean over the emotions that the judge knows."""
    return float(np.mean([found.recognised(emotion, DOSE).mean for emotion in Emotion if found.measurable(emotion)]))


def groups_text(measured: Sequence[Measured]) -> str:
    """Each group's faces, how many edits are recognised, and how many pass for their source."""
    rows = []
    for name in ("age", "sex", "skin", "source"):
        words = sorted({s.groups[name] for each in measured for s in each.found.scores if name in s.groups})
        for word in words:
            n = len({s.person for s in of_group(measured[0].found, name, word)})
            if n >= LEAST:
                rows.append([f"{name}: {word}", str(n), *(cell(each.found, name, word) for each in measured)])
    head = ["group", "n", *names(measured)]
    return (
        f"By group, where a pack tells it; n counts people. Recognised, then passing for the source, at strength "
        f"{DOSE:g}, all emotions that the judge knows. Skin: brightness of the cheeks in the photo, light and camera "
        f"included; groups of fewer than {LEAST} people are left out.\n\n{table(head, rows)}"
    )


def of_group(found: Results, name: str, word: str) -> list[Score]:
    """Edits at the dose of the faces of a group, to emotions that the judge knows."""
    return [s for s in found.at(DOSE) if s.groups.get(name) == word and found.measurable(s.target)]


def cell(found: Results, name: str, word: str) -> str:
    """Recognised, and passing for the source, with intervals over persons."""
    scores = of_group(found, name, word)
    passing = mean(verified(np.array([s.distance for s in scores]), found.threshold), scores)
    return f"{percent(mean(found.right(scores), scores))}; {percent(passing)}"
