"""Tables as Markdown, as LaTeX, as CSV and for a terminal, for the reports of every room."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Number = TypeVar("Number")
"""A room's own cell for a number with its interval and n, which ``str`` shows whole."""

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}"} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_MARKDOWN = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " "})


@dataclass(frozen=True)
class ReportTable(Generic[Number]):
    """name: for files. note: what the numbers mean. shades: in [0, 1], of all cells but the first column's."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Number, ...], ...]
    shades: tuple[tuple[float, ...], ...] = ()

    def markdown(self) -> str:
        """A heading, the note, and a pipe table."""
        return markdown_table(self.title, self.note, self.header, [[str(cell) for cell in row] for row in self.rows])

    def latex(self) -> str:
        """A table environment that needs no package."""
        lines = [line for row in self.rows for line in self.latex_lines(row)]
        return latex_table(self.name, self.title, self.note, self.header, lines)

    def latex_lines(self, row: Sequence[str | Number]) -> list[str]:
        """A row as LaTeX, each line with its end."""
        return [latex_row(map(str, row))]


def cells_as_csv(
    tables: Iterable[ReportTable[Number]], fields: Sequence[str], known: Callable[[str | Number], Iterable[object]]
) -> str:
    """All tables as one, a line a cell: table, row, column, text, then ``fields``, which ``known`` takes from it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["table", "row", "column", "text", *fields])
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.header[1:], row[1:], strict=True):
                writer.writerow([table.name, str(row[0]), column, str(cell), *known(cell)])
    return file.getvalue()


def slug(*words: str) -> str:
    """A name for files and labels.

    >>> slug("by strength", "", "mine")
    'by_strength_mine'
    """
    return "_".join("".join(c if c.isalnum() else "_" for c in word) for word in words if word)


def markdown_table(title: str, note: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading, the note, and a pipe table."""
    lines = [f"## {title}", "", note, "", _row(header), "|" + " --- |" * len(header), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def latex_table(name: str, title: str, note: str, header: Sequence[str], lines: Iterable[str]) -> str:
    """A table environment that needs no package. lines: its body, as LaTeX, each with its row's end."""
    parts = [
        r"\begin{table}",
        rf"\caption{{{latex_escaped(title)}. {latex_escaped(note)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\hline",
        latex_row(header),
        r"\hline",
        *lines,
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def latex_row(cells: Iterable[str]) -> str:
    """Texts as one row."""
    return " & ".join(map(latex_escaped, cells)) + r" \\"


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns, whole however wide they are.

    >>> plain_table(["emotion", "n"], [["sad", "12"]])
    ['emotion  n', 'sad      12']
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]]


def latex_escaped(text: str) -> str:
    """Text as LaTeX takes it.

    >>> latex_escaped("50 % < 1")
    '50 \\\\% \\\\textless{} 1'
    """
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.translate(_MARKDOWN) for cell in cells) + " |"
