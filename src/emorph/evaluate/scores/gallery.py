"""The scale of identity: the unedited photos of all sets, as each recogniser sees them.

A recogniser gives a distance of two faces: dlib's the Euclidean one of its descriptors, ArcFace and its kin 1 - cosine.
That of the ensemble is 1 less the mean of their calibrated identities (as ID-Sim means cosines), so that a network with
a wide scale does not outvote the others.

Pairs of n photos are n(n - 1)/2, so of more than ``MOST_PHOTOS`` some are drawn, all photos of a person together: time
and memory grow as the number of edits does, and a threshold still rests on two million pairs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.core.wilson import wilson
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.records import Records
from emorph.evaluate.metrics.identity import Pairs
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import Estimate, bootstrap_pairs
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints

FALSE_ACCEPTS = 0.01
LEAST_IMPOSTORS = round(1 / FALSE_ACCEPTS)  # pairs of which that share is one
LEAST_PHOTOS = next(n for n in range(2, LEAST_IMPOSTORS) if n * (n - 1) // 2 >= LEAST_IMPOSTORS)
DLIB = "dlib"
DLIB_THRESHOLD = 0.6  # the distance under which dlib's author takes two photos for one person
LEAST_PERSONS = 5  # that are drawn for an interval; draws of fewer say nothing of others
LEAST_SEPARATION = 0.9  # of a recogniser that tells persons apart
MOST_PHOTOS = 2000

Distances = Callable[[Sequence[SeenFace], Sequence[SeenFace]], Float64]  # of faces (m) to others (n): (m, n)
Sight = Callable[[Sequence[SeenFace]], Float64]


@dataclass(frozen=True)
class Gallery:
    """The unedited photos of all sets, or some of them, each once, as one recogniser sees them: the controls.

    name: the recogniser's id, "dlib", or that of the metric of all of them. metric: what it shows to people of its
    distance: the distance itself, or what grows with likeness, which is 1 - distance.
    sees: what a recogniser makes of faces (m, D), for the metrics that take this.
    named: whose every source of all sets is, by its id; that id where unknown. photos: n of them. distances: of any
    faces.
    """

    name: str
    metric: Metric
    named: Mapping[str, str]
    photos: tuple[SeenFace, ...]
    distances: Distances
    sees: Sight

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Of the photos."""
        return tuple(photo.id for photo in self.photos)

    @functools.cached_property
    def place(self) -> dict[str, int]:
        """Of each photo by its id."""
        return {id: i for i, id in enumerate(self.ids)}

    @functools.cached_property
    def between(self) -> Float64:
        """Distances of the photos to each other, (n, n)."""
        return self.distances(self.photos, self.photos)

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
        """The distance that ``FALSE_ACCEPTS`` of the impostor pairs fall under; None of fewer pairs than one accept."""
        return self.pairs.threshold(FALSE_ACCEPTS) if len(self.pairs.impostor) >= LEAST_IMPOSTORS else None

    @property
    def told(self) -> str:
        """How many photos, in a table's words."""
        n, of = len(self.ids), len(self.named)
        if n < of:
            return f"{n:,} of {of:,} photos, drawn"
        return f"{n} photo{'' if n == 1 else 's'}"

    @property
    def withheld(self) -> str:
        """Why there is no threshold, in a table's words; "" where there is one, or not one impostor."""
        n = len(self.pairs.impostor)
        if not 0 < n < LEAST_IMPOSTORS:
            return ""
        return (
            f"withheld: {100 * FALSE_ACCEPTS:.0f} % of {n} impostor pair{'s' if n > 1 else ''} is less than one pair; "
            f"{LEAST_IMPOSTORS} are needed, so {LEAST_PHOTOS} photos of different persons"
        )

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
        return distance if self.metric.better == "lower" else 1 - distance

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
        found = self.over_pairs((self.between < self.threshold).astype(np.float64), same_person=True)
        if found is None or not found.is_point:
            return found
        rows, columns = np.nonzero(np.triu(self.same, k=1))
        low, high = wilson(found.mean, len(np.union1d(self._person[rows], self._person[columns])))
        return replace(found, low=low, high=high)

    def over_pairs(self, between: Float64, *, same_person: bool) -> Estimate | None:
        """Mean of ``between`` (n, n) over the pairs of one person or of two, NaN left out; None without any.

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

    def is_same(self, ids: Sequence[str]) -> Bools:
        """Whether each photo shows the person of each of these sources, (m, n)."""
        known = {self.named[id]: int(person) for id, person in zip(self.ids, self._person, strict=True)}
        found: Bools = np.array([known.get(self.named[id], -1) for id in ids])[:, None] == self._person
        return found

    @functools.cached_property
    def _person(self) -> Ints:
        """A number for each photo's person."""
        return np.unique([self.named[id] for id in self.ids], return_inverse=True)[1].astype(np.int64)


