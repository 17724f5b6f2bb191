"""Of which split source photos are: told by the set, the table, the list beside them or the command; else unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emorph.core.errors import DataError
from emorph.core.photo_list import LIST_FILE, ListedPhoto, write_list
from emorph.evaluate.measure.inputs import Pair, read_pairs
from emorph.evaluate.measure.seen_splits import counted, sentence, warning, with_splits
from emorph.evaluate.report.summary import _about
from evaluate_sets import made_set, save_judge

Command = Callable[..., tuple[int, str, str]]


def pair(path: Path, split: str = "") -> Pair:
    return Pair("made", path, path, None, split=split)


def test_the_set_tells_first_then_the_table_then_the_list_then_the_command(tmp_path: Path) -> None:
    write_list(tmp_path, [ListedPhoto("listed.png", "Validation", "ann"), ListedPhoto("a.png", "val")])
    pairs = [
        pair(tmp_path / "raw" / "1" / "a.png", "val"),
        pair(tmp_path / "a.png", "train"),
        pair(tmp_path / "listed.png"),
        pair(tmp_path / "other.png"),
    ]
    assert [p.split for p in with_splits(pairs, stated="affectnet/test")] == ["val", "train", "val", "test"]
    assert [p.split for p in with_splits(pairs)] == ["val", "train", "val", ""]
    told = with_splits(pairs, of_set={"1/a.png": "train", "2/a.png": "test"})
    assert [p.split for p in told] == ["train", "train", "val", "outside"]  # the other a.png lies in no folder 1 or 2
    assert [p.person for p in told] == ["", "", "ann", ""]


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    (tmp_path / LIST_FILE).write_text("what\nis this\n")
    with pytest.raises(DataError, match="has no column 'file'"):
        with_splits([pair(tmp_path / "a.png")])


def test_photos_count_once_and_training_faces_are_warned_of() -> None:
    counts = counted([("a", "train"), ("a", "train"), ("b", "test"), ("c", "")])
    assert counts == {"test": 1, "train": 1, "unknown": 1}
    assert sentence(counts).startswith("Splits: test, 1 photos; train, 1 photos; unknown")
    assert warning(counts).startswith("1 of 3 source photos is a training face")
    assert warning({"val": 3}) == ""
    assert sentence({"test": 3}) == "Split: test."


def test_a_table_may_say_it(tmp_path: Path) -> None:
    table = made_set(tmp_path)
    lines = table.read_text().splitlines()
    split = ["split", *["test" if "ann" in line else "holdout" for line in lines[1:]]]
    table.write_text("\n".join(f"{line},{word}" for line, word in zip(lines, split, strict=True)))
    assert {p.split for p in read_pairs(table)} == {"test", ""}


def test_the_report_says_first_which_split_it_saw(emorph: Command, tmp_path: Path) -> None:
    table = made_set(tmp_path)
    words = ("evaluate", table, "-o", tmp_path / "out", "--judge", save_judge(tmp_path / "judge"), "--workers", 1)
    status, printed, _ = emorph(*words)
    assert status == 0
    assert printed.startswith("6 edits of 2 photos to 2 targets. Split: unknown")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["splits"] == {"unknown": 2}
    write_list(tmp_path, [ListedPhoto("ann.png", "train"), ListedPhoto("bob.png", "test")])
    _, printed, _ = emorph(*words, "--json")
    found = json.loads(printed)
    assert found["splits"] == {"test": 1, "train": 1}
    assert found["warnings"][0].startswith("1 of 2 source photos is a training face")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Splits: test, 1 photos; train, 1 photos." in page
    assert (tmp_path / "out" / "tables.md").read_text().startswith(found["about"])
    assert (tmp_path / "out" / "tables.tex").read_text().startswith(f"% {found['about']}")
    assert "ann,train,happy" in (tmp_path / "out" / "edits.csv").read_text()


def test_one_edit_is_singular() -> None:
    edits = [SimpleNamespace(pair=SimpleNamespace(word="happy"))]
    scores: Any = [SimpleNamespace(evidence=SimpleNamespace(edits=edits))]
    assert _about(scores, {"test": 1}).startswith("1 edit of 1 photo to 1 target.")
    edits *= 2
    assert _about(scores, {"test": 1}).startswith("2 edits of 1 photo to 1 target.")
