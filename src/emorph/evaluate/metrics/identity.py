"""Is it still the person? dlib's face descriptors, and a threshold measured on the very faces that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import DataError
from emorph.core.types import Float32, Float64


def distances(a: Float32, b: Float32) -> Float64:
    """Euclidean distance of each row of a (n, 128) to the same row of b, (n,)."""
    found: Float64 = np.linalg.norm(a.astype(np.float64) - b, axis=1)
    return found


def csim(a: Float32, b: Float32) -> Float64:
    """Cosine of each row of a (n, d) with the same row of b, (n,) in [-1, 1]: of any recogniser's features.

    It saturates, and a value means little without its controls: the unedited photo, other photos of the person, other
    persons (``pairs``). Raises DataError for rows that do not fit or are all zeros.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise DataError(f"expected features (n, d) twice, found {a.shape} and {b.shape}.")
    first, second = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if not (lengths > 0).all():
        raise DataError("a row of features is all zeros; it is no face's.")
    found: Float64 = (first * second).sum(axis=1) / lengths
    return found


def verified(distance: Float64, threshold: float) -> Float64:
    """1 where two faces pass for one person, else 0: their distance is below the threshold."""
    return (np.asarray(distance) < threshold).astype(np.float64)


def found_first(to_photos: Float64, own: NDArray[np.int64], is_same: NDArray[np.bool_]) -> Float64:
    """1 where no photo of another person is as near as the own source, (m,); NaN where there is no other person.

    to_photos: distances of m edits to n photos, (m, n). own: which photo is each edit's source. is_same: (m, n),
    whether a photo shows the edit's person.
    """
    others = np.where(is_same, np.inf, to_photos)
    nearest = others.min(axis=1, initial=np.inf)
    is_first = to_photos[np.arange(len(own)), own] < nearest
    return np.where(np.isfinite(nearest), is_first, np.nan).astype(np.float64)


def share_passed(to_photos: Float64, others: NDArray[np.bool_], threshold: float) -> Float64:
    """Share of the other photos of the person that a face passes for, (m,), in [0, 1]; NaN where there is none.

    to_photos: distances of m faces to n photos, (m, n). others: (m, n), whether a photo is another one of the person.
    """
    n_others = others.sum(axis=1)
    n_passed = ((to_photos < threshold) & others).sum(axis=1)
    return np.where(n_others > 0, n_passed / np.maximum(n_others, 1), np.nan)


def mean_identity(calibrated: Float64) -> Float64:
    """The mean of calibrated identities by k recognisers, (k, n) to (n,), so that a wide scale does not outvote."""
    found: Float64 = np.mean(calibrated, axis=0)
    return found


@dataclass(frozen=True)
class Pairs:
    """Distances between the photos of a set: of one person (``genuine``), and of two (``impostor``)."""

    genuine: Float64
    impostor: Float64

    def threshold(self, false_accept_rate: float) -> float:
        """The distance under which this share of the impostor pairs is taken for one person."""
        if not len(self.impostor):
            raise DataError("a threshold needs photos of two persons at least; found one person.")
        return float(np.quantile(self.impostor, false_accept_rate))

    def calibrated(self, distance: Float64) -> Float64:
        """Identity on a scale where 1 is another photo of the person, and 0 is another person, on average."""
        if not len(self.genuine):
            raise DataError("calibrated identity needs a person with two photos at least; found none.")
        other = self.impostor.mean()
        found: Float64 = (other - distance) / (other - self.genuine.mean())
        return found


def pairs(descriptors: Float32, persons: Sequence[str]) -> Pairs:
    """All pairs among descriptors (n, 128) of photos of ``persons`` (n names)."""
    if len(descriptors) != len(persons):
        raise DataError(f"{len(descriptors)} descriptors need as many names; found {len(persons)}.")
    names = np.unique(np.asarray(persons), return_inverse=True)[1]
    first, second = np.triu_indices(len(names), k=1)
    between = np.concatenate([_row_distances(descriptors, i) for i in range(len(names) - 1)] or [np.zeros(0)])
    same: NDArray[np.bool_] = names[first] == names[second]
    return Pairs(between[same], between[~same])


def _row_distances(descriptors: Float32, i: int) -> Float64:
    found: Float64 = np.linalg.norm(descriptors[i + 1 :].astype(np.float64) - descriptors[i], axis=1)
    return found
