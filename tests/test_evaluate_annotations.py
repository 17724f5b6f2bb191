"""Judges against AffectNet's annotations: its own columns read, the numbers by hand, and which file is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.types import Photo
from emorph.evaluate.judges.asked import CropPlan, NotMeasured, PanelJudge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.annotated import is_annotated, read_annotated
from emorph.evaluate.measure.run import evaluate
from emorph.evaluate.metrics.affect import ccc, rmse
from emorph.evaluate.report.annotations import CONSTANT, FIRST_CLASS, Agreement
from emorph.evaluate.report.tables import Value
from emorph.faces import find_faces
from evaluate_sets import face, save_judge
from test_cli import Command

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
EMOTIONS = (Emotion.NEUTRAL, Emotion.HAPPY, Emotion.SAD)
ROWS = (
    (0.9, 1, 0.5, 0.1),
    (0.8, 0, 0.0, -0.1),
    (0.7, 2, -0.6, 0.3),
    (1.1, 7, -0.5, 0.2),
    (1.0, 1, -2, -2),
    (0.6, 8, -2, -2),
)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos with an emotion, one of them not annotated further, one unknown to the judge; and one without."""
    root = tmp_path_factory.mktemp("affectnet")
    points = ";".join(f"{x:.2f};{y:.2f}" for x, y in find_faces(Photo(face()))[0].points)
    lines = [HEADER]
    for i, (light, code, valence, arousal) in enumerate(ROWS):
        write_image(root / "Manually_Annotated_Images" / "1" / f"{i}.png", face(light))
        lines.append(f"1/{i}.png,0,0,9,9,{points},{code},{valence},{arousal}")
    (root / "validation.csv").write_text("\n".join(lines) + "\n")
    return root / "validation.csv"


def answered(crops: np.ndarray) -> np.ndarray:
    """A judge that takes bright faces for happy, and reads its valence off the light."""
    light = crops.astype(float).mean(axis=(1, 2, 3)) / 255
    happy = np.clip(light, 0, 1)
    return np.stack([1 - happy, happy, 0 * happy, light - 0.3, 0.5 - light], axis=1)


def test_the_numbers_are_those_of_the_annotated_photos(listed: Path, tmp_path: Path) -> None:
    annotated = read_annotated(listed)
    assert annotated.left_out == 1
    assert [item.pair.target for item in annotated.photos][:2] == [Emotion.HAPPY, Emotion.NEUTRAL]
    judge = PanelJudge("light@1", EMOTIONS, CropPlan("ffhq", 16), answered, has_va=True)
    panel = Panel((judge,), (NotMeasured("emonet_8", "not measured: needs emonet_8.pth."),))
    records = evaluate(annotated.photos, tmp_path, panel)
    assert len(records.faces) == 5  # a photo by itself is looked at once
    found = Agreement.of(annotated, records, panel, "validation.csv", ["light", "emonet_8"])
    affect, emotion = found.tables()
    told = np.array([records.affect(item.source_id, judge) for item in annotated.photos[:4]])
    truth = np.array([row[2:] for row in ROWS[:4]])
    rows = {(str(row[0]), str(row[1])): row[2:] for row in affect.rows}
    for axis, word in enumerate(("valence", "arousal")):
        shown = [cell.estimate for cell in rows["light@1", word] if isinstance(cell, Value)]
        assert shown[0].mean == pytest.approx(rmse(truth[:, axis], told[:, axis]))
        assert shown[2].mean == pytest.approx(ccc(truth[:, axis], told[:, axis]))
        assert {estimate.n for estimate in shown} == {4}
        constant = rows[CONSTANT, word][0]
        assert isinstance(constant, Value)
        assert constant.estimate.mean == pytest.approx(truth[:, axis].std())
    assert ("emonet_8", "not measured: needs emonet_8.pth.") in rows
    by_name = {str(row[0]): row for row in emotion.rows}
    accuracy = by_name["light@1"][1]
    assert isinstance(accuracy, Value)
    assert accuracy.estimate.n == 4  # contempt, which it does not know, counts in no share
    assert by_name["light@1"][3] == "contempt"
    assert str(by_name[FIRST_CLASS][1]).startswith("40.0 %")


def test_the_command_says_which_file_is_missing_and_fails(emorph: Command, listed: Path, tmp_path: Path) -> None:
    words = ("--judge", save_judge(tmp_path / "judge"), "--judge", "emonet_8", "--workers", 1)
    status, printed, err = emorph("evaluate", listed, "-o", tmp_path / "out", *words, "--json")
    assert status == 1
    assert "emonet_8: not measured: " in err
    assert "emonet_8.pth" in err
    tables = json.loads(printed)["tables"]
    (row,) = [row for row in tables["annotations_affect"] if row["judge"] == "emonet_8"]
    assert "emonet_8.pth" in row["of"]
    assert tables["annotations_emotion"][0]["accuracy"]["n"] == 4
    assert "1 rows have no emotion" in err
    text = (tmp_path / "out" / "annotations.md").read_text()
    assert "Valence and arousal: judge against annotation" in text
    assert emorph("evaluate", listed, "-o", tmp_path / "out", *words[:2], *words[4:])[0] == 0
    assert "emonet_8.pth or enet_b0_8_va_mtl.onnx" in (tmp_path / "out" / "annotations.md").read_text()


def test_what_only_edits_have_is_refused(emorph: Command, listed: Path, tmp_path: Path) -> None:
    status, _, err = emorph("evaluate", listed, "-o", tmp_path / "out", "--face-model", "deca", "--lost-faces", "skip")
    assert status == 2
    assert "--face-model and --lost-faces do not apply to a list of annotations" in " ".join(err.split())


def test_only_affectnets_columns_are_taken_for_them(listed: Path, tmp_path: Path) -> None:
    assert is_annotated(listed)
    other = tmp_path / "edits.csv"
    other.write_text("source,edited,target,valence,arousal\n")
    assert not is_annotated(other)
    assert not is_annotated(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1/0.png,0,0,9,9,,12,0,0", "expression must be a code from 0 to 10"),
        ("1/0.png,0,0,9,9,,1,3,0", "valence and arousal must be from -1 to 1"),
        ("1/0.png,0,0,9,9,,9,-2,-2", "holds no photo with an emotion"),
        ("1/gone.png,0,0,9,9,,1,0,0", "name their folder: --sources"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, row: str, sentence: str) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}\n{row}\n")
    with pytest.raises(DataError, match=sentence):
        read_annotated(tmp_path / "list.csv")


def test_affectnets_layout(shared_file: Callable[[str], Path]) -> None:
    annotated = read_annotated(shared_file("affectnet_layout") / "manual" / "validation.csv")
    assert (len(annotated.photos), annotated.left_out) == (45, 3)
    assert all(len(item.pair.points) == 68 and not item.trouble for item in annotated.photos)
