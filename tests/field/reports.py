"""Reports of users of other tools of this field, tried with emorph: each row names the public report."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emorph.core.images import read_photo
from emorph.faces.detect import SURE_SCORE, find_faces
from field import Case, Field, done, gather, refused
from tiny import tiny_model

REPORTS: list[Case] = []
report = gather(REPORTS)


@report("anime-face-detector #8", "a Japanese name on a terminal of cp1252", "UnicodeEncodeError after the edit")
def _(field: Field) -> str:
    field.image.save("顔.png")
    ended = field.edit("顔.png", "-o", "笑.png", encoding="cp1252")
    assert Path("笑.png").exists()
    assert "\\u7b11.png" in ended.out
    return done(ended) + f": {ended.said}"


@report("faceswap #734", "a file whose name is no UTF-8", "UnicodeEncodeError after the edit")
def _(field: Field) -> str:
    name = os.fsdecode(b"face-\xff.png")
    field.image.save(name)
    return done(field.edit(name, "-o", "out"))


@report("facefusion #658, deepface #735", "names and folders in other scripts, with blanks and emoji", "done")
def _(field: Field) -> str:
    field.image.save("顔 é😀.png")
    return done(field.edit("顔 é😀.png", "-o", "out 顔/ü.png"))


@report("deepface #233", "a gray photo", "done")
def _(field: Field) -> str:
    field.image.convert("L").save("gray.png")
    return done(field.edit("gray.png", "-o", "out.png"))


@report("deepface #594", "four channels, and a palette with transparency", "done")
def _(field: Field) -> str:
    field.image.convert("P").save("p.png", transparency=0)
    ended = field.edit("p.png", "-o", "out.png")
    assert Image.open("out.png").mode == "RGBA"
    return done(ended) + ", transparency kept"


@report("FaceDatasets #8", "a CMYK JPEG", "done, the loss of CMYK named")
def _(field: Field) -> str:
    field.image.convert("CMYK").save("cmyk.jpg")
    ended = field.edit("cmyk.jpg", "-o", "out.png")
    assert "does not keep" in ended.err
    assert "CMYK" in ended.err
    return done(ended) + ", the loss of CMYK named"


@report("stable-diffusion-webui #8164", "a PNG of a few hundred bytes that says 900 million pixels", "a sentence")
def _(field: Field) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(900))) + chunk(b"IEND", b"")
    Path("bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return refused(field.edit("bomb.png", "-o", "out.png"), "900 million", "limit")


@report("realsr-ncnn-vulkan #9", "a.png and a.jpg in one folder", "both kept: a, a-2")
def _(field: Field) -> str:
    Path("photos").mkdir()
    field.image.save("photos/a.png")
    field.image.save("photos/a.jpg")
    done(field.edit("photos", "-o", "out"))
    names = sorted(path.name for path in Path("out").glob("*.png"))
    assert len(names) == 2
    return ", ".join(names)


@report("depth-fm #12, waifu2x-chainer #13", "the photo itself as the result", "a sentence")
def _(field: Field) -> str:
    field.image.save("me.jpg")
    before = Path("me.jpg").read_bytes()
    said = refused(field.edit("me.jpg", "-o", "me.jpg"), "source photo itself")
    assert Path("me.jpg").read_bytes() == before
    return said


@report("Waifu2x-Extension-GUI #159", "results in the photos' own folder, twice", "edits of edits: a_happy_happy.png")
def _(field: Field) -> str:
    Path("photos").mkdir()
    field.image.save("photos/a.png")
    for _ in range(2):
        ended = field.edit("photos", "-o", "photos")
    names = sorted(path.name for path in Path("photos").glob("*.png"))
    assert names == ["a.png", "a_happy.png"]
    assert "result of earlier edits" in ended.said
    return done(ended) + f": {', '.join(names)}"


@report("comfyui-reactor-node #322, roop-unleashed #127", "a face that fills the picture", "found")
def _(field: Field) -> str:
    field.image.crop((90, 75, 200, 185)).resize((700, 700), Image.Resampling.BICUBIC).save("close.png")
    return done(field.edit("close.png", "-o", "out.png"))


@report("matiasdelellis/facerecognition #271, librephotos #1008", "the same face told twice", "each face once")
def _(field: Field) -> str:
    two = np.concatenate([field.pixels, field.pixels[:, ::-1]], axis=1)
    Image.fromarray(two).save("two.png")
    faces = [face for face in find_faces(read_photo(Path("two.png"))) if face.score >= SURE_SCORE]
    assert len(faces) == 2
    return f"{len(faces)} of 2 faces, each once"


@report("face-api.js #906, #927", "a dark face before a bright window", "no face found")
def _(field: Field) -> str:
    dark = np.rint(field.pixels * 0.05).astype(np.uint8)
    window = np.full((400, 560, 3), 250, np.uint8)
    window[60:340, 140:420] = dark
    Image.fromarray(window).save("window.png")
    return done(field.edit("window.png", "-o", "out.png"))


@report("datasets #5278, #6442, #4814", "a folder of pictures with metadata.csv or metadata.jsonl", "in no layout")
def _(field: Field) -> str:
    for name in ("hf/train", "hf2"):
        Path(name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(field.pixels[:, :: 1 - 2 * i].copy()).save(f"{name}/{i}.png")
    Path("hf/train/metadata.csv").write_text("file_name,label\n0.png,happy\n1.png,sad\n")
    Path("hf2/metadata.jsonl").write_text(
        '{"file_name": "0.png", "label": "happy"}\n{"file_name": "1.png", "label": "sad"}\n'
    )
    for root in ("hf", "hf2"):
        ended = field.scan(root)
        done(ended)
        assert "csv" in ended.out
    return "read, with their labels"


@report("diffae #33, #70", "FFHQ as an LMDB", "in no layout, without a hint")
def _(field: Field) -> str:
    Path("ffhq256.lmdb").mkdir()
    Path("ffhq256.lmdb/data.mdb").write_bytes(bytes(4096))
    return refused(field.scan("ffhq256.lmdb"), "LMDB", "pictures")


@report("Emotion-detection #33, ResEmoteNet #11", "folders 1 to 7, as RAF-DB has them", "in no layout, without a hint")
def _(field: Field) -> str:
    for number in range(1, 8):
        Path(f"raf/{number}").mkdir(parents=True)
    return refused(field.scan("raf"), "numbers", "RAF-DB: 1 surprise")


@report("EmoBox #13", "folders angry, Fearful, happiness, DISGUSTED ...", "read")
def _(field: Field) -> str:
    for i, word in enumerate(("angry", "Fearful", "happiness", "DISGUSTED", "surprised", "sadness")):
        Path(f"words/{word}").mkdir(parents=True)
        field.image.rotate(20 * i).save(f"words/{word}/{i}.png")
    ended = field.scan("words")
    assert "names no emotion" not in ended.said
    return done(ended)


@report("pytorch-generative-model-collections #28", "the archive instead of the folder in it", "no picture / no layout")
def _(field: Field) -> str:
    with zipfile.ZipFile("faces.zip", "w") as archive:
        archive.writestr("happy/a.png", b"x")
    refused(field.edit("faces.zip", "-o", "out.png"), "packed archive", "unpack")
    return refused(field.scan("faces.zip"), "packed archive", "unpack")


@report("deepface #793", "an address, or - for standard input", "there is no file https:/x.org/a.jpg")
def _(field: Field) -> str:
    refused(field.edit("-", "-o", "out.png"), "standard input")
    return refused(field.edit("https://x.org/a.jpg", "-o", "out.png"), "address", "download")


@report("SadTalker #440, MAT #11", "a checkpoint that was saved on a GPU", "read")
def _(field: Field) -> str:
    torch.save({"state_dict": tiny_model(3).state_dict()}, "cpu.ckpt")
    with zipfile.ZipFile("cpu.ckpt") as here, zipfile.ZipFile("cuda.ckpt", "w") as there:
        for item in here.infolist():
            content = here.read(item)
            if item.filename.endswith("data.pkl"):
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
                assert b"cuda:0" in content
            there.writestr(item.filename, content)
    ended = field.run("models", "info", "cuda.ckpt")
    assert "368012" in ended.out
    return done(ended)


@report("opm-simulators #5063, knack #153", "--out=~/edited, which shells leave as it is", "a folder called ~")
def _(field: Field) -> str:
    home, os.environ["HOME"] = os.environ.get("HOME", "/"), str(field.folder / "home")
    try:
        field.image.save("me.png")
        ended = field.edit("me.png", "--out=~/edited/me.png")
    finally:
        os.environ["HOME"] = home
    assert not Path("~").exists()
    assert Path("home/edited/me.png").exists()
    return done(ended)


@report(
    "sd_dreambooth_extension #44, ProjectKestrel #58", "._a.png, .DS_Store, Thumbs.db, dead links", "left out, named"
)
def _(field: Field) -> str:
    Path("photos").mkdir()
    field.image.save("photos/a.png")
    Path("photos/._a.png").write_bytes(b"\0\x05\x16\x07" + bytes(90))
    Path("photos/.DS_Store").write_bytes(b"\0\0\0\x01Bud1")
    Path("photos/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    Path("photos/gone.png").symlink_to("nowhere.png")
    ended = field.edit("photos", "-o", "out")
    assert "2 of 3 files are not pictures" in ended.said
    return done(ended)


@report("TwelveMonkeys #185", "a PNG that is called .jpg", "done")
def _(field: Field) -> str:
    field.image.save("a.png")
    Path("a.png").rename("a.jpg")
    return done(field.edit("a.jpg", "-o", "out.jpg"))


@report("ComfyUI_FaceSimilarity #11", "one photo of two without a face", "the other is done, status 1")
def _(field: Field) -> str:
    Image.new("RGB", (200, 200), (90, 90, 90)).save("wall.png")
    field.image.save("me.png")
    said = refused(field.edit("wall.png", "me.png", "-o", "out"), "no face found in wall.png", "1 of 2 failed")
    assert Path("out/me_happy.png").exists()
    return said
