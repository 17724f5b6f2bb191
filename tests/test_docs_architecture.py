"""What docs/architecture.md says of the house is so: its rooms, its dataclasses, its promises' addresses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from emorph.core import records, types

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "emorph"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def folders_of_code() -> list[str]:
    """Every folder of the package that holds Python files, as "edit/rig/"."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    return sorted(f"{folder.relative_to(PACKAGE).as_posix()}/" for folder in folders)


def table_rows(heading: str) -> dict[str, str]:
    """Of the table below ``heading``: the word in the first cell -> the rest of its row."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([\w/]+)` \|(.*)\|$", section, re.MULTILINE))


@pytest.mark.parametrize("folder", folders_of_code())
def test_every_room_is_in_the_table(folder: str) -> None:
    assert folder in table_rows("Rooms"), f"add {folder} to the table of rooms in docs/architecture.md"


@pytest.mark.parametrize("room", table_rows("Rooms"))
def test_reading_starts_at_a_file_that_exists(room: str) -> None:
    start = re.findall(r"`([\w.]+)`", table_rows("Rooms")[room].rpartition("|")[2])
    if not (PACKAGE / room).is_dir():
        pytest.skip(f"{room} is not built yet")
    assert [name for name in start if not (PACKAGE / room / name).is_file()] == []


@pytest.mark.parametrize("name", table_rows("What crosses the layers"))
def test_dataclasses_have_the_fields_that_the_table_names(name: str) -> None:
    kind = getattr(types, name, None) or getattr(records, name)
    told = re.findall(r"`(\w+)`", table_rows("What crosses the layers")[name])
    assert set(told) == {field.name for field in dataclasses.fields(kind)}


def test_the_tables_are_found() -> None:
    assert {"core/", "edit/", "cli/"} <= set(table_rows("Rooms"))
    assert {"Photo", "Target", "ScoreRecord"} <= set(table_rows("What crosses the layers"))
