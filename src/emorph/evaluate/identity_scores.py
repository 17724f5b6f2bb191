"""Is it still the person? Each edit against its source, measured on the scale that the set's own photos span."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.records import SeenFace
from emorph.core.types import Float32, Float64
from emorph.evaluate.evidence import Evidence
from emorph.evaluate.identity import Pairs, distances, pairs
from emorph.evaluate.statistics import Estimate, bootstrap

FALSE_ACCEPTS = 0.01
DLIB_THRESHOLD = 0.6  # the distance under which dlib's author takes two photos for one person


@dataclass(frozen=True)
class Gallery:
    """The unedited photos of all sets, each once: the controls. persons: names, or the photo's id where unknown."""

    ids: tuple[str, ...]
    persons: tuple[str, ...]
    descriptors: Float32

    @classmethod
    def of(cls, sets: Sequence[Evidence]) -> Gallery:
        """All sources of all sets."""
        found = {scored.source.id: scored for evidence in sets for scored in evidence.edits}
        named = {
            scored.source.id: scored.pair.person for evidence in sets for scored in evidence.edits if scored.pair.person
        }
        persons = tuple(named.get(id, id) for id in found)
        rows = [scored.source.descriptor for scored in found.values()]
        return cls(
            tuple(found), persons, np.array(rows, dtype=np.float32).reshape(len(rows), len(rows[0]) if rows else 0)
        )

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Distances of all pairs of unedited photos."""
        return pairs(self.descriptors, self.persons)

    @functools.cached_property
    def threshold(self) -> float | None:
        """The distance that ``FALSE_ACCEPTS`` of the impostor pairs fall under; None with one person only."""
        return self.pairs.threshold(FALSE_ACCEPTS) if len(self.pairs.impostor) else None

    @functools.cached_property
    def knows_persons(self) -> bool:
        """Whether a person has two photos here."""
        return len(self.pairs.genuine) > 0

    def distance_of(self, *, same_person: bool) -> Estimate | None:
        """Mean distance of genuine or impostor pairs, with its interval over the first photo of each pair."""
        distances = self.pairs.genuine if same_person else self.pairs.impostor
        return bootstrap(distances, self._firsts(same_person)) if len(distances) else None

    def genuine_passing(self) -> Estimate | None:
        """Share of the pairs of one person that pass the threshold, with its interval over the first photo."""
        if self.threshold is None or not self.knows_persons:
            return None
        return bootstrap(self.pairs.genuine < self.threshold, self._firsts(True))

    def _firsts(self, same_person: bool) -> list[int]:
        first, second = np.triu_indices(len(self.ids), k=1)
        names = np.unique(np.asarray(self.persons), return_inverse=True)[1]
        found: list[int] = first[(names[first] == names[second]) == same_person].tolist()
        return found


@dataclass(frozen=True)
class IdentityScores:
    """A row an edit; distances of dlib's descriptors.

    distance: to the own source. is_first: 1 where no other source of the gallery is nearer (of another person).
    """

    gallery: Gallery
    evidence: Evidence
    distance: Float64
    is_first: Float64

    @classmethod
    def of(cls, evidence: Evidence, gallery: Gallery) -> IdentityScores:
        """Measure all edits of a set in the gallery."""
        place = {id: i for i, id in enumerate(gallery.ids)}
        own = np.array([place[scored.source.id] for scored in evidence.edits], dtype=np.int64)
        names = np.unique(np.asarray(gallery.persons), return_inverse=True)[1]
        distance, is_first = np.zeros(len(own)), np.zeros(len(own))
        for i, scored in enumerate(evidence.edits):
            to_all = _distances(gallery.descriptors, scored.edit)
            distance[i] = to_all[own[i]]
            others = to_all[names != names[own[i]]]
            is_first[i] = float(to_all[own[i]] < others.min()) if len(others) else np.nan
        return cls(gallery, evidence, distance, is_first)

    @property
    def passes(self) -> Float64:
        """1 where the edit passes for the person of its source; NaN without a threshold."""
        threshold = self.gallery.threshold
        if threshold is None:
            return np.full(len(self.distance), np.nan)
        return (self.distance < threshold).astype(np.float64)

    @property
    def calibrated(self) -> Float64:
        """0 is another person, 1 another photo of the same person, above 1 more alike; NaN where no person has two."""
        if not self.gallery.knows_persons or not len(self.gallery.pairs.impostor):
            return np.full(len(self.distance), np.nan)
        return self.gallery.pairs.calibrated(self.distance)

    def passes_for_other_photos(self, *, edited: bool) -> Float64:
        """Share of the other photos of the person that the edit (or its source) passes for; NaN where there is none."""
        gallery, threshold = self.gallery, self.gallery.threshold
        found = np.full(len(self.distance), np.nan)
        if threshold is None:
            return found
        for i, scored in enumerate(self.evidence.edits):
            face = scored.edit if edited else scored.source
            own = gallery.ids.index(scored.source.id)
            others = [
                j
                for j, person in enumerate(gallery.persons)
                if gallery.ids[j] != scored.source.id and person == gallery.persons[own]
            ]
            if others:
                distances = _distances(gallery.descriptors[others], face)
                found[i] = float((distances < threshold).mean())
        return found


def _distances(photos: Float32, face: SeenFace) -> Float64:
    """Of a face to each photo (n, 128), (n,)."""
    own = np.array(face.descriptor, dtype=np.float32)
    return distances(photos, np.broadcast_to(own, photos.shape))
