"""A summary as files: one HTML page that can be sent to a colleague, and its tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import emorph
from emorph.core.outputs import rendered, write_text
from emorph.core.types import Float64
from emorph.evaluate.judges.asked import AFFECT
from emorph.evaluate.judges.dlib_recogniser import RECOGNISER_FILE
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.metrics.statistics import N_RESAMPLES as N_MEAN_RESAMPLES
from emorph.evaluate.metrics.table import METRICS
from emorph.evaluate.report.cases import best_and_worst
from emorph.evaluate.report.plots import curve, histogram
from emorph.evaluate.report.summary import Summary
from emorph.evaluate.report.tables import Value, as_csv
from emorph.evaluate.scores.evidence import LEVEL, N_RESAMPLES
from emorph.evaluate.scores.identity import BY_RECOGNISER
from emorph.evaluate.scores.method import MethodScores

PAGE_FILE = "report.html"
MOST_LISTED = 200  # edits that were left out, on the page; edits.csv has all
VERSIONS_OF = ("torch", "numpy", "opencv-python-headless", "dlib-bin", "pillow", "onnxruntime")


def write_report(folder: Path, summary: Summary, panel: Panel, command: str) -> Path:
    """Write the page, its tables as CSV, Markdown and LaTeX, and summary, edits and judges' cards for machines.

    Each file appears complete. Returns the page. Raises DataError if they cannot be written.
    """
    texts = {
        PAGE_FILE: page(summary, panel, command),
        "tables.csv": as_csv(summary.tables),
        "tables.md": _markdown(summary, command),
        "tables.tex": "\n".join([f"% {summary.about}", *(table.latex() for table in summary.tables)]),
        "edits.csv": per_edit(summary.scores),
        "summary.json": json.dumps(as_json(summary), indent=2, ensure_ascii=False) + "\n",
        "judges.json": json.dumps({asked.id: dict(asked.card) for asked in (*panel.asked, *panel.comparers)}, indent=2)
        + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / PAGE_FILE


def page(summary: Summary, panel: Panel, command: str) -> str:
    """The whole page, pictures embedded."""
    names = [score.evidence.method for score in summary.scores]
    excluded = [item for score in summary.scores for item in score.evidence.excluded]
    return rendered(
        Path(__file__).with_name(PAGE_FILE),
        title=f"Edits judged: {', '.join(names)}",
        about=summary.about,
        warnings=summary.warnings,
        conclusions=summary.conclusions,
        lead=summary.tables[: summary.lead],
        details=summary.tables[summary.lead :],
        metrics=METRICS.values(),
        plots=_plots(summary.scores),
        ranked="what the judge's probability of the target gained, together with " if panel.judges else "",
        pictures=[(score.evidence.method, *best_and_worst(score)) for score in summary.scores],
        missing=summary.missing,
        excluded=excluded[:MOST_LISTED],
        command=command,
        facts=facts(panel),
    )


def facts(panel: Panel) -> list[tuple[str, str]]:
    """What the numbers depend on: versions, judges with the first digits of their files' SHA-256, seeds."""
    versions = [f"emorph {emorph.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {version}" for name in VERSIONS_OF if (version := _version(name))]
    return [
        ("versions", ", ".join(versions)),
        (
            "judges of emotions",
            ", ".join(j.id for j in panel.judges) or ("none" if panel.tells_emotions else "not asked"),
        ),
        ("trained on", "; ".join(f"{j.id}: {', '.join(j.trained_on)}" for j in panel.asked if j.trained_on) or "–"),
        ("recognisers", ", ".join([RECOGNISER_FILE, *(recogniser.id for recogniser in panel.recognisers)])),
        ("face models", ", ".join(model.id for model in panel.face_models) or "none"),
        ("other networks", ", ".join([n.id for n in panel.features] + [c.id for c in panel.comparers]) or "none"),
        (
            "intervals",
            f"{100 * LEVEL:.0f} %, by source photo, of controls by person: of shares Wilson's, of their differences "
            f"Agresti and Min's; of the rest a percentile bootstrap, seed 0, {N_MEAN_RESAMPLES} resamples of means, "
            f"{N_RESAMPLES} of other statistics",
        ),
    ]


