"""Expression, pose and shape of edits by a face model's coefficients: AED, APD and ASD, with their controls."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.asked import PanelEncoder
from emorph.evaluate.evidence import Evidence
from emorph.evaluate.identity_scores import Gallery
from emorph.evaluate.statistics import Estimate, bootstrap

PARTS = ("shape", "expression", "pose")


def coefficient_distance(a: Float64, b: Float64) -> Float64:
    """Mean absolute difference of coefficients (n, k) of the same faces before and after, (n,), in their own unit."""
    found: Float64 = np.abs(np.asarray(a, dtype=np.float64) - b).mean(axis=-1)
    return found


@dataclass(frozen=True)
class FaceModelScores:
    """One face model on one set, a row an edit; NaN where a fit of source or edit cannot be trusted.

    gallery: tells which unedited photos are of one person. Its own distances are not used.
    """

    model: PanelEncoder
    evidence: Evidence
    gallery: Gallery

    def distance(self, part: str) -> Float64:
        """Of each edit from its source, in "shape", "expression" or "pose"."""
        sources = self._rows([scored.source.id for scored in self.evidence.edits], part)
        edits = self._rows([scored.edit.id for scored in self.evidence.edits], part)
        return coefficient_distance(sources, edits)

    def control(self, part: str, *, same_person: bool) -> Estimate | None:
        """Mean of two unedited photos, of one person or of two, with its interval over the first photo."""
        rows, columns = np.triu_indices(len(self.gallery.ids), k=1)
        chosen = self.gallery.same[rows, columns] == same_person
        photos = self._rows(self.gallery.ids, part)
        values = coefficient_distance(photos[rows[chosen]], photos[columns[chosen]])
        known = np.isfinite(values)
        return bootstrap(values[known], rows[chosen][known].tolist()) if known.any() else None

    @functools.cached_property
    def n_untrusted(self) -> int:
        """Edits that are in no number of this model, because it or its source could not be fitted."""
        return int((~np.isfinite(self.distance("shape"))).sum())

    def _rows(self, ids: Sequence[str], part: str) -> Float64:
        found = [self.evidence.records.embeddings[id, self.model.id] for id in ids]
        rows = np.array(found, dtype=np.float64).reshape(len(ids), -1)
        n_shape = int(self.model.card["n_shape"])
        n_expression = int(self.model.card["n_expression"])
        ends = np.cumsum([1, n_shape, n_expression, 3])
        start, end = ends[PARTS.index(part)], ends[PARTS.index(part) + 1]
        return np.where(rows[:, :1] > 0, rows[:, start:end], np.nan) if len(ids) else np.zeros((0, end - start))
