"""A short run of the fuzzer of ``make fuzz``, and a proof that it sees what it looks for."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

for needed in ("onnx", "pyarrow", "datasets"):
    pytest.importorskip(needed)
FOLDER = Path(__file__).parents[1] / "fuzz"
sys.path.insert(0, str(FOLDER))
import mutations  # noqa: E402
import run  # noqa: E402
import targets  # noqa: E402

N = 25


@pytest.fixture(autouse=True)
def _out_of_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "FOUND", tmp_path / "found")
    monkeypatch.setenv("EMORPH_OFFLINE", "1")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_refused_in_sentences(target: targets.Target, tmp_path: Path) -> None:
    outcome = run.fuzz(target, range(N), tmp_path)
    assert outcome.findings == []
    assert outcome.read + outcome.refused == N
    assert outcome.refused > 0 or target.name in ("paths", "csv")


def test_what_is_no_sentence_is_found(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        raise TypeError("a bytes-like object is required")

    broken = targets.Target("broken", targets.TARGETS[0].seeds, read, mutations.BINARY)
    outcome = run.fuzz(broken, range(3), tmp_path)
    assert [(f.seed, f.error) for f in outcome.findings] == [
        (seed, "TypeError: a bytes-like object is required") for seed in range(3)
    ]


def test_an_input_can_be_made_again() -> None:
    data = b'{"a": 1, "b": [2, 3]}\n' * 20
    made = [mutations.mutate(random.Random("x/3"), data, mutations.TEXT) for _ in range(2)]
    assert made[0] == made[1] != data
