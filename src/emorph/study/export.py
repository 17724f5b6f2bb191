"""Data out of a study, and out for good: all votes as a table, one person's data, and forgetting it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emorph.core.commands import command
from emorph.core.errors import DataError
from emorph.study.records import VOTES_FILE, Vote, read_design
from emorph.study.store import Store


def votes_csv(study: Path) -> str:
    """All votes, one a line, with the columns of ``Vote``. Raises DataError if there is none yet."""
    with opened(study) as store:
        return as_csv(store.vote_rows())


def as_csv(rows: list[tuple[object, ...]]) -> str:
    """Rows of votes under the names of their columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[field.name for field in dataclasses.fields(Vote)], *rows])
    return text.getvalue()


def participant_json(study: Path, participant: str) -> str:
    """All that is stored about one person. Raises DataError if nobody has this id."""
    return json.dumps(_stored(study, participant), indent=2, ensure_ascii=False) + "\n"


def n_votes_of(study: Path, participant: str) -> int:
    """How many votes are stored of one person. Raises DataError if nobody has this id."""
    return len(_stored(study, participant)["votes"])


def _stored(study: Path, participant: str) -> dict[str, Any]:
    with opened(study) as store:
        found = store.export(participant)
    if found is None:
        raise _nobody(study, participant)
    return found


def _nobody(study: Path, participant: str) -> DataError:
    return DataError(f"nobody in {study} has the id {participant}; the last page of the study shows it.")


def forget(study: Path, participant: str) -> int:
    """Delete a person and their votes, overwritten in the file and in its log too; how many votes there were.

    The server may run meanwhile. Raises DataError if nobody has this id.
    """
    with opened(study) as store:
        with store.transaction():
            n_votes = store.delete(participant)
        if n_votes is None:
            raise _nobody(study, participant)
        store.empty_log()
    return n_votes


@contextmanager
def opened(study: Path) -> Iterator[Store]:
    """The file of a study that has been served. Raises DataError if there is none."""
    read_design(study)
    if not (study / VOTES_FILE).is_file():
        raise DataError(
            f"{study} has not been served yet, so nobody has answered; run: {command('study', 'serve', study)}"
        )
    store = Store(study)
    try:
        yield store
    finally:
        store.close()
