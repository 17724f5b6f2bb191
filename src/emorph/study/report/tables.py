"""Tables whose numbers carry interval and n, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from emorph.core.text_tables import ReportTable, cells_as_csv, latex_escaped, latex_row
from emorph.study.statistics.estimates import Estimate

Style = Literal["share", "number", "points"]
NOTHING = "–"
FIELDS = ("value", "low", "high", "n", "participants", "photos")


@dataclass(frozen=True)
class Value:
    """An estimate as a cell. style: "share" in percent, "points" a difference of two, "number" as it is.

    units: what ``n_photos`` counts.
    """

    estimate: Estimate
    style: Style = "number"
    units: str = "photo"

    @property
    def number(self) -> str:
        """The estimate with its unit."""
        return self._text(self.estimate.value) + {"share": " %", "points": " points", "number": ""}[self.style]

    @property
    def interval(self) -> str:
        """The interval, or that there is none."""
        if not self.estimate.has_interval:
            return "no interval"
        return f"{self._text(self.estimate.low)} to {self._text(self.estimate.high)}"

    @property
    def size(self) -> str:
        """What it rests on."""
        counted = [(self.estimate.n_participants, "person", "people")]
        counted += [(self.estimate.n_photos, self.units, f"{self.units}s")]
        told = [f"{n} {one if n == 1 else many}" for n, one, many in counted if n]
        return f"n = {self.estimate.n}" + (f"; {', '.join(told)}" if told else "")

    def _text(self, value: float) -> str:
        if self.style == "number":
            return f"{value:z.2f}" if abs(value) < 100 else f"{value:.3g}"
        return f"{100 * value:{'+' if self.style == 'points' else ''}z.1f}"

    def __str__(self) -> str:
        """A number is never shown without its interval and n."""
        return f"{self.number} ({self.interval}; {self.size})"


Cell = str | Value


def cell(estimate: Estimate | None, style: Style = "number", units: str = "photo") -> Cell:
    """An estimate, or a dash."""
    return NOTHING if estimate is None or math.isnan(estimate.value) else Value(estimate, style, units)


def p_text(p: float) -> str:
    """A p value as papers print it."""
    if math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


class Table(ReportTable[Value]):
    """A table of a report; in LaTeX interval and n stand in a line below each number."""

    def latex_lines(self, row: Sequence[Cell]) -> list[str]:
        """The numbers, and below them what they rest on, small."""
        lines = [latex_row(value.number if isinstance(value, Value) else value for value in row)]
        if any(isinstance(value, Value) for value in row):
            below = [f"({v.interval}; n = {v.estimate.n})" if isinstance(v, Value) else "" for v in row]
            small = [rf"{{\scriptsize {latex_escaped(text)}}}" if text else "" for text in below]
            lines.append(" & ".join(small) + r" \\")
        return lines


def as_csv(tables: Iterable[Table]) -> str:
    """All tables as one, a line a cell: table, row, column, text, then ``FIELDS``, empty where not known."""
    return cells_as_csv(tables, FIELDS, _numbers)


def _numbers(cell: Cell) -> list[object]:
    numbers = dataclasses.astuple(cell.estimate) if isinstance(cell, Value) else ("",) * len(FIELDS)
    return ["" if number != number else number for number in numbers]
