"""What a photo's file holds besides 8-bit RGB: read, followed through a change, written again, or named as lost."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from emorph.core import images, levels
from emorph.core.deep_png import write_deep_png
from emorph.core.errors import ConfigError, ImageError, ShapeError
from emorph.core.exif import MAX_EXIF_BYTES, Exif, dpi_of
from emorph.core.formats import START_BYTES, is_picture, parser_for
from emorph.core.types import Extra, Photo
from emorph.edit.paths import left_out, names_a_picture
from profiles import linear_gray, linear_rgb

HEIGHT, WIDTH = 20, 32
OWNER = "© Zoë Müller".encode()


def _levels(channels: int, kind: type = np.uint8) -> np.ndarray:
    top = np.iinfo(kind).max
    made = np.random.default_rng(5).integers(0, top + 1, (HEIGHT, WIDTH, channels), dtype=kind)
    if channels in (2, 4):
        made[:, :8, -1], made[:, 8:16, -1] = 0, top
    return made


def _written(path: Path, own: np.ndarray) -> Path:
    """A file of these levels, by OpenCV or Pillow wherever one of them can."""
    if own.shape[2] == 2:
        with path.open("wb") as file:
            if own.dtype == np.uint16:
                write_deep_png(file, own, {})
            else:
                Image.fromarray(own).save(file, "PNG")
        return path
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[own.shape[2]]
    assert cv2.imwrite(str(path), own[..., order])
    return path


def _as_opencv_reads(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


ALL_KINDS = [
    *((kind, channels, ".png") for kind in (np.uint8, np.uint16) for channels in (1, 2, 3, 4)),
    *((np.uint16, channels, ".tiff") for channels in (1, 3, 4)),
]


@pytest.mark.parametrize(("kind", "channels", "suffix"), ALL_KINDS)
def test_what_is_not_changed_is_written_bit_for_bit(tmp_path: Path, kind: type, channels: int, suffix: str) -> None:
    source = _written(tmp_path / f"in{suffix}", _levels(channels, kind))
    photo = images.read_photo(source)
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3)
    said = images.write_photo(tmp_path / "out.png", photo, metadata={"Software": "emorph", "note": "é"})
    np.testing.assert_array_equal(_as_opencv_reads(tmp_path / "out.png"), _as_opencv_reads(source))
    assert ("16 bits a channel" in said.kept) == (kind is np.uint16)
    assert ("transparency" in said.kept) == (channels in (2, 4))
    assert said.lost == ()
    assert images.read_metadata(tmp_path / "out.png") == {"Software": "emorph", "note": "é"}
    with Image.open(tmp_path / "out.png") as written:  # Pillow, too, finds it whole
        written.load()
        assert written.mode in {1: ("L", "I;16"), 2: ("LA", "RGBA"), 3: ("RGB",), 4: ("RGBA",)}[channels]
    again = images.read_photo(tmp_path / "out.png")
    np.testing.assert_array_equal(again.pixels, photo.pixels)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_edit_changes_what_it_changes_and_nothing_else(kind: type, channels: int) -> None:
    own = _levels(channels, kind)
    pixels = levels.seen(own)
    edited = pixels.copy()
    edited[5:15, 4:28] = np.clip(pixels[5:15, 4:28].astype(int) + 7, 0, 255)  # gray's three channels alike
    result = levels.changed(own, edited)
    assert (result.shape, result.dtype) == (own.shape, own.dtype)
    same = (edited == pixels).all(axis=2)
    np.testing.assert_array_equal(result[same], own[same])
    if channels in (2, 4):
        np.testing.assert_array_equal(result[..., -1], own[..., -1])
        np.testing.assert_array_equal(result[:, :8], own[:, :8])  # hidden
    solid = slice(8, 16)  # opaque
    step, whole = (np.iinfo(kind).max // 255) * 7, result[5:15, solid, 0].astype(int) - own[5:15, solid, 0]
    inside = pixels[5:15, solid, 0] < 240
    np.testing.assert_array_equal(whole[inside], step)
    sheer = levels.seen(result)
    reachable = (own[..., -1] > np.iinfo(kind).max // 2 if channels in (2, 4) else np.ones(same.shape, bool)) & (
        np.abs(edited.astype(int) - 128).max(axis=2) < 50
    )
    assert reachable[5:15, 16:28].any()
    assert np.abs(sheer.astype(int) - edited)[reachable].max() <= 1
    with pytest.raises(ShapeError, match="file's size"):
        levels.changed(own, edited[:-1])


def test_gray_becomes_colour_only_where_an_edit_has_colour() -> None:
    for channels in (1, 2):
        own = _levels(channels)
        edited = levels.seen(own)
        edited[3, 9] = (10, 200, 90)
        result = levels.changed(own, edited)
        assert result.shape[2] == channels + 2
        np.testing.assert_array_equal(result[3, 9, :3], (10, 200, 90))
        np.testing.assert_array_equal(result[4:, :, [0, 1, 2]], own[4:, :, [0, 0, 0]])


def test_what_a_kind_of_file_cannot_hold_is_named(tmp_path: Path) -> None:
    photo = images.read_photo(_written(tmp_path / "in.png", _levels(4, np.uint16)))
    lost = {suffix: images.write_photo(tmp_path / f"out{suffix}", photo).lost for suffix in (".jpg", ".webp", ".avif")}
    assert lost[".jpg"] == ("16 bits a channel", "transparency", "exact pixels")
    assert lost[".webp"] == lost[".avif"] == ("16 bits a channel", "exact pixels")
    with Image.open(tmp_path / "out.webp") as image:
        assert np.abs(np.asarray(image)[..., 3].astype(int) - levels.eight_bits(photo.extra.own)[..., 3]).max() <= 1
    flat = images.read_photo(tmp_path / "out.jpg").pixels  # over white
    assert np.abs(flat[:, 1:7].astype(int) - 255).mean() < 30
    opaque = Photo(photo.pixels, extra=Extra(np.dstack([photo.pixels, np.full((HEIGHT, WIDTH), 255, np.uint8)])))
    assert images.write_photo(tmp_path / "opaque.jpg", opaque).lost == ("exact pixels",)


def test_colours_of_another_space_are_named(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "plain.tif")
    assert images.read_photo(tmp_path / "plain.tif").extra.missing == ("CMYK colours",)
    Image.new("L", (16, 16), 55).save(tmp_path / "gray.png", icc_profile=linear_gray())
    gray = images.read_photo(tmp_path / "gray.png")
    assert (gray.extra.own, gray.extra.missing) == (None, ("L colours",))
    Image.new("LA", (16, 16), (55, 99)).save(tmp_path / "la.png", icc_profile=linear_gray())
    assert images.read_photo(tmp_path / "la.png").extra.missing == ("the colour profile",)
    cv2.imwrite(str(tmp_path / "deep.png"), _levels(3, np.uint16))
    photo = images.read_photo(tmp_path / "deep.png")
    images.write_photo(tmp_path / "out.png", Photo(photo.pixels, icc=linear_rgb(), extra=photo.extra))
    assert images.read_photo(tmp_path / "out.png").icc == linear_rgb()


def _tagged(order: str = "<") -> bytes:
    """A camera's EXIF: orientation, owner, date, place, thumbnail, notes that point into the old file."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112], exif[0x8298], exif[0x010F] = 6, OWNER, "Maker"
    exif[0x0132] = "2026:01:02 03:04:05"
    taken, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    taken[0x9003], taken[0xA002], taken[0x927C], taken[0x829A] = "2026:01:02 03:04:05", 4000, b"notes" * 9, 0.008
    place[1], place[2] = "N", (47.0, 22.0, 30.5)
    return _with_thumbnail(exif.tobytes(), order)


