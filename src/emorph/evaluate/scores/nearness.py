"""How near edits lie to their sources and to the gallery's photos, some edits at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.evaluate.scores.evidence import Bools, Evidence, Ints, Scored
from emorph.evaluate.scores.gallery import Gallery

FAR = 1e9  # farther than any face from any other, but a number
MOST_DISTANCES = 1 << 21  # that are held at once, in each of a few arrays of 16 MB


@dataclass(frozen=True)
class Nearness:
    """Some edits (m) beside a gallery's photos, and after these such of the edits' sources as it does not have: n.

    own: which photo is each edit's source, (m,).
    """

    gallery: Gallery
    edits: tuple[Scored, ...]
    photos: tuple[SeenFace, ...]
    own: Ints

    @classmethod
    def of(cls, gallery: Gallery, edits: Sequence[Scored]) -> Nearness:
        """Find each edit's source."""
        place, absent = gallery.place, dict[str, SeenFace]()
        for scored in edits:
            if scored.source_id not in place and scored.source_id not in absent:
                absent[scored.source_id] = scored.source
        place = place | {id: len(place) + i for i, id in enumerate(absent)} if absent else place
        own = np.array([place[scored.source_id] for scored in edits], dtype=np.int64)
        return cls(gallery, tuple(edits), (*gallery.photos, *absent.values()), own)

    @functools.cached_property
    def to_photos(self) -> Float64:
        """Distances of the edits to the photos, (m, n); of a lost face farther than any face."""
        found = np.array([not scored.is_lost for scored in self.edits], dtype=bool)
        rows = np.full((len(self.edits), len(self.photos)), FAR)
        if found.any():
            rows[found] = self.gallery.distances([s.edit for s in self.edits if not s.is_lost], self.photos)
        return rows

    @functools.cached_property
    def of_sources(self) -> Float64:
        """Distances of the edits' sources to the photos, (m, n)."""
        if len(self.photos) > len(self.gallery.photos):
            return self.gallery.distances([scored.source for scored in self.edits], self.photos)
        found: Float64 = self.gallery.between[self.own]
        return found

    @property
    def to_source(self) -> Float64:
        """Distance of each edit to its own source, (m,)."""
        found: Float64 = self.to_photos[np.arange(len(self.own)), self.own]
        return found

    @functools.cached_property
    def is_same(self) -> Bools:
        """Whether a photo shows the edit's person, (m, n); said of photos that the gallery does not have, too."""
        known = self.gallery.is_same([scored.source_id for scored in self.edits])
        n_absent = len(self.photos) - len(self.gallery.photos)
        return np.pad(known, ((0, 0), (0, n_absent)), constant_values=True)

    @functools.cached_property
    def others(self) -> Bools:
        """Whether a photo of the gallery is another one of the edit's person, (m, n)."""
        others = self.is_same.copy()
        others[np.arange(len(self.own)), self.own] = False
        others[:, len(self.gallery.photos) :] = False
        return others


def each_nearness(evidence: Evidence, gallery: Gallery) -> Iterator[Nearness]:
    """All edits of a set, as many at a time as memory is meant for; of a set without any a single one of none."""
    step = max(1, MOST_DISTANCES // max(1, len(gallery.photos)))
    for start in range(0, max(1, len(evidence.edits)), step):
        yield Nearness.of(gallery, evidence.edits[start : start + step])
