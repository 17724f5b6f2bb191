"""Is it still the person? Each edit against its source, measured on the scale that the set's own photos span."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.metrics.identity import found_first, verified
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Bools, Evidence
from emorph.evaluate.scores.gallery import FALSE_ACCEPTS, Gallery
from emorph.evaluate.scores.line import Line, of_itself

FAR = 1e9  # farther than any face from any other, but a number
OWN_DISTANCE = (Takes.DESCRIPTORS, Takes.FEATURES, Takes.IDENTITIES)
BY_RECOGNISER = (Takes.THRESHOLD, Takes.OTHER_PHOTOS, Takes.GALLERY, *OWN_DISTANCE, Takes.PAIRS)


@dataclass(frozen=True)
class IdentityScores:
    """A row an edit, as one recogniser sees it.

    to_photos: distances to the gallery's photos, (m, n); of a lost face farther than any face.
    """

    gallery: Gallery
    evidence: Evidence
    to_photos: Float64

    @classmethod
    def of(cls, evidence: Evidence, gallery: Gallery) -> IdentityScores:
        """Measure all edits of a set in the gallery."""
        found = gallery.to_photos([scored.edit for scored in evidence.edits if not scored.is_lost])
        rows = evidence.filled(found.reshape(len(found), len(gallery.ids)))
        return cls(gallery, evidence, np.where(evidence.lost[:, None], FAR, rows))

    @functools.cached_property
    def distance(self) -> Float64:
        """To the own source; NaN of a lost face."""
        return np.where(self.evidence.lost, np.nan, self._distance)

    @functools.cached_property
    def is_first(self) -> Float64:
        """1 where no photo of another person is as near as the own source; NaN where there is no other person."""
        return found_first(self.to_photos, self._own, self.gallery.same[self._own])

    @functools.cached_property
    def passes(self) -> Float64:
        """1 where the edit passes for the person of its source; NaN without a threshold."""
        threshold = self.gallery.threshold
        if threshold is None:
            return np.full(len(self._distance), np.nan)
        return verified(self._distance, threshold)

    def lines(self) -> Iterator[Line]:
        """All metrics of this recogniser, that which it shows of its distance among them."""
        gallery = self.gallery
        for row in metrics(*BY_RECOGNISER):
            if row.takes in OWN_DISTANCE:
                if row.takes == gallery.metric.takes:
                    yield self._distance_line(row)
                continue
            line = Line(row, self.evidence, values=self._measured(row), unedited=of_itself(row))
            if row.takes in (Takes.THRESHOLD, Takes.OTHER_PHOTOS):
                line = replace(line, withheld=gallery.withheld)
            if row == metrics(Takes.THRESHOLD)[0]:
                line = self._with_threshold(line)
            elif row.takes == Takes.GALLERY:
                n = len(gallery.ids)
                line = replace(line, title=f"{row.title} ({n} photo{'' if n == 1 else 's'})")
            elif row.takes == Takes.OTHER_PHOTOS:
                line = replace(line, before=self._of_other_photos(row, gallery.between[self._own]))
            elif row.takes == Takes.PAIRS:
                line = replace(line, same_person="1", other_person="0")
            yield line

    def _distance_line(self, row: Metric) -> Line:
        """A measure of what the recogniser sees; that which stands for its distance has the gallery's controls."""
        gallery, found = self.gallery, [scored for scored in self.evidence.edits if not scored.is_lost]
        values = gallery.shown(self.distance)
        if row.takes != Takes.IDENTITIES and found:
            sources, edits = (gallery.sees(faces) for faces in ([s.source for s in found], [s.edit for s in found]))
            values = self.evidence.filled(np.asarray(row.load()(sources, edits), dtype=np.float64))
        values = self._with_lost(row, values, self.evidence.lost)
        line = Line(row, self.evidence, gallery.name, values, unedited=of_itself(row))
        if row != gallery.metric:
            return line
        return replace(line, same_person=gallery.genuine, other_person=gallery.impostor)

    def _with_threshold(self, line: Line) -> Line:
        gallery = self.gallery
        at = "" if gallery.threshold is None else f", at {float(gallery.shown(np.array(gallery.threshold))):.3f}"
        return replace(
            line,
            title=f"{line.metric.title} ({gallery.name}, {100 * FALSE_ACCEPTS:.0f} % false accepts{at})",
            same_person=gallery.genuine_passing,
            other_person=f"{100 * FALSE_ACCEPTS:.0f} %, by the threshold",
        )

    def _measured(self, row: Metric) -> Float64:
        """A metric's values by what it takes; NaN where the set has no scale for it."""
        gallery, nothing, found = self.gallery, np.full(len(self._own), np.nan), None
        if row.takes == Takes.GALLERY:
            found = row.load()(self.to_photos, self._own, gallery.same[self._own])
        elif row.takes == Takes.PAIRS:
            found = row.load()(gallery.pairs, self._distance) if gallery.has_scale else nothing
        elif row.takes == Takes.OTHER_PHOTOS:
            found = self._of_other_photos(row, self.to_photos)
        else:
            found = nothing if gallery.threshold is None else row.load()(self._distance, gallery.threshold)
        values = np.asarray(found, dtype=np.float64)
        return self._with_lost(row, values, self.evidence.lost & np.isfinite(values))

    def _with_lost(self, row: Metric, values: Float64, failed: Bools) -> Float64:
        return np.where(failed, np.nan if row.lost is None else row.lost, values)

    def _of_other_photos(self, row: Metric, to_photos: Float64) -> Float64:
        if self.gallery.threshold is None:
            return np.full(len(self._own), np.nan)
        others = self.gallery.same[self._own].copy()
        others[np.arange(len(self._own)), self._own] = False
        return np.asarray(row.load()(to_photos, others, self.gallery.threshold), dtype=np.float64)

    @functools.cached_property
    def _distance(self) -> Float64:
        found: Float64 = self.to_photos[np.arange(len(self._own)), self._own]
        return found

    @functools.cached_property
    def _own(self) -> np.ndarray:
        """Which of the gallery's photos is each edit's source."""
        place = {id: i for i, id in enumerate(self.gallery.ids)}
        return np.array([place[scored.source.id] for scored in self.evidence.edits], dtype=np.int64)
