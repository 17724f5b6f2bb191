"""What was done, a JSON line each, so that later stages read it from disk and never redo it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emorph.core.errors import DataError


@dataclass(frozen=True)
class EditRecord:
    """One edited photo.

    id: unique in its file. source, edited: files, as given and as written. target: an emotion's word.
    strength: 0 is unchanged. steps: network evaluations in each direction.
    """

    id: str
    source: str
    edited: str
    target: str
    strength: float
    editor: str
    model_id: str
    solver: str
    steps: int
    seconds: float


def append(path: Path, records: Iterable[EditRecord]) -> None:
    """Add records to a JSONL file, one line each. Raises DataError if it cannot be written."""
    lines = [json.dumps(dataclasses.asdict(record)) + "\n" for record in records]  # ASCII: any file name survives
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); the pictures it tells of are there.") from None


def read(path: Path) -> list[EditRecord]:
    """All records of a file; of records with one id the last counts. Raises DataError naming the bad line."""
    by_id: dict[str, EditRecord] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = EditRecord(**json.loads(line))
        except (json.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}, line {number} is not an edit record: {error}.") from None
        by_id[record.id] = record
    return list(by_id.values())
