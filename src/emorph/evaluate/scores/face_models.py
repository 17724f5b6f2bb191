"""Expression, pose and shape of edits by a face model's coefficients: AED, APD and ASD, with their controls."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.judges.asked import PanelEncoder
from emorph.evaluate.measure.records import Records
from emorph.evaluate.metrics.coefficients import coefficient_distance
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.scores.evidence import Evidence
from emorph.evaluate.scores.identity import Gallery

PARTS = ("shape", "expression", "pose")


@dataclass(frozen=True)
class FaceModelControls:
    """What one face model says of the unedited photos of all sets.

    gallery: tells which photos are of one person. Its own distances are not used.
    """

    model: PanelEncoder
    gallery: Gallery
    records: Records

    @functools.cached_property
    def genuine(self) -> dict[str, Estimate | None]:
        """By part, the mean distance of two photos of one person."""
        return {part: self.gallery.over_pairs(self._between[part], same_person=True) for part in PARTS}

    @functools.cached_property
    def impostor(self) -> dict[str, Estimate | None]:
        """By part, the mean distance of photos of two persons."""
        return {part: self.gallery.over_pairs(self._between[part], same_person=False) for part in PARTS}

    def rows(self, ids: Sequence[str], part: str) -> Float64:
        """Coefficients of faces, (n, k); NaN where the fit cannot be trusted."""
        found = [self.records.embeddings[id, self.model.id] for id in ids]
        rows = np.array(found, dtype=np.float64).reshape(len(ids), -1)
        n_shape = int(self.model.card["n_shape"])
        n_expression = int(self.model.card["n_expression"])
        ends = np.cumsum([1, n_shape, n_expression, 3])
        start, end = ends[PARTS.index(part)], ends[PARTS.index(part) + 1]
        return np.where(rows[:, :1] > 0, rows[:, start:end], np.nan) if len(ids) else np.zeros((0, end - start))

    @functools.cached_property
    def _between(self) -> dict[str, Float64]:
        """By part, distances of the photos to each other, (n, n)."""
        ids = self.gallery.ids
        found = {}
        for part in PARTS:
            photos = self.rows(ids, part)
            found[part] = np.array([coefficient_distance(photos, photo) for photo in photos]).reshape(len(ids), -1)
        return found


@dataclass(frozen=True)
class FaceModelScores:
    """One face model on one set, a row an edit; NaN where a fit of source or edit cannot be trusted."""

    controls: FaceModelControls
    evidence: Evidence

    @property
    def model(self) -> PanelEncoder:
        """The face model."""
        return self.controls.model

    def distance(self, part: str) -> Float64:
        """Of each edit from its source, in "shape", "expression" or "pose"."""
        sources = self.controls.rows([scored.source.id for scored in self.evidence.edits], part)
        edits = self.controls.rows([scored.edit.id for scored in self.evidence.edits], part)
        return coefficient_distance(sources, edits)

    @functools.cached_property
    def n_untrusted(self) -> int:
        """Edits that are in no number of this model, because it or its source could not be fitted."""
        return int((~np.isfinite(self.distance("shape"))).sum())
