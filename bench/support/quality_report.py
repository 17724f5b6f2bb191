"""From scores to the section "Quality": tables with intervals, and the trade-off plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.emotion import Confusion, confusion, gain, recognised
from emorph.evaluate.metrics.identity import Pairs, pairs, verified
from emorph.evaluate.metrics.statistics import Estimate, bootstrap, pearson
from support.measure import table, write_section

BENCH = Path(__file__).parent.parent
SOURCES = (Emotion.NEUTRAL, Emotion.HAPPY)
STRENGTHS = (0.0, 0.5, 1.0, 1.5)
DOSE = 1.0
FALSE_ACCEPTS = 0.01


@dataclass(frozen=True)
class Score:
    """One edit.

    label, groups: as of the source face's ``Face``. answer: the judge's probabilities. distance: to the source photo,
    of the identity network. outside: the largest change of a pixel outside the face mask, in levels of 255.
    """

    label: Emotion | None
    person: str
    target: Emotion
    strength: float
    answer: NDArray[np.float64]
    distance: float
    descriptor: NDArray[np.float32]
    outside: int
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Controls:
    """The unedited held-out photos: labels, persons, answers (n, n_labels), descriptors (n, 128)."""

    emotions: tuple[Emotion, ...]
    labels: list[Emotion | None]
    persons: list[str]
    answers: NDArray[np.float64]
    descriptors: NDArray[np.float32]

    def recall(self, emotion: Emotion) -> tuple[float, int]:
        """The judge's recall on real faces of an emotion, and their number."""
        return self.confusion().recall(emotion)

    def confusion(self) -> Confusion:
        """The judge's answers on the faces whose label it knows."""
        known = [(i, label) for i, label in enumerate(self.labels) if label in self.emotions and label is not None]
        return confusion(self.emotions, [label for _, label in known], self.answers[[i for i, _ in known]])


class Results:
    """The scores with what is asked of them."""

    def __init__(self, scores: Sequence[Score], controls: Controls) -> None:
        self.scores = scores
        self.controls = controls
        self.pairs: Pairs = pairs(controls.descriptors, controls.persons)
        self.threshold = self.pairs.threshold(FALSE_ACCEPTS)

    def of(self, target: Emotion, strength: float, source: Emotion | None = None) -> list[Score]:
        """Edits to a target; of faces that do not carry its label already."""
        return [
            score
            for score in self.scores
            if (score.target, score.strength) == (target, strength)
            and score.label != target
            and source in (None, score.label)
        ]

    def measurable(self, target: Emotion) -> bool:
        """Whether the judge knows the emotion."""
        return target in self.controls.emotions

    def recognised(self, target: Emotion, strength: float, source: Emotion | None = None) -> Estimate:
        """Share of edits that the judge takes for their target."""
        chosen = self.of(target, strength, source)
        return mean(self.right(chosen), chosen)

    def gain(self, target: Emotion) -> Estimate:
        """Recognised at the dose less recognised unedited, face by face."""
        before, after = self.of(target, 0.0), self.of(target, DOSE)
        return mean(gain(self.right(before), self.right(after)), after)

    def right(self, scores: Sequence[Score]) -> NDArray[np.float64]:
        """1 where the judge takes the face for its target, else 0."""
        columns = np.array([self.controls.emotions.index(score.target) for score in scores], dtype=np.int64)
        return recognised(np.stack([score.answer for score in scores]), columns)

    def verified(self, strength: float, target: Emotion | None = None) -> Estimate:
        """Share of edits that pass for the person in their own source photo."""
        chosen = self.of(target, strength) if target is not None else self.at(strength)
        return mean(verified(np.array([score.distance for score in chosen]), self.threshold), chosen)

    def at(self, strength: float) -> list[Score]:
        """Edits to all targets at one strength."""
        return [score for emotion in Emotion for score in self.of(emotion, strength)]

    def other_photo(self, strength: float) -> Estimate:
        """Share of (edit, other photo of the person) pairs that pass for one person."""
        names = np.array(self.controls.persons)
        passed, groups = [], []
        for score in self.at(strength):
            distances = np.linalg.norm(self.controls.descriptors[names == score.person] - score.descriptor, axis=1)
            own = np.argmin(np.abs(distances - score.distance))  # the source photo itself
            others = np.delete(distances, own)
            passed += verified(others, self.threshold).tolist()
            groups += [score.person] * len(others)
        return bootstrap(passed, groups)

    def linearity(self, target: Emotion) -> Estimate:
        """Pearson's r of strength and the judge's probability, face by face."""
        column = self.controls.emotions.index(target)
        rows = np.array([[score.answer[column] for score in self.of(target, strength)] for strength in STRENGTHS])
        values = [pearson(STRENGTHS, row) for row in rows.T]
        persons = [score.person for score in self.of(target, DOSE)]
        return bootstrap(np.nan_to_num(values), persons)


@dataclass(frozen=True)
class Measured:
    """A model's results. auc: how well a small network tells its edits from photos."""

    model_id: str
    found: Results
    auc: float


def mean(values: NDArray[np.float64], scores: Sequence[Score]) -> Estimate:
    """The mean of a value for each score, with its interval over persons."""
    return bootstrap(values, [score.person for score in scores])