def _with_thumbnail(exif: bytes, order: str) -> bytes:
    """EXIF with a second directory, which says that a thumbnail is a JPEG; not all versions of Pillow write one."""
    start = len(b"Exif\0\0")
    (n_entries,) = struct.unpack_from(order + "H", exif, start + 8)
    after = start + 8 + 2 + 12 * n_entries  # where the offset of the next directory stands
    padded = exif + b"\0" * ((len(exif) - start) % 2)
    entry = struct.pack(order + "HHHLHHL", 1, 0x0103, 3, 1, 6, 0, 0)
    return padded[:after] + struct.pack(order + "L", len(padded) - start) + padded[after + 4 :] + entry


def _tags(path: Path) -> tuple[Image.Exif, dict, dict]:
    with Image.open(path) as image:
        exif = image.getexif()
        return exif, dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif"])
def test_exif_goes_with_the_photo_and_its_orientation_does_not(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.jpg"
    Image.fromarray(_levels(3)).resize((64, 40)).save(source, exif=_tagged(), dpi=(300, 200), quality=95)
    photo = images.read_photo(source)
    assert photo.pixels.shape == (64, 40, 3)  # turned
    assert photo.extra.missing == ("maker notes",)
    said = images.write_photo(tmp_path / f"out{suffix}", photo, metadata={"Software": "emorph 1", "x": "é"})
    assert said.kept == ("EXIF", "location", "dpi")
    assert images.read_metadata(tmp_path / f"out{suffix}") == {"Software": "emorph 1", "x": "é"}
    picture, taken, place = _tags(tmp_path / f"out{suffix}")
    assert picture[0x8298].encode("latin-1") == OWNER
    assert (picture[0x0132], picture[0x010F], picture[0x0131]) == ("2026:01:02 03:04:05", "Maker", "emorph 1")
    assert (taken[0x9003], float(taken[0x829A])) == ("2026:01:02 03:04:05", 0.008)
    assert (place[1], tuple(map(float, place[2]))) == ("N", (47.0, 22.0, 30.5))
    assert 0x0112 not in picture
    assert taken.keys().isdisjoint({0xA002, 0x927C})
    assert not picture.get_ifd(ExifTags.IFD.IFD1)  # the thumbnail shows the face as it was
    again = images.read_photo(tmp_path / f"out{suffix}")
    assert again.pixels.shape == (64, 40, 3)  # not turned twice
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < (1 if suffix == ".png" else 12)
    if suffix in (".webp", ".avif"):
        assert (float(picture[0x011A]), float(picture[0x011B]), picture[0x0128]) == (300, 200, 2)
    else:
        assert again.extra.dpi == pytest.approx((300, 200), abs=0.01)
    stripped = images.write_photo(tmp_path / f"stripped{suffix}", photo, strip_location=True)
    assert "location" not in stripped.kept
    picture, _, place = _tags(tmp_path / f"stripped{suffix}")
    assert (place, 0x8825 in picture, picture[0x8298].encode("latin-1")) == ({}, False, OWNER)
    assert b"\x00\x00\x00\x1e\x00\x00\x00\x01" not in (tmp_path / f"stripped{suffix}").read_bytes()[:600]


def test_exif_of_a_tiff_and_of_both_byte_orders(tmp_path: Path) -> None:
    assert Exif.read(_tagged(">")).order == ">"
    for order in "<>":
        found = Exif.read(_tagged(order))
        assert Exif.read(found.block()) == Exif(found.order, found.picture, found.taken, found.place)
        assert found.picture[0x8298].value.rstrip(b"\0") == OWNER
    fields = TiffImagePlugin.ImageFileDirectory_v2()
    fields[0x8298], fields[0x013B] = OWNER.decode("latin-1").encode("latin-1"), "Zoe"
    Image.fromarray(_levels(3)).save(tmp_path / "in.tif", tiffinfo=fields, dpi=(240, 240))
    photo = images.read_photo(tmp_path / "in.tif")
    assert photo.extra.dpi == (240, 240)
    images.write_photo(tmp_path / "out.png", photo)
    picture, _, _ = _tags(tmp_path / "out.png")
    assert (picture[0x8298].encode("latin-1"), picture[0x013B]) == (OWNER, "Zoe")
    assert 0x0111 not in picture  # where the old file had its pixels


def test_damaged_and_huge_exif_is_never_an_error(tmp_path: Path) -> None:
    rng, block = np.random.default_rng(1), np.frombuffer(_tagged().removeprefix(b"Exif\0\0"), np.uint8)
    for _ in range(400):
        bad = block.copy()
        bad[rng.integers(4, len(bad), 3)] = rng.integers(0, 256, 3)
        found = Exif.read(bad[: rng.integers(1, len(bad) + 1)].tobytes())
        assert len(found.block()) <= MAX_EXIF_BYTES
        found.with_dpi((300, 300)).noted("emorph", b"ASCII\0\0\0{}").block()
    exif = Image.Exif()
    exif[0x010E] = "x" * 50_000
    Image.fromarray(_levels(3)).save(tmp_path / "huge.jpg", exif=exif)
    photo = images.read_photo(tmp_path / "huge.jpg")
    assert (photo.extra.exif, photo.extra.missing) == (b"", ("EXIF",))
    exif[0x010E] = "short"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0at the lake"
    Image.fromarray(_levels(3)).save(tmp_path / "comment.jpg", exif=exif)
    photo = images.read_photo(tmp_path / "comment.jpg")
    assert "the comment" in images.write_photo(tmp_path / "out.jpg", photo, metadata={"a": "b"}).lost
    again = images.read_photo(tmp_path / "out.jpg")  # whose comment is ours
    assert "the comment" not in images.write_photo(tmp_path / "out2.jpg", again, metadata={"a": "b"}).lost


def test_resolution_that_is_none() -> None:
    for found in (None, (1, 1), (0, 300), (float("nan"), 300), (1e9, 300), ("x", 1), (300,), 5):
        assert dpi_of(found) is None
    assert dpi_of((72, 96.5)) == (72, 96.5)


def _several(path: Path) -> Path:
    frames = [Image.new("RGB", (20, 16), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif", ".tiff"])
def test_of_several_frames_one_is_to_be_chosen(tmp_path: Path, suffix: str) -> None:
    path, what = _several(tmp_path / f"moving{suffix}"), "page" if suffix == ".tiff" else "frame"
    with pytest.raises(ImageError, match=rf"moving\{suffix} has 2 {what}s; choose one with --frame 1 to 2"):
        images.read_photo(path)
    with pytest.raises(ImageError, match=rf"has 2 {what}s, and no {what} 3"):
        images.read_photo(path, frame=3)
    for frame, colour in ((1, (255, 0, 0)), (2, (0, 0, 255))):
        pixels = images.read_photo(path, frame=frame).pixels
        assert np.abs(pixels.astype(int) - colour).max() <= 8
    Image.new("RGB", (20, 16)).save(tmp_path / f"still{suffix}")
    assert images.read_photo(tmp_path / f"still{suffix}", frame=1).pixels.shape == (16, 20, 3)
    with pytest.raises(ImageError, match=f"has 1 {what}, and no {what} 2"):
        images.read_photo(tmp_path / f"still{suffix}", frame=2)


def test_a_page_of_sixteen_bits_keeps_them(tmp_path: Path) -> None:
    pages = [_levels(3, np.uint16), 65535 - _levels(3, np.uint16)]
    assert cv2.imwritemulti(str(tmp_path / "deep.tiff"), [page[..., ::-1] for page in pages])
    for number, page in enumerate(pages, 1):
        np.testing.assert_array_equal(images.read_photo(tmp_path / "deep.tiff", frame=number).extra.own, page)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_turned_as_the_pixels_are(tmp_path: Path, orientation: int, suffix: str) -> None:
    own, path = _levels(3, np.uint16), tmp_path / f"deep{suffix}"
    if suffix == ".png":
        exif = Image.Exif()
        exif[0x0112] = orientation
        with path.open("wb") as file:
            write_deep_png(file, own, {"exif": exif.tobytes()})
    else:
        assert cv2.imwrite(str(path), own[..., ::-1])
        content = bytearray(path.read_bytes())
        _append_short(content, 0x0112, orientation)
        path.write_bytes(content)
    eight = tmp_path / "eight.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((own >> 8).astype(np.uint8)).save(eight, exif=exif)
    upright = images.read_photo(path).extra.own
    assert upright is not None
    np.testing.assert_array_equal(upright >> 8, images.read_photo(eight).pixels)


def _append_short(content: bytearray, tag: int, value: int) -> None:
    """Move a little-endian TIFF's first directory to its end, with one more field."""
    (start,) = struct.unpack_from("<I", content, 4)
    (n_fields,) = struct.unpack_from("<H", content, start)
    fields = [bytes(content[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(n_fields)]
    fields = [field for field in fields if struct.unpack_from("<H", field)[0] != tag]
    fields.append(struct.pack("<HHII", tag, 3, 1, value))
    fields.sort(key=lambda field: struct.unpack_from("<H", field)[0])
    content += b"\0" * (len(content) % 2)
    struct.pack_into("<I", content, 4, len(content))
    content += struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)


def test_previews_of_a_tiff_are_no_pages_and_raw_files_no_photos(tmp_path: Path) -> None:
    big, small = Image.fromarray(_levels(3)), Image.new("RGB", (8, 8), "red")
    small.encoderinfo = {"tiffinfo": {254: 1}}
    big.save(tmp_path / "preview.tif", save_all=True, append_images=[small])
    np.testing.assert_array_equal(images.read_photo(tmp_path / "preview.tif").pixels, np.asarray(big))
    for name, fields in (("raw.dng", {50706: b"\1\4\0\0"}), ("raw.nef", {254: 1, 330: 99})):
        Image.fromarray(_levels(3)).save(tmp_path / name, "TIFF", tiffinfo=fields)
        with pytest.raises(ImageError, match=rf"{name} is a camera's raw file; develop it"):
            images.read_photo(tmp_path / name)


def test_a_tiff_whose_pages_go_round_in_circles_ends(tmp_path: Path) -> None:
    content = bytearray(_several(tmp_path / "two.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (n_fields,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * n_fields, first)
    (tmp_path / "loop.tif").write_bytes(content)
    assert images.read_photo(tmp_path / "loop.tif").pixels.shape == (16, 20, 3)


def test_the_main_picture_of_an_mpo_is_its_photo(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "phone.MPO", "MPO", save_all=True, append_images=frames[1:])
    photo = images.read_photo(tmp_path / "phone.MPO")
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() <= 4
    assert photo.extra.missing == ("further pictures in the file",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_the_content_tells_the_kind(tmp_path: Path, kind: str) -> None:
    Image.fromarray(_levels(3)).save(tmp_path / "x", kind)
    for name in ("x", "y.JPE", "z.txt", "w.png"):
        (tmp_path / name).write_bytes((tmp_path / "x").read_bytes())
        assert images.read_photo(tmp_path / name).pixels.shape == (HEIGHT, WIDTH, 3)


def test_heic_is_read_and_written(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    pixels = np.asarray(Image.linear_gradient("L").resize((64, 48)).convert("RGB"))
    source = tmp_path / "in.jpg"
    Image.fromarray(pixels).save(source, exif=_tagged(), quality=95, icc_profile=linear_rgb())
    photo = images.read_photo(source)
    images.write_photo(tmp_path / "phone.HEIC", photo, metadata={"Software": "emorph 1"})
    again = images.read_photo(tmp_path / "phone.HEIC")
    assert again.pixels.shape == (64, 48, 3)
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 2
    assert (again.icc, Exif.read(again.extra.exif).picture[0x8298].value.rstrip(b"\0")) == (linear_rgb(), OWNER)
    assert images.read_metadata(tmp_path / "phone.HEIC") == {"Software": "emorph 1"}
    exif = Image.Exif()
    exif[0x0112] = 6
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "turned.heic", exif=exif.tobytes())
    assert images.read_photo(tmp_path / "turned.heic").pixels.shape == (64, 48, 3)  # once, not twice


def test_heic_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pillow_heif", "pillow_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "phone.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageError, match=r"phone\.HEIC .*`pip install -e \S+\[heif\]'?`, or convert it to JPEG or PNG"):
        images.read_photo(path)
    with pytest.raises(ImageError, match=r"out\.heic: \.heic needs pillow-heif \(`pip install -e \S+\[heif\]'?`\)"):
        images.write_image(tmp_path / "out.heic", _levels(3))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture"),
        (b"\xff\x4f\xff\x51\0\x2f", "is a JPEG 2000 picture"),
        (b"8BPS\0\1", "is a Photoshop document; export it"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera's raw file; develop it"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "is a camera's raw file; develop it"),
        (b"%PDF-1.7\n", "is not a picture but a document for printing"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "is a film, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer.*`git lfs pull`"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "is a web page, not a picture"),
        (b"dear diary", "is not a picture: its content is not JPEG"),
    ],
)
def test_what_people_take_for_a_photo_is_named(content: bytes, says: str) -> None:
    assert not is_picture(content)
    with pytest.raises(ImageError, match=rf"x\.jpg {says}"):
        parser_for(content, "x.jpg")


def test_brands_tell_avif_from_heic() -> None:
    assert parser_for(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "x").__name__ == "AvifImageFile"
    assert is_picture(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    assert not is_picture(b"\0\0\0\x18ftypisom\0\0\0\0isommp41")


def test_a_folder_tells_pictures_by_content_and_names_the_rest(tmp_path: Path) -> None:
    for name in ("phone.MPO", "real.jfif", "a.jpe", "B.JPG", "nameless", "wrong.dat"):
        Image.fromarray(_levels(3)).save(tmp_path / name, "JPEG")
    (tmp_path / "bad.png").write_bytes(b"x")
    for name in ("notes.txt", "faces.csv", ".DS_Store"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in images.list_photos(tmp_path)] == [
        *("B.JPG", "a.jpe", "bad.png", "nameless", "phone.MPO", "real.jfif", "wrong.dat")
    ]
    assert left_out([tmp_path, tmp_path, tmp_path / "B.JPG"]) == [
        f"{tmp_path}: 2 of 9 files are not pictures and are left out: faces.csv, notes.txt."
    ]
    (tmp_path / "faces.csv").unlink()
    (tmp_path / "more").mkdir()
    assert left_out([tmp_path]) == [
        f"{tmp_path}: 1 of 8 files is not a picture and is left out: notes.txt.",
        f"{tmp_path}: the pictures in its folders are left out: name them as well (more).",
    ]


@pytest.mark.parametrize("kind", ["AVIF", "deep PNG", "deep TIFF", "HEIF"])
def test_random_damage_is_one_sentence(tmp_path: Path, kind: str) -> None:
    path, rng, said = tmp_path / "whole", np.random.default_rng(11), list[str]()
    if kind == "AVIF":
        Image.fromarray(_levels(3)).save(path, "AVIF")
    elif kind == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(_levels(3))).save(path)
    else:
        suffix = ".png" if kind == "deep PNG" else ".tiff"
        _written(tmp_path / f"whole{suffix}", _levels(3, np.uint16)).rename(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for trial in range(60):
        bad = whole.copy()
        bad[rng.integers(12, len(bad), 4)] = rng.integers(0, 256, 4)
        cut = tmp_path / f"cut{trial}"
        cut.write_bytes(bad[: rng.integers(START_BYTES // 8, len(bad) + 1)].tobytes())
        try:
            photo = images.read_photo(cut)
        except ImageError as error:
            said.append(str(error))
            continue
        assert photo.pixels.dtype == np.uint8
        images.write_photo(tmp_path / "out.png", photo)
    assert said
    assert not [text for text in said if "\n" in text]


def test_arrays_and_pil_pictures_keep_their_alpha() -> None:
    own = _levels(4)
    for source in (own, Image.fromarray(own)):
        photo = images.read_photo(source)
        assert photo.extra.own is not None
        np.testing.assert_array_equal(photo.extra.own, own)
        np.testing.assert_array_equal(levels.rgba(photo), own)
    deep = io.BytesIO()
    write_deep_png(deep, _levels(3, np.uint16), {})
    photo = images.read_photo(Image.open(deep))  # Pillow alone hands on what it decodes
    assert (photo.extra.own, levels.rgba(photo) is photo.pixels) == (None, True)


NAMES = ("rgba_cutout.png", "gray_alpha.png", "rgb16.png", "f_rgb16.tiff")


@pytest.mark.parametrize("name", NAMES)
def test_pictures_from_the_field_survive(shared_file: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    source = shared_file(f"../field/{name}")
    said = images.write_photo(tmp_path / "out.png", images.read_photo(source))
    np.testing.assert_array_equal(_as_opencv_reads(tmp_path / "out.png"), _as_opencv_reads(source))
    assert said.lost == ()


def test_kinds_from_the_field_are_read(shared_file: Callable[[str], Path]) -> None:
    for name in ("x.avif", "phone.MPO", "real.jfif", "exifmeta.jpg"):
        assert images.read_photo(shared_file(f"../field/{name}")).pixels.shape == (512, 512, 3)
    for name in ("anim.gif", "anim.webp", "pages.tif"):
        with pytest.raises(ImageError, match="--frame 1 to 2"):
            images.read_photo(shared_file(f"../field/{name}"))
        assert images.read_photo(shared_file(f"../field/{name}"), frame=2).pixels.shape == (512, 512, 3)
    exif = Exif.read(images.read_photo(shared_file("../field/exifmeta.jpg")).extra.exif)
    assert exif.picture[0x8298].value == b"(c) Me\0"
    pytest.importorskip("pillow_heif")
    assert images.read_photo(shared_file("../field/f.heic")).pixels.ndim == 3


def test_a_name_of_another_file_is_no_folder(tmp_path: Path) -> None:
    for name in ("out.txt", "out.JSON", "out.pdf", "out.zip", "out.tar.gz", "out.psd", "out.svg"):
        with pytest.raises(ConfigError, match=r"out\..*: emorph does not write \.\w+; use \.png, .* or a folder\.$"):
            names_a_picture(tmp_path / name)
    (tmp_path / "kept.txt").mkdir()
    assert not any(names_a_picture(tmp_path / name) for name in ("kept.txt", "out", "edits.2024", "v1.2", "a.old"))
