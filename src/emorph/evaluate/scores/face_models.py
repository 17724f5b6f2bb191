"""Expression, pose and shape of edits by a face model's coefficients: AED, APD and ASD, with their controls."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.judges.asked import PanelEncoder
from emorph.evaluate.measure.records import Records
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Evidence
from emorph.evaluate.scores.gallery import Gallery
from emorph.evaluate.scores.line import Line, of_itself

COEFFICIENTS = (Takes.SHAPE, Takes.EXPRESSION, Takes.POSE)  # in the order of an encoder's row


@dataclass(frozen=True)
class FaceModelControls:
    """What one face model says of the unedited photos of all sets.

    gallery: tells which photos are of one person. Its own distances are not used.
    """

    model: PanelEncoder
    gallery: Gallery
    records: Records

    def control(self, row: Metric, *, same_person: bool) -> Estimate | None:
        """The mean of two photos of one person, or of two; worked out once for all sets."""
        key = (row.name, same_person)
        if key not in self._controls:
            self._controls[key] = self.gallery.over_pairs(self._between(row), same_person=same_person)
        return self._controls[key]

    @functools.cached_property
    def _controls(self) -> dict[tuple[str, bool], Estimate | None]:
        return {}

    def coefficients(self, ids: Sequence[str], part: Takes) -> Float64:
        """Of faces, (n, k); NaN where the fit cannot be trusted."""
        found = [self.records.embeddings[id, self.model.id] for id in ids]
        rows = np.array(found, dtype=np.float64).reshape(len(ids), -1)
        n_shape = int(self.model.card["n_shape"])
        n_expression = int(self.model.card["n_expression"])
        ends = np.cumsum([1, n_shape, n_expression, 3])
        place = COEFFICIENTS.index(part)
        start, end = ends[place], ends[place + 1]
        return np.where(rows[:, :1] > 0, rows[:, start:end], np.nan) if len(ids) else np.zeros((0, end - start))

    def _between(self, row: Metric) -> Float64:
        """Distances of the photos to each other, (n, n)."""
        photos, measure = self.coefficients(self.gallery.ids, row.takes), row.load()
        found = [measure(photos, np.broadcast_to(photo, photos.shape)) for photo in photos]
        return np.array(found, dtype=np.float64).reshape(len(photos), -1)


@dataclass(frozen=True)
class FaceModelScores:
    """One face model on one set, a row an edit; NaN where a fit of source or edit cannot be trusted."""

    controls: FaceModelControls
    evidence: Evidence

    @property
    def model(self) -> PanelEncoder:
        """The face model."""
        return self.controls.model

    def lines(self) -> Iterator[Line]:
        """All metrics of this model's coefficients."""
        for row in metrics(*COEFFICIENTS):
            found = [scored for scored in self.evidence.edits if not scored.is_lost]
            sources, edits = (
                self.controls.coefficients(ids, row.takes)
                for ids in ([s.source_id for s in found], [s.edit_id for s in found])
            )
            yield Line(
                row,
                self.evidence,
                self.model.id,
                self.evidence.filled(np.asarray(row.load()(sources, edits), dtype=np.float64)),
                unedited=of_itself(row),
                same_person=self.controls.control(row, same_person=True),
                other_person=self.controls.control(row, same_person=False),
                title=row.label,
            )

    @functools.cached_property
    def n_untrusted(self) -> int:
        """Edits that this model's numbers leave out, because it or its source could not be fitted."""
        pairs = [(scored.source_id, scored.edit_id) for scored in self.evidence.edits if not scored.is_lost]
        trusted = [self.controls.coefficients(ids, Takes.SHAPE) for ids in pairs]
        return sum(not np.isfinite(rows).all() for rows in trusted)
