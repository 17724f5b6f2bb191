"""Readers: the right faces from each published layout, and every trap counted by its kind."""

import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import DataError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.data import affectnet, layouts
from emorph.data.check import check_files
from emorph.data.index import KINDS, FaceIndex, inside
from emorph.data.layouts import open_index
from made_data import POINTS, picture, row
from made_data import affectnet as made_affectnet

pytest.importorskip("pyarrow", reason="needs the extra 'train'")


@pytest.fixture
def layout(shared_file: Callable[[str], Path]) -> Path:
    """AffectNet's two releases with a few photos each, and every trap."""
    return shared_file("affectnet_layout")


def problems(index: FaceIndex) -> dict[str, int]:
    return {kind: problem.count for kind, problem in index.problems.by_kind().items()}


TRAPS = [
    (row("1/b.jpg", 8, affect="-2,-2"), {"no emotion (codes 8 to 10)": 1, "valence/arousal -2": 1}),
    (row("1/b.jpg", 10, affect="-2,-2"), {"no emotion (codes 8 to 10)": 1, "valence/arousal -2": 1}),
    (row("1/b.jpg", 11), {"unknown label": 1}),
    (row("1/b.jpg", "happy"), {"unknown label": 1}),
    (row("1/b.jpg", 1, affect="3,0"), {"valence/arousal out of range": 1}),
    (row("1/b.jpg", 1, affect=",x"), {"valence/arousal out of range": 1}),
    (row("1/b.jpg", 1, box="5,5,-1,20"), {"negative box": 1}),
    (row("1/b.jpg", 1, box="5,5,nan,20"), {"negative box": 1}),
    (row("1/b.jpg", 1, points="1;2;3"), {"bad landmarks": 1}),
    (row("1/b.jpg", 1, points=POINTS.replace("5.00", "five")), {"bad landmarks": 1}),
    (row("../../etc/passwd", 1), {"path outside the data set": 1}),
    (row("/etc/passwd", 1), {"path outside the data set": 1}),
    (row("1/a.jpg", 1), {"duplicate row": 1}),
    (row("1/a.jpg", 2), {"contradicting row": 1}),
    (row("1/a.jpg", 1, box="50,5,30,31"), {"several faces in one file": 1}),
    (row("1/v.jpg", 1), {"in both lists": 1}),
    ("1/b.jpg,1,2,3", {"malformed row": 1}),
]


@pytest.mark.parametrize(("line", "expected"), TRAPS)
@pytest.mark.parametrize("points", [False, True])
def test_every_trap_of_affectnet_is_counted(tmp_path: Path, line: str, expected: dict[str, int], points: bool) -> None:
    root = made_affectnet(tmp_path, [row("1/a.jpg", 1), line, row("1/c.jpg", 2)], [row("1/v.jpg", 1)])
    index = open_index(root, landmarks=points)
    assert problems(index) == expected
    assert {"1/a.jpg", "1/c.jpg", "1/v.jpg"} <= {record.id for record in index.records}
    assert len({record.id for record in index.records}) == len(index.records)


def test_a_row_of_affectnet_becomes_a_record(tmp_path: Path) -> None:
    (tmp_path / "Manually_Annotated" / "Manually_Annotated_Images" / "7").mkdir(parents=True)
    made_affectnet(tmp_path / "Manually_Annotated" / "lists", [row(r"7\a.JPG", 3)], [])
    (record,) = open_index(tmp_path, landmarks=True).records
    assert (record.id, record.label, record.split) == ("7/a.JPG", 3, "train")
    assert record.path == "Manually_Annotated/Manually_Annotated_Images/7/a.JPG"
    assert (record.valence, record.arousal, record.box) == (0.1, 0.2, (4, 5, 34, 36))
    assert record.landmarks is not None
    np.testing.assert_allclose(record.landmarks.reshape(-1), np.linspace(5, 35, 136), atol=0.006)


