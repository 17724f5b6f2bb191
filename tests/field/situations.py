"""Situations that were wrong or weak in earlier versions of emorph, each with inputs that are made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from emorph.core.commands import command, install
from emorph.core.errors import EmorphError
from emorph.core.exposure import brightened, face_gain
from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.evaluate.metrics.fidelity import ssim
from emorph.faces.detect import find_faces
from field import EXAMPLE, Case, Field, done, gather, refused

SITUATIONS: list[Case] = []
case = gather(SITUATIONS)
FIVE_EYES = slice(36, 48)


@case("wrong numbers", "SSIM of a plain gray 127 against 131, signed, unit and byte ranges", "0.158, and 0.9995")
def _(field: Field) -> str:
    a, b = (torch.full((1, 3, 32, 32), float(level)) for level in (127, 131))
    pairs = {2.0: (a / 127.5 - 1, b / 127.5 - 1), 1.0: (a / 255, b / 255), 255.0: (a, b)}
    found = [float(ssim(x, y, data_range=data_range)) for data_range, (x, y) in pairs.items()]
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(a[0, 0].numpy(), b[0, 0].numpy(), **options)
    assert np.allclose(found, expected, atol=1e-4), (found, expected)
    return f"{found[0]:.4f} in each; scikit-image {expected:.4f}"


@case("wrong numbers", "pictures in [0, 1] with a range of 255", "a number, silently")
def _(field: Field) -> str:
    a, b = torch.rand(2, 1, 3, 32, 32)
    try:
        value = float(ssim(a, b, data_range=255))
    except EmorphError as error:
        return str(error)
    raise AssertionError(f"a number: {value:.4f}")


@case("lost faces", "an edit that destroys the face", "left out of every n")
def _(field: Field) -> str:
    field.image.save("me.png")
    Image.new("RGB", field.image.size, (90, 90, 90)).save("gone.png")
    Path("pairs.csv").write_text("source,edited,target,strength\nme.png,gone.png,happy,1\n")
    ended = field.run("evaluate", "pairs.csv", "-o", "report")
    assert "1 of 1 edits no longer show a face" in ended.said, ended.said
    return "1 of 1 edits no longer show a face. They count as failures"


@case("faces not found", "the photo on its side", "no face found")
def _(field: Field) -> str:
    field.image.transpose(Image.Transpose.ROTATE_90).save("side.png")
    return done(field.edit("side.png", "-o", "out.png"))


@case("no face", "an astronaut below the brows: a badge of score 0.19", "the badge made happy")
def _(field: Field) -> str:
    Image.fromarray(read_photo(EXAMPLE).pixels[120:]).save("badge.png")
    return refused(field.edit("badge.png", "-o", "out.png"), "no sure face found in badge.png", "--min-score")


@case("all faces", "six faces of 45 px", "5 of 6")
def _(field: Field) -> str:
    small = field.image.resize((140, 140), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (420, 280))
    for i in range(6):
        sheet.paste(small, (140 * (i % 3), 140 * (i // 3)))
    sheet.save("six.png")
    ended = field.edit("six.png", "-o", "out.png", "--face", "all", "--json")
    (record,) = json.loads(ended.out)
    assert (record["n_faces"], record["n_edited"]) == (6, 6)
    return done(ended) + ": 6 of 6"


@case("what files hold", "strength 0 of RGBA, gray with alpha, 16 bits a channel", "a white ground, 8 bits")
def _(field: Field) -> str:
    import cv2

    alpha = np.linspace(0, 255, field.pixels.shape[1]).astype(np.uint8)[None].repeat(field.pixels.shape[0], axis=0)
    Image.fromarray(np.dstack([field.pixels, alpha])).save("rgba.png")
    Image.fromarray(np.dstack([field.pixels[..., 1], alpha])).save("la.png")
    deep = field.pixels.astype(np.uint16) * 257 + np.arange(3, dtype=np.uint16)
    cv2.imwrite("deep.png", deep)
    for name in ("rgba.png", "la.png", "deep.png"):
        done(field.edit(name, "-o", f"out-{name}", "--strength", 0))
        a, b = (cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in (name, f"out-{name}"))
        assert a.dtype == b.dtype
        assert np.array_equal(a, b), name
    return "bit for bit"


@case("what files hold", "author and date in EXIF; --strip-location", "lost")
def _(field: Field) -> str:
    exif = Image.Exif()
    exif[315], exif[306] = "A. N. Author", "2026:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    field.image.save("me.jpg", exif=exif)
    done(field.edit("me.jpg", "-o", "with.jpg"))
    done(field.edit("me.jpg", "-o", "without.jpg", "--strip-location"))
    kept, stripped = Image.open("with.jpg").getexif(), Image.open("without.jpg").getexif()
    assert (kept[315], kept[306], stripped[315]) == ("A. N. Author", "2026:01:02 03:04:05", "A. N. Author")
    assert kept.get_ifd(0x8825)
    assert not stripped.get_ifd(0x8825)
    return "kept; the place kept, or left out where asked"


@case("kinds of files", "an animated WebP", "the first frame, silently")
def _(field: Field) -> str:
    field.image.save("a.webp", save_all=True, append_images=[field.image.rotate(5)])
    said = refused(field.edit("a.webp", "-o", "out.png"), "has 2 frames", "--frame")
    done(field.edit("a.webp", "-o", "out.png", "--frame", 2))
    return said


@case("kinds of files", "a folder with .jfif, .JPG, no suffix, AVIF", "skipped")
def _(field: Field) -> str:
    Path("photos").mkdir()
    for name, kind in (("a.jfif", "JPEG"), ("b.JPG", "JPEG"), ("c", "PNG"), ("d.avif", "AVIF")):
        field.image.save(f"photos/{name}", kind)
    Path("photos/readme.txt").write_text("no picture")
    ended = field.edit("photos", "-o", "out")
    assert len(list(Path("out").glob("*.png"))) == 4, ended.said
    assert "1 of 5 files is not a picture and is left out: readme.txt" in ended.said
    return done(ended) + ": 4 of 4, readme.txt named"


@case("Hugging Face", "an image column struct<bytes, path> in Parquet", "TypeError, a traceback")
def _(field: Field) -> str:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    field.image.save(stream, "PNG")
    cells = [{"bytes": stream.getvalue(), "path": None}] * 2
    pq.write_table(pa.table({"image": cells, "label": ["happy", "sad"]}), "faces.parquet")
    return done(field.run("data", "show", "faces.parquet"))


@case("checkpoints", "a Git LFS pointer, and a web page, in a checkpoint's place", "damaged, get it again")
def _(field: Field) -> str:
    Path("a.ckpt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    Path("b.ckpt").write_text("<!DOCTYPE html><html></html>")
    refused(field.run("models", "info", "a.ckpt"), "Git LFS")
    return refused(field.run("models", "info", "b.ckpt"), "web page")


@case("checkpoints", "keys behind _orig_mod., module., ema_model.module.; wrappers", "not recognised")
def _(field: Field) -> str:
    from tiny import tiny_model

    state = {f"ema_model.{key}": value for key, value in tiny_model(3).state_dict().items()}
    plain = {key.removeprefix("ema_model."): value for key, value in state.items()}
    forms = {
        "compiled": {f"_orig_mod.{key}": value for key, value in plain.items()},
        "parallel": {"model": {f"module.{key}": value for key, value in plain.items()}},
        "averaged": {"state_dict": {f"ema_model.module.{key}": value for key, value in plain.items()}},
        "params_ema": {"params_ema": plain},
    }
    for name, form in forms.items():
        torch.save(form, f"{name}.ckpt")
        ended = field.run("models", "info", f"{name}.ckpt")
        assert "368012" in ended.out, (name, ended.said)
    return f"{len(forms)} of {len(forms)} read"


@case("exposure", "a face at 5 % exposure: found, and its points", "no face found")
def _(field: Field) -> str:
    (bright,) = find_faces(Photo(field.pixels))
    dark = np.rint(field.pixels * 0.05).astype(np.uint8)
    found = find_faces(Photo(dark))[0]
    eyes_px = np.ptp(bright.points[FIVE_EYES, 0])
    moved = np.linalg.norm(found.points - bright.points, axis=1).mean() / eyes_px
    assert moved < 0.04
    lit = brightened(dark, face_gain(dark, found.box))
    assert np.abs(lit.astype(int) - field.pixels).mean() < 60
    return f"found, points {moved:.1%} of the eyes' width from those of the bright photo"


@case("commands in messages", "paths with blanks, quotes, a dash, other scripts", "cannot be pasted")
def _(field: Field) -> str:
    import shlex

    for name in ("it's mine.pkl", "-o.pkl", "顔 $HOME.pkl"):
        words = shlex.split(command("models", "convert", Path(name), "-o", "flame"))
        assert words[3].removeprefix("./") == name
    assert shlex.split(install("study"))[:2] == ["pip", "install"]
    return "each reads back as it was meant"


@case("messages", "--device mps, where there is none", "900 characters of internals")
def _(field: Field) -> str:
    field.image.save("me.png")
    said = refused(field.edit("me.png", "-o", "out.png", "--device", "mps"), "mps")
    assert len(said) < 250
    return said


@case("messages", "a table of Excel: UTF-16, semicolons, back-slashes, decimal commas", "no column 'source'")
def _(field: Field) -> str:
    Path("faces").mkdir()
    field.image.save("faces/a.png")
    rows = "path;label;valence;arousal\r\nfaces\\a.png;happy;0,5;0,1\r\n"
    Path("labels.csv").write_bytes(rows.encode("utf-16"))
    return done(field.scan("labels.csv"))


@case("messages", "AffectNet's list in another encoding", "a traceback of pyarrow beside the sentence")
def _(field: Field) -> str:
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    Path("training.csv").write_bytes(head.encode() + b"1/\xe9.jpg,too,few\n")
    return refused(field.scan("."), "training.csv, line 2", "UTF-8")
