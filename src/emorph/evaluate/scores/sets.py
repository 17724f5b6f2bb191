"""How alike the edits are, as a set, to the unedited photos: FID and KID, beside what chance gives for so few pictures.

Intervals come from halves: each draws half of the source photos with their edits, and the spread between halves is
about that of the whole (the delete-half jackknife), which drawing with repeats would not give, because repeated
pictures are alike by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emorph.core.types import Float32, Float64
from emorph.evaluate.judges.asked import PanelEncoder
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import LEVEL, Bools, Evidence
from emorph.evaluate.scores.line import Line

LEAST_SOURCES = 8  # half of them, halved again for the control, leaves two
N_HALVES = 40

Measure = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class SetScores:
    """One network's features of a set: of the chosen edits (m, D) with the source of each, and of n sources."""

    edits: Tensor
    of_source: np.ndarray
    sources: Tensor

    @classmethod
    def of(cls, network: PanelEncoder, evidence: Evidence, at: Bools) -> SetScores:
        """Read the features."""
        chosen = [scored for scored, is_in in zip(evidence.edits, at & ~evidence.lost, strict=True) if is_in]
        ids = list(dict.fromkeys(scored.source_id for scored in chosen))
        place = {id: i for i, id in enumerate(ids)}
        rows = evidence.records.embeddings
        return cls(
            _stacked([rows[scored.edit_id, network.id] for scored in chosen]),
            np.array([place[scored.source_id] for scored in chosen], dtype=np.int64),
            _stacked([rows[id, network.id] for id in ids]),
        )

    def distance(self, measure: Measure) -> Estimate | None:
        """Of the edits from the sources; n: the edits. None with too few sources."""
        if len(self.sources) < LEAST_SOURCES:
            return None
        value = measure(self.edits, self.sources)
        halves = []
        for chosen in self._halves():
            edits = self.edits[np.isin(self.of_source, chosen)]
            halves.append(measure(edits, self.sources[chosen]))
        return _spread(value, np.array(halves), len(self.edits))

    def chance(self, measure: Measure) -> Estimate | None:
        """What two halves of the unedited photos are apart, by chance alone; n: photos of a half."""
        if len(self.sources) < LEAST_SOURCES:
            return None
        halves = []
        for chosen in self._halves():
            rest = np.setdiff1d(np.arange(len(self.sources)), chosen)
            halves.append(measure(self.sources[chosen], self.sources[rest]))
        return _spread(float(np.mean(halves)), np.array(halves), len(self.sources) // 2)

    def _halves(self) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        n = len(self.sources)
        return [np.sort(rng.permutation(n)[: n // 2]) for _ in range(N_HALVES)]


def set_lines(network: PanelEncoder, evidence: Evidence) -> Iterator[Line]:
    """All metrics of a network's features; control: what chance alone gives between unedited photos."""
    at_dose = SetScores.of(network, evidence, evidence.at_dose)
    for row in metrics(Takes.FEATURE_SETS):
        measure = row.load()

        def estimate(chosen: Bools, measure: Measure = measure) -> Estimate | None:
            scores = at_dose if np.array_equal(chosen, evidence.at_dose) else SetScores.of(network, evidence, chosen)
            return scores.distance(measure)

        control = at_dose.chance(measure)
        yield Line(row, evidence, network.id, estimate_of=estimate, by_chance=control, title=row.title)


def _stacked(rows: Sequence[Float32]) -> Tensor:
    return torch.from_numpy(np.stack(rows)).double()


def _spread(value: float, halves: Float64, n: int) -> Estimate:
    """The value with the halves' spread about their own mean: fewer pictures shift FID."""
    low, high = value + np.quantile(halves - halves.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high), n, LEVEL)
