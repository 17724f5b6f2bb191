"""A few tables as files, where a whole page would be too much: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emorph.core.outputs import write_text
from emorph.evaluate.report.tables import Cell, Table, Value, as_csv


def write_tables(
    folder: Path,
    stem: str,
    tables: Sequence[Table],
    *,
    warnings: Sequence[str],
    command: str,
    facts: Mapping[str, Any],
    more: Mapping[str, str] = {},
) -> Path:
    """Write STEM.md, STEM.tex, STEM_tables.csv and STEM.json, and ``more`` texts by name; each appears complete.

    facts: more for the JSON file; its "about" comes first in the Markdown file, too. Returns the Markdown file.
    Raises DataError if one cannot be written.
    """
    about = [f"{facts['about']}\n"] if "about" in facts else []
    told = [*about, *(f"> {warning}\n" for warning in warnings), *(table.markdown() for table in tables)]
    texts = {
        f"{stem}.md": "\n".join([*told, f"Made with `{command}`.\n"]),
        f"{stem}.tex": "\n".join(table.latex() for table in tables),
        f"{stem}_tables.csv": as_csv(tables),
        f"{stem}.json": json.dumps(tables_as_json(tables, warnings, facts), indent=2, ensure_ascii=False) + "\n",
        **more,
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / f"{stem}.md"


def tables_as_json(tables: Sequence[Table], warnings: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """For machines: each table's rows by its name."""
    found = {}
    for table in tables:
        found[table.name] = [dict(zip(table.header, map(_plain, row), strict=True)) for row in table.rows]
    return {"warnings": list(warnings), **facts, "tables": found}


def _plain(cell: Cell) -> Any:
    return asdict(cell.estimate) if isinstance(cell, Value) else cell
