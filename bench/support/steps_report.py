"""From the numbers of bench/steps.py to its tables: each arm, paired differences, and whether a rise is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.identity import Pairs, pairs
from emorph.evaluate.metrics.statistics import Estimate, bootstrap
from support.measure import table
from support.steps_arms import ARMS, BASE, BOTH, STEP_1
from support.steps_scores import Values
from support.validation import Face

FALSE_ACCEPTS = 0.01
LOSS = "loss"


@dataclass(frozen=True)
class Measure:
    """One column. key: of the numbers; percent: whether it is a share; up: whether more is better."""

    title: str
    key: str
    percent: bool = False
    up: bool = False


class Found:
    """The numbers of all arms. rows: by arm and seed, one ``Values`` a face. everyone: of all held-out faces."""

    def __init__(
        self,
        rows: Mapping[tuple[str, int], list[Values]],
        faces: Sequence[Face],
        targets: Sequence[Emotion],
        everyone: Pairs,
    ) -> None:
        self.rows, self.faces, self.targets = rows, faces, targets
        # an edit towards the label that a face has already is none
        self.asked = np.array([[face.label != target for target in targets] for face in faces])
        self.persons = np.repeat([face.person for face in faces], len(targets)).reshape(self.asked.shape)
        base = next(of_seed for (arm, _), of_seed in rows.items() if arm == BASE)
        self.own = {key: [row[f"own:{key}"] for row in base] for key in ("shape", "fit") if f"own:{key}" in base[0]}
        self.threshold = everyone.threshold(FALSE_ACCEPTS)
        self.n_strangers = len(everyone.impostor)

    def seeds(self, arm: str) -> list[int]:
        """Those of an arm."""
        return [seed for name, seed in self.rows if name == arm]

    def of_seed(self, arm: str, seed: int, key: str) -> NDArray[np.float64]:
        """A value of every edit, (n_faces, n_targets)."""
        rows = self.rows[arm, seed]
        if key == "passes":
            return np.stack([(row["distance"] <= self.threshold).astype(np.float64) for row in rows])
        return np.stack([row[key] for row in rows])

    def values(self, arm: str, key: str) -> NDArray[np.float64]:
        """The mean over an arm's seeds."""
        found: NDArray[np.float64] = np.mean([self.of_seed(arm, seed, key) for seed in self.seeds(arm)], axis=0)
        return found

    def estimate(self, values: NDArray[np.float64]) -> Estimate:
        """The mean of the edits that were asked for and are known, with its interval over persons."""
        chosen = self.asked & np.isfinite(values)
        return bootstrap(values[chosen], self.persons[chosen].tolist())

    def seed_range(self, arm: str, key: str) -> tuple[float, float]:
        """Least and most mean of an arm's seeds."""
        means = [self.estimate(self.of_seed(arm, seed, key)).mean for seed in self.seeds(arm)]
        return min(means), max(means)


def report(found: Found, judges: Sequence[str], *, shape_network: str, emotion_network: str, fits: bool) -> str:
    """The section's body."""
    measures = [
        *(Measure(f"recognised by {judge}", f"right:{judge}", percent=True, up=True) for judge in judges),
        Measure("passes for the person", "passes", percent=True, up=True),
        Measure(f"shape moved ({shape_network})", "shape"),
        *([Measure("shape moved (landmark fit)", "fit")] if fits else []),
        Measure("SSIM of the reconstruction", "ssim", up=True),
        Measure("change around the face", "around"),
    ]
    persons = len({face.person for face in found.faces})
    parts = [
        f"""{len(found.faces)} held-out faces of {persons} persons, each edited to {len(found.targets)} emotions but its
own, at strength 1. Intervals: 95 %, bootstrap over persons, of the mean over {len(found.seeds(STEP_1))} seeds; in
brackets the seeds' least and most. `{emotion_network}` and `{shape_network}` gave the losses, so that what they say is
no mark: the shape by the landmark fit is the independent one. Change around the face is of the model's crop, in levels
of 255; outside the mask of a photo an edit changes nothing.""",
        _arms(found, measures),
        "Differences between the arms, edit by edit:",
        _differences(found, measures),
        _believed(found, judges, emotion_network),
        _controls(found, judges, fits=fits),
    ]
    return "\n\n".join(parts)


