"""Records: what crosses the stages as files."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.records import (
    TAIL_BYTES,
    EditRecord,
    FaceRecord,
    ScoreRecord,
    SeenFace,
    append,
    each_finished,
    mend,
    read,
    read_finished,
)


@pytest.mark.parametrize(("label", "emotion"), [(0, Emotion.NEUTRAL), (7, Emotion.CONTEMPT), (8, None), (None, None)])
def test_only_the_eight_codes_are_emotions(label: int | None, emotion: Emotion | None) -> None:
    assert FaceRecord("a", "a.jpg", label).emotion is emotion


def test_faces_compare_without_their_points_and_cannot_change() -> None:
    a = FaceRecord("a", "a.jpg", 1, box=(0, 0, 9, 9), landmarks=np.zeros((68, 2), np.float32))
    assert a == dataclasses.replace(a, landmarks=np.ones((68, 2), np.float32))
    assert a != dataclasses.replace(a, box=(1, 0, 9, 9))
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.label = 2  # type: ignore[misc]


def edit(name: str, source: str = "a.jpg") -> EditRecord:
    return EditRecord(name, source, name, "happy", 1.0, "emorph", "m", "dpm", 15, 0.5)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_a_cut_write_costs_only_the_line_that_was_cut(tmp_path: Path, kept: float) -> None:
    """At 0 nothing of the second line is there, at 1 all but its end."""
    path = tmp_path / "edits.jsonl"
    append(path, [edit("a.png"), edit("b.png")])
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(first + b"\n" + second[: round(len(second) * kept)])
    left = [edit("a.png"), edit("b.png")] if kept == 1 else [edit("a.png")]
    assert read(path) == read_finished(path, EditRecord) == left
    mend(path)
    append(path, [edit("c.png")])
    assert read(path) == [*left, edit("c.png")]


def test_a_full_disk_does_not_glue_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "edits.jsonl"
    append(path, [edit("a.png")])
    real = Path.open

    class Full:
        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def writelines(self, lines: list[str]) -> None:
            with real(path, "a") as file:
                file.write(lines[0][:20])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode="r", **how: Full() if mode == "a" else real(self, mode, **how))
        with pytest.raises(DataError, match=r"edits\.jsonl cannot be written \(No space left on device\)"):
            append(path, [edit("b.png")])
    append(path, [edit("c.png")])
    assert read(path) == [edit("a.png"), edit("c.png")]


def test_a_line_ends_only_where_it_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_text('{"id": "a", "metric": "b\u2028\x85c", "value": 1}\n', encoding="utf-8")
    assert read_finished(path, ScoreRecord) == [ScoreRecord("a", "b\u2028\x85c", 1)]
    with pytest.raises(DataError, match="line 1 is not an edit record"):
        read(path)


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)
    path = tmp_path / "edits.jsonl"
    path.write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(DataError, match="line 1 is not an edit record: 'utf-8' codec"):
        read(path)


def seen(name: str) -> SeenFace:
    numbers = np.random.default_rng(0).normal(size=264).round(6)
    return SeenFace(name, "", (9, 9), 1, (0, 0, 9, 9), numbers[:136].reshape(68, 2), 1.0, numbers[136:])


def bytes_held(work: Callable[[], object]) -> int:
    """What is left in memory of a work, as long as its result is."""
    tracemalloc.start()
    kept = work()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held


def test_a_face_on_record_takes_little_more_than_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    append(path, (seen(f"face{i}") for i in range(300)))
    assert read_finished(path, SeenFace)[7] == seen("face7")
    assert seen("a") != dataclasses.replace(seen("a"), points=seen("a").points + 1)
    few, many = (bytes_held(lambda n=n: read_finished(path, SeenFace)[:n]) for n in (100, 300))
    assert (many - few) / 200 < 1.5 * 264 * 8


def test_a_file_is_read_and_mended_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    append(path, (seen(f"face{i}") for i in range(300)))
    cut = b'{"id": "' + b"x" * 2 * TAIL_BYTES
    whole = path.read_bytes()
    path.write_bytes(whole + cut)
    tracemalloc.start()
    assert sum(1 for _ in each_finished(path, SeenFace)) == 300
    mend(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.read_bytes() == whole
    assert peak < len(whole) < 20 * len(cut)
