"""What a scan found, as numbers: rows of every code, what the hold-out leaves of them, and the problems by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emorph.core.expressions import UNLABELLED, Emotion
from emorph.core.records import FaceRecord
from emorph.data.index import CODE_NAMES, KINDS, FaceIndex
from emorph.data.splits import split_faces

SPLITS = ("train", "val", "test", None)
COLUMNS = ("training list", "validation list", "test list", "undivided", "rows", "usable: train", "val", "test")
_N_LISTED = len(SPLITS) + 1  # and their sum


@dataclass(frozen=True)
class ScanReport:
    """One scan. faces: those that can be trained with, divided; holdout: as asked for, unused with an own division."""

    index: FaceIndex
    faces: list[FaceRecord]
    own_division: bool
    holdout: int
    seed: int

    def listed(self, code: int | None) -> dict[str | None, int]:
        """Rows of one code in each list, before anything was left out."""
        return {split: self.index.rows[split, code] for split in SPLITS}

    def codes(self) -> list[int | None]:
        """The codes to show: AffectNet's eleven where its lists are read, else those that occur."""
        occurring = {code for _, code in self.index.rows}
        everything = self.index.layout.startswith("affectnet")
        known = [code for code in range(len(CODE_NAMES)) if everything or code in occurring]
        return [*known, *([None] if None in occurring else [])]

    def after_holdout(self) -> dict[str, dict[int | None, int]]:
        """Usable faces of each code, in "train" and in "val", and in "test" where there is a test set."""
        counts = Counter((face.split, face.label) for face in self.faces)
        splits = ("train", "val", *(["test"] if any(face.split == "test" for face in self.faces) else []))
        return {split: {code: counts[split, code] for code in self.codes()} for split in splits}


def scan_report(index: FaceIndex, *, holdout: int, seed: int) -> ScanReport:
    """Divide the usable faces and make the report. Raises DataError as ``split_faces``."""
    usable = index.usable()
    own = any(record.split == "val" for record in usable)
    return ScanReport(index, split_faces(usable, holdout=holdout, seed=seed), own, holdout, seed)


def code_name(code: int | None) -> str:
    """How tables call a code."""
    return UNLABELLED if code is None else CODE_NAMES[code]


def table_rows(report: ScanReport) -> list[tuple[str, list[int | None]]]:
    """Name and cells of each line, one for each of ``COLUMNS``.

    The usable cells are None for codes that are no emotion. The last line is the total.
    """
    usable = report.after_holdout()
    rows: list[tuple[str, list[int | None]]] = []
    for code in report.codes():
        listed = list(report.listed(code).values())
        is_class = code is None or code < len(Emotion)
        kept = [usable.get(split, {}).get(code, 0) if is_class else None for split in SPLITS if split]
        rows.append((f"{'' if code is None else code} {code_name(code)}".strip(), [*listed, sum(listed), *kept]))
    totals = [sum(cells[i] or 0 for _, cells in rows) for i in range(len(COLUMNS))]
    return [*rows, ("total", [*totals])]


def used_columns(rows: Sequence[tuple[str, Sequence[int | None]]]) -> list[int]:
    """Which of ``COLUMNS`` hold something; the rows together and usable train and val are always shown."""
    total = rows[-1][1]
    always = range(_N_LISTED - 1, _N_LISTED + 2)
    return [i for i in range(len(COLUMNS)) if i in always or total[i]]


def to_json(report: ScanReport) -> dict[str, Any]:
    """The report for machines."""
    usable = report.after_holdout()
    counts = {
        code_name(code): {
            "code": code,
            "listed": {split or "undivided": n for split, n in report.listed(code).items() if split != "test" or n},
            "listed_total": sum(report.listed(code).values()),
            **({split: usable[split][code] for split in usable} if code is None or code < len(Emotion) else {}),
        }
        for code in report.codes()
    }
    return {
        "root": str(report.index.root),
        "layout": report.index.layout,
        "files_checked": report.index.checked,
        "counts": counts,
        "total": report.index.rows.total(),
        "usable": {split: sum(usable[split].values()) for split in usable},
        "division": {"own": True} if report.own_division else {"holdout": report.holdout, "seed": report.seed},
        "problems": {
            kind: {"count": problem.count, "done": KINDS[kind], "examples": problem.examples}
            for kind, problem in report.index.problems.by_kind().items()
        },
    }
