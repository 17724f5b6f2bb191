"""The scores of one set of edits, joined to rows that statistics can be made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emorph.core.files import said_of
from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.evaluate.judges.asked import PanelJudge
from emorph.evaluate.measure.inputs import Pair
from emorph.evaluate.measure.records import NO_FACE, Identified, Records
from emorph.evaluate.metrics.shares import share, signed_share
from emorph.evaluate.metrics.statistics import Estimate, bootstrap, drawn

N_RESAMPLES = 1000
LEVEL = 0.95

LostFaces = Literal["fail", "skip"]
Kind = Literal["number", "share", "difference"]
INTERVALS: dict[Kind, Callable[[Float64, Sequence[str]], Estimate]] = {
    "number": bootstrap,
    "share": share,
    "difference": signed_share,
}
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scored:
    """An edit that counts: one that could be measured, or one in which no face is found.

    source_id, edit_id: of the faces, which are read anew each time. is_lost: whether the edit destroyed the face, so
    that it has no points and no descriptor.
    """

    pair: Pair
    source_id: str
    edit_id: str
    is_lost: bool
    faces: Mapping[str, SeenFace]

    @property
    def source(self) -> SeenFace:
        """The unedited face."""
        return self.faces[self.source_id]

    @property
    def edit(self) -> SeenFace:
        """The edited face."""
        return self.faces[self.edit_id]


@dataclass(frozen=True)
class Excluded:
    """An edit that is not counted."""

    edited: Path
    why: str

    @property
    def told(self) -> str:
        """Which, and why, in a sentence."""
        return said_of(str(self.edited), self.why)


@dataclass(frozen=True)
class Evidence:
    """One method's edits, in the order of its list."""

    method: str
    edits: tuple[Scored, ...]
    excluded: tuple[Excluded, ...]
    records: Records

    @functools.cached_property
    def strengths(self) -> Float64:
        """Asked strength of each edit."""
        return np.array([scored.pair.strength for scored in self.edits], dtype=np.float64)

    @functools.cached_property
    def lost(self) -> Bools:
        """In which edits no face is found."""
        return np.array([scored.is_lost for scored in self.edits], dtype=bool)

    def filled(self, of_found: Float64) -> Float64:
        """Rows of those edits whose face is found, with NaN for the others between them."""
        rows = np.full((len(self.edits), *of_found.shape[1:]), np.nan)
        rows[~self.lost] = of_found
        return rows

    @functools.cached_property
    def groups(self) -> list[str]:
        """What is drawn by the bootstrap: the source photo of each edit."""
        return [scored.source_id for scored in self.edits]

    @functools.cached_property
    def dose(self) -> float:
        """The strength of the headline numbers: that nearest to 1, and not 0 where there is another."""
        asked: list[float] = self.sweep()[::-1]
        return min([s for s in asked if s] or asked, key=lambda s: abs(s - 1))

    @functools.cached_property
    def at_dose(self) -> Bools:
        """Which edits the headline numbers are made of."""
        return self.at(self.dose)

    def at(self, strength: float) -> Bools:
        """Which edits were asked for at a strength."""
        chosen: Bools = self.strengths == strength
        return chosen

    def sweep(self) -> list[float]:
        """All strengths, rising."""
        return sorted(set(self.strengths.tolist()))

    def mean(self, values: Float64, chosen: Bools, kind: Kind = "number") -> Estimate | None:
        """The mean of the chosen edits' values with its interval by source photo; None without any, or if all NaN.

        kind: a "share" (values in [0, 1]) and a "difference" of shares (values -1, 0 and 1) have intervals of shares.
        """
        chosen = chosen & np.isfinite(values)
        if not chosen.any():
            return None
        groups = [group for group, is_in in zip(self.groups, chosen, strict=True) if is_in]
        return INTERVALS[kind](values[chosen], groups)

    def measured(self, metric: str, judge: str = "") -> Float64:
        """A number of each edit and its source, plain or by a network's id; NaN where it was not measured."""
        known = [self.records.scores.get((scored.edit_id, judge), {}) for scored in self.edits]
        return np.array([found.get(metric, np.nan) for found in known], dtype=np.float64)

    def affect(self, judge: PanelJudge) -> tuple[Float64, Float64]:
        """The judge's valence and arousal of the sources and of the edits, (n, 2) each; NaN where it tells none."""
        return self._before_and_after(lambda id: self.records.affect(id, judge), 2)

    def answers(self, judge: PanelJudge) -> tuple[Float64, Float64]:
        """The judge's probabilities for the sources and for the edits, (n, n_emotions) each."""
        return self._before_and_after(lambda id: self.records.answer(id, judge), len(judge.emotions))

    def _before_and_after(self, told: Callable[[str], Float64 | None], n: int) -> tuple[Float64, Float64]:
        """Rows of n numbers of the sources and of the edits; NaN where there are none. told: of a face's id."""
        found = np.full((2, len(self.edits), n), np.nan)
        for i, scored in enumerate(self.edits):
            for k, id in enumerate((scored.source_id, scored.edit_id)):
                if (row := told(id)) is not None:
                    found[k, i] = row
        return found[0], found[1]


def join(judged: Sequence[Identified], records: Records, lost_faces: LostFaces = "fail") -> list[Evidence]:
    """The edits of each method, in the order of their first appearance.

    lost_faces: whether an edit in which no face is found counts as a failure, or is left out.
    """
    found = []
    for method in dict.fromkeys(item.pair.method for item in judged):
        edits, excluded = [], []
        for item in judged:
            if item.pair.method != method:
                continue
            source, edit = records.faces.get(item.source_id), records.faces.get(item.edit_id)
            why = _trouble(item, source, edit)
            if why and not (lost_faces == "fail" and _is_lost(item, source, edit)):
                excluded.append(Excluded(item.pair.edited, why))
                continue
            edits.append(Scored(item.pair, item.source_id, item.edit_id, bool(why), records.faces))
        found.append(Evidence(method, tuple(edits), tuple(excluded), records))
    return found


def _is_lost(item: Identified, source: SeenFace | None, edit: SeenFace | None) -> bool:
    """Whether the source shows a face, and the edit, which can be read, none."""
    if item.trouble or source is None or edit is None:
        return False
    return not source.trouble and edit.trouble.startswith(NO_FACE)


def _trouble(item: Identified, source: SeenFace | None, edit: SeenFace | None) -> str:
    if item.trouble:
        return item.trouble
    if source is not None and source.trouble:
        return f"its source: {source.trouble}"
    if source is None or edit is None:
        return "not looked at yet (another shard)"
    return edit.trouble


def bootstrapped(
    statistic: Callable[[Ints], float], groups: Sequence[str], n: int, *, level: float = LEVEL, seed: int = 0
) -> Estimate | None:
    """A statistic of rows that is no plain mean, with its percentile interval over groups.

    statistic: of the numbers of the drawn rows. n: what the statistic counts. None where it is NaN for all rows;
    resamples for which it is NaN are left out.
    """
    rows = np.arange(len(groups))
    value = statistic(rows) if len(rows) else np.nan
    if not np.isfinite(value):
        return None
    of_group = np.unique(np.asarray(groups), return_inverse=True)[1]
    n_groups = int(of_group.max()) + 1
    blocks = drawn(n_groups, N_RESAMPLES, np.random.default_rng(seed))
    found = [statistic(np.repeat(rows, times[of_group])) for block in blocks for times in block]
    kept = np.array(found)[np.isfinite(found)]
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2]) if len(kept) else (value, value)
    return Estimate(float(value), float(low), float(high), n, level, n_groups == 1)