def _arms(found: Found, measures: Sequence[Measure]) -> str:
    rows = []
    for measure in measures:
        cells = []
        for arm in ARMS:
            low, high = found.seed_range(arm, measure.key)
            several = f" [{_number(low, measure)} to {_number(high, measure)}]" if len(found.seeds(arm)) > 1 else ""
            cells.append(_told(found.estimate(found.values(arm, measure.key)), measure) + several)
        rows.append([measure.title, *cells])
    return table(["", *ARMS], rows)


def _differences(found: Found, measures: Sequence[Measure]) -> str:
    compared = ((STEP_1, BASE), (BOTH, BASE), (BOTH, STEP_1))
    rows = []
    for measure in measures:
        cells = [_told(_difference(found, after, before, measure.key), measure) for after, before in compared]
        rows.append([measure.title, *cells])
    return table(["", *(f"{after} less {before}" for after, before in compared)], rows)


def _difference(found: Found, after: str, before: str, key: str) -> Estimate:
    return found.estimate(found.values(after, key) - found.values(before, key))


def _believed(found: Found, judges: Sequence[str], emotion_network: str) -> str:
    """Whether a rise under the network that gave the loss shows under the others, too: else it has been fooled."""
    measure = Measure("", "", percent=True)
    lines = []
    for arm in (STEP_1, BOTH):
        rise = _difference(found, arm, BASE, f"right:{LOSS}")
        if rise.low <= 0:
            lines.append(f"- {arm}: no rise under {emotion_network} itself ({_told(rise, measure)}).")
            continue
        others = {judge: _difference(found, arm, BASE, f"right:{judge}") for judge in judges}
        told = ", ".join(f"{judge} {_told(other, measure)}" for judge, other in others.items())
        both = all(other.low > 0 for other in others.values())
        verdict = "so do all the others" if both else "not all the others agree: part of it only pleases the loss"
        if len(others) < 2:
            verdict += "; one other judge alone is weak evidence"
        lines.append(f"- {arm}: {emotion_network} rises by {_told(rise, measure)}; {verdict} ({told}).")
    return "Is the rise believed?\n\n" + "\n".join(lines)


def _controls(found: Found, judges: Sequence[str], *, fits: bool) -> str:
    """The same measures without any edit."""
    share = Measure("", "", percent=True)
    plain = Measure("", "")
    before = ", ".join(f"{j} {_told(found.estimate(found.values(BASE, f'before:{j}')), share)}" for j in judges)
    lines = [
        f"- unedited faces taken for the target: {before}",
        f"- a distance of dlib's numbers up to {found.threshold:.3f} passes for the person: {FALSE_ACCEPTS:.0%} of the "
        f"{found.n_strangers:,} pairs of different held-out persons do",
    ]
    persons = [face.person for face in found.faces]
    for key in ("shape", *(["fit"] if fits else [])):
        control = pairs(np.stack(found.own[key]).astype(np.float32), persons)
        of_one = f"{_number(float(control.genuine.mean()), plain)}" if len(control.genuine) else "no pair is here"
        two = _number(float(control.impostor.mean()), plain)
        name = "the shape network" if key == "shape" else "the landmark fit"
        lines.append(f"- {name}: two photos of one person {of_one}, of two persons {two} apart")
    return "Controls:\n\n" + "\n".join(lines)


def _told(estimate: Estimate, measure: Measure) -> str:
    low, high = _number(estimate.low, measure), _number(estimate.high, measure)
    return f"{_number(estimate.mean, measure)} ({low} to {high})"


def _number(value: float, measure: Measure) -> str:
    return f"{100 * value:.1f} %" if measure.percent else f"{value:.3f}"
