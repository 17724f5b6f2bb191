"""What a search sees of a training: how each validation face does, now and then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Measure:
    """How numbers of faces become one. higher: is better. by_class: the mean of each emotion's mean, not of all faces.

    percent: whether it is a share.
    """

    words: str
    higher: bool
    by_class: bool = False
    percent: bool = False

    def text(self, value: float, *, sign: bool = False) -> str:
        """A value for people."""
        if self.percent:
            return f"{100 * value:+.1f} points" if sign else f"{value:.1%}"
        return f"{value:+.4g}" if sign else f"{value:.4g}"

    def of(self, faces: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """The measure over faces, (n,); NaN is no answer and is left out. labels: int64 (n,), -1 for none."""
        known = np.isfinite(faces)
        if self.by_class:
            means = [faces[known & (labels == label)].mean() for label in np.unique(labels[known & (labels >= 0)])]
            return float(np.mean(means)) if means else float("nan")
        return float(faces[known].mean()) if known.any() else float("nan")


MEASURES: dict[str, Measure] = {
    "mean_recall": Measure("mean recall", higher=True, by_class=True, percent=True),
    "accuracy": Measure("accuracy", higher=True, percent=True),
}


def measure_of(name: str) -> Measure:
    """One of ``MEASURES``; any other name is that of a loss."""
    return MEASURES.get(name, Measure(name.replace("_", " "), higher=False))


@dataclass(frozen=True)
class Seen:
    """One look at the validation faces. share: of the training that is done, above 0 to 1.

    faces: by the name of a measure, what each face counts for it, float (n,). labels: int64 (n,), -1 for none.
    persons: int64 (n,), one number a person; every face its own where persons are not known.
    """

    share: float
    epoch: float
    step: int
    faces: dict[str, NDArray[np.float64]]
    labels: NDArray[np.int64]
    persons: NDArray[np.int64]

    def values(self) -> dict[str, float]:
        """Each measure."""
        return {name: measure_of(name).of(faces, self.labels) for name, faces in self.faces.items()}


OnSeen = Callable[[Seen], None]
