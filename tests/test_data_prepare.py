"""Preparation: every face is a row or a reject, whatever the number of workers, machines and crashes."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emorph.core.errors import ConfigError, DataError
from emorph.core.images import read_photo
from emorph.core.records import FaceRecord
from emorph.core.shard import Shard
from emorph.core.types import Landmarks, Photo
from emorph.data import parts
from emorph.data.index import FaceIndex
from emorph.data.layouts import open_index
from emorph.data.prepare import Settings, part_size, prepare, prepare_face
from emorph.data.quality import _POSE_INDEX, _POSE_MODEL, Gate, fault, head_pose, sharpness
from emorph.data.store import FaceStore
from emorph.faces import find_faces

pytest.importorskip("datasets", reason="needs the extra 'train'")

SETTINGS = Settings(side_px=64, holdout=2)
N_FACES = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, example_photo: Path) -> Path:
    """Twenty variants of one face, so coloured that none is another's copy, and four pictures that hold none."""
    folder = tmp_path_factory.mktemp("faces")
    photo = cv2.imread(str(example_photo))[20:260, 110:340]
    rng = np.random.default_rng(0)
    for i in range(N_FACES):
        path = folder / ("happy" if i % 2 else "sad") / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        noise = cv2.resize(rng.normal(0, 90, (9, 9, 3)), (230, 240), interpolation=cv2.INTER_LINEAR)
        face = np.clip(0.75 * photo + noise * 0.3 + 20, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), face if i < 20 else np.full((60, 60, 3), 9 * i, np.uint8))
    (folder / "happy" / "21.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    out = tmp_path_factory.mktemp("done") / "set"
    assert prepare(open_index(root), out, SETTINGS) is not None
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_face_is_a_row_or_a_reject(done: Path) -> None:
    table = parts.read_rows(done, 0)
    assert table.schema.names[:3] == ["image", "id", "path"]
    rejects = parts.read_lines(done / parts.REJECTS)
    reasons = {row["id"]: row["reason"] for row in rejects if row["reason"] != "same picture"}
    assert reasons == {
        "sad/20.png": "no face",
        "happy/21.png": "unreadable file",
        "sad/22.png": "no face",
        "happy/23.png": "no face",
    }
    assert all(row["detail"].startswith(row["path"]) for row in rejects if row["reason"] == "unreadable file")
    store = FaceStore(done, side_px=64)
    names = [*store.column("id"), *(row["id"] for row in rejects)]
    assert sorted(names) == sorted(f"{'happy' if i % 2 else 'sad'}/{i:02d}.png" for i in range(N_FACES))


def test_the_store_reads_what_was_prepared(done: Path) -> None:
    store = FaceStore(done, side_px=64)
    sample = store[0]
    assert sample["image"].shape == (3, 64, 64)
    assert store.column("label")[0] in ("happy", "sad")
    points = sample["landmarks"].numpy()
    # FFHQ's square puts the eyes' middle a little above its centre and the mouth below
    eyes, mouth = points[36:48].mean(axis=0), points[48:68].mean(axis=0)
    assert abs(eyes[0]) < 0.1
    assert -0.25 < eyes[1] < 0.05
    assert 0.3 < mouth[1] < 0.6
    pixels = sample["image"].permute(1, 2, 0).numpy()
    (found,) = find_faces(Photo(cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_CUBIC)))
    there = (found.points + 0.5) / 128 - 1
    assert np.abs(there[36:68] - points[36:68]).mean() < 0.05


def test_a_face_in_validation_is_not_in_training(root: Path, tmp_path: Path) -> None:
    index = open_index(root)
    first = index.records[0]
    index.records = [replace(r, split="train") for r in index.records[:6]]
    (root / "again.png").write_bytes((root / first.path).read_bytes())
    index.records.append(FaceRecord("again", "again.png", first.label, split="val"))
    summary = prepare(index, tmp_path / "set", SETTINGS)
    (root / "again.png").unlink()
    rows = parts.read_lines(tmp_path / "set" / parts.SAME)
    assert summary is not None
    assert first.id in [row["id"] for row in rows]
    assert rows[0]["detail"] == "validation holds it as again"
    assert summary.splits["val"] == 1
    assert summary.n_rows + sum(summary.rejects.values()) == 7
    before = content(tmp_path / "set")
    (tmp_path / "set" / parts.STATE).unlink()
    assert prepare(index, tmp_path / "set", SETTINGS) == summary
    assert content(tmp_path / "set") == before


