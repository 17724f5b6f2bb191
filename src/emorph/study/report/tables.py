"""Tables whose numbers carry interval and n, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from emorph.core.text_tables import latex_escaped, latex_table, markdown_table
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


@dataclass(frozen=True)
class Table:
    """name: for files. note: what the numbers mean. shades: in [0, 1], of all cells but the first column's."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    shades: tuple[tuple[float, ...], ...] = ()

    def markdown(self) -> str:
        """A heading, the note, and a pipe table."""
        return markdown_table(self.title, self.note, self.header, [[str(cell) for cell in row] for row in self.rows])

    def latex(self) -> str:
        """A table environment that needs no package; interval and n stand in a line below each number."""
        lines = [line for row in self.rows for line in _latex_row(row)]
        return latex_table(self.name, self.title, self.note, self.header, lines)


def as_csv(tables: Iterable[Table]) -> str:
    """All tables as one, a line a cell: table, row, column, text, then ``FIELDS``, empty where not known."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["table", "row", "column", "text", *FIELDS])
    for table in tables:
        for row in table.rows:
            for column, value in zip(table.header[1:], row[1:], strict=True):
                numbers = dataclasses.astuple(value.estimate) if isinstance(value, Value) else ("",) * len(FIELDS)
                known = ["" if number != number else number for number in numbers]
                writer.writerow([table.name, str(row[0]), column, str(value), *known])
    return file.getvalue()


def _latex_row(row: Sequence[Cell]) -> list[str]:
    numbers = [value.number if isinstance(value, Value) else value for value in row]
    lines = [" & ".join(map(latex_escaped, numbers)) + r" \\"]
    if any(isinstance(value, Value) for value in row):
        below = [f"({v.interval}; n = {v.estimate.n})" if isinstance(v, Value) else "" for v in row]
        lines.append(" & ".join(rf"{{\scriptsize {latex_escaped(text)}}}" if text else "" for text in below) + r" \\")
    return lines