def galleries(sets: Sequence[Evidence], panel: Panel, records: Records) -> tuple[Gallery, ...]:
    """One for each recogniser, the one that a report leads with first: the ensemble, else the first named, else dlib's.

    The ensemble is of those that tell these persons apart: the scale of one that does not means nothing. There is none
    of one, nor where no person has two photos.
    """
    edits = [scored for evidence in sets for scored in evidence.edits]
    named = {scored.source_id: scored.source_id for scored in edits}
    named |= {scored.source_id: scored.pair.person for scored in edits if scored.pair.person}
    own = tuple(records.faces[id] for id in _drawn(named))

    def gallery(name: str, takes: Takes, distances: Distances, sees: Sight) -> Gallery:
        return Gallery(name, metrics(takes)[0], named, own, distances, sees)

    found = []
    for recogniser in panel.recognisers:
        sees = _vectors(recogniser.id, records)
        found.append(gallery(recogniser.id, Takes.FEATURES, _cosines(sees), sees))
    found.append(gallery(DLIB, Takes.DESCRIPTORS, _euclidean, _descriptors))
    sound = [part for part in found if part.separation >= LEAST_SEPARATION]
    if len(sound) < 2:
        return (*sound, *(part for part in found if all(part is not other for other in sound)))
    ensemble = metrics(Takes.IDENTITIES)[0].name
    return (gallery(ensemble, Takes.IDENTITIES, _uncalibrated(sound), _nothing), *found)


def _drawn(persons: Mapping[str, str]) -> list[str]:
    """The photos of a gallery: all of them, or persons in turn, as chance has it, until there are ``MOST_PHOTOS``."""
    if len(persons) <= MOST_PHOTOS:
        return list(persons)
    photos: dict[str, list[str]] = {}
    for id, person in persons.items():
        photos.setdefault(person, []).append(id)
    names = list(photos)
    order = np.random.default_rng(0).permutation(len(names))
    return [id for i in order for id in photos[names[i]]][:MOST_PHOTOS]


def _descriptors(faces: Sequence[SeenFace]) -> Float64:
    return np.array([face.descriptor for face in faces], dtype=np.float64)


def _nothing(faces: Sequence[SeenFace]) -> Float64:
    """All recognisers together see nothing of their own."""
    return np.zeros((len(faces), 0))


def _euclidean(faces: Sequence[SeenFace], photos: Sequence[SeenFace]) -> Float64:
    own = _descriptors(photos)
    rows = [np.linalg.norm(own - face.descriptor, axis=1) for face in faces]
    return np.array(rows, dtype=np.float64).reshape(len(faces), len(photos))


def _vectors(recogniser: str, records: Records) -> Sight:
    def sees(faces: Sequence[SeenFace]) -> Float64:
        rows = np.array([records.embeddings[face.id, recogniser] for face in faces], dtype=np.float64)
        rows = rows.reshape(len(faces), rows.shape[-1] if rows.size else 1)
        unit: Float64 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    return sees


def _cosines(sees: Sight) -> Distances:
    def distances(faces: Sequence[SeenFace], photos: Sequence[SeenFace]) -> Float64:
        found: Float64 = 1 - sees(faces) @ sees(photos).T
        return found

    return distances


def _uncalibrated(parts: Sequence[Gallery]) -> Distances:
    mean = metrics(Takes.IDENTITIES)[0].load()

    def distances(faces: Sequence[SeenFace], photos: Sequence[SeenFace]) -> Float64:
        found: Float64 = 1 - mean(np.array([part.pairs.calibrated(part.distances(faces, photos)) for part in parts]))
        return found

    return distances