@pytest.mark.xdist_group("processes")
def test_workers_make_no_difference(root: Path, done: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, int]] = []
    prepare(open_index(root), tmp_path / "set", SETTINGS, workers=2, on_step=lambda *step: steps.append(step))
    assert content(tmp_path / "set") == content(done)
    assert steps == [(i, N_FACES, 0) for i in range(N_FACES + 1)]


def test_machines_make_no_difference(root: Path, done: Path, tmp_path: Path) -> None:
    index = open_index(root)
    folders = [tmp_path / str(i) for i in range(3)]
    for i, folder in enumerate(folders):
        assert prepare(index, folder, SETTINGS, shard=Shard(i + 1, 3)) is None
    with pytest.raises(DataError, match="is only partly prepared"):
        open_index(folders[0])
    with pytest.raises(DataError, match="8 of 24 parts are missing, the first is 2; prepare the other --shard"):
        parts.merge(folders[:2], tmp_path / "some")
    parts.merge(folders, tmp_path / "all")
    assert content(tmp_path / "all") == content(done)
    # on a shared disk the last machine finishes the set itself
    for i in range(3):
        summary = prepare(index, tmp_path / "network_disk", SETTINGS, shard=Shard(i + 1, 3))
    assert summary is not None
    assert content(tmp_path / "network_disk") == content(done)