def test_lists_without_a_header_and_the_automatic_one(tmp_path: Path) -> None:
    made_affectnet(tmp_path, [row("1/a.jpg", 1), row("1/b.jpg", 2)], [row("1/c.jpg", 2)], header=False)
    (tmp_path / "training.csv").rename(tmp_path / "automatically_annotated.csv")
    index = open_index(tmp_path)
    assert index.layout == "affectnet-automatic"
    assert [record.id for record in index.records] == ["1/a.jpg", "1/b.jpg"]


def test_blocks_of_the_list_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"{i % 9}/{i}.jpg", i % 11) for i in range(100)]
    whole = open_index(made_affectnet(tmp_path, rows, []), landmarks=True)
    monkeypatch.setattr(affectnet, "BLOCK_BYTES", 5000)
    parts = open_index(tmp_path, landmarks=True)
    assert parts.records == whole.records
    assert parts.rows == whole.rows
    assert all((a.landmarks == b.landmarks).all() for a, b in zip(parts.records, whole.records, strict=True))


def test_files_are_checked_without_losing_any(tmp_path: Path) -> None:
    names = [f"1/{name}.jpg" for name in ("whole", "cut", "gone", "text", "empty", "junk_behind", "far_box")]
    rows = [row(name, 1, box="400,5,30,31" if "far" in name else "4,5,30,31") for name in names]
    index = open_index(made_affectnet(tmp_path, rows, []))
    files = {name: picture(tmp_path / "Manually_Annotated_Images" / name) for name in names}
    index = open_index(tmp_path)
    whole = files["1/whole.jpg"].read_bytes()
    files["1/cut.jpg"].write_bytes(whole[: len(whole) // 2])
    files["1/gone.jpg"].unlink()
    files["1/text.jpg"].write_text("no picture")
    files["1/empty.jpg"].write_bytes(b"")
    files["1/junk_behind.jpg"].write_bytes(whole + b"appended by a camera" * 9)
    check_files(index)
    assert problems(index) == {"missing file": 1, "unreadable file": 3, "box outside the picture": 1}
    said = index.problems.by_kind()["unreadable file"].examples
    shown = [f"Manually_Annotated_Images/1/{name}.jpg" for name in ("cut", "text", "empty")]
    assert [sentence.split(" is ")[0] for sentence in said] == shown
    assert [record.id for record in index.records] == ["1/whole.jpg", "1/junk_behind.jpg", "1/far_box.jpg"]
    assert index.records[2].box is None


def test_the_manual_layout(layout: Path) -> None:
    index = open_index(layout / "manual")
    listed = [index.rows["train", code] for code in range(11)]
    assert listed == [32, 29, 29, 29, 12, 29, 29, 5, 2, 2, 2]
    assert [index.rows["val", code] for code in range(11)] == [7, 7, 7, 7, 2, 7, 7, 1, 1, 1, 1]
    check_files(index)
    usable = index.usable()
    assert [sum(r.split == split for r in usable) for split in ("train", "val")] == [191, 45]
    assert problems(index) == {
        "missing file": 1,
        "unreadable file": 1,
        "duplicate row": 1,
        "no emotion (codes 8 to 10)": 9,
        "valence/arousal -2": 9,
    }
    assert "ba91b29e" in index.problems.by_kind()["missing file"].examples[0]
    assert "26baccc5" in index.problems.by_kind()["unreadable file"].examples[0]
    assert "bc83ab84" in index.problems.by_kind()["duplicate row"].examples[0]


def test_the_eight_label_layout(layout: Path) -> None:
    index = open_index(layout / "eight_label", landmarks=True)
    check_files(index)
    assert [index.rows["train", code] for code in range(8)] == [7, 7, 7, 7, 1, 7, 7, 1]
    assert [index.rows["val", code] for code in range(8)] == [2, 2, 2, 2, 1, 3, 2, 1]
    assert (len(index.usable()), problems(index)) == (59, {})
    assert all(r.landmarks is not None and r.valence is not None for r in index.records)


def test_two_releases_side_by_side_are_not_guessed_at(layout: Path) -> None:
    with pytest.raises(DataError, match=r"eight_label \(affectnet-8\), manual \(affectnet\)"):
        open_index(layout)


def test_annotations_of_the_eight_label_release(tmp_path: Path) -> None:
    folder = tmp_path / "train_set" / "annotations"
    folder.mkdir(parents=True)

    def annotate(number: int, exp: object, val: object = "0.5", aro: object = "-0.5") -> None:
        picture(tmp_path / "train_set" / "images" / f"{number}.jpg")
        points = np.arange(136.0)
        for what, value in {"exp": exp, "val": val, "aro": aro, "lnd": points}.items():
            np.save(folder / f"{number}_{what}.npy", np.array(value), allow_pickle=True)

    annotate(2, "6")
    annotate(10, 1, 0.25, -0.25)
    annotate(11, {"a": 1})  # a pickle
    annotate(12, "12")
    annotate(13, "3", -2, -2)
    (folder / "13_lnd.npy").write_bytes(b"no array")
    picture(tmp_path / "train_set" / "images" / "14.jpg")
    index = open_index(tmp_path, landmarks=True)
    assert [(r.id, r.label, r.valence, r.arousal) for r in index.records] == [
        ("train_set/2", 6, 0.5, -0.5),
        ("train_set/10", 1, 0.25, -0.25),
        ("train_set/13", 3, None, None),
    ]
    assert problems(index) == {
        "missing annotation": 1,
        "unreadable annotation": 1,
        "unknown label": 1,
        "valence/arousal -2": 1,
        "bad landmarks": 1,
    }


def test_celebahq_attributes_and_identities(tmp_path: Path) -> None:
    names = ["0.jpg  1 -1", "1.jpg -1 -1", "2.jpg 1", "1.jpg -1 -1"]
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(["5", "Smiling Young", *names]) + "\n")
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text("idx orig_idx orig_file\n0 119613 119614.jpg\n")
    (tmp_path / "identity_CelebA.txt").write_text("119614.jpg 2880\n")
    index = open_index(tmp_path)
    assert [(r.path, r.attributes, r.identity) for r in index.records] == [
        ("CelebA-HQ-img/0.jpg", ("Smiling",), "2880"),
        ("CelebA-HQ-img/1.jpg", (), None),
    ]
    assert problems(index) == {"missing annotation": 1, "malformed row": 1, "duplicate row": 1}
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("<html>\nno list here\n")
    with pytest.raises(DataError, match=r"expected a count and a line of attribute names, found \['<html>'\]"):
        open_index(tmp_path)


def test_an_album_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("summer.jpg", "winter.PNG", "deeper/not_this.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    index = open_index(tmp_path, "photos")
    assert [(face.path, face.label, face.split) for face in index.records] == [
        ("summer.jpg", None, None),
        ("winter.PNG", None, None),
    ]
    assert not index.aligned
    assert index.problems.count("file that is not a picture") == 1
    with pytest.raises(DataError, match=r"in no layout that emorph reads.*with --layout photos"):
        open_index(tmp_path)


def test_ffhq_in_folders_of_a_thousand(tmp_path: Path) -> None:
    for number in (0, 1, 3, 1000):
        picture(tmp_path / "images1024x1024" / f"{number // 1000 * 1000:05d}" / f"{number:05d}.png")
    (tmp_path / "images1024x1024" / "LICENSE.txt").write_text("")
    index = open_index(tmp_path)
    assert (index.layout, index.aligned, len(index.records)) == ("ffhq", True, 4)
    assert index.records[-1].path == "images1024x1024/01000/01000.png"
    assert problems(index) == {"missing file": 997, "file that is not a picture": 1}
    check_files(index)
    assert len(index.records) == 4


def test_folders_of_emotions(tmp_path: Path) -> None:
    for name in ("train/happy/a.jpg", "train/Anger/b/c.png", "val/joy/d.webp", "train/bored/e.jpg"):
        picture(tmp_path / name)
    (tmp_path / "train" / "happy" / "notes.txt").write_text("")
    (tmp_path / "train" / "fear").mkdir()
    index = open_index(tmp_path)
    assert sorted((r.path, r.label, r.split) for r in index.records) == [
        ("train/Anger/b/c.png", 6, "train"),
        ("train/happy/a.jpg", 1, "train"),
        ("val/joy/d.webp", 1, "val"),
    ]
    assert problems(index) == {
        "folder that names no emotion": 1,
        "file that is not a picture": 1,
        "empty class": 1,
    }


def test_one_folder_of_emotions_is_enough(tmp_path: Path) -> None:
    for emotion in Emotion:  # also Neutral, whose code is 0
        (tmp_path / emotion.word / emotion.title).mkdir(parents=True)
        picture(tmp_path / emotion.word / emotion.title / "a.png")
        index = open_index(tmp_path / emotion.word)
        assert (index.layout, [record.emotion for record in index.records]) == ("folders", [emotion])


def test_a_csv_of_labelled_pictures(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "path,label,valence,arousal,identity,split\n"
        "a.jpg,happy,0.5,0.1,ann,train\n"
        "b.jpg,Sadness,,,bob,test\n"
        "a.jpg,happy,0.5,0.1,ann,train\n"
        "a.jpg,sad,0.5,0.1,ann,train\n"
        "c.jpg,smug,,,,\n"
        "../c.jpg,sad,,,,\n"
    )
    index = open_index(tmp_path / "mine.csv")
    assert [(r.path, r.label, r.valence, r.identity, r.split) for r in index.records] == [
        ("a.jpg", 1, 0.5, "ann", "train"),
        ("b.jpg", 2, None, "bob", "val"),
    ]
    assert problems(index) == {
        "unknown label": 1,
        "path outside the data set": 1,
        "duplicate row": 1,
        "contradicting row": 1,
        "test counted as validation": 1,
    }


def test_bad_roots_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        open_index(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"in no layout that emorph reads; found an empty folder\. Known are .*celebahq"
    ):
        open_index(tmp_path)
    (tmp_path / "labels.csv").write_text("file,emotion\na.jpg,happy\n")
    with pytest.raises(DataError, match=r"labels\.csv has no column 'path'; found file, emotion"):
        open_index(tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'affectnet'"):
        open_index(tmp_path, "afectnet")
    with pytest.raises(DataError, match=r"is not in the layout ffhq .*; found labels\.csv"):
        open_index(tmp_path, "ffhq")
    with pytest.raises(DataError, match=r"is not in the layout affectnet .*; found a file \.csv"):
        open_index(tmp_path / "labels.csv", "affectnet")
    made_affectnet(tmp_path, [], [])
    lists = (tmp_path / "training.csv", tmp_path / "validation.csv")
    lists[0].write_text("subDirectory_filePath,face_x\na.jpg,3\n")
    with pytest.raises(DataError, match=r"training\.csv is not a list of AffectNet: it has no column 'face_y'"):
        open_index(tmp_path, "affectnet")
    for path in lists:
        path.write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(DataError, match=r"validation\.csv is not a list of AffectNet"):
        open_index(tmp_path, "affectnet")
    made_affectnet(tmp_path, [row("a.jpg", 1)], [])
    with pytest.raises(DataError, match=r"none of the 1 listed pictures is there.*--no-files"):
        check_files(open_index(tmp_path, "affectnet"))


@pytest.mark.parametrize("path", ["", "/a", "..", "../a", "a/../b", "a/..", "C:/a", "a\0b"])
def test_paths_that_leave_the_data_set(path: str) -> None:
    assert not inside(path)


@pytest.mark.parametrize("path", ["a.jpg", "a/b..c.jpg", "...jpg", "a/.../b"])
def test_paths_that_do_not(path: str) -> None:
    assert inside(path)


def test_every_kind_of_problem_says_what_is_done() -> None:
    source = "".join(p.read_text() for p in Path(affectnet.__file__).parent.glob("*.py"))
    assert all(source.count(f'"{kind}"') >= 2 for kind in KINDS)


def test_words_for_splits_are_known_or_counted(tmp_path: Path) -> None:
    words = ("train", "dev", "eval", "Testing", "test", "holdout", "")
    lines = [f"{i}.png,happy,{word}" for i, word in enumerate(words)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")
    index = open_index(tmp_path)
    assert [r.split for r in index.records] == ["train", "val", "val", "val", "val", None, None]
    assert problems(index) == {"unknown split": 1, "test counted as validation": 2}
    assert "line 7: 'holdout'; known are train" in index.problems.by_kind()["unknown split"].examples[0]


def test_a_test_folder_is_said_to_be_validation(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / split / "happy" / "a.png")
    index = open_index(tmp_path)
    assert problems(index) == {"test counted as validation": 1}
    assert sorted(str(r.split) for r in index.records) == ["train", "val"]


def test_a_layout_is_recognised_without_a_look_at_each_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eight, manual, flat = (tmp_path / name for name in ("eight", "manual", "flat"))
    made_affectnet(manual, [row("1/a.jpg", 1)], [])
    folders = [
        *(eight / split / kind for split in ("train_set", "val_set") for kind in ("images", "annotations")),
        *(manual / "Manually_Annotated_Images" / str(i) for i in range(3)),
        *(flat / word for word in ("happy", "sad")),
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        for i in range(200):
            (folder / f"{i}.jpg").touch()
    looks, listed = 0, []
    stat, listdir, scandir = os.stat, os.listdir, os.scandir

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal looks
        looks += 1
        return stat(*args, **kwargs)  # type: ignore[arg-type]

    def noting(original: Callable[..., object]) -> Callable[..., object]:
        return lambda path: (listed.append(Path(path)), original(path))[1]

    monkeypatch.setattr(os, "stat", counting)
    monkeypatch.setattr(os, "listdir", noting(listdir))
    monkeypatch.setattr(os, "scandir", noting(scandir))
    names = [layouts._choose(root, None).name for root in (eight, manual, flat)]
    monkeypatch.undo()
    assert names == ["affectnet-8", "affectnet", "folders"]
    assert looks < 200, looks
    deep = ("images", "annotations", "Manually_Annotated_Images")
    assert [path for path in listed if set(path.parts) & set(deep)] == []


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_names_functions_that_can_be_called_as_the_table_says(layout: layouts.Layout) -> None:
    module = importlib.import_module(layout.module)
    recogniser, reader = (inspect.signature(getattr(module, name)) for name in (layout.recogniser, layout.reader))
    assert list(recogniser.parameters) == ["root"]
    assert list(reader.parameters) == ["root", "landmarks"]
    assert reader.parameters["landmarks"].kind is inspect.Parameter.KEYWORD_ONLY
    assert reader.return_annotation == "FaceIndex"


def test_faces_of_one_file_need_not_be_neighbours(tmp_path: Path) -> None:
    boxes = ("4,5,30,31", "1,1,9,9")
    rows = [row("1/a.png", 1, box=boxes[0]), row("1/b.png", 2), row("1/a.png", 3, box=boxes[1]), row("1/gone.png", 1)]
    made_affectnet(tmp_path, rows, [])
    for seed, name in enumerate(("a", "b")):
        picture(tmp_path / "Manually_Annotated_Images" / "1" / f"{name}.png", seed=seed)
    index = open_index(tmp_path)
    before = [record.id for record in index.records]
    steps: list[tuple[int, int]] = []
    check_files(index, lambda *step: steps.append(step), look_alikes=True)
    assert steps == [(3, 3)]
    assert problems(index) == {"missing file": 1, "several faces in one file": 1}
    assert [record.id for record in index.records] == before[:3]


@pytest.mark.parametrize("look_alikes", [False, True])
def test_a_picture_of_a_prepared_set_that_cannot_be_decoded_is_counted(tmp_path: Path, look_alikes: bool) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
    good = picture(tmp_path / "good.png", seed=1).read_bytes()
    rows = [
        {"id": str(i), "image": image, "label": "happy"} for i, image in enumerate([good, b"no picture", b"", good])
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "faces.parquet"))
    index = open_index(tmp_path / "faces.parquet")
    check_files(index, look_alikes=look_alikes)
    assert problems(index) == {"unreadable file": 2, **({"looks like another picture": 1} if look_alikes else {})}
    assert [record.id for record in index.records] == ["0", "3"]
