"""Models measured side by side and by groups: who is in a group, and what is counted of whom."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emorph.core.expressions import Emotion

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'train'")
BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(BENCH))
    from support import quality_groups, quality_report, validation

    return {name: sys.modules[f"support.{name}"] for name in ("quality_groups", "quality_report", "validation")} | {
        "all": quality_groups, "report": quality_report, "faces": validation
    }  # fmt: skip


def row(number: int, level: int, **said: Any) -> dict[str, Any]:
    points = np.zeros((68, 2), "<f2")
    points[36:48] = np.linspace([20, 30], [60, 30], 12)
    points[48], points[54] = (25, 60), (55, 60)
    out = io.BytesIO()
    Image.new("RGB", (80, 80), (level, level, level)).save(out, "PNG")
    facts = {"split": "val", "label": "", "identity": f"p{number}", "source_set": "made", "age": -1, "gender": ""}
    return {"image": out.getvalue(), "landmarks68": points.tobytes(), **facts, **said}


def test_groups_are_what_the_pack_tells(quality: dict[str, ModuleType], tmp_path: Path) -> None:
    import pyarrow as pa

    first = [
        row(0, 40, label="happy", age=12, gender="f"),
        row(1, 120, label="not happy", age=18, gender="m"),
        row(2, 220, label="neutral", age=60),
        row(3, 220, split="train"),
    ]
    pq.write_table(pa.Table.from_pylist(first), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([row(9, 10)]), tmp_path / "b.parquet")
    faces = quality["faces"].held_out_faces(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert [face.label for face in faces] == [Emotion.HAPPY, None, Emotion.NEUTRAL, None]
    assert len({face.row for face in faces}) == 4  # also of two files
    assert faces[0].groups == {"skin": "dark", "age": "under 18", "sex": "female", "source": "made"}
    assert faces[1].groups == {"skin": "medium", "age": "18 to 39", "sex": "male", "source": "made"}
    assert faces[2].groups == {"skin": "bright", "age": "60 and over", "source": "made"}
    chosen = quality["faces"].some_of_each(faces, [Emotion.HAPPY, None], 4)
    assert [face.person for face in chosen] == ["p0", "p1", "p9"]


def measured(quality: dict[str, ModuleType], model_id: str, right: set[str], auc: float) -> Any:
    """Ten men and four women, each edited to every emotion; the edits of some people are recognised, and of others
    not; women's do not pass for them."""
    report = quality["report"]
    emotions = tuple(e for e in Emotion if e != Emotion.CONTEMPT)
    rng = np.random.default_rng(0)
    people = [f"m{i}" for i in range(10)] + [f"w{i}" for i in range(4)]
    descriptors = rng.normal(size=(len(people), 128)).astype(np.float32)
    scores = []
    for person, descriptor in zip(people, descriptors, strict=True):
        for emotion in Emotion:
            for strength in report.STRENGTHS:
                answer = np.zeros(len(emotions))
                shown = emotion if person in right and emotion in emotions else Emotion.SAD
                answer[emotions.index(shown)] = 1.0
                distance = 0.0 if person.startswith("m") else 99.0
                groups = {"sex": "male" if person.startswith("m") else "female"}
                score = (None, person, emotion, strength, answer, distance, descriptor, 0, groups)
                scores.append(report.Score(*score))
    controls = report.Controls(emotions, [None] * len(people), people, np.eye(len(people), len(emotions)), descriptors)
    return report.Measured(model_id, report.Results(scores, controls), auc)


def test_models_stand_side_by_side(quality: dict[str, ModuleType]) -> None:
    everyone = {f"m{i}" for i in range(10)} | {f"w{i}" for i in range(4)}
    new, old = measured(quality, "new-1", everyone, 0.6), measured(quality, "old-2", set(), 0.9)
    lines = quality["all"].comparison([new, old]).splitlines()
    assert "| `new-1` | `old-2` |" in lines[2]
    happy = next(line for line in lines if line.startswith("| happy"))
    assert "| 100 % (100-100) | 0 % (0-0) |" in happy
    assert any(line.startswith("| sad") and "100 % (100-100) |" in line.rsplit("|", 3)[2] + "|" for line in lines)
    assert any("told from photos (AUC) | 0.60 | 0.90" in line for line in lines)
    assert not any(line.startswith("| contempt") for line in lines)
    mean = next(line for line in lines if line.startswith("| mean"))
    assert "| 100 % | 14 % |" in mean  # sad, one of seven


def test_groups_count_people_and_leave_out_the_few(quality: dict[str, ModuleType]) -> None:
    text = quality["all"].groups_text([measured(quality, "new-1", {f"m{i}" for i in range(5)}, 0.5)])
    men = next(line for line in text.splitlines() if line.startswith("| sex: male"))
    assert men.split("|")[2].strip() == "10"
    assert men.split("|")[3].strip().startswith("57 %")  # half the men's six and everybody's sad
    assert "100 % (100-100)" in men  # pass for themselves
    assert "female" not in text  # four people say nothing
