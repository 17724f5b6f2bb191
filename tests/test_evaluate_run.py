"""The run: every photo looked at once, stopped runs go on, shards merge, and trouble is listed instead of hidden."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import CheckpointError, ConfigError, DataError, MissingAssetError, UnknownNameError
from emorph.core.images import write_image
from emorph.core.shard import Shard
from emorph.evaluate.judges.asked import CropPlan, PanelEncoder
from emorph.evaluate.judges.open_networks import BUNDLED_JUDGE
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure import look, run
from emorph.evaluate.measure.inputs import Pair, read_pairs
from emorph.evaluate.measure.records import INFINITE, REVISION, Identified, Records, identify
from emorph.evaluate.measure.run import evaluate, unfinished
from evaluate_sets import made_set, save_judge


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return Panel.load([str(save_judge(tmp_path_factory.mktemp("judges") / "small"))])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[Identified]:
    return identify(read_pairs(made_set(tmp_path_factory.mktemp("set"))))


@pytest.fixture(scope="module")
def whole(judged: list[Identified], panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, evaluate(judged, folder, panel)


@pytest.fixture
def looked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photos in which faces were sought."""
    names: list[str] = []
    original = look.find_faces

    def counted(photo: look.Photo) -> list[look.Landmarks]:
        names.append(photo.name)
        return original(photo)

    monkeypatch.setattr(look, "find_faces", counted)
    return names


def agree(found: Records, expected: Records) -> bool:
    """Whether the same is known of the same faces. A network sums in another order for another batch: to 2e-6 then."""
    scores = {key: pytest.approx(of, abs=2e-6) for key, of in expected.scores.items()}
    return (found.faces, found.scores) == (expected.faces, scores) and not found.embeddings


def test_everything_is_measured_once(whole: tuple[Path, Records], judged: list[Identified], panel: Panel) -> None:
    folder, records = whole
    (judge,) = panel.judges
    assert len(records.faces) == 2 + 6
    for item in judged:
        assert len(records.faces[item.source_id].descriptor) == 128
        answer = records.answer(item.edit_id, judge)
        assert answer is not None
        assert answer.sum() == pytest.approx(1, abs=1e-5)
        pair = records.scores[item.edit_id, ""]
        assert set(pair) == {
            "mae_outside",
            "ssim_outside",
            "psnr_edit",
            "ssim_edit",
            "expression_distance",
            "pose_distance",
        }
        assert 0 <= pair["mae_outside"] < 1e-3
        assert pair["expression_distance"] < 0.2
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert {line["judge"] for line in lines} == {"", INFINITE, REVISION, judge.id}
    # nothing changed around the face, so that its PSNR is infinite; SSIM says which of its functions gave it
    assert len(lines) == 6 * (4 + 2 + 1 + 1) + 8 * 3
    assert judge.id.startswith("small@")


def test_a_second_run_does_nothing(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, looked_for: list[str]
) -> None:
    folder, records = whole
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert evaluate(judged, folder, panel) == records
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert looked_for == []


def test_a_stopped_run_goes_on(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, looked_for: list[str], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(judged, tmp_path, panel, on_step=stop)
    assert len(looked_for) == 4
    with (tmp_path / "faces.jsonl").open("a") as file:
        file.write('{"id": "cut of')
    looked_for.clear()
    found = evaluate(judged, tmp_path, panel)
    assert agree(found, whole[1])
    assert Records.read(tmp_path) == found
    assert sorted(looked_for) == ["bob.png", "bob_happy_0.5.png", "bob_happy_1.png", "bob_sad_1.png"]


def test_half_an_answer_is_no_answer(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, looked_for: list[str], tmp_path: Path
) -> None:
    folder, records = whole
    shutil.copytree(folder, tmp_path / "cut")
    scores = tmp_path / "cut" / "scores.jsonl"
    lines = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(lines[:-2]) + lines[-2][:20])
    assert agree(evaluate(judged, tmp_path / "cut", panel), records)
    assert looked_for == []  # the judge is asked again, but no face is sought again


def test_numbers_of_a_mended_function_are_measured_anew(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, looked_for: list[str], tmp_path: Path
) -> None:
    folder, records = whole
    shutil.copytree(folder, tmp_path / "old")
    scores = tmp_path / "old" / "scores.jsonl"
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    for line in lines:
        if line["metric"] == "ssim_outside":
            line["value"] = 0.5  # as an older function had it, which said no revision
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines if line["judge"] != REVISION))
    assert evaluate(judged, tmp_path / "old", panel) == records
    assert looked_for == []


def test_shards_merge_to_one_run(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, tmp_path: Path
) -> None:
    evaluate(judged, tmp_path, panel, shard=Shard.parse("1/2"))
    assert unfinished(judged, Records.read(tmp_path), panel) == 1
    evaluate(judged, tmp_path / "elsewhere", panel, shard=Shard(2, 2))
    for path in (tmp_path / "elsewhere").iterdir():
        shutil.copy(path, tmp_path)
    merged = Records.read(tmp_path)
    assert unfinished(judged, merged, panel) == 0
    assert agree(merged, whole[1])