@pytest.mark.xdist_group("processes")
def test_a_killed_run_goes_on_and_ends_the_same(root: Path, done: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emorph", "data", "prepare", str(root), str(tmp_path / "set")]
    command += ["--size", "64", "--holdout", "2", "--workers"]
    rng = random.Random(0)
    for kills, workers in enumerate("21"):
        process = subprocess.Popen([*command, workers], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:  # killed soon after it wrote something
            time.sleep(0.02)
            if len(list((tmp_path / "set").glob("parts/*.arrow"))) > 7 * kills:
                time.sleep(rng.uniform(0, 0.2))
                process.send_signal(signal.SIGKILL)
                process.wait()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "parts").glob("*.arrow")}
    assert 8 <= len(before) < N_FACES
    ended = subprocess.run([*command, "1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert content(tmp_path / "set") == content(done)
    rewritten = [p for p, at in before.items() if p.stat().st_mtime_ns != at]
    assert not rewritten or len(parts.read_lines(done / parts.SAME)) >= len(rewritten)


def test_another_plan_is_refused(root: Path, done: Path, tmp_path: Path) -> None:
    index = open_index(root)
    with pytest.raises(DataError, match="was begun with side_px was 64, is 32"):
        prepare(index, done, SETTINGS.model_copy(update={"side_px": 32}))
    index.records = index.records[1:]
    with pytest.raises(DataError, match="was begun with other faces"):
        prepare(index, done, SETTINGS)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists and was not written by emorph data prepare"):
        prepare(index, tmp_path, SETTINGS)
    prepare(index, tmp_path / "other", SETTINGS, shard=Shard(1, 30))
    with pytest.raises(DataError, match="was prepared from other faces"):
        parts.merge([done, tmp_path / "other"], tmp_path / "all")
    with pytest.raises(DataError, match="is prepared already"):
        prepare(open_index(done), tmp_path / "twice", SETTINGS)


def test_a_damaged_part_is_named(root: Path, done: Path, tmp_path: Path) -> None:
    index = open_index(root)
    prepare(index, tmp_path / "set", SETTINGS, shard=Shard(1, 2))
    damaged = parts.part_path(tmp_path / "set", 4)
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(DataError, match=r"00004\.arrow is damaged .*delete it and run the same command again"):
        prepare(index, tmp_path / "set", SETTINGS)
    damaged.unlink()
    assert prepare(index, tmp_path / "set", SETTINGS) is not None
    assert content(tmp_path / "set") == content(done)


def test_a_full_disk_stops_with_one_sentence(root: Path, done: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(DataError, match=r"cannot be written \(File too large\); check permissions and free space"):
            prepare(open_index(root), tmp_path / "set", SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.rglob("*.part"))
    assert prepare(open_index(root), tmp_path / "set", SETTINGS) is not None
    assert content(tmp_path / "set") == content(done)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_one_sentence(root: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written"):
        prepare(open_index(root), tmp_path / "set", SETTINGS)


def test_the_listed_box_chooses_the_face(example_photo: Path, tmp_path: Path) -> None:
    face = read_photo(example_photo).pixels[20:260, 110:340]
    photo = np.concatenate([face, face[:, ::-1]], axis=1)
    cv2.imwrite(str(tmp_path / "two.png"), photo[..., ::-1])
    index = FaceIndex(tmp_path, "made")
    boxes = {f.box[0] > 230: f.box for f in find_faces(Photo(photo))}
    for right, box in boxes.items():
        row, _ = prepare_face(index, FaceRecord("a", "two.png", 1, box=box), SETTINGS)
        assert row is not None
        alone, _ = prepare_face(
            index, FaceRecord("a", "two.png", 1, box=(box[0] - 4, box[1] + 3, box[2], box[3])), SETTINGS
        )
        assert alone is not None
        hashes = [np.frombuffer(r["picture_hash"], np.uint8) for r in (row, alone)]
        assert np.unpackbits(hashes[0] ^ hashes[1]).sum() < 20
        assert (row["quality"]["yaw_deg"] > 0) == (prepare_yaw(photo, right=right) > 0)
    beside = FaceRecord("a", "two.png", 1, box=(0, 0, 60, 60))
    row, reject = prepare_face(index, beside, SETTINGS)
    assert row is None
    assert reject is not None
    assert reject["reason"] in ("no face", "other face")


def test_small_faces_are_sought_if_asked_for(example_photo: Path, tmp_path: Path) -> None:
    face = read_photo(example_photo).pixels[20:260, 110:340]
    small = cv2.resize(face, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)  # a face of some 30 px
    cv2.imwrite(str(tmp_path / "small.png"), small[..., ::-1])
    index, record = FaceIndex(tmp_path, "made"), FaceRecord("a", "small.png", 1)
    assert prepare_face(index, record, SETTINGS)[0] is None
    row, _ = prepare_face(index, record, SETTINGS.model_copy(update={"gate": Gate(min_face_px=20)}))
    assert row is not None
    assert 25 < row["quality"]["face_px"] < 40


def prepare_yaw(photo: np.ndarray, *, right: bool) -> float:
    (face,) = [f for f in find_faces(Photo(photo)) if (f.box[0] > 230) == right]
    return head_pose(face.points)[0]


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (-40, 0, 0), (0, 20, 0), (0, -30, 0), (0, 0, 25)])
def test_head_pose_is_found_again(pose: tuple[float, float, float]) -> None:
    yaw, pitch, roll = np.radians(pose)
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    lean = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    points = np.zeros((68, 2), np.float32)
    points[list(_POSE_INDEX)] = (_POSE_MODEL @ (lean @ turn @ nod).T)[:, :2] * 0.3 + 200
    np.testing.assert_allclose(head_pose(points), pose, atol=0.01)
    # what turns to the image right shows the nose right of the eyes' middle
    if pose[0]:
        assert (points[30, 0] > points[[36, 45], 0].mean()) == (pose[0] > 0)


def test_blur_is_seen_at_any_size(example_photo: Path) -> None:
    face = read_photo(example_photo).pixels[20:260, 100:340]
    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    assert sharpness(face) > 4 * sharpness(blurred)
    assert sharpness(np.full((128, 128, 3), 77, np.uint8)) == 0


@pytest.mark.parametrize("gain", [0.25, 0.5, 0.8])
def test_sharpness_does_not_tell_the_exposure(example_photo: Path, gain: float) -> None:
    face = cv2.resize(read_photo(example_photo).pixels[20:260, 100:340], (256, 256), interpolation=cv2.INTER_CUBIC)
    for pixels in (face, cv2.GaussianBlur(face, (0, 0), 2)):
        assert sharpness(np.rint(pixels * gain).astype(np.uint8)) == pytest.approx(sharpness(pixels), rel=0.1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_face_px": 500}, "too small"),
        ({"min_score": 9}, "weak detection"),
        ({"min_sharpness": 1e6}, "blurred"),
        ({"max_yaw_deg": 0}, "turned away"),
        ({"max_pitch_deg": 0}, "turned away"),
    ],
)
def test_each_rule_of_the_gate_rejects(root: Path, change: dict[str, float], reason: str) -> None:
    settings = SETTINGS.model_copy(update={"gate": Gate(**change)})
    index = open_index(root)
    row, reject = prepare_face(index, index.records[0], settings)
    assert row is None
    assert reject is not None
    assert reject["reason"] == reason
    assert json.dumps(reject)
    row, _ = prepare_face(index, index.records[0], SETTINGS)
    assert row is not None


@pytest.mark.parametrize("boxed", [False, True])
def test_faces_whose_landmarks_are_not_to_be_trusted_are_left_out_unless_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, boxed: bool
) -> None:
    def doubted(photo: Photo, **options: Any) -> list[Landmarks]:
        return [replace(face, doubt="two readings lie 9% apart") for face in find_faces(photo, **options)]

    monkeypatch.setattr("emorph.data.prepare.find_faces", doubted)
    index = open_index(root)
    record = index.records[0]
    if boxed:
        (left, top, right, bottom) = find_faces(Photo(index.pixels(record)))[0].box
        record = replace(record, box=(left, top, right, bottom))
    row, reject = prepare_face(index, record, SETTINGS)
    assert row is None
    assert reject is not None
    assert (reject["reason"], reject["detail"]) == ("doubtful landmarks", "two readings lie 9% apart")
    row, reject = prepare_face(index, record, SETTINGS.model_copy(update={"gate": Gate(doubtful=True)}))
    assert reject is None
    assert row is not None


