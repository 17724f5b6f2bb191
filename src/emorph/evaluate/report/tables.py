"""Tables of a report: cells that carry n and interval, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from emorph.core.text_tables import ReportTable, cells_as_csv, plain_table
from emorph.evaluate.metrics.statistics import Estimate


@dataclass(frozen=True)
class Value:
    """A mean with its interval. is_share: shown in percent."""

    estimate: Estimate
    is_share: bool = False

    @property
    def number(self) -> str:
        """The mean with its unit."""
        return f"{100 * self.estimate.mean:.1f} %" if self.is_share else f"{self.estimate.mean:.3g}"

    @property
    def interval(self) -> str:
        """The interval and n; of no width, a share, or what comes from a single photo or person, has none."""
        low, high, n = self.estimate.low, self.estimate.high, self.estimate.n
        if self.estimate.is_point and (self.is_share or n == 1 or self.estimate.alone):
            return f"no interval; n = {n}"
        text = f"{100 * low:.1f} to {100 * high:.1f}" if self.is_share else f"{low:.3g} to {high:.3g}"
        return f"{text}; n = {n}"

    def __str__(self) -> str:
        """A mean is never shown without n and interval."""
        return f"{self.number} ({self.interval})"


Cell = str | Value
NOTHING = "–"
MOST_SHOWN = 40  # characters of a text in a column on a terminal


def cell(estimate: Estimate | None, is_share: bool = False, absent: str = NOTHING) -> Cell:
    """An estimate, or why there is none."""
    return absent if estimate is None else Value(estimate, is_share)


class Table(ReportTable[Value]):
    """A table of a report."""

    def plain(self) -> list[str]:
        """Lines for a terminal: what all numbers are of is said once, and long texts stand below."""
        values = [cell for row in self.rows for cell in row if isinstance(cell, Value)]
        ns = {value.estimate.n for value in values}
        long = [row for row in self.rows if any(len(cell) > MOST_SHOWN for cell in row[1:] if isinstance(cell, str))]
        shown = [
            [_without_n(cell) if len(ns) == 1 else str(cell) for cell in row] for row in self.rows if row not in long
        ]
        lines = plain_table(self.header, shown)
        if len(ns) == 1:
            lines.append(f"In brackets: 95 % interval; n = {ns.pop()}.")
        return lines + [f"{row[0]}: {max(map(str, row[1:]), key=len)}" for row in long]


def _without_n(cell: Cell) -> str:
    return str(cell).replace(f"; n = {cell.estimate.n}", "") if isinstance(cell, Value) else cell


def as_csv(tables: Sequence[Table]) -> str:
    """All tables as one, a line a cell: table, row, column, text, mean, low, high, n."""
    return cells_as_csv(tables, ("mean", "low", "high", "n"), _numbers)


def _numbers(cell: Cell) -> tuple[object, ...]:
    return dataclasses.astuple(cell.estimate)[:4] if isinstance(cell, Value) else ("",) * 4
