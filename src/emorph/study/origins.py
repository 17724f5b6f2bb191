"""Which files a study's edits came from: kept beside the study, never served, so that other measures can be joined."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emorph.core.errors import DataError

ORIGINS_FILE = "origins.jsonl"


@dataclass(frozen=True, slots=True)
class Origin:
    """One edit of a study. source, method, target, strength: as in ``Trial``.

    source_file, edited_file: absolute paths of the files as they were given. source_sha256, edited_sha256: hexadecimal
    digests of those files, by which ``emorph evaluate`` knows them.
    """

    source: str
    method: str
    target: str
    strength: float
    source_file: str
    edited_file: str
    source_sha256: str
    edited_sha256: str


def write_origins(study: Path, origins: Iterable[Origin]) -> None:
    """Write the list into a study's folder. Raises OSError."""
    lines = [json.dumps(dataclasses.asdict(origin)) + "\n" for origin in origins]
    (study / ORIGINS_FILE).write_text("".join(lines), encoding="utf-8")


def read_origins(study: Path) -> list[Origin]:
    """The list of a study's folder. Raises DataError if there is none, or naming a bad line."""
    path = study / ORIGINS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); without it no metric can be joined to the study.") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Origin(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}, line {number} is no origin of an edit: {error}; mend the line.") from None
    return found
