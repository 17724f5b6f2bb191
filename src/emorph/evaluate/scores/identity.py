"""Is it still the person? Each edit against its source, measured on the scale that the set's own photos span."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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
from emorph.evaluate.scores.nearness import Nearness, each_nearness

OWN_DISTANCE = (Takes.DESCRIPTORS, Takes.FEATURES, Takes.IDENTITIES)
AT_ONCE = 1024  # edits whose vectors are held
BY_RECOGNISER = (Takes.THRESHOLD, Takes.OTHER_PHOTOS, Takes.GALLERY, *OWN_DISTANCE, Takes.PAIRS)


@dataclass(frozen=True)
class IdentityScores:
    """A row an edit, as one recogniser sees it.

    to_source: distance to the own source, (m,); of a lost face farther than any face. is_first: 1 where no photo of
    another person is as near as the own source; NaN where there is no other person. by_photos: what each metric that
    looks at the gallery's photos tells of the edits, (m,), by its name; of_sources: what it tells of their sources.
    """

    gallery: Gallery
    evidence: Evidence
    to_source: Float64
    is_first: Float64
    by_photos: Mapping[str, Float64]
    of_sources: Mapping[str, Float64]

    @classmethod
    def of(cls, evidence: Evidence, gallery: Gallery) -> IdentityScores:
        """Measure all edits of a set in the gallery."""
        to_source, is_first = [], []
        by_photos: dict[str, list[Float64]] = {}
        of_sources: dict[str, list[Float64]] = {}
        for near in each_nearness(evidence, gallery):
            to_source.append(near.to_source)
            is_first.append(found_first(near.to_photos, near.own, near.is_same))
            for row in metrics(Takes.GALLERY):
                by_photos.setdefault(row.name, []).append(row.load()(near.to_photos, near.own, near.is_same))
            for row in metrics(Takes.OTHER_PHOTOS):
                measure = _passing(row, near, gallery)
                by_photos.setdefault(row.name, []).append(measure(near.to_photos))
                of_sources.setdefault(row.name, []).append(measure(near.of_sources))
        joined = ({name: np.concatenate(parts) for name, parts in found.items()} for found in (by_photos, of_sources))
        return cls(gallery, evidence, np.concatenate(to_source), np.concatenate(is_first), *joined)

    @functools.cached_property
    def distance(self) -> Float64:
        """To the own source; NaN of a lost face."""
        return np.where(self.evidence.lost, np.nan, self.to_source)

    @functools.cached_property
    def passes(self) -> Float64:
        """1 where the edit passes for the person of its source; NaN without a threshold."""
        threshold = self.gallery.threshold
        if threshold is None:
            return np.full(len(self.to_source), np.nan)
        return verified(self.to_source, threshold)

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
                line = replace(line, title=f"{row.title} ({gallery.told})")
            elif row.takes == Takes.OTHER_PHOTOS:
                line = replace(line, before=self.of_sources[row.name])
            elif row.takes == Takes.PAIRS:
                line = replace(line, same_person="1", other_person="0")
            yield line

    def _distance_line(self, row: Metric) -> Line:
        """A measure of what the recogniser sees; that which stands for its distance has the gallery's controls."""
        gallery, found = self.gallery, [scored for scored in self.evidence.edits if not scored.is_lost]
        values = gallery.shown(self.distance)
        if row.takes != Takes.IDENTITIES and found:
            measure, parts = row.load(), []
            for start in range(0, len(found), AT_ONCE):
                part = found[start : start + AT_ONCE]
                sources, edits = (gallery.sees(faces) for faces in ([s.source for s in part], [s.edit for s in part]))
                parts.append(np.asarray(measure(sources, edits), dtype=np.float64))
            values = self.evidence.filled(np.concatenate(parts))
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
        gallery, nothing = self.gallery, np.full(len(self.to_source), np.nan)
        if row.takes in (Takes.GALLERY, Takes.OTHER_PHOTOS):
            found = self.by_photos[row.name]
        elif row.takes == Takes.PAIRS:
            found = row.load()(gallery.pairs, self.to_source) if gallery.has_scale else nothing
        else:
            found = nothing if gallery.threshold is None else row.load()(self.to_source, gallery.threshold)
        values = np.asarray(found, dtype=np.float64)
        return self._with_lost(row, values, self.evidence.lost & np.isfinite(values))

    def _with_lost(self, row: Metric, values: Float64, failed: Bools) -> Float64:
        return np.where(failed, np.nan if row.lost is None else row.lost, values)


def _passing(row: Metric, near: Nearness, gallery: Gallery) -> Callable[[Float64], Float64]:
    """What a metric tells of distances to the other photos of the person; NaN without a threshold."""
    threshold, measure = gallery.threshold, row.load()

    def told(to_photos: Float64) -> Float64:
        if threshold is None:
            return np.full(len(to_photos), np.nan)
        return np.asarray(measure(to_photos, near.others, threshold), dtype=np.float64)

    return told
