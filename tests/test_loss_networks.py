"""Whoever gave a loss may not mark: what folders and records tell, who is refused, and what the report says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from emorph import Editor
from emorph.core.errors import CheckpointError, DataError
from emorph.core.images import write_image
from emorph.core.loss_networks import LossNetwork, losses_by_id, losses_in, parse_losses, why_unfair
from emorph.core.pretrained import bundled_models
from emorph.core.records import EditRecord, append, read
from emorph.edit.files import edit_files
from emorph.evaluate.judges.open_networks import load_judge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.inputs import read_pairs
from emorph.models.dlib_net import dlib_recogniser
from emorph.models.judge import Judge
from emorph.models.weights import fingerprint
from evaluate_sets import PANEL, face, save_judge, smudged

Command = Callable[..., tuple[int, str, str]]


def rows(folder: Path, name: str = "judge", data: tuple[str, ...] = ("made/train",)) -> list[dict[str, object]]:
    return [{"name": name, "fingerprint": fingerprint(Judge.from_pretrained(folder)), "data": list(data)}]


def edits(folder: Path, losses: list[dict[str, object]]) -> Path:
    """Two edits of one photo, whose model had these losses."""
    write_image(folder / "ann.png", face())
    table = folder / "edits.jsonl"
    for target, level in (("happy", 250), ("sad", 20)):
        write_image(folder / f"{target}.png", smudged(face(), level))
        line = EditRecord(f"{target}.png", "ann.png", f"{target}.png", target, 1.0, "x", "m-1", "dpm", 4, 1.0)
        append(table, [EditRecord(**{**vars(line), "losses": tuple(losses)})])
    return table


def test_a_network_is_known_by_name_weights_or_pictures() -> None:
    losses = [LossNetwork("a", "01234567", ("lfw/train", "fer2013/val"))]
    assert why_unfair(LossNetwork("b", "89abcdef", ("fer2013/train",)), losses) == ""
    assert why_unfair(LossNetwork("a", "89abcdef"), losses) == "a gave a loss while the model was trained"
    assert "under the name a" in why_unfair(LossNetwork("b", "01234567"), losses)
    assert why_unfair(LossNetwork("b", ""), [LossNetwork("c", "")]) == ""
    assert "the same pictures (LFW/train)" in why_unfair(LossNetwork("b", "", ("LFW/train", "x/train")), losses)
    assert "(fer2013)" in why_unfair(LossNetwork("b", "", ("fer2013",)), losses)
    assert why_unfair(LossNetwork("a"), []) == ""


def test_a_folder_tells_its_losses(tmp_path: Path) -> None:
    save_judge(tmp_path)
    assert losses_in(tmp_path) == ()
    path = tmp_path / "config.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"losses": rows(tmp_path)}))
    (told,) = losses_in(tmp_path)
    assert told == parse_losses([told.as_json()], "here")[0]
    assert (told.name, told.data) == ("judge", ("made/train",))
    Judge.from_pretrained(tmp_path)  # what else config.json says does not matter
    for bad in ("text", [1], [{"name": ""}], [{"name": "a", "data": [3]}], [{"name": "a", "fingerprint": 7}]):
        path.write_text(json.dumps(meta | {"losses": bad}))
        with pytest.raises(CheckpointError, match=r"config\.json: losses must be a list of"):
            losses_in(tmp_path)
    for name in bundled_models():
        losses_by_id(f"{name}-01234567")


def test_edits_tell_the_losses_of_their_model(tmp_path: Path, example_photo: Path) -> None:
    editor = Editor.from_pretrained(device="cpu", steps=2)
    editor.losses = (LossNetwork("theirs", "01234567", ("lfw/train",)),)
    edit_files(editor, [example_photo], tmp_path / "out", "happy", [1.0])
    records = read(tmp_path / "out" / "edits.jsonl")
    assert parse_losses(records[0].losses, "here") == editor.losses
    (pair,) = read_pairs(tmp_path / "out")
    assert pair.losses == editor.losses


def test_a_panel_refuses_whoever_gave_a_loss(tmp_path: Path) -> None:
    judge = load_judge(str(save_judge(tmp_path / "judge")), 1)
    panel = Panel((judge,), ())
    assert panel.without_loss_givers(()) is panel
    assert panel.without_loss_givers([LossNetwork("other", "01234567", ("lfw/train",))]).unfair == ()
    renamed = parse_losses(rows(tmp_path / "judge", "copy"), "here")
    with pytest.raises(DataError, match=r"judge gave a loss .* under the name copy.*--allow-loss-judge"):
        panel.without_loss_givers(renamed)
    allowed = panel.without_loss_givers(renamed, allowed=True)
    assert len(allowed.unfair) == 1
    dlib = LossNetwork("recogniser", fingerprint(dlib_recogniser()))
    with pytest.raises(DataError, match=r"dlib gave a loss"):
        PANEL.without_loss_givers([dlib])
    bundled = Panel((load_judge("emorph-judge", 1),), ())
    with pytest.raises(DataError, match=r"emorph-judge was trained on the same pictures \(fer2013/train\) as mine"):
        bundled.without_loss_givers([LossNetwork("mine", "", ("fer2013",))])
    bundled.without_loss_givers([LossNetwork("mine", "", ("fer2013/val",))])


def test_the_command_refuses_it_and_the_report_says_so(emorph: Command, tmp_path: Path) -> None:
    judge = save_judge(tmp_path / "judge")
    told = edits(tmp_path, rows(judge))
    words = ["evaluate", told, "-o", tmp_path / "report", "--judge", judge, "--workers", 1]
    status, _, err = emorph(*words)
    assert status == 2
    assert "judge gave a loss while the model was trained: whoever gave the loss may not give the mark" in err
    assert not (tmp_path / "report").exists()
    status, printed, err = emorph(*words, "--allow-loss-judge", "--json")
    assert status == 0, err
    assert json.loads(printed)["warnings"][0].startswith("judge gave a loss while the model was trained")
    assert "judge gave a loss while the model was trained" in (tmp_path / "report" / "report.html").read_text()
    other = save_judge(tmp_path / "other", seed=1)
    status, _, err = emorph(*words[:5], other, *words[6:], "--made-by", tmp_path / "judge")
    assert status == 0, err


def test_a_model_named_tells_what_the_edits_do_not(emorph: Command, tmp_path: Path) -> None:
    judge = save_judge(tmp_path / "judge")
    model = save_judge(tmp_path / "model", seed=2)
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"losses": rows(judge)}))
    words = ["evaluate", edits(tmp_path, []), "-o", tmp_path / "report", "--judge", judge, "--workers", 1]
    status, _, err = emorph(*words, "--made-by", model)
    assert status == 2
    assert "judge gave a loss" in err