def test_doubtful_landmarks_are_counted_by_the_command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emorph: Callable[..., tuple[int, str, str]]
) -> None:
    def doubted(photo: Photo, **options: Any) -> list[Landmarks]:
        return [replace(face, doubt="not sure") for face in find_faces(photo, **options)[:1]]

    monkeypatch.setattr("emorph.data.prepare.find_faces", doubted)
    words = ("data", "prepare", root, "--size", 64, "--workers", 1, "--json")
    counts = [json.loads(emorph(*words, tmp_path / str(i), *more)[1]) for i, more in enumerate(((), ("--doubtful",)))]
    assert counts[0]["rejects"]["doubtful landmarks"] == 20
    assert counts[0]["n_rows"] == 0 < counts[1]["n_rows"]
    assert "doubtful landmarks" not in counts[1]["rejects"]


def test_a_gate_lets_what_is_equal_pass(done: Path) -> None:
    from emorph.data.quality import Quality

    quality = Quality(40, 0, 15, 60, -45, 0, 1, 1)
    assert fault(quality, Gate()) is None
    assert fault(replace(quality, pitch_deg=-45.1), Gate()) == ("turned away", "pitch -45.1, the limit is 45")


def test_aligned_pictures_keep_their_frame(root: Path) -> None:
    index = open_index(root)
    index.aligned = True
    row, _ = prepare_face(index, index.records[0], SETTINGS)
    assert row is not None
    pixels = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)
    whole = cv2.resize(index.pixels(index.records[0]), (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(pixels - whole).mean() < 2
    (face,) = find_faces(Photo(index.pixels(index.records[0])))
    points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2)
    expected = (face.points + 0.5) * [64 / 230, 64 / 240] - 0.5
    np.testing.assert_allclose(points, expected, atol=0.05)


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("3/16", Shard(3, 16))])
def test_shards_are_parsed(text: str, shard: Shard) -> None:
    assert Shard.parse(text) == shard


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/2", ""])
def test_impossible_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected NUMBER/OF counting from 1"):
        Shard.parse(text)


def test_parts_depend_on_the_number_of_faces_alone() -> None:
    assert [part_size(n) for n in (1, 64, 640, 16384, 287651)] == [1, 1, 10, 256, 256]
