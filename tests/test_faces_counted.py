"""Files and records say how many faces were found and edited, and how sure the detector was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emorph.core.images import read_photo, write_image
from emorph.core.records import EditRecord, read
from emorph.edit.files import edit_files
from emorph.edit.pipeline import Editor
from tiny import tiny_directions, tiny_editor, tiny_model

SIX = Path(__file__).parent / "pictures" / "six_small.png"


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor(steps=2)


def test_all_faces_are_counted_and_the_least_sure_is_told(editor: Editor, tmp_path: Path) -> None:
    (done,) = edit_files(editor, [SIX], tmp_path, "happy", face="all").edits
    (record,) = read(tmp_path / "edits.jsonl")
    assert (record.n_faces, record.n_edited, record.detector, record.min_score) == (6, 6, "auto", 0.25)
    assert record.score == round(min(face.landmarks.score for face in editor.faces(SIX, "all")), 4)
    assert (done.n_faces, done.n_edited, done.score) == (6, 6, pytest.approx(record.score, abs=1e-4))
    again = edit_files(editor, [SIX], tmp_path, "happy", face="all")
    assert again.n_before == 1
    one = edit_files(editor, [SIX], tmp_path, "happy").edits[0].records[0]
    assert (one.n_faces, one.n_edited) == (6, 1)


def test_another_detector_or_limit_edits_anew(editor: Editor, tmp_path: Path) -> None:
    edit_files(editor, [SIX], tmp_path, "happy")
    other = Editor(tiny_model(), tiny_directions(), model_id="tiny", device="cpu", steps=2, detector="hog")
    again = edit_files(other, [SIX], tmp_path, "happy")
    assert again.n_before == 0
    assert (again.edits[0].n_faces, again.edits[0].records[0].detector) == (5, "hog")


def test_a_weak_detection_is_edited_only_if_asked_for(editor: Editor, example_photo: Path, tmp_path: Path) -> None:
    below = tmp_path / "nobrow.png"
    write_image(below, np.ascontiguousarray(read_photo(example_photo).pixels[120:]))
    (failure,) = edit_files(editor, [below], tmp_path / "out", "happy").failures
    assert "no sure face found in nobrow.png" in str(failure)
    bold = Editor(tiny_model(), tiny_directions(), model_id="tiny", device="cpu", steps=2, min_score=0.1)
    (done,) = edit_files(bold, [below], tmp_path / "out", "happy").edits
    assert 0.1 < (done.records[0].score or 0) < 0.25


def test_records_of_older_versions_are_read(tmp_path: Path) -> None:
    row = {
        "id": "a_happy.png", "source": "a.png", "edited": "a_happy.png", "target": "happy", "strength": 1.0,
        "editor": "emorph", "model_id": "tiny", "solver": "dpm", "steps": 15, "seconds": 1.0,
    }  # fmt: skip
    (tmp_path / "edits.jsonl").write_text(json.dumps(row) + "\n")
    (record,) = read(tmp_path / "edits.jsonl")
    assert record == EditRecord(**row)
    assert (record.score, record.n_faces) == (None, 0)
