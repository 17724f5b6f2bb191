"""Reconstructions of several models and steps beside each other, with intervals: a table, and its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.evaluate.judges.asked import NotMeasured, PanelComparer
from emorph.evaluate.measure.reconstructions import STARTS, Start, Way, judge_id, known_values, measures
from emorph.evaluate.measure.seen_splits import UNKNOWN
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.statistics import bootstrap
from emorph.evaluate.report.table_files import tables_as_json, write_tables
from emorph.evaluate.report.tables import NOTHING, Cell, Table, Value

Scores = Mapping[tuple[str, str], Mapping[str, float]]
FROM: Mapping[Start, str] = {"x_T": "its own x_T", "noise": "noise"}


@dataclass(frozen=True)
class Faces:
    """The faces that were encoded: their ids, and whose they are (a name, or the face's own id), one each.

    about: where they come from, in a sentence. split: of the data set, "" for all of it. warnings: what flatters the
    numbers.
    """

    ids: tuple[str, ...]
    persons: tuple[str, ...]
    about: str
    split: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconstructions:
    """All that was measured. missing: what was not, and why."""

    ways: tuple[Way, ...]
    faces: Faces
    scores: Scores
    comparers: tuple[PanelComparer, ...]
    missing: tuple[NotMeasured, ...]

    def columns(self) -> Iterator[tuple[Metric, str]]:
        """Every metric that has a value, and the network that tells it."""
        for row in measures():
            if not row.network:
                yield row, ""
        for comparer in self.comparers:
            yield from ((row, comparer.id) for row in comparer.metrics if row in measures())

    def values(self, way: Way, start: Start, row: Metric, network: str) -> list[float]:
        """Of the faces, in their order."""
        return known_values(self.scores, self.faces.ids, row, judge_id(way, start, network))

    def table(self) -> Table:
        """A row for each model, number of steps and start."""
        columns = [c for c in self.columns() if any(np.isfinite(self.values(w, "x_T", *c)).any() for w in self.ways)]
        rows = tuple(
            (way.name, str(way.steps), FROM[start], *(self._cell(way, start, *column) for column in columns))
            for way in self.ways
            for start in STARTS
        )
        header = ("model", "steps", "decoded from", *(f"{row.short_label} ({row.better})" for row, _ in columns))
        note = (
            f"Faces encoded and decoded. {self.faces.about} In brackets: 95 % interval (bootstrap by person, where the "
            "set names them, else by face) and n. Steps are network evaluations in each direction. From its own x_T a "
            "face comes back nearly whole whatever z_sem holds; from noise, the same for all faces, comes what z_sem "
            "alone keeps. Pictures of the model's own size; networks compare them at 256 px."
        )
        return Table("reconstructions", "Reconstructions", note, header, rows)

    def _cell(self, way: Way, start: Start, row: Metric, network: str) -> Cell:
        values = np.array(self.values(way, start, row, network))
        known = np.isfinite(values)
        if not known.any():
            return NOTHING
        return Value(bootstrap(values[known], [p for p, k in zip(self.faces.persons, known, strict=True) if k]))

    def per_face(self) -> str:
        """Every number of every face as CSV."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        columns = list(self.columns())
        writer.writerow(["face", "person", "model", "steps", "decoded from", *(row.name for row, _ in columns)])
        for way in self.ways:
            for start in STARTS:
                rows = zip(*(self.values(way, start, *column) for column in columns), strict=True)
                for id, person, numbers in zip(self.faces.ids, self.faces.persons, rows, strict=True):
                    shown = ["" if number != number else f"{number:.6g}" for number in numbers]
                    writer.writerow([id, person, way.name, way.steps, start, *shown])
        return file.getvalue()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return tables_as_json([self.table()], self.faces.warnings, self._facts)

    def write(self, folder: Path, command: str) -> Path:
        """Write reconstructions.csv (face by face) and the table as Markdown, LaTeX, CSV and JSON. Raises DataError.

        Returns the Markdown file.
        """
        return write_tables(
            folder,
            "reconstructions",
            [self.table()],
            warnings=self.faces.warnings,
            command=command,
            facts=self._facts,
            more={"reconstructions.csv": self.per_face()},
        )

    @property
    def _facts(self) -> dict[str, Any]:
        splits = {self.faces.split or UNKNOWN: len(set(self.faces.ids))}
        return {"about": self.faces.about, "splits": splits, "not_measured": [asdict(item) for item in self.missing]}
