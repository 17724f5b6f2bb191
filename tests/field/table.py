"""What real photos, files and users brought, before and after: ``make field``, or ``python tests/field/table.py``."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from reports import REPORTS
from situations import SITUATIONS

from field import Case, in_folder, write_model

WIDTH = 140  # of a cell


def main() -> int:
    """Try every case and print a Markdown table. Exit status 1 if one is wrong."""
    warnings.simplefilter("ignore")
    logging.getLogger("emorph").setLevel(logging.ERROR)
    os.environ["EMORPH_OFFLINE"] = "1"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "tiny")
        print("|  | item or report | tried | before | after |\n| --- | --- | --- | --- | --- |")
        for number, case in enumerate([*SITUATIONS, *REPORTS], start=1):
            after, is_right = tried(case, Path(folder) / str(number), model)
            wrong += not is_right
            cells = (case.item, case.tried, case.before, after)
            print(f"| {'ok' if is_right else 'WRONG'} | " + " | ".join(map(cell, cells)) + " |", flush=True)
    print(f"\n{len(SITUATIONS) + len(REPORTS)} cases, {wrong} wrong")
    return int(wrong > 0)


def tried(case: Case, folder: Path, model: Path) -> tuple[str, bool]:
    """What happens, and whether that is right."""
    folder.mkdir()
    with in_folder(folder, model) as field:
        try:
            return case.check(field), True
        except Exception as error:
            return f"{type(error).__name__}: {error}", False


def cell(text: str) -> str:
    """Text that does not break the table."""
    line = " ".join(text.replace("|", "/").split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


if __name__ == "__main__":
    sys.exit(main())
