"""Is it still the person? Each edit against its source, measured on the scale that the set's own photos span.

A recogniser gives a distance of two faces: dlib's the Euclidean one of its descriptors, ArcFace and its kin 1 - cosine.
That of the ensemble is 1 less the mean of their calibrated identities (as ID-Sim means cosines), so that a network with
a wide scale does not outvote the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.records import Records
from emorph.evaluate.metrics.identity import Pairs, found_first, verified
from emorph.evaluate.metrics.statistics import Estimate, bootstrap_pairs
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints

FALSE_ACCEPTS = 0.01
DLIB = "dlib"
DLIB_THRESHOLD = 0.6  # the distance under which dlib's author takes two photos for one person
ENSEMBLE = "ensemble"
LEAST_PERSONS = 5  # that are drawn for an interval; draws of fewer say nothing of others
LEAST_SEPARATION = 0.9  # of a recogniser that tells persons apart

Measure = Literal["distance", "cosine", "calibrated"]
Distances = Callable[[Sequence[SeenFace]], Float64]  # of faces (m) to the gallery's photos (n): (m, n)


@dataclass(frozen=True)
class Gallery:
    """The unedited photos of all sets, each once, as one recogniser sees them: the controls.

    name: the recogniser's id, "dlib" or "ensemble". measure: what it shows to people instead of its distance.
    persons: names, or the photo's id where unknown. photos: n of them. to_photos: distances of any faces to them.
    """

    name: str
    measure: Measure
    persons: tuple[str, ...]
    photos: tuple[SeenFace, ...]
    to_photos: Distances

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Of the photos."""
        return tuple(photo.id for photo in self.photos)

    @functools.cached_property
    def between(self) -> Float64:
        """Distances of the photos to each other, (n, n)."""
        return self.to_photos(self.photos)

    @functools.cached_property
    def same(self) -> Bools:
        """Whether two photos are of one person, (n, n)."""
        found: Bools = self._person[:, None] == self._person
        return found

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Distances of all pairs of unedited photos."""
        rows, columns = np.triu_indices(len(self.ids), k=1)
        values, same = self.between[rows, columns], self.same[rows, columns]
        return Pairs(values[same], values[~same])

    @functools.cached_property
    def threshold(self) -> float | None:
        """The distance that ``FALSE_ACCEPTS`` of the impostor pairs fall under; None with one person only."""
        return self.pairs.threshold(FALSE_ACCEPTS) if len(self.pairs.impostor) else None

    @property
    def has_scale(self) -> bool:
        """Whether there are two photos of a person, and two persons, so that identity can be calibrated."""
        return len(self.pairs.genuine) > 0 and len(self.pairs.impostor) > 0

    @functools.cached_property
    def separation(self) -> float:
        """Share of (genuine, impostor) couples of pairs in which the genuine one is the nearer; NaN without either."""
        genuine, impostor = np.sort(self.pairs.genuine), self.pairs.impostor
        return float(np.searchsorted(genuine, impostor).mean() / len(genuine)) if self.has_scale else float("nan")

    def shown(self, distance: Float64) -> Float64:
        """The recogniser's distances as people read them: cosines and identities grow with likeness."""
        return distance if self.measure == "distance" else 1 - distance

    @functools.cached_property
    def genuine(self) -> Estimate | None:
        """Mean of what is shown for two photos of one person."""
        return self.over_pairs(self.shown(self.between), same_person=True)

    @functools.cached_property
    def impostor(self) -> Estimate | None:
        """Mean of what is shown for photos of two persons."""
        return self.over_pairs(self.shown(self.between), same_person=False)

    @functools.cached_property
    def genuine_passing(self) -> Estimate | None:
        """Share of the pairs of one person that pass the threshold."""
        if self.threshold is None:
            return None
        return self.over_pairs((self.between < self.threshold).astype(np.float64), same_person=True)

    def over_pairs(self, between: Float64, *, same_person: bool) -> Estimate | None:
        """Mean of ``between`` (n, n) over the pairs of one person or of two, NaN left out; None of none.

        Its interval is over persons; over photos, so for these very persons, where fewer than ``LEAST_PERSONS`` are in
        the pairs.
        """
        rows, columns = np.nonzero(np.triu((self.same == same_person) & np.isfinite(between), k=1))
        if not len(rows):
            return None
        first, second = self._person[rows], self._person[columns]
        if len(np.union1d(first, second)) < LEAST_PERSONS:
            first, second = rows, columns
        return bootstrap_pairs(between[rows, columns], first, second)

    @functools.cached_property
    def _person(self) -> Ints:
        """A number for each photo's person."""
        return np.unique(np.asarray(self.persons), return_inverse=True)[1].astype(np.int64)


