"""Every case of tests/field; ``make field`` prints them as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from reports import REPORTS
from situations import SITUATIONS

from field import Case, in_folder, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("field") / "tiny")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [*SITUATIONS, *REPORTS], ids=lambda case: f"{case.item}: {case.tried}"[:60])
def test_field(case: Case, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_OFFLINE", "1")
    with in_folder(tmp_path, model) as field:
        assert case.check(field)


def test_a_traceback_is_seen(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("field.main", lambda: 1 / 0)
    with in_folder(tmp_path, model) as field:
        ended = field.run("doctor")
    assert ended.status == 99
    assert "ZeroDivisionError" in ended.err
