"""Which emotion does a face show? A judge's answer, and what follows from many answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.types import Float64

CONFUSABLE = ((Emotion.FEAR, Emotion.SURPRISE), (Emotion.ANGER, Emotion.DISGUST))


def recognised(probabilities: Float64, columns: NDArray[np.int64]) -> Float64:
    """1 where a judge's likeliest label is the target, else 0, (n,); NaN where it has no answer or no such label.

    probabilities: (n, n_labels), NaN where there is no answer. columns: of the targets, -1 where the judge has none.
    """
    known = np.isfinite(probabilities).all(axis=1) & (columns >= 0)
    right = np.argmax(np.nan_to_num(probabilities), axis=1) == columns
    return np.where(known, right.astype(np.float64), np.nan)


def probability(probabilities: Float64, columns: NDArray[np.int64]) -> Float64:
    """The judge's probability of each target, (n,), in [0, 1]; NaN as for ``recognised``, and arguments alike."""
    known = np.isfinite(probabilities).all(axis=1) & (columns >= 0)
    return np.where(known, probabilities[np.arange(len(columns)), columns], np.nan)


def blend_share(probabilities: Float64, shares: Float64) -> Float64:
    """How much of a judge's probabilities lies as a blend asks for, (n,), in [0, 1]; NaN where either is not known.

    The sum over emotions of the smaller of probability and share: 1 where both are the same, 0 where none of what was
    asked for is seen; of an undecided face it is not 0. probabilities: (n, n_labels). shares: (n, n_labels), each row
    sums to 1.
    """
    common: Float64 = np.minimum(probabilities, shares).sum(axis=1)
    return common


def mutual_confusion(emotions: Sequence[Emotion], targets: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    """mSCR: the share of each of two alike emotions that is taken for the other, in [0, 1], mean over the pairs.

    emotions: of the judge. targets, answers: of n faces, places in ``emotions``. NaN where the judge knows no
    such pair, or no face asks for one of it (PixelSmile, arXiv 2603.25728).
    """

    def taken_for(i: int, j: int) -> float:
        of_i = answers[targets == i]
        return float((of_i == j).mean()) if len(of_i) else np.nan

    pairs = alike(emotions)
    shares = np.array([(taken_for(i, j) + taken_for(j, i)) / 2 for i, j in pairs])
    return float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")


def alike(emotions: Sequence[Emotion]) -> list[tuple[int, int]]:
    """The places of the pairs of emotions that are easily taken for each other."""
    known = list(emotions)
    return [(known.index(a), known.index(b)) for a, b in CONFUSABLE if a in known and b in known]


def gain(before: Float64, after: Float64) -> Float64:
    """What an edit won, (n,), in -1, 0 and 1: recognised as the target, less its source recognised as it already."""
    return after - before


@dataclass(frozen=True)
class Confusion:
    """How often faces of each emotion were taken for which: counts int64 (n_labels, n_labels), row = true label."""

    emotions: tuple[Emotion, ...]
    counts: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of all faces that were taken for what they are."""
        return float(np.trace(self.counts) / self.counts.sum())

    def recall(self, emotion: Emotion) -> tuple[float, int]:
        """Share of an emotion's faces that were taken for it (NaN without faces), and how many faces there are."""
        row = self.counts[self.emotions.index(emotion)]
        n = int(row.sum())
        return (float(row[self.emotions.index(emotion)] / n) if n else float("nan")), n


def confusion(emotions: Sequence[Emotion], true: Sequence[Emotion], probabilities: Float64) -> Confusion:
    """Count answers. emotions: of the columns of probabilities (n, n_labels); true: n emotions, all among them."""
    known = tuple(emotions)
    strange = sorted({emotion.word for emotion in true if emotion not in known})
    if strange:
        raise DataError(
            f"this judge has no {' and no '.join(strange)}; leave those faces out: they are not measurable."
        )
    rows = np.array([known.index(emotion) for emotion in true], dtype=np.int64)
    counts = np.zeros((len(known), len(known)), np.int64)
    np.add.at(counts, (rows, probabilities.argmax(axis=1)), 1)
    return Confusion(known, counts)
