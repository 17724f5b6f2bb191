"""Tables as Markdown, as LaTeX and for a terminal, for the reports of every room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}"} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_MARKDOWN = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " "})


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
        " & ".join(map(latex_escaped, header)) + r" \\",
        r"\hline",
        *lines,
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


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