def galleries(sets: Sequence[Evidence], panel: Panel, records: Records) -> tuple[Gallery, ...]:
    """One for each recogniser, the one that a report leads with first: the ensemble, else the first named, else dlib's.

    The ensemble is of those that tell these persons apart: the scale of one that does not means nothing. There is none
    of one, nor where no person has two photos.
    """
    edits = [scored for evidence in sets for scored in evidence.edits]
    photos = {scored.source.id: scored.source for scored in edits}
    named = {scored.source.id: scored.pair.person for scored in edits if scored.pair.person}
    persons = tuple(named.get(id, id) for id in photos)

    def gallery(name: str, measure: Measure, distances: Distances) -> Gallery:
        return Gallery(name, measure, persons, tuple(photos.values()), distances)

    found = [
        gallery(recogniser.id, "cosine", _cosines(recogniser.id, tuple(photos), records))
        for recogniser in panel.recognisers
    ]
    found.append(gallery(DLIB, "distance", _euclidean(tuple(photos.values()))))
    sound = [part for part in found if part.separation >= LEAST_SEPARATION]
    if len(sound) < 2:
        return (*sound, *(part for part in found if all(part is not other for other in sound)))
    return (gallery(ENSEMBLE, "calibrated", _uncalibrated(sound)), *found)


def _euclidean(photos: Sequence[SeenFace]) -> Distances:
    own = np.array([photo.descriptor for photo in photos], dtype=np.float64)

    def distances(faces: Sequence[SeenFace]) -> Float64:
        rows = [np.linalg.norm(own - np.array(face.descriptor), axis=1) for face in faces]
        return np.array(rows, dtype=np.float64).reshape(len(faces), len(photos))

    return distances


def _cosines(recogniser: str, ids: Sequence[str], records: Records) -> Distances:
    def vectors(faces: Sequence[str]) -> Float64:
        rows = np.array([records.embeddings[id, recogniser] for id in faces], dtype=np.float64)
        rows = rows.reshape(len(faces), rows.shape[-1] if rows.size else 1)
        unit: Float64 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def distances(faces: Sequence[SeenFace]) -> Float64:
        found: Float64 = 1 - vectors([face.id for face in faces]) @ vectors(ids).T
        return found

    return distances


def _uncalibrated(parts: Sequence[Gallery]) -> Distances:
    def distances(faces: Sequence[SeenFace]) -> Float64:
        found: Float64 = 1 - np.mean([part.pairs.calibrated(part.to_photos(faces)) for part in parts], axis=0)
        return found

    return distances


@dataclass(frozen=True)
class IdentityScores:
    """A row an edit, as one recogniser sees it. to_photos: distances to the gallery's photos, (m, n)."""

    gallery: Gallery
    evidence: Evidence
    to_photos: Float64

    @classmethod
    def of(cls, evidence: Evidence, gallery: Gallery) -> IdentityScores:
        """Measure all edits of a set in the gallery."""
        return cls(gallery, evidence, gallery.to_photos([scored.edit for scored in evidence.edits]))

    @functools.cached_property
    def distance(self) -> Float64:
        """To the own source."""
        found: Float64 = self.to_photos[np.arange(len(self._own)), self._own]
        return found

    @functools.cached_property
    def is_first(self) -> Float64:
        """1 where no photo of another person is as near as the own source; NaN where there is no other person."""
        return found_first(self.to_photos, self._own, self.gallery.same[self._own])

    @functools.cached_property
    def passes(self) -> Float64:
        """1 where the edit passes for the person of its source; NaN without a threshold."""
        threshold = self.gallery.threshold
        if threshold is None:
            return np.full(len(self.distance), np.nan)
        return verified(self.distance, threshold)

    @property
    def calibrated(self) -> Float64:
        """0 is another person, 1 another photo of the same person, above 1 more alike; NaN where no person has two."""
        if not self.gallery.has_scale:
            return np.full(len(self.distance), np.nan)
        return self.gallery.pairs.calibrated(self.distance)

    def passes_for_other_photos(self, *, edited: bool) -> Float64:
        """Share of the other photos of the person that the edit (or its source) passes for; NaN where there is none."""
        threshold = self.gallery.threshold
        found = np.full(len(self._own), np.nan)
        if threshold is None:
            return found
        others = self.gallery.same[self._own].copy()
        others[np.arange(len(self._own)), self._own] = False
        passed = (self.to_photos if edited else self.gallery.between[self._own]) < threshold
        n_others = others.sum(axis=1)
        known = n_others > 0
        found[known] = (passed & others).sum(axis=1)[known] / n_others[known]
        return found

    @functools.cached_property
    def _own(self) -> np.ndarray:
        """Which of the gallery's photos is each edit's source."""
        place = {id: i for i, id in enumerate(self.gallery.ids)}
        return np.array([place[scored.source.id] for scored in self.evidence.edits], dtype=np.int64)
