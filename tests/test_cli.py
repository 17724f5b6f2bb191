"""Every verb on small real input, and every bad input: one sentence, the right exit status, nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from rich.text import Text

from emorph.cli import options
from emorph.cli.console import items, unbroken
from emorph.cli.main import app
from emorph.core import records
from emorph.core.commands import install
from emorph.core.errors import ConfigError, ImageError, NoFaceError
from emorph.core.expressions import Emotion
from emorph.core.images import read_metadata
from emorph.core.types import Photo, Target
from emorph.edit import paths
from emorph.edit.files import emotion_recipe
from emorph.edit.pipeline import Editor
from emorph.models import DiffAE
from emorph.models.latent import LatentNetConfig
from test_rig_edit import tiny_rig
from tiny import tiny_directions, tiny_model

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_directions().save_pretrained(folder / "directions")
    return folder


def quick(model: Path) -> list[object]:
    return ["--model", model, "--steps", 3, "--device", "cpu"]


def quick_rig(folder: Path, face_model: Path) -> list[object]:
    tiny_rig().save_pretrained(folder)
    return ["--model", folder, "--face-model", face_model, "--steps", 2]


def test_edit_writes_the_photo_its_record_and_its_metadata(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    status, out, err = emorph("edit", example_photo, "--to", "happy", "-o", tmp_path, *quick(model))
    assert status == 0, err
    path = tmp_path / "astronaut_happy.png"
    assert out.startswith(str(path))
    assert Image.open(path).size == (512, 512)
    said = read_metadata(path)
    made = json.loads(said["emorph"])
    assert made["edited"] is True
    assert re.fullmatch(r"tiny-[0-9a-f]{8}", made["model"])  # never the path on the user's disk
    assert made["targets"] == [{"emotion": "happy", "strength": 1.0}]
    assert "edited" in said["Description"]
    (record,) = records.read(tmp_path / "edits.jsonl")
    assert (record.target, record.strength, record.edited) == ("happy", 1.0, str(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_edit_into_a_named_file(emorph: Command, model: Path, example_photo: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"result{suffix}"
    status, _, err = emorph("edit", example_photo, "--to", "sad", "--strength", "0.5", "-o", out, *quick(model))
    assert status == 0, err
    assert json.loads(read_metadata(out)["emorph"])["targets"][0]["strength"] == 0.5
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_strength_range_gives_each_and_a_strip(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    status, out, _ = emorph(
        "edit", example_photo, "--to", "anger", "--strength", "0:1:0.5", "-o", tmp_path, "--json", *quick(model)
    )
    assert status == 0
    listed = json.loads(out)
    assert [row["strength"] for row in listed] == [0, 0.5, 1]
    unchanged = np.asarray(Image.open(listed[0]["edited"]))
    assert np.array_equal(unchanged, np.asarray(Image.open(example_photo).convert("RGB")))
    assert (tmp_path / "astronaut_anger_0-0.5-1_strip.png").exists()


def test_a_folder_goes_on_past_bad_files_and_lists_them(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.open(example_photo).convert("RGB").save(folder / "a.jpg")
    (folder / "b_truncated.jpg").write_bytes((folder / "a.jpg").read_bytes()[:9000])
    (folder / "c_empty.png").write_bytes(b"")
    (folder / "d_text.jpg").write_text("this is not a picture")
    Image.new("RGB", (300, 300), "gray").save(folder / "e_noface.png")
    Image.open(example_photo).save(folder / "f.png")
    status, out, err = emorph("edit", folder, "--to", "fear", "-o", tmp_path / "out", *quick(model))
    assert status == 1
    assert out.count("_fear.png") == 2
    assert "4 of 6 failed" in err
    for name in ("b_truncated.jpg", "c_empty.png", "d_text.jpg", "e_noface.png"):
        assert name in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_fear.png", "edits.jsonl", "f_fear.png"]


def test_a_broken_picture_is_named_once_also_among_others_of_its_name(
    emorph: Command, model: Path, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "two" / "a.png")
    photos = [tmp_path / "one", tmp_path / "two"]
    for verb in ("edit", "sheet"):
        status, _, err = emorph(verb, *photos, "--to", "happy", "-o", tmp_path / "out", *quick(model))
        first, second, last = err.splitlines()
        assert (status, last) == (1, "2 of 2 failed: one/a.png, two/a.png.")
        assert first.startswith("one/a.png is not a picture: ")
        assert second.startswith("no face found in two/a.png (300x300 px)")


def test_what_is_kept_lost_and_left_out_is_said(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    picture = Image.open(example_photo).convert("RGBA")
    picture.putalpha(99)
    exif = Image.Exif()
    exif[0x8298], exif.get_ifd(0x8825)[1] = "(c) Zoe", "N"
    picture.save(folder / "cut.png", exif=exif)
    (folder / "notes.txt").write_text("x")
    words = ["edit", folder, "--to", "happy", "--strength", "0", "--json", *quick(model)]
    status, said, err = emorph(*words, "-o", out)
    assert (status, err) == (0, f"{folder}: 1 of 2 files is not a picture and is left out: notes.txt.\n")
    assert [(row["kept"], row["lost"]) for row in json.loads(said)] == [(["transparency", "EXIF", "location"], [])]
    words[1] = folder / "cut.png"
    status, said, err = emorph(*words, "-o", tmp_path / "flat.jpg", "--strip-location")
    assert (status, err) == (0, "flat.jpg does not keep of cut.png: transparency.\n")
    row = json.loads(said)[0]
    assert (row["kept"], row["lost"], row["location_stripped"]) == (["EXIF"], ["transparency", "exact pixels"], True)
    picture.save(tmp_path / "two.webp", save_all=True, append_images=[Image.new("RGBA", picture.size)])
    words[1] = tmp_path / "two.webp"
    assert "two.webp has 2 frames; choose one with --frame 1 to 2" in emorph(*words, "-o", out)[2]
    assert emorph(*words, "-o", out, "--frame", 1)[0] == 0


def test_the_same_command_goes_on_after_a_stop(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(example_photo.read_bytes())
    words = ["edit", folder, "--to", "happy", "--strength", "0:1:0.5", "-o", out, "--json", *quick(model)]
    status, first, err = emorph(*words)
    assert (status, err) == (0, "")
    with (out / "edits.jsonl").open("a") as file:
        file.write('{"id": "c_hap')  # as a kill leaves it
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "b_happy_0-0.5-1_strip.png").unlink()
    os.utime(folder / "c.png")  # another photo of that name since
    status, again, err = emorph(*words)
    assert (status, err) == (0, f"1 already done: {out}/a_happy_0-0.5-1_strip.png; use --again to redo it.\n")
    assert [row["edited"] for row in json.loads(again)] == [row["edited"] for row in json.loads(first)]
    anew = {path.name for path, time_ns in written.items() if path.stat().st_mtime_ns != time_ns}
    assert anew == {f"{name}_happy_{ending}.png" for name in "bc" for ending in ("0", "0.5", "1", "0-0.5-1_strip")}
    assert len(records.read(out / "edits.jsonl")) == 9
    assert emorph(*words)[2] == f"3 already done, in {out}; use --again to redo them.\n"


def test_what_was_asked_otherwise_is_done_anew(
    emorph: Command, model: Path, example_photo: Path, tmp_path: Path
) -> None:
    words = ["edit", example_photo, "--to", "happy", "-o", tmp_path, *quick(model)]
    emorph(*words)
    changes = [["--again"], ["--steps", 4], ["--face", "all"], ["--solver", "ddim"], ["--min-face", 30]]
    for changed in changes:  # each from what the one before it left
        before = (tmp_path / "astronaut_happy.png").stat().st_mtime_ns
        status, out, err = emorph(*words, *changed)
        told = "" if changed == ["--again"] else "astronaut_happy.png was there already, made with other settings, and"
        assert (status, err[: len(told) or None]) == (0, told), changed
        assert "astronaut_happy.png" in out
        assert (tmp_path / "astronaut_happy.png").stat().st_mtime_ns > before


def test_records_tell_directions_apart(tmp_path: Path) -> None:
    plain = tiny_directions()
    found = [
        emotion_recipe(Editor(tiny_model(), known, device="cpu", steps=3), Target(Emotion.HAPPY), [1.0]).record(
            Path("a.png"), Path("b.png"), 1.0, 0.0
        )
        for known in (plain, replace(plain, gain=2.0), replace(plain, weight=2 * plain.weight))
    ]
    assert len({record.directions for record in found}) == 3
    assert len({record.model_id for record in found}) == 1


def test_action_units_go_on_after_a_stop(emorph: Command, example_photo: Path, ict_file: Path, tmp_path: Path) -> None:
    common = [*quick_rig(tmp_path / "rig", ict_file), "-o", tmp_path / "out", "--json"]
    words = ["edit", example_photo, "--au", "AU12=0.8", *common]
    status, first, err = emorph(*words)
    assert (status, err) == (0, "")
    status, again, err = emorph(*words)
    assert (status, json.loads(again)) == (0, json.loads(first))
    assert err == f"1 already done: {tmp_path}/out/astronaut_AU12=0.8.png; use --again to redo it.\n"
    assert emorph("edit", example_photo, "--au", "AU12=0.7", *common)[2] == ""
    assert not (tmp_path / "out" / "edits.jsonl").exists()  # it holds what can be judged


def test_two_faces_are_mentioned(emorph: Command, model: Path, example_photo: Path, tmp_path: Path) -> None:
    one = np.asarray(Image.open(example_photo).convert("RGB"))
    Image.fromarray(np.concatenate([one, one[:, ::-1]], axis=1)).save(tmp_path / "two.png")
    words = ["edit", tmp_path / "two.png", "--to", "sad", "-o", tmp_path / "out", *quick(model)]
    status, _, err = emorph(*words)
    assert (status, err.strip()) == (
        0,
        f"{tmp_path}/two.png has 2 faces; the largest was edited. Choose with --face left, all, or 1 to 2.",
    )
    assert "faces" not in emorph(*words, "--face", "all")[2]


def test_sheet_of_several_photos(emorph: Command, model: Path, example_photo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "顔.png"
    copy.write_bytes(example_photo.read_bytes())
    status, out, err = emorph("sheet", example_photo, copy, "-o", tmp_path / "out", *quick(model))
    assert status == 0, err
    (sheet,) = (tmp_path / "out").glob("*.png")
    assert Image.open(sheet).size == (9 * 256 + 8 * 4, 28 + 2 * (20 + 256) + 4)
    assert out.splitlines()[0].startswith(f"{sheet}  (2 of 2 photos")
    assert out.splitlines()[1:] == ["  row 2: 顔.png"]  # whose letters the sheet's font lacks
    one = tmp_path / "one.png"
    said = json.loads(emorph("sheet", copy, "--to", "happy", "-o", one, "--json", *quick(model))[1])
    assert (said["sheet"], [row["source"] for row in said["photos"]]) == (str(one), [str(copy)])


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["edit", "PHOTO", "--to", "hapy"], 2, "did you mean 'happy'"),
        (["edit", "PHOTO", "--to", "happy:0.6"], 2, "no number as its weight; a blend is written happy=0.6,surprise"),
        (["edit", "PHOTO", "--to", "happy+sad"], 2, "no number as its weight; a blend is written happy=0.6,surprise"),
        (["edit", "PHOTO", "--to", "happy", "--to", "sad"], 2, "2 times (happy and sad), but an edit has one goal"),
        (["edit", "PHOTO", "--to", "happy", "sad"], 2, "sad is an emotion, and there is no file of that name; --to"),
        (["edit", "PHOTO", "--au", "AU6=0.7", "AU12=0.9"], 2, "AU12=0.9 is an action unit, and there is no"),
        (["sheet", "PHOTO", "--to", "happy", "sad"], 2, "or repeat --to: --to happy --to sad."),
        (["edit", "PHOTO", "--au", "AU12"], 2, "not an action unit with a value from 0 to 1, as in AU12=0.8."),
        (["edit", "PHOTO", "--au", "AU12=0.5", "--au", "AU12=0.8"], 2, "names AU12 twice"),
        (["edit", "PHOTO", "--to", "happy", "--strength", "lots"], 2, "'lots' is neither a number"),
        (["edit", "PHOTO", "--to", "happy", "--model", "emorph-bas"], 2, "model 'emorph-bas' is not known"),
        (["edit", "PHOTO", "--to", "happy", "--model", "PHOTO"], 2, "astronaut.png"),
        (["edit", "PHOTO", "--to", "happy", "--model", "none/last.ckpt"], 2, "no such file or folder"),
        (["edit", "PHOTO", "--to", "happy", "--face", "7"], 1, "--face 7"),
        (["edit", "PHOTO", "--to", "happy", "--face", "lefft"], 1, "did you mean 'left'"),
        (["edit", "none.jpg", "--to", "happy"], 1, "none.jpg"),
        (["edit", "PHOTO", "PHOTO2", "--to", "happy", "-o", "one.png"], 2, "2 photos are given; name a folder"),
        (["edit", "PHOTO", "--to", "happy", "-o", "FILE/sub"], 2, "cannot be written"),
        (["edit", "PHOTO", "--to", "happy", "-o", "PHOTO"], 2, "is a source photo itself"),
        (["edit", "PHOTO"], 2, "--to"),
        (["edit", "EMPTY", "--to", "happy"], 2, "no picture"),
        (["edit", "PHOTO", "--to", "happy", "--face-model", "EMPTY"], 2, "leave out --face-model."),
        (
            ["edit", "PHOTO", "--au", "AU12=1", "--model", "emorph-rig", "--directions", "EMPTY", "--valence", "1"],
            2,
            "--valence and --directions do not apply to a rig",
        ),
        (["edit", "PHOTO", "--au", "AU12=1", "--model", "MODEL"], 2, "know emotions only, no action units"),
        (["edit", 300 * "x" + ".png", "--to", "happy"], 1, "there is no file xxx"),
        (["edit", "PHOTO", "--to", "happy", "-o", 300 * "x"], 2, "cannot be written (File name too long)"),
        (["edit", "PHOTO", "--to", "happy", "-o", 300 * "x" + ".png"], 2, "cannot be written (File name too long)"),
        (["transfer", "PHOTO", "PHOTO2", "PHOTO", "-o", "one.png"], 2, "2 photos are given; name a folder"),
        (["transfer", "PHOTO", "PHOTO2", "-o", "PHOTO2"], 2, "is a source photo itself"),
        (
            ["transfer", "--matrix", "PHOTO", "PHOTO2", "--seed", "0", "--face", "largest", "--album"],
            2,
            "--album, --face and --seed do not apply to a matrix",
        ),
        (["transfer", "PHOTO", "PHOTO2", "--target-face", "all"], 2, "--target-face takes one face"),
        (["face", "PHOTO", "--encoder", "deca", "-o", "out"], 2, "Get deca/deca_model.tar from"),
        (["face", "PHOTO", "--encoder", "deca", "-o", "out"], 2, "FLAME's head: get its files from"),
        (["train", "plan", "PHOTO", "--scan", "EMPTY", "--scan", "EMPTY"], 2, "--scan is given 2 times"),
        (["transfer", "--matrix", "PHOTO", "PHOTO2", "--target-face", "1"], 2, "leave out --target-face."),
        (["sheet", "PHOTO", "-o", "PHOTO"], 2, "is a source photo itself"),
        (["sheet", "PHOTO", "--device", "gpu"], 2, "device 'gpu' cannot be used here"),
        (["edit", "PHOTO", "--to", "happy", "--face=--5"], 1, "--5"),
        (["edit", "PHOTO", "--to", "happy", "-o", "happy.bmp"], 2, "happy.bmp"),
        (["models", "convert", "MODEL", "-o", "FILE/sub"], 2, "cannot be written"),
        (["sheet", "HUGE"], 1, "huge.png has 30000x30000 px (900 million), the limit is 120 million"),
        (["sheet", "PHOTO", "--solver", "dim"], 2, "did you mean 'ddim'"),
        (["train", "run", "none.toml"], 2, "no such configuration file"),
        (["train", "run", "EMPTY"], 2, "is a folder; name the configuration file itself"),
        (["train", "resume", "EMPTY"], 2, "is no run: it has no run.toml"),
        (["train", "resume", "EMPTY"], 2, "run.toml"),
        (["models", "info", "PHOTO"], 2, "astronaut.png"),
        (["models", "get", "ffhq256-autoenc"], 2, "https://github.com/phizaz/diffae"),
        (["models", "get", "nonsuch"], 2, "model 'nonsuch' is not known; known: emorph-base, "),
        (["models", "get", "nonsuch"], 2, ", lpips-alexnet, "),
        (["models", "get", "inception-fd"], 2, "did you mean 'inception-fid'?"),
    ],
)
def test_bad_input_is_one_sentence(
    emorph: Command,
    model: Path,
    example_photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    photo = tmp_path / "astronaut.png"
    photo.write_bytes(example_photo.read_bytes())
    second = tmp_path / "second.png"
    second.write_bytes(example_photo.read_bytes())
    huge = tmp_path / "huge.png"
    huge.write_bytes(png_header(30_000, 30_000))
    names = {
        "PHOTO": photo,
        "PHOTO2": second,
        "EMPTY": tmp_path / "empty",
        "HUGE": huge,
        "FILE/sub": tmp_path / "file" / "sub",
        "MODEL": model,
    }
    before = sorted(tmp_path.rglob("*"))
    given = [names.get(word, word) for word in words]
    if words[0] in ("edit", "sheet") and "--model" not in words:
        given += ["--model", model, *(["--device", "cpu"] if "--device" not in words else [])]
    if words[0] in ("edit", "sheet") and "-o" not in words:
        given += ["-o", tmp_path / "out"]
    found, out, err = emorph(*given)
    assert found == status, err
    assert sentence in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before  # no empty folder either
    assert photo.read_bytes() == example_photo.read_bytes()


def png_header(width: int, height: int) -> bytes:
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_ctrl_c_waits_for_what_belongs_together() -> None:
    """A file and its record are both written, and then the interruption comes; where it is ignored, it stays so."""
    done = []

    def work() -> None:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            done.append("record")
        done.append("next photo")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["record"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_not_lost_where_a_photo_fails() -> None:
    done = []

    def write_two() -> None:
        with items(2) as work:
            for name in ("first", "second"):
                with work.item(name), unbroken():
                    done.append(name)
                    signal.raise_signal(signal.SIGINT)
                    raise ImageError("the disk is full")

    with pytest.raises(KeyboardInterrupt):
        write_two()
    assert done == ["first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_too_little_memory_for_one_photo_does_not_end_the_others(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []

    def draw_two() -> None:
        with items(2) as work:
            with work.item("large.png"):
                raise error
            with work.item("small.png"):
                done.append("small.png")
            work.finish()

    with pytest.raises(typer.Exit) as ended:
        draw_two()
    assert (done, ended.value.exit_code) == (["small.png"], 1)
    err = capsys.readouterr().err
    assert "1 of 2 failed" in err
    assert "large.png: there is not enough memory for it" in err
    assert "See the documentation" not in err
    with pytest.raises(RuntimeError, match="a mistake"), items(1) as work, work.item("a"):
        raise RuntimeError("a mistake")


@pytest.mark.parametrize(
    ("n_done", "left"), [(0, "No photo was finished, so no sheet was written."), (2, "the 2 of 3 photos")]
)
def test_a_stopped_sheet_holds_what_is_done(
    emorph: Command,
    model: Path,
    example_photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_done: int,
    left: str,
) -> None:
    photos = [tmp_path / f"{i}.png" for i in range(3)]
    for photo in photos:
        photo.write_bytes(example_photo.read_bytes())
    real = Editor.edit_many

    def stopped(editor: Editor, source: Photo, *rest: Any, **options: Any) -> Any:
        if source.path == photos[n_done]:
            raise KeyboardInterrupt
        return real(editor, source, *rest, **options)

    monkeypatch.setattr(Editor, "edit_many", stopped)
    out = tmp_path / "out"
    status, _, err = emorph("sheet", *photos, "-o", out, *quick(model))
    assert status == 130
    assert err.startswith("Stopped. ")
    assert left in err
    assert [path.name for path in out.glob("*")] == ["sheet.png"] * bool(n_done)
    assert not n_done or Image.open(out / "sheet.png").height == 28 + 2 * (20 + 260) - 4


def test_samples_are_drawn_together_and_do_not_depend_on_it(
    emorph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = tiny_model().config.model_copy(update={"latent": LatentNetConfig(z_dim=32, hidden=16, num_layers=3)})
    drawing = DiffAE(config)
    drawing.latent_stats = tiny_directions().stats
    drawing.save_pretrained(tmp_path / "model")
    drawn: list[list[int]] = []
    real = Editor.sample

    def counted(editor: Editor, seeds: Sequence[int], **options: Any) -> torch.Tensor:
        drawn.append(list(seeds))
        return real(editor, seeds, **options)

    monkeypatch.setattr(Editor, "sample", counted)
    monkeypatch.setattr("emorph.edit.codec.MAX_ROWS", 2)
    common = ["--model", tmp_path / "model", "--steps", 2, "--latent-steps", 3, "--device", "cpu"]
    status, out, err = emorph("sample", "-n", 5, "--seed", 3, "-o", tmp_path / "out", *common)
    assert (status, err) == (0, "")
    assert drawn == [[3, 4], [5, 6], [7]]
    assert [Path(line).name for line in out.splitlines()] == [f"sample_{seed:06d}.png" for seed in range(3, 8)]
    status, out, err = emorph("sample", "-n", 1, "--seed", 4, "-o", tmp_path / "four.png", *common)
    assert (status, out) == (0, f"{tmp_path / 'four.png'}\n"), err
    alone, among, other = (
        np.asarray(Image.open(tmp_path / name)).astype(int)
        for name in ("four.png", "out/sample_000004.png", "out/sample_000003.png")
    )
    assert np.abs(alone - among).max() <= 1
    assert np.abs(alone - other).max() > 10
    told = emorph("sample", "-n", 1, "--seed", 3, "-o", tmp_path / "four.png", *common)[2]
    assert told == "four.png was there already and was replaced; to keep both, name another -o.\n"
    status, _, err = emorph("sample", "-n", 2, "-o", tmp_path / "two.png", *common)
    assert status == 2
    assert "two.png is one picture, but 2 faces are asked for; name a folder" in err


def test_a_stopped_matrix_does_not_say_that_it_is_kept(
    emorph: Command, example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emorph.edit.rig.editor.RigEditor.from_pretrained", lambda *_, **__: None)
    monkeypatch.setattr("emorph.cli.transfer.matrix", stop)
    status, _, err = emorph("transfer", "--matrix", example_photo, example_photo, "-o", tmp_path)
    assert (status, err) == (130, "Stopped. The matrix is unfinished; the next run starts it from the beginning.\n")


def test_transfer_into_a_named_file(emorph: Command, example_photo: Path, ict_file: Path, tmp_path: Path) -> None:
    words = ["transfer", example_photo, example_photo, *quick_rig(tmp_path / "rig", ict_file)]
    status, out, err = emorph(*words, "--device", "cpu", "-o", tmp_path / "result.webp")
    assert status == 0, err
    assert out.startswith(f"{tmp_path / 'result.webp'}  (")
    assert json.loads(read_metadata(tmp_path / "result.webp")["emorph"])["target"] == "astronaut.png"


@pytest.mark.xdist_group("processes")
def test_ctrl_c_in_a_folder_keeps_what_is_done(model: Path, example_photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i:02d}.png").write_bytes(example_photo.read_bytes())
    words = ["edit", folder, "--to", "happy", "-o", tmp_path / "out", "--model", model, "--steps", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "emorph", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a runner may ignore it
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("*.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "What was finished is kept" in err
    assert "Traceback" not in err
    written = sorted((tmp_path / "out").glob("*.png"))
    assert 2 <= len(written) < 40
    for path in written:
        assert Image.open(path).convert("RGB").size == (512, 512)
    assert {r.edited for r in records.read(tmp_path / "out" / "edits.jsonl")} == {str(p) for p in written}
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix not in (".png", ".jsonl")]
    assert out.count("_happy.png") == len(written)


def test_models_verbs(emorph: Command, model: Path, tmp_path: Path) -> None:
    status, out, _ = emorph("models", "info", model, "--json")
    facts = json.loads(out)
    assert (status, facts["role"], facts["config"]["image_size"]) == (0, "autoencoder", 32)
    status, out, _ = emorph("models", "convert", model, "--half", "-o", tmp_path / "half")
    assert status == 0
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (model, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    listed = dict(line.split(maxsplit=1) for line in emorph("models", "list")[1].splitlines())
    assert listed["ict-facekit"].endswith("; emorph models get ict-facekit")
    assert listed["flame2020"].endswith("; get it from https://flame.is.tue.mpg.de")
    assert emorph("models", "get", model)[:2] == (0, f"{model}\n")


def test_doctor_says_what_is_there(emorph: Command) -> None:
    status, out, _ = emorph("doctor", "--json")
    facts = json.loads(out)
    assert (status, facts["ok"]) == (0, True)
    assert facts["packages"]["torch"]
    assert {file["name"] for file in facts["official_files"]} >= {"ffhq128-autoenc", "ffhq256-autoenc"}
    assert all(file["page"].startswith("https://") for file in facts["official_files"])


def test_doctor_begins_with_its_verdict_and_keeps_to_the_terminal(
    emorph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emorph.cli import doctor

    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = emorph("doctor")
    assert (status, out.startswith("Works: ready to edit, on ")) == (0, True)
    assert all(len(line.rpartition(" ")[0]) < 80 for line in out.splitlines())
    assert "`emorph models get ict-facekit`" in out
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("dlib-bin", "optuna") else version(name))
    status, out, _ = emorph("doctor")
    assert (status, " ".join(out.split()[:6])) == (1, "Does not work: dlib-bin missing. Install")
    assert f"`{install()}`." in out.split("\n\n")[0]
    assert f"`{install('search')}`" in out
    monkeypatch.setattr(doctor, "_version", version)
    monkeypatch.setattr(doctor, "bundled_models", dict)
    status, out, _ = emorph("doctor")
    assert (status, out.startswith("Does not work: the bundled models are missing.")) == (1, True)


def test_version(emorph: Command) -> None:
    assert emorph("--version")[:2] == (0, "emorph 0.1.0\n")


@pytest.mark.parametrize(
    ("words", "option", "default"),
    [
        (["edit"], "--model", "emorph-base; emorph-rig for action units that it does not know, or with --face-model"),
        (["transfer"], "--face", "largest"),
        (["transfer"], "--target-face", "largest"),
        (["train", "plan"], "--devices", "auto"),
        (["train", "run"], "--nodes", "1"),
    ],
)
def test_help_shows_the_default_of_an_option_that_may_be_refused(
    emorph: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], option: str, default: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    status, out, _ = emorph(*words, "--help")
    assert status == 0
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", out).split())
    after = text[text.index(f" {option} <") :]
    assert after[after.index("[default: ") :].startswith(f"[default: ({default})]")


def test_help_says_all_that_is_written_and_breaks_lines_by_the_terminal() -> None:
    waiting: list[Any] = [typer.main.get_command(app)]
    seen = 0
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        helps = [command.help, *(param.help for param in command.params if param.help)]
        for text in helps:
            assert Text.from_markup(text).plain == text, command.name  # "[search]" would be taken for a style
            assert not re.search(r"[^\n]\n[^\n]", text), command.name
        seen += len(helps)
    assert seen > 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.8", [0.8]), ("-1", [-1]), ("0:1.5:0.5", [0, 0.5, 1, 1.5]), ("0:1:0.1", [i / 10 for i in range(11)])],
)
def test_strengths(text: str, expected: list[float]) -> None:
    assert options.parse_strengths(text) == expected


def test_each_source_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [tmp_path / f"{i}.png" for i in range(50)]
    for photo in photos:
        photo.touch()
    (tmp_path / "link.png").hardlink_to(photos[7])
    looked_up: list[Path] = []
    real = Path.stat

    def counted(path: Path, **how: bool) -> os.stat_result:
        looked_up.append(path)
        return real(path, **how)

    monkeypatch.setattr(Path, "stat", counted)
    sources = paths.SourcePhotos(photos)
    sources.refuse(tmp_path / f"{i}_happy.png" for i in range(50))
    assert len(looked_up) == 100
    with pytest.raises(ImageError, match=r"link\.png is a source photo itself"):
        sources.refuse([tmp_path / "link.png"])


def test_no_two_photos_share_a_result() -> None:
    photos = [Path(name) for name in ("a.jpg", "a-2.jpg", "a.png", "b/A.jpg")]
    names = paths.output_names(photos)
    assert names == ["a", "a-2", "a-3", "A-4"]


@pytest.mark.parametrize("text", ["", "a", "5", "nan", "1:0:0.1", "0:1:0", "0:1:0.3", "0:1", "0:1:0.001"])
def test_strengths_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--strength"):
        options.parse_strengths(text)


def test_a_wrong_strength_is_told_for_what_it_is() -> None:
    with pytest.raises(ConfigError, match=r"keyframes, .*, are for films; give a number\."):
        options.parse_strengths("0@0s,1@2s")
    with pytest.raises(ConfigError, match=r"FIRST, 1, is above LAST, 0; write the smaller one first\."):
        options.parse_strengths("1:0:0.5")


def test_failures_are_named_at_the_end_and_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    with items(2) as work:
        for name in ("a.png", "b.png"):
            with work.item(name):
                raise NoFaceError(f"no face found in {name}")
    with pytest.raises(typer.Exit):
        work.finish()
    assert capsys.readouterr().err.splitlines() == [
        "no face found in a.png", "no face found in b.png", "2 of 2 failed: a.png, b.png."
    ]  # fmt: skip