@pytest.mark.xdist_group("processes")
def test_workers_find_the_same(
    whole: tuple[Path, Records], judged: list[Identified], panel: Panel, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    found = evaluate(judged, tmp_path, panel, workers=2, on_step=lambda *step: steps.append(step))
    assert agree(found, whole[1])
    assert steps == [(1, 2), (2, 2)]


def test_vectors_are_kept_in_four_bytes_a_number_and_read_as_they_were_written(
    judged: list[Identified], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    encoder = PanelEncoder("made@1", CropPlan("box", 16), lambda crops: rng.normal(size=(len(crops), 2048)))
    records = evaluate(judged, tmp_path, Panel((), (), features=(encoder,)))
    again = Records.read(tmp_path).embeddings
    assert set(again) == set(records.embeddings)
    assert len(again) == 8
    for key, row in records.embeddings.items():
        assert (row.dtype, row.shape) == (np.float32, (2048,))
        np.testing.assert_array_equal(row, again[key])


def die(task: look.Task) -> look.Looked:
    os.kill(os.getpid(), signal.SIGKILL)
    return look.look(task)


@pytest.mark.xdist_group("processes")
def test_a_killed_worker_ends_the_run_with_a_sentence(
    judged: list[Identified], panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "look", die)
    with pytest.raises(DataError, match="a worker process died"):
        evaluate(judged, tmp_path, panel, workers=2)


def test_trouble_is_listed_and_remembered(
    judged: list[Identified], panel: Panel, looked_for: list[str], tmp_path: Path
) -> None:
    source = judged[0].pair.source
    (tmp_path / "cut.png").write_bytes(judged[0].pair.edited.read_bytes()[:500])
    write_image(tmp_path / "gray.png", np.full((64, 64, 3), 128, np.uint8))
    names = ("cut.png", "gray.png", "missing.png")
    pairs = identify([Pair("m", source, tmp_path / name, judged[0].pair.target) for name in names])
    for _ in range(2):
        records = evaluate(pairs, tmp_path / "out", panel)
    assert looked_for == [source.name, "gray.png"]
    assert "cut.png" in records.faces[pairs[0].edit_id].trouble
    assert records.faces[pairs[1].edit_id].trouble == "no face found in gray.png (64x64 px)."
    assert pairs[2].trouble == f"{tmp_path / 'missing.png'} cannot be read (No such file or directory)."
    assert records.faces[pairs[0].source_id].trouble == ""


def test_doubt_and_gain_are_on_record_and_read_again(
    judged: list[Identified], panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = look.find_faces
    monkeypatch.setattr(
        look, "find_faces", lambda photo: [dataclasses.replace(f, doubt="9% apart") for f in original(photo)]
    )
    monkeypatch.setattr(look, "face_gain", lambda pixels, box: 1.25)
    some = [item for item in judged if item.source_id == judged[0].source_id]
    evaluate(some, tmp_path, panel)
    faces = Records.read(tmp_path).faces
    assert {(face.doubt, face.gain) for face in faces.values() if not face.trouble} == {("9% apart", 1.25)}
    assert look.landmarks_of(faces[some[0].source_id]).doubt == "9% apart"


def test_a_changed_edit_is_judged_anew(panel: Panel, looked_for: list[str], tmp_path: Path) -> None:
    table = made_set(tmp_path)
    pair = read_pairs(table)[0]
    evaluate(identify([pair]), tmp_path / "out", panel)
    shutil.copy(tmp_path / "ann_sad_1.png", pair.edited)
    looked_for.clear()
    evaluate(identify([pair]), tmp_path / "out", panel)
    assert looked_for == [pair.edited.name]


def test_a_missing_judge_is_said_and_a_wrong_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    panel = Panel.load(["enet_b0_8_va_mtl", "emonet_8"])
    assert panel.judges == ()
    assert [missing.name for missing in panel.missing][:2] == ["enet_b0_8_va_mtl", "emonet_8"]
    assert all("get it with emorph models get" in missing.why for missing in panel.missing)
    with pytest.raises(UnknownNameError, match="judge 'emonet_9' is not known; did you mean 'emonet_8'"):
        Panel.load(["emonet_9"])
    with pytest.raises(CheckpointError, match="tells persons apart"):
        Panel.load(["w600k_r50"])


def test_a_missing_detector_is_no_trouble_of_a_photo(
    judged: list[Identified], panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(photo: look.Photo) -> list[look.Landmarks]:
        raise MissingAssetError("no detector")

    monkeypatch.setattr(look, "find_faces", absent)
    with pytest.raises(MissingAssetError):
        evaluate(judged, tmp_path, panel)
    assert not Records.read(tmp_path).faces


def test_wrong_shards_and_files_are_named(judged: list[Identified], panel: Panel, tmp_path: Path) -> None:
    for text in ("2", "0/2", "3/2", "a/b", "1/-2"):
        with pytest.raises(ConfigError, match="expected NUMBER/OF counting from 1"):
            Shard.parse(text)
    (tmp_path / "faces.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match=r"faces\.jsonl, line 1 is no SeenFace"):
        evaluate(judged, tmp_path, panel)
    (tmp_path / "faces.jsonl").unlink()
    (tmp_path / "scores.jsonl").write_text(
        '{"id": "a", "metric": "m", "value": 1}\n{"id": "a", "metric": "m", "value": "1"}\n'
    )
    with pytest.raises(DataError, match=r"scores\.jsonl, line 2 is no ScoreRecord: value '1'"):
        evaluate(judged, tmp_path, panel)
    (tmp_path / "faces.jsonl").touch()
    with pytest.raises(DataError, match="cannot be written"):
        evaluate(judged, tmp_path / "faces.jsonl" / "x", panel)


def test_a_judge_is_refused_on_what_it_was_trained_on() -> None:
    bundled = Panel.load([BUNDLED_JUDGE])
    bundled.refuse_unfair("fer2013/val")
    with pytest.raises(DataError, match=r"emorph-judge was trained on fer2013/train, so it cannot judge it"):
        bundled.refuse_unfair("fer2013/train")
    emonet = dataclasses.replace(bundled.judges[0], id="emonet_8@0123abcd", trained_on=("affectnet/train",))
    with pytest.raises(DataError, match="emonet_8 was trained on affectnet/train"):
        Panel((emonet,), ()).refuse_unfair("affectnet/train")
