"""Judges held against annotations, on unedited photos: how far their word can be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.judges.asked import AFFECT, NotMeasured, PanelJudge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure import seen_splits
from emorph.evaluate.measure.annotated import Annotated
from emorph.evaluate.measure.records import Identified, Records
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.shares import share
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.report.needs import AFFECT_JUDGES, GET_AFFECT
from emorph.evaluate.report.table_files import tables_as_json, write_tables
from emorph.evaluate.report.tables import NOTHING, Cell, Table, Value, cell
from emorph.evaluate.scores.affect import LEAST_EDITS
from emorph.evaluate.scores.evidence import Ints, bootstrapped

AFFECTNET_TRAIN = "affectnet/train"
CONSTANT = "the annotations' mean for every photo (control)"
FIRST_CLASS = "the commonest emotion for every photo (control)"


@dataclass(frozen=True)
class Agreement:
    """What judges say of annotated photos. photos: those that could be looked at. failed: the others, and why.

    asked: judges by name, here or not.
    """

    photos: tuple[Identified, ...]
    failed: tuple[tuple[Path, str], ...]
    records: Records
    panel: Panel
    name: str
    asked: tuple[str, ...]

    @classmethod
    def of(
        cls, annotated: Annotated, records: Records, panel: Panel, name: str, asked: Sequence[str] = ()
    ) -> Agreement:
        """Part the photos that could be looked at from the others. name: of the list. asked: judges by name."""
        good, failed = [], []
        for item in annotated.photos:
            face = records.faces.get(item.source_id)
            why = item.trouble or ("not looked at yet (another shard)" if face is None else face.trouble)
            if why:
                failed.append((item.pair.source, why))
            else:
                good.append(item)
        return cls(tuple(good), tuple(failed), records, panel, name, tuple(asked))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before any number."""
        found = [self._seen_before] if self._seen_before else []
        if self.failed:
            n = len(self.failed) + len(self.photos)
            found.append(f"{len(self.failed)} of {n} photos could not be looked at and are not counted.")
        return tuple(found)

    @property
    def splits(self) -> dict[str, int]:
        """The photos by the split of their data set."""
        return seen_splits.counted((item.source_id, item.pair.split) for item in self.photos)

    @property
    def about(self) -> str:
        """What the judges were asked about, in a line."""
        split = " and ".join(self.splits)
        return f"{len(self.photos)} unedited photos of {self.name}. Split: {split or seen_splits.UNKNOWN}."

    @property
    def _seen_before(self) -> str:
        """Which judges were trained on such photos; "" where none was, or it is not known."""
        names = [asked.id for asked in self.panel.judges if AFFECTNET_TRAIN in asked.trained_on]
        if not names or seen_splits.TRAIN not in self.splits:
            return ""
        are = "was" if len(names) == 1 else "were"
        return (
            f"{', '.join(names)} {are} trained on {AFFECTNET_TRAIN}: if these are AffectNet's training photos, the "
            "numbers are far too good. Use validation.csv."
        )

    def tables(self) -> tuple[Table, Table]:
        """Valence and arousal, then emotion."""
        return self._affect_table(), self._emotion_table()

    def write(self, folder: Path, command: str) -> Path:
        """Write the tables as annotations.md, .tex, .json and _tables.csv. Raises DataError."""
        told = {"warnings": self.warnings, "command": command, "facts": self._facts}
        return write_tables(folder, "annotations", self.tables(), **told)  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return tables_as_json(self.tables(), self.warnings, self._facts)

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "splits": self.splits,
            "not_measured": [asdict(item) for item in self.panel.missing],
            "left_out": [{"photo": str(path), "why": why} for path, why in self.failed],
        }

    def _affect_table(self) -> Table:
        rows = metrics(Takes.VALENCE_AROUSAL)
        note = (
            f"What judges read off the unedited photos of {self.name} against their annotations; photos annotated -2 "
            "count nowhere. In brackets: 95 % interval (bootstrap by photo) and n. The control knows nothing of any "
            "photo: a judge with a higher RMSE is worse than a constant."
        )
        header = ("judge", "of", *(f"{row.title} ({row.better})" for row in rows))
        title = "Valence and arousal: judge against annotation"
        return Table("annotations_affect", title, note, header, tuple(self._affect_rows(rows)))

    def _affect_rows(self, rows: Sequence[Metric]) -> Iterator[tuple[Cell, ...]]:
        truth = np.array([item.pair.affect for item in self.photos], dtype=np.float64).reshape(-1, 2)  # None is NaN
        judges = [judge for judge in self.panel.judges if judge.has_va]
        found = [(judge.id, self._affect(judge)) for judge in judges]
        mean = np.full_like(truth, np.nan)
        known = np.isfinite(truth).all(axis=1)
        if known.any():
            mean[:] = truth[known].mean(axis=0)
        for name, values in (*found, (CONSTANT, mean)):
            for axis, word in enumerate(AFFECT):
                yield (name, word, *(self._cell(row, truth[:, axis], values[:, axis]) for row in rows))
        absent = [item for item in self.panel.missing if item.name in self.asked]
        if not judges and not any(item.name in AFFECT_JUDGES for item in absent):
            absent.append(NotMeasured("a judge of valence and arousal", GET_AFFECT))
        for item in absent:
            yield (item.name, item.why, *[NOTHING] * len(rows))

    def _affect(self, judge: PanelJudge) -> Float64:
        nothing = np.full(2, np.nan)
        found = [self.records.affect(item.source_id, judge) for item in self.photos]
        return np.array([nothing if row is None else row for row in found]).reshape(-1, 2)

    def _cell(self, row: Metric, truth: Float64, values: Float64) -> Cell:
        known = np.flatnonzero(np.isfinite(truth) & np.isfinite(values))
        if len(known) < LEAST_EDITS:
            return NOTHING
        measure: Callable[..., float] = row.load()
        t, f = truth[known], values[known]

        def statistic(drawn: Ints) -> float:
            return float(measure(t[drawn], f[drawn]))

        return cell(bootstrapped(statistic, [self.photos[i].source_id for i in known], len(known)))

    def _emotion_table(self) -> Table:
        rows = [row for judge in self.panel.judges if (row := self._emotion_row(judge)) is not None]
        if rows:
            targets = [item.pair.target for item in self.photos]
            first = max(set(targets), key=targets.count)
            n_emotions = len(set(targets))
            recall = f"{100 / n_emotions:.1f} % over {n_emotions} emotions"
            rows.append((FIRST_CLASS, Value(share([float(t == first) for t in targets]), True), recall, NOTHING))
        note = (
            f"Share of the unedited photos of {self.name} that a judge takes for the emotion that they are annotated "
            "with, among the emotions it knows; mean recall weighs each emotion alike. 95 % interval and n in brackets."
        )
        header = ("judge", "accuracy", "mean recall", "does not know")
        return Table("annotations_emotion", "Emotion: judge against annotation", note, header, tuple(rows))

    def _emotion_row(self, judge: PanelJudge) -> tuple[Cell, ...] | None:
        answers = [(item, self.records.answer(item.source_id, judge)) for item in self.photos]
        told = [(item.pair.target, answer) for item, answer in answers if answer is not None]
        known = [(target, judge.emotions[int(answer.argmax())]) for target, answer in told if target in judge.emotions]
        if not known:
            return None
        right = np.array([target == seen for target, seen in known], dtype=np.float64)
        emotions = sorted({target for target, _ in known if target is not None})
        recalls = [right[[target == emotion for target, _ in known]].mean() for emotion in emotions]
        unknown = sorted({target for target, _ in told if target is not None} - set(judge.emotions))
        recall = f"{100 * float(np.mean(recalls)):.1f} % over {len(emotions)} emotions"
        return judge.id, Value(share(right), True), recall, ", ".join(e.word for e in unknown) or NOTHING