def as_json(summary: Summary) -> dict[str, Any]:
    """For machines: splits of the photos, warnings, tables as rows of cells, what is missing and what was left out."""

    def cell(value: str | Value) -> Any:
        return asdict(value.estimate) if isinstance(value, Value) else value

    return {
        "about": summary.about,
        "splits": dict(summary.splits),
        "warnings": list(summary.warnings),
        "conclusions": list(summary.conclusions),
        "tables": {
            table.name: {
                "title": table.title,
                "rows": [dict(zip(table.header, map(cell, row), strict=True)) for row in table.rows],
            }
            for table in summary.tables
        },
        "not_measured": [asdict(item) for item in summary.missing],
        "left_out": [
            {"method": score.evidence.method, "edited": str(item.edited), "why": item.why}
            for score in summary.scores
            for item in score.evidence.excluded
        ],
    }


def per_edit(scores: Sequence[MethodScores]) -> str:
    """Every edit with its numbers as CSV; one that was left out has none and says why, as does one without a face."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    header = ["method", "source", "edited", "identity", "split", "target", "strength"]
    columns = [_columns(score) for score in scores]
    names = list(dict.fromkeys(name for numbers in columns for name in numbers))
    writer.writerow([*header, *names, "lost", "left out"])
    for score, numbers in zip(scores, columns, strict=True):
        method = score.evidence.method
        for i, scored in enumerate(score.evidence.edits):
            pair = scored.pair
            shown = ["" if value != value else f"{value:.6g}" for value in (float(numbers[name][i]) for name in names)]
            row = [method, pair.source, pair.edited, pair.person, pair.split, pair.word, f"{pair.strength:g}"]
            writer.writerow([*row, *shown, scored.edit.trouble if scored.is_lost else "", ""])
        for item in score.evidence.excluded:
            writer.writerow([method, "", item.edited, *[""] * (len(header) - 2 + len(names)), item.why])
    return file.getvalue()


def _columns(score: MethodScores) -> dict[str, Float64]:
    """All numbers of a set's edits, by column: of each recogniser, then of everything else."""
    found: dict[str, Float64] = {}
    of_recognisers = [
        (line, identity.gallery.name)
        for identity, lines in zip(score.identities, score.recogniser_lines, strict=True)
        for line in lines
        if score.evidence.edits
    ]
    others = [(line, line.by) for line in score.lines if line.metric.takes not in BY_RECOGNISER]
    for line, by in (*of_recognisers, *others):
        for column, values in ((line.metric.column_before, line.before), (line.metric.column, line.values)):
            if column and values is not None:
                found[f"{column} {by}".strip()] = values
    for emotion in score.emotions:
        if emotion.judge.has_va:
            _, after = score.evidence.affect(emotion.judge)
            found |= {f"{word} {emotion.judge.id}": after[:, i] for i, word in enumerate(AFFECT)}
    return found


def _plots(scores: Sequence[MethodScores]) -> list[str]:
    """A trade-off for each judge, and for each recogniser its edits between their controls."""
    scores = [score for score in scores if score.evidence.edits]
    if not scores:
        return []
    found = []
    for i, tradeoff in enumerate(scores[0].tradeoffs):
        lines = [(score.evidence.method, score.tradeoffs[i].points()) for score in scores]
        if any(points for _, points in lines):
            found.append(curve(lines, tradeoff.judge))
    for i, identity in enumerate(scores[0].identities):
        gallery = identity.gallery
        pairs = gallery.pairs
        rows = [("two persons", pairs.impostor), ("two photos of one person", pairs.genuine)]
        rows += [
            (f"{s.evidence.method}, edit and source", s.identities[i].distance[s.evidence.at_dose]) for s in scores
        ]
        shown = [(name, gallery.shown(values[np.isfinite(values)])) for name, values in rows]
        threshold = gallery.threshold
        mark = None if threshold is None else float(gallery.shown(np.array(threshold)))
        found.append(histogram(shown, f"{gallery.metric.title} ({gallery.name})", mark))
    return found


def _markdown(summary: Summary, command: str) -> str:
    parts = [f"{summary.about}\n", *(f"> {warning}\n" for warning in summary.warnings)]
    parts += ["".join(f"- {sentence}\n" for sentence in summary.conclusions)]
    parts += [table.markdown() for table in summary.tables]
    parts.append("Not measured:\n\n" + "".join(f"- {item.name}: {item.why}\n" for item in summary.missing))
    return "\n".join([*parts, f"Made with `{command}`.\n"])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
