"""How alike the edits are, as a set, to the unedited photos: FID and KID, with the chance of so few pictures beside it.

Intervals come from halves: each draws half of the source photos with their edits, and the spread between halves is
about that of the whole (the delete-half jackknife), which drawing with repeats would not give, because repeated
pictures are alike by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emorph.core.types import Float32, Float64
from emorph.evaluate.judges.asked import PanelEncoder
from emorph.evaluate.metrics.distribution import fid, mmd
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.scores.evidence import LEVEL, Evidence

LEAST_SOURCES = 8  # half of them, halved again for the control, leaves two
N_HALVES = 40
MEASURES: tuple[tuple[str, Callable[[Tensor, Tensor], float]], ...] = (("FID", fid), ("KID", mmd))


@dataclass(frozen=True)
class SetScores:
    """One network's features of one set: of the edits at the dose (m, D) with the source of each, and of n sources."""

    network: PanelEncoder
    edits: Tensor
    of_source: np.ndarray
    sources: Tensor

    @classmethod
    def of(cls, network: PanelEncoder, evidence: Evidence) -> SetScores:
        """Read the features."""
        chosen = [scored for scored, is_in in zip(evidence.edits, evidence.at_dose, strict=True) if is_in]
        ids = list(dict.fromkeys(scored.source.id for scored in chosen))
        rows = evidence.records.embeddings
        return cls(
            network,
            _stacked([rows[scored.edit.id, network.id] for scored in chosen]),
            np.array([ids.index(scored.source.id) for scored in chosen], dtype=np.int64),
            _stacked([rows[id, network.id] for id in ids]),
        )

    def distance(self, measure: Callable[[Tensor, Tensor], float]) -> Estimate | None:
        """Of the edits from the sources; n: the edits. None of too few sources."""
        if len(self.sources) < LEAST_SOURCES:
            return None
        value = measure(self.edits, self.sources)
        halves = []
        for chosen in self._halves():
            edits = self.edits[np.isin(self.of_source, chosen)]
            halves.append(measure(edits, self.sources[chosen]))
        return _spread(value, np.array(halves), len(self.edits))

    def chance(self, measure: Callable[[Tensor, Tensor], float]) -> Estimate | None:
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


def _stacked(rows: Sequence[Float32]) -> Tensor:
    return torch.from_numpy(np.stack(rows)).double()


def _spread(value: float, halves: Float64, n: int) -> Estimate:
    """The value with the halves' spread about their own mean: fewer pictures shift FID."""
    low, high = value + np.quantile(halves - halves.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high), n, LEVEL)
