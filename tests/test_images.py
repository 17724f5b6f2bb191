"""Reading hostile and odd pictures, the one change of range, and writing complete files or none."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile, ImageOps

from emorph.core import images
from emorph.core.errors import ImageError, ShapeError
from emorph.core.types import Photo
from profiles import linear_gray


def _noise(height: int = 24, width: int = 36, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)


def _save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def _png(width: int, height: int, *, end: bool = True) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return header + (chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"") if end else b"")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    pixels = _noise()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    path = _save(tmp_path / f"turned{suffix}", Image.fromarray(pixels), exif=exif, **options)
    upright = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p),
    }[orientation](pixels)
    np.testing.assert_array_equal(images.read_photo(path).pixels, upright)
    with Image.open(path) as image:
        np.testing.assert_array_equal(images.read_photo(image).pixels, upright)
        np.testing.assert_array_equal(images.read_photo(ImageOps.exif_transpose(image)).pixels, upright)


def test_corrupted_exif_counts_as_upright(tmp_path: Path) -> None:
    plain = io.BytesIO()
    Image.fromarray(_noise()).save(plain, "JPEG")
    body = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xee" * 40
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    path = tmp_path / "exif.jpg"
    path.write_bytes(plain.getvalue()[:2] + segment + plain.getvalue()[2:])
    with Image.open(plain) as image:
        np.testing.assert_array_equal(images.read_photo(path).pixels, np.array(image))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.linspace(0, 65535, 24 * 36).round().astype(np.uint16).reshape(24, 36)
    photo = images.read_photo(_save(tmp_path / f"deep{suffix}", Image.fromarray(levels)))
    expected = np.rint(levels / 257.0).astype(np.uint8)
    assert photo.pixels.min() == 0
    assert photo.pixels.max() == 255
    for channel in range(3):
        np.testing.assert_array_equal(photo.pixels[..., channel], expected)


def test_values_of_unknown_range_are_refused(tmp_path: Path) -> None:
    deep = Image.fromarray(np.array([[0, 70000]], dtype=np.int32))
    real = Image.fromarray(np.array([[0.0, 0.5]], dtype=np.float32))
    for name, image in (("deep.tiff", deep), ("real.tiff", real)):
        with pytest.raises(ImageError, match=rf"{name}.*range is unknown"):
            images.read_photo(_save(tmp_path / name, image))


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = _noise(channels=4)
    alpha = rgba[..., 3:] / 255.0
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    for photo in (
        images.read_photo(_save(tmp_path / "rgba.png", Image.fromarray(rgba))),
        images.read_photo(rgba),
    ):
        assert np.abs(photo.pixels - expected).max() <= 1
    la = Image.fromarray(rgba[..., 0]).convert("LA")
    la.putalpha(Image.fromarray(rgba[..., 3]))
    gray = images.read_photo(_save(tmp_path / "la.png", la)).pixels
    assert np.abs(gray[..., 1] - (rgba[..., 0] * alpha[..., 0] + 255 * (1 - alpha[..., 0]))).max() <= 1


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    path = _save(tmp_path / "palette.png", image, transparency=0)
    assert images.read_photo(path).pixels.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_gray_one_bit_and_cmyk(tmp_path: Path) -> None:
    gray = _noise(channels=1)[..., 0]
    read = images.read_photo(_save(tmp_path / "gray.png", Image.fromarray(gray))).pixels
    np.testing.assert_array_equal(read, np.dstack([gray] * 3))
    bits = images.read_photo(_save(tmp_path / "bits.png", Image.fromarray(gray > 127))).pixels
    np.testing.assert_array_equal(bits[..., 2], (gray > 127) * np.uint8(255))
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels = images.read_photo(_save(tmp_path / "ink.jpg", red)).pixels
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_an_rgb_profile_goes_with_the_pixels(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = _save(tmp_path / f"wide{suffix}", Image.fromarray(_noise()), icc_profile=profile)
    photo = images.read_photo(source)
    assert photo.icc == profile
    images.write_image(tmp_path / f"out{suffix}", photo.pixels, metadata={"Software": "emorph"}, icc=photo.icc)
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["icc_profile"] == profile
    images.write_image(tmp_path / f"plain{suffix}", photo.pixels)
    assert images.read_photo(tmp_path / f"plain{suffix}").icc is None


def test_gray_and_lab_with_a_profile_become_srgb(tmp_path: Path) -> None:
    linear = np.full((4, 4), 55, np.uint8)  # of light, which is 128 in sRGB
    gray = images.read_photo(_save(tmp_path / "gray.png", Image.fromarray(linear), icc_profile=linear_gray()))
    assert gray.icc is None
    np.testing.assert_allclose(gray.pixels, 128, atol=1)
    smooth = np.full((8, 8, 3), (180, 120, 90), np.uint8)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(smooth), srgb, lab, outputMode="LAB")
    assert converted is not None
    found = images.read_photo(
        _save(tmp_path / "lab.tif", converted, icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    )
    assert found.icc is None
    np.testing.assert_allclose(found.pixels, smooth, atol=3)


def test_a_broken_profile_is_left_out(tmp_path: Path) -> None:
    header = bytearray(linear_gray())
    for i, profile in enumerate((b"", b"not a profile" * 20, bytes(header[:100]), bytes(header[:140]))):
        for mode in ("RGB", "L", "CMYK"):
            image = Image.fromarray(_noise()).convert(mode)
            photo = images.read_photo(_save(tmp_path / f"{i}{mode}.tif", image, icc_profile=profile))
            assert photo.icc is None
            np.testing.assert_array_equal(photo.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("width", [1000, 45_000])
def test_a_large_picture_is_read_row_for_row(tmp_path: Path, width: int) -> None:
    pixels = _noise(131_000 // width, width)
    path = _save(tmp_path / "large.png", Image.fromarray(pixels), compress_level=0)
    read = images.read_photo(path).pixels
    np.testing.assert_array_equal(read, pixels)
    assert read.flags.writeable


@pytest.mark.parametrize("end", [True, False])
def test_a_huge_header_is_refused_before_decoding(tmp_path: Path, end: bool) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(30_000, 30_000, end=end))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"bomb\.png has 30000x30000 px \(900 million\), the limit is 120"):
            images.read_photo(path)


def test_fifty_megapixels_work_and_globals_stay(tmp_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    path = _save(tmp_path / "big.jpg", Image.new("RGB", (10_000, 9_100), (9, 99, 199)))  # over PIL's own limit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = images.read_photo(path)
    assert photo.pixels.shape == (9_100, 10_000, 3)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated_files_say_how_to_mend(tmp_path: Path, suffix: str, share: float) -> None:
    whole = _save(tmp_path / f"whole{suffix}", Image.fromarray(_noise(64, 64)))
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: max(14, int(whole.stat().st_size * share))])
    with pytest.raises(ImageError, match=rf"cut\{suffix} is damaged or cut short .*download it again"):
        images.read_photo(cut)


def test_random_damage_never_leaks_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        buffer = io.BytesIO()
        Image.fromarray(_noise()).save(buffer, kind)
        for trial in range(40):
            data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
            data[rng.integers(4, min(len(data), 400), 6)] = rng.integers(0, 256, 6)
            path = tmp_path / f"{kind}{trial}"
            path.write_bytes(data.tobytes())
            try:
                pixels = images.read_photo(path).pixels
            except ImageError:
                continue
            assert pixels.dtype == np.uint8
            assert pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jpg", b"", r"empty\.jpg is empty \(0 bytes\)"),
        ("notes.jpg", b"dear diary, today\n" * 9, r"notes\.jpg is not a picture.*export it as JPEG or PNG"),
        ("eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"eps\.jpg is not a picture"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=says):
        images.read_photo(path)


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no file .*gone\.jpg"):
        images.read_photo(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        images.read_photo(str(tmp_path))
    with pytest.raises(ImageError, match="there is no file"):
        images.read_photo("x" * 5000)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        images.read_photo(tmp_path / "pipe.jpg")


def test_arrays_are_checked_and_copied() -> None:
    pixels = _noise()
    photo = images.read_photo(pixels)
    pixels[:] = 0
    assert photo.pixels.any()
    assert images.read_photo(photo) is photo
    gray = images.read_photo(_noise(channels=1)[..., 0])
    np.testing.assert_array_equal(gray.pixels, np.repeat(_noise(channels=1), 3, axis=2))
    for bad in (pixels.astype(np.float32), pixels[None], pixels[:0], _noise(channels=2)):
        with pytest.raises(ShapeError, match=r"expected uint8 .* found"):
            images.read_photo(bad)


def test_range_round_trip_is_exact() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = images.to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min().item(), tensor.max().item()) == (-1.0, 1.0)
    assert tensor[0, 0, 0, 3].item() == pytest.approx(3 / 127.5 - 1, abs=1e-7)
    np.testing.assert_array_equal(images.to_pixels(tensor), pixels)
    np.testing.assert_array_equal(images.to_pixels(images.to_tensor(pixels[..., :1])), pixels[..., :1])
    colour = _noise()
    np.testing.assert_array_equal(images.to_tensor(colour)[0].permute(1, 2, 0), colour / np.float32(127.5) - 1)


def test_to_pixels_rounds_and_clamps() -> None:
    values = torch.tensor([-3.0, -1.0, 0.6 / 127.5 - 1, 0.4 / 127.5 - 1, 1.0, 7.0]).reshape(1, 1, 1, 6)
    assert images.to_pixels(values).ravel().tolist() == [0, 0, 1, 0, 255, 255]
    with pytest.raises(ShapeError, match="NaN"):
        images.to_pixels(torch.full((1, 3, 2, 2), float("nan")))


def test_range_change_checks_its_input() -> None:
    for bad in (_noise().astype(np.float32), _noise()[..., 0], _noise(channels=4)):
        with pytest.raises(ShapeError):
            images.to_tensor(bad)
    for wrong in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(ShapeError):
            images.to_pixels(wrong)


def test_luminance_is_pils() -> None:
    pixels = _noise()
    gray = images.to_pixels(images.luminance(images.to_tensor(pixels)))[0, ..., 0]
    expected = np.array(Image.fromarray(pixels).convert("L"))
    assert np.abs(gray.astype(int) - expected).max() <= 1  # PIL computes in fixed point
    with pytest.raises(ShapeError):
        images.luminance(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_write_and_metadata_round_trip(tmp_path: Path, suffix: str) -> None:
    pixels = np.full((32, 32, 3), (200, 30, 60), dtype=np.uint8)
    entries = {"Software": "emorph", "target": "喜び ✓ é", "seed": "7", "long": "x" * 5000}
    path = tmp_path / "new" / "deeper" / f"out{suffix}"
    images.write_image(path, pixels, metadata=entries)
    assert images.read_metadata(path) == entries
    assert np.abs(images.read_photo(path).pixels.astype(int) - pixels).max() <= (0 if "png" in suffix.lower() else 3)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    images.write_image(path, pixels)
    assert images.read_metadata(path) == {}


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    images.write_image(tmp_path / "stripes.jpg", stripes)
    assert np.abs(images.read_photo(tmp_path / "stripes.jpg").pixels.astype(int) - stripes).mean() < 6


def test_foreign_metadata_is_not_ours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + json.dumps(["a list"]).encode()
    path = _save(tmp_path / "other.jpg", Image.fromarray(_noise()), exif=exif)
    assert images.read_metadata(path) == {}


def test_unwritable_outputs(tmp_path: Path) -> None:
    pixels = _noise()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match=r"cannot write .*file"):
        images.write_image(tmp_path / "file" / "out.png", pixels)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ImageError, match=r"cannot write .*taken\.png"):
        images.write_image(tmp_path / "taken.png", pixels)
    with pytest.raises(ImageError, match=r"out\.gif.*\.png, \.jpg"):
        images.write_image(tmp_path / "out.gif", pixels)
    with pytest.raises(ImageError, match="metadata key 'a\\\\nb'"):
        images.write_image(tmp_path / "out.png", pixels, metadata={"a\nb": "x"})
    with pytest.raises(ShapeError):
        images.write_image(tmp_path / "out.png", pixels.astype(np.float32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]


def test_overwriting_replaces_the_file_instead_of_filling_it(tmp_path: Path) -> None:
    path, link = tmp_path / "out.png", tmp_path / "link.png"
    images.write_image(path, _noise())
    os.link(path, link)
    images.write_image(path, np.zeros((4, 4, 3), np.uint8))
    np.testing.assert_array_equal(images.read_photo(link).pixels, _noise())
    assert not images.read_photo(path).pixels.any()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.png"
    images.write_image(path, _noise())
    old = path.read_bytes()

    def fail(self: Image.Image, file: io.BufferedWriter, **options: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ImageError, match="No space left on device"):
        images.write_image(path, np.zeros((4, 4, 3), np.uint8))
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_list_photos(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.jpg", "d.heic"):  # told by their names, unreadable as they are
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.png").mkdir()
    assert [p.name for p in images.list_photos(tmp_path)] == ["a.png", "b.JPG", "d.heic"]
    assert images.list_photos(str(tmp_path / "c.txt")) == [tmp_path / "c.txt"]
    with pytest.raises(ImageError, match="holds no picture"):
        images.list_photos(tmp_path / "e.png")
    with pytest.raises(ImageError, match="there is no file"):
        images.list_photos(tmp_path / "gone")


def test_import_costs_no_torch() -> None:
    code = "import sys, emorph.core.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_photos_decode_as_pil_does(photos_dir: Path) -> None:
    paths = images.list_photos(photos_dir)
    assert len(paths) == 9
    for path in paths:
        photo = images.read_photo(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(photo.pixels, np.array(image.convert("RGB")))
        assert photo == Photo(photo.pixels, path)


def test_levels_and_unit_range_are_the_same_range_as_pixels() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    tensor = images.unit_range(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert torch.equal(tensor, images.to_tensor(pixels))
    np.testing.assert_allclose(images.to_levels(tensor), pixels, atol=1e-4)
    beyond = images.to_levels(torch.tensor([-1.2, 1.2]).reshape(1, 1, 1, 2))
    assert beyond.min() < 0  # neither clamped nor rounded
    assert beyond.max() > 255
    with pytest.raises(ShapeError, match="expected uint8"):
        images.unit_range(tensor)