def report(first: Measured, side_by_side: str, command: str, n_faces: int) -> None:
    """Write the section and bench/quality.png: of the first model all, and what is said of several side by side."""
    found = first.found
    controls, scores, model_id = found.controls, found.scores, first.model_id
    plot(found)
    body = f"""`{model_id}`: {n_faces} held-out faces, as many neutral as happy (and, of packs without labels, as they
come), each edited to every emotion. The judge is `emorph-judge`, trained on FER-2013. Intervals: 95 %, bootstrap over
persons. An edit towards the label that a face has already is left out. "Real" is the judge's recall on unedited faces
of that label: a share above it has fooled the judge rather than convinced a person. Contempt is not measurable: the
judge does not know it.

Recognised as the target at strength {DOSE:g}:

{table(*recognised_table(found))}

By strength, of all faces:

{table(*strength_table(found))}

Identity, by dlib's network; two photos pass for one person below a distance of {found.threshold:.3f}, which
{FALSE_ACCEPTS:.0%} of the {len(found.pairs.impostor):,} pairs of different held-out persons reach:

{table(*identity_table(found))}

Largest change of any pixel outside the face mask: {max(score.outside for score in scores)} levels of 255.

{judge_text(controls)}

{side_by_side}

![share recognised against identity, by strength](quality.png)
"""
    write_section("Quality", command, body)


def judge_text(controls: Controls) -> str:
    """The judge's own confusion on the unedited faces."""
    right = controls.confusion()
    rows = [[emotion.word, *counts] for emotion, counts in zip(right.emotions, right.counts, strict=True)]
    share = f"{right.accuracy:.1%}"
    n_known = int(right.counts.sum())
    return f"""The judge on the {n_known} unedited faces whose label it knows (accuracy {share}); rows are the
annotator's labels, columns the judge's answers:

{table(["", *(emotion.word for emotion in right.emotions)], rows)}"""


def recognised_table(found: Results) -> tuple[list[str], list[list[str]]]:
    """Per emotion at the dose: by source, gain, the judge's recall, linearity."""
    header = ["target", "from neutral", "from happy", "gain over unedited", "real", "linearity r"]
    rows = []
    for emotion in Emotion:
        if not found.measurable(emotion):
            rows.append([emotion.word, *["not measurable"] * 4, "-"])
            continue
        recall, n = found.controls.recall(emotion)
        by_source = [
            percent(found.recognised(emotion, DOSE, source)) if source != emotion else "-" for source in SOURCES
        ]
        rows.append(
            [
                emotion.word,
                *by_source,
                percent(found.gain(emotion)),
                f"{100 * recall:.0f} % (n = {n})",
                f"{found.linearity(emotion):.2f}",
            ]
        )
    return header, rows


def strength_table(found: Results) -> tuple[list[str], list[list[str]]]:
    """Recognised share by emotion and strength."""
    rows = []
    for emotion in filter(found.measurable, Emotion):
        rows.append([emotion.word, *(percent(found.recognised(emotion, strength)) for strength in STRENGTHS)])
    return ["recognised", *(f"strength {strength:g}" for strength in STRENGTHS)], rows


def identity_table(found: Results) -> tuple[list[str], list[list[str]]]:
    """Edits by strength, and the controls that they stand between."""
    rows = []
    for strength in STRENGTHS[1:]:
        edits = found.at(strength)
        distance = mean(np.array([score.distance for score in edits]), edits)
        own, other = percent(found.verified(strength)), percent(found.other_photo(strength))
        rows.append([f"edited, strength {strength:g}", f"{distance:.3f}", own, other])
    genuine, impostor = found.pairs.genuine, found.pairs.impostor
    passing = f"{verified(genuine, found.threshold).mean():.0%}"
    rows.append(["unedited", "0", "100 %", percent(found.other_photo(0.0))])
    rows.append(
        [
            "another photo of the person",
            f"{genuine.mean():.3f}",
            passing,
            "-",
        ]
    )
    rows.append(["another person", f"{impostor.mean():.3f}", f"{100 * FALSE_ACCEPTS:.0f} %", "-"])
    return ["", "mean distance to the source", "passes for the source", "passes for another photo of the person"], rows


def percent(estimate: Estimate) -> str:
    """A share as whole percents with its interval."""
    return f"{100 * estimate.mean:.0f} % ({100 * estimate.low:.0f}-{100 * estimate.high:.0f})"


def plot(found: Results) -> None:
    """Write bench/quality.png: the share recognised against the share verified, a line an emotion, a dot a strength."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for emotion in filter(found.measurable, Emotion):
        x = [100 * found.verified(strength, emotion).mean for strength in STRENGTHS]
        y = [100 * found.recognised(emotion, strength).mean for strength in STRENGTHS]
        (line,) = axis.plot(x, y, label=emotion.word, linewidth=1.2)
        axis.scatter(x, y, s=[18 + 40 * strength for strength in STRENGTHS], color=line.get_color())
    axis.set(xlabel="passes for the person in the source photo, %", ylabel="recognised as the target by the judge, %")
    axis.set_title(f"larger dots: strength {', '.join(f'{strength:g}' for strength in STRENGTHS)}", fontsize=9)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(BENCH / "quality.png", dpi=110)
