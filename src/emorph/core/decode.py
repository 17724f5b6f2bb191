"""Decoding hostile picture files: what is read, how large it may be, and one sentence for each way it can fail."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from emorph.core.errors import ImageError, ShapeError
from emorph.core.types import UInt8

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_ICC_BYTES = 4 * 2**20  # the largest printers' profiles have some megabytes
MAX_PHOTO_PX = 120_000_000  # refused from the header; decoded as RGB this is 360 MB
FORMATS = "JPEG, PNG, WebP, TIFF, BMP or GIF"
_PARSERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (rb"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (rb"RIFF....WEBP", WebPImagePlugin.WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile),
    (rb"BM", BmpImagePlugin.BmpImageFile),
    (rb"GIF8[79]a", GifImagePlugin.GifImageFile),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1", b"avif")
_EXIF_ORIENTATION = 0x0112
_ICC_SPACE = slice(16, 20)  # of the header, ICC.1:2022, 7.2: the colour space of the pixels
_RGB_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """Read the header only, with one of six parsers chosen by the first bytes.

    They are called directly: Image.open would warn about sizes that we allow, and its limit is a global.
    """
    check_is_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(32)
            file.seek(0)
            parser = _parser_for(start, path.name)
            with decoding(path.name):
                image = parser(file, path.name)
            yield image
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror or error}); check its permissions.") from error


def check_is_file(path: Path) -> None:
    try:
        if path.is_file():
            return
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not a picture; name a picture in it.")
        there = path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        there = False
    if there:
        raise ImageError(f"{path} is not a regular file; name a picture file.")
    raise ImageError(f"there is no file {path}; check the name and the folder.")


def _parser_for(start: bytes, name: str) -> type[ImageFile]:
    if not start:
        raise ImageError(f"{name} is empty (0 bytes); download it again or export it again.")
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        raise ImageError(f"{name} is a HEIC or AVIF picture, not readable here; convert it to JPEG or PNG.")
    for signature, parser in _PARSERS:
        if re.match(signature, start, re.DOTALL):
            if parser is PngImagePlugin.PngImageFile:  # its parser would first look for pixels
                check_size(struct.unpack(">II", start[16:24].ljust(8, b"\0")), name)
            return parser
    raise ImageError(
        f"{name} is not a picture: its content is not {FORMATS}, whatever its name says; "
        "open it in a picture viewer and export it as JPEG or PNG."
    )


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a hostile or damaged file into one sentence."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large ({error}); scale it down first.") from error
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # decoders raise nearly anything: SyntaxError, struct.error, zlib.error, ...
        raise ImageError(
            f"{name} is damaged or cut short ({error}); download it again, or open it in a picture viewer "
            "and export it again."
        ) from error


def check_size(size: tuple[int, ...], name: str) -> None:
    width, height = size
    if width * height > MAX_PHOTO_PX:
        raise ImageError(
            f"{name} has {width}x{height} px ({width * height / 1e6:,.0f} million), the limit is "
            f"{MAX_PHOTO_PX / 1e6:,.0f} million; scale it down first."
        )
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}x{height}); export it again.")


def decode(image: Image.Image, name: str) -> tuple[UInt8, bytes | None]:
    """Load, turn upright and convert to RGB: the pixels, and their colour profile if it is one of RGB.

    Pixels of another colour space (CMYK, gray, Lab) with a profile of theirs become sRGB.
    """
    with decoding(name):
        with contextlib.ExitStack() as stack:
            # Only TIFF and GIF check again while they load; for sizes below that there is nothing to hush.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or MAX_PHOTO_PX):
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image.load()
        turn = _TURNS.get(_orientation(image))
        if turn is not None:
            image = image.transpose(turn)
        profile = _profile(image)
        if profile is None or profile[_ICC_SPACE] == b"RGB ":
            return _to_rgb(image, name), profile if image.mode in _RGB_MODES else None
        return _to_rgb(to_srgb(image, profile), name), None


def _profile(image: Image.Image) -> bytes | None:
    """The embedded ICC profile, if its header says it is one and it is not too large to carry along."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > MAX_ICC_BYTES or profile[36:40] != b"acsp":
        return None
    return profile


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Through its ICC profile; the picture as it is, if the profile does not fit it or is damaged."""
    if image.mode not in ("RGB", "CMYK", "L", "LAB"):
        return image
    try:
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; a damaged EXIF block counts as upright."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def _to_rgb(image: Image.Image, name: str) -> UInt8:
    if image.mode == "F":
        raise ImageError(f"{name} holds floating-point values, whose range is unknown; export it with 8 or 16 bits.")
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ImageError(f"{name} holds 32-bit values, whose range is unknown; export it with 8 or 16 bits.")
        gray = ((levels * 255 + 32767) // 65535).astype(np.uint8)  # rounded, 65535 -> 255
        return np.repeat(gray[..., None], 3, axis=2)
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _over_white(image: Image.Image) -> UInt8:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return np.array(white.convert("RGB"))


def array_to_rgb(pixels: NDArray[Any]) -> UInt8:
    shape_ok = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if pixels.dtype != np.uint8 or not shape_ok or 0 in pixels.shape:
        raise ShapeError(f"expected uint8 pixels (H, W, 3) RGB, (H, W, 4) RGBA or (H, W), found {summary(pixels)}.")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] == 4:
        return _over_white(Image.fromarray(pixels))
    return np.array(pixels, order="C")


def summary(pixels: NDArray[Any]) -> str:
    return f"{pixels.dtype} {tuple(pixels.shape)}"
