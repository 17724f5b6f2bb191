"""Results as files: one HTML page that can be sent to a colleague, tables for a paper, and all of it for machines."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import emorph
from emorph.core.outputs import make_folder, rendered, write_text
from emorph.study.analysis import Results
from emorph.study.report import identification_tables, preference_tables, sentences, study_tables
from emorph.study.report.charts import Group, forest
from emorph.study.report.tables import Table, Value, as_csv
from emorph.study.report.words import QUESTIONS
from emorph.study.statistics import agreement, correlation, identification, preference
from emorph.study.tabulate import WORDS

PAGE_FILE = "report.html"
VERSIONS_OF = ("numpy", "scipy")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a report says. lead: the tables of the first screen. charts: SVG."""

    title: str
    about: str
    warnings: tuple[str, ...]
    conclusions: tuple[str, ...]
    lead: tuple[Table, ...]
    charts: tuple[str, ...]
    details: tuple[Table, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them, in order."""
        return (*self.lead, *self.details)


def contents(results: Results) -> Contents:
    """Put results into words, tables and drawings."""
    design, main = results.design, results.main
    return Contents(
        design.title,
        sentences.about(results),
        tuple(sentences.warnings(results)),
        tuple(sentences.conclusions(results)),
        (*preference_tables.lead(design, main), *identification_tables.lead(main)),
        tuple(_charts(results)),
        (
            *preference_tables.details(design, main),
            *identification_tables.details(main),
            *study_tables.tables(results),
        ),
        tuple(_facts(results)),
    )


def write_report(folder: Path, results: Results, command: str) -> Path:
    """Write the page, its tables as CSV, Markdown and LaTeX, people's scores of each edit, and all as JSON.

    command: what made it, for the page. Each file appears complete. Returns the page.
    Raises DataError if they cannot be written.
    """
    told = contents(results)
    texts = {
        PAGE_FILE: page(told, command),
        "tables.csv": as_csv(told.tables),
        "tables.md": _markdown(told, command),
        "tables.tex": "\n".join(table.latex() for table in told.tables),
        "human_scores.csv": human_scores_csv(results),
        "results.json": json.dumps(as_json(results, told), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    make_folder(folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / PAGE_FILE


def page(told: Contents, command: str) -> str:
    """The whole page; it needs nothing from anywhere else."""
    values = {f.name: getattr(told, f.name) for f in dataclasses.fields(told)}
    return rendered(Path(__file__).with_name("page.html"), **values, command=command)


def as_json(results: Results, told: Contents) -> dict[str, Any]:
    """What the page says, for machines: sentences, tables as rows of cells, who was left out and why."""

    def plain(value: str | Value) -> Any:
        if not isinstance(value, Value):
            return value
        numbers = dataclasses.asdict(value.estimate)
        return {key: None if isinstance(n, float) and math.isnan(n) else n for key, n in numbers.items()}

    return {
        "title": told.title,
        "about": told.about,
        "warnings": list(told.warnings),
        "conclusions": list(told.conclusions),
        "tables": {
            table.name: {
                "title": table.title,
                "rows": [dict(zip(table.header, map(plain, row), strict=True)) for row in table.rows],
            }
            for table in told.tables
        },
        "left_out": [dataclasses.asdict(person) for person in results.exclusions.excluded],
        "seed": results.seed,
    }


def human_scores_csv(results: Results) -> str:
    """People's scores of every edit: source, target, strength, method, measure, value, n."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["source", "target", "strength", "method", "measure", "value", "n"])
    for score in results.scores:
        edit = score.edit
        row = [edit.source, edit.target, f"{edit.strength:g}", edit.method]
        writer.writerow([*row, score.measure, f"{score.value:.6g}", score.n])
    return file.getvalue()


def _charts(results: Results) -> list[str]:
    found = []
    overall = [s for s in results.main.preferences if s.result and not s.target and s.strength is None]
    groups = [
        Group(QUESTIONS[s.question], tuple(zip(s.result.methods, s.result.abilities, strict=True)))
        for s in overall
        if s.result is not None
    ]
    if groups:
        title = "Abilities by question, with 95 % intervals"
        found.append(forest(groups, title, "log odds of being chosen", "number", (0.0, "mean")))
    if (seen := results.main.identified) is not None:
        rows = [
            Group(target or "all targets", tuple((m, e) for m in seen.methods if (e := seen.accuracy.get((m, target)))))
            for target in ("", *WORDS)
        ]
        title = "Share of answers that name the target, with 95 % intervals"
        found.append(forest(rows, title, "named the target", "share", (seen.chance, "chance")))
    return found


def _facts(results: Results) -> list[tuple[str, str]]:
    versions = [f"emorph {emorph.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in VERSIONS_OF]
    blocks = results.design.blocks
    return [
        ("versions", ", ".join(versions)),
        ("methods", ", ".join(results.design.methods)),
        ("trials of a person", f"at most {blocks.trials} a task, {blocks.repeated} of them shown again"),
        (
            "intervals of preferences",
            f"95 %; bootstrap, {preference.N_RESAMPLES} resamples each of people, of photos and of what both share; "
            "t with the degrees of freedom of the fewer",
        ),
        ("intervals of accuracies", "95 %; Wilson with the effective number of answers, clustered by person"),
        (
            "other intervals",
            f"95 %; percentile bootstrap, {identification.N_RESAMPLES} resamples of people (Hu), "
            f"{agreement.N_RESAMPLES} of trials (agreement), {correlation.N_RESAMPLES} of photos (metrics)",
        ),
        ("seeds", f"study {results.design.seed}, analysis {results.seed}"),
    ]


def _markdown(told: Contents, command: str) -> str:
    parts = [f"# {told.title}\n", f"{told.about}\n", *(f"> {warning}\n" for warning in told.warnings)]
    parts += ["".join(f"- {sentence}\n" for sentence in told.conclusions), *(table.markdown() for table in told.tables)]
    return "\n".join([*parts, f"Made with `{command}`.\n"])


def text_lines(told: Contents) -> Sequence[str]:
    """What a terminal shows: how many, what to know, what was found."""
    return [told.about, *(f"Warning: {text}" for text in told.warnings), *told.conclusions]
