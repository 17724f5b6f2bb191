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
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from emorph.core.errors import ImageError, ShapeError, TooLargeError
from emorph.core.exif import Exif, dpi_of
from emorph.core.formats import START_BYTES, parser_for
from emorph.core.frames import choose_frame
from emorph.core.levels import deep_gray, deep_levels, is_deep, over_white, own_levels, seen
from emorph.core.types import Extra, Photo, UInt8

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_ICC_BYTES = 4 * 2**20  # the largest printers' profiles have some megabytes
MAX_PHOTO_PX = 120_000_000  # refused from the header; decoded as RGB this is 360 MB
DEPTH = "16 bits a channel"
_LONGEST_NAME = 120  # that a sentence repeats
_EXIF_ORIENTATION = 0x0112
_ICC_SPACE = slice(16, 20)  # of the header, ICC.1:2022, 7.2: the colour space of the pixels
_RGB_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")
_PIXI = b"pixi"  # ISO/IEC 23008-12, 6.5.6: bits of each channel, after a version, flags and their number
_STRIP_BYTES = 2**17  # of a picture's rows at once: they stay in the processor's cache
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
def opened(path: Path, frame: int | None = None) -> Iterator[ImageFile]:
    """Read the header only, with a parser chosen by the first bytes. frame: as for ``choose_frame``.

    Raises ImageError for what is no picture, and for several where none is chosen.
    """
    check_is_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
            file.seek(0)
            parser = parser_for(start, path.name)
            if parser is PngImagePlugin.PngImageFile:  # its parser would first look for pixels
                check_size(struct.unpack(">II", start[16:24].ljust(8, b"\0")), path.name)
            with decoding(path.name):
                image = parser(file, path.name)
                choose_frame(image, path.name, frame)
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
    raise ImageError(_absent(str(path)))


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a hostile or damaged file into one sentence."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{name} is too large ({error}); scale it down first.") from error
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # decoders raise nearly anything: SyntaxError, struct.error, zlib.error, ...
        reason = " ".join(str(error).split())  # some decoders say it in several lines
        raise ImageError(
            f"{name} is damaged or cut short ({reason}); download it again, or open it in a picture viewer "
            "and export it again."
        ) from error


def check_size(size: tuple[int, ...], name: str) -> None:
    width, height = size
    if width * height > MAX_PHOTO_PX:
        raise TooLargeError(
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
        shown, icc = _shown(_upright(image)[0])
        return _to_rgb(shown, name), icc


def decode_photo(image: Image.Image, name: str, path: Path | None = None) -> Photo:
    """As ``decode``, with what else the picture holds. path: its file, for what Pillow does not tell of it."""
    with decoding(name):
        deep = is_deep(image, path)
        page = image.tell() if hasattr(image, "tell") else 0
        upright, turn = _upright(image)
        exif = _exif(image, path)
        missing = [*exif.dropped, *_more_missing(image, path)]
        shown, icc = _shown(upright)
        levels = deep_levels(path, page, upright, turn) if deep and path is not None and shown is upright else None
        own = own_levels(upright, levels, name) if shown is upright else None
        if deep and levels is None:
            missing.append(DEPTH)
        if shown is not upright or (own is None and upright.mode not in _RGB_MODES):
            missing.append(f"{upright.mode} colours")
        elif icc is None and _profile(upright) is not None:
            missing.append("the colour profile")
        extra = Extra(own, exif.block(), dpi_of(image.info.get("dpi")), tuple(dict.fromkeys(missing)))
        return Photo(_to_rgb(shown, name) if own is None else seen(own), path, icc, extra)


def _upright(image: Image.Image) -> tuple[Image.Image, Image.Transpose | None]:
    """The picture loaded and turned as its EXIF says, and the turn, whether Pillow made it while loading or we did."""
    before = _TURNS.get(_orientation(image))
    with contextlib.ExitStack() as stack:
        # Only TIFF and GIF check again while they load; for sizes below that there is nothing to hush.
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or MAX_PHOTO_PX):
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image.load()
    turn = _TURNS.get(_orientation(image))
    return (image, before) if turn is None else (image.transpose(turn), turn)


def _shown(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """The picture in RGB or gray, itself if it is so already, and the profile that its pixels need."""
    profile = _profile(image)
    if profile is None or profile[_ICC_SPACE] == b"RGB ":
        return image, profile if image.mode in _RGB_MODES else None
    return to_srgb(image, profile), None


def _exif(image: Image.Image, path: Path | None) -> Exif:
    """What the file tells of the photo; a TIFF file is a block of EXIF itself."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and path is not None:
        return Exif.read(path.read_bytes())
    block = image.info.get("exif")
    return Exif.read(block) if isinstance(block, bytes) else Exif()


def _more_missing(image: Image.Image, path: Path | None) -> list[str]:
    """What no result has, and EXIF does not tell of."""
    missing = []
    if image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"):
        missing.append("XMP")
    if image.info.get("photoshop"):
        missing.append("IPTC")
    if image.format in ("JPEG", "HEIF") and (image.info.get("mp") or getattr(image, "n_frames", 1) > 1):
        missing.append("further pictures in the file")
    if image.format in ("AVIF", "HEIF") and path is not None:
        with path.open("rb") as file:
            _, found, box = file.read(2**16).partition(_PIXI)
        if found and len(box) > 5 and box[5] > 8:
            missing.append(f"{box[5]} bits a channel")
    return missing


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
        return seen(deep_gray(image, name))
    if image.has_transparency_data:
        return over_white(image.convert("RGBA"))
    return _levels_of(image if image.mode == "RGB" else image.convert("RGB"))


def _levels_of(image: Image.Image) -> UInt8:
    """The levels of an RGB picture, (H, W, 3), taken by strips: Pillow makes bytes of all that is taken at once."""
    levels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP_BYTES // (3 * image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        levels[top : top + strip.height] = np.asarray(strip)
    return levels


def array_photo(pixels: NDArray[Any]) -> Photo:
    """A photo of an array, uint8 (H, W, 3) RGB, (H, W, 4) RGBA, (H, W) or (H, W, 1) gray. Raises ShapeError."""
    shape_ok = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if pixels.dtype != np.uint8 or not shape_ok or 0 in pixels.shape:
        raise ShapeError(f"expected uint8 pixels (H, W, 3) RGB, (H, W, 4) RGBA or (H, W), found {summary(pixels)}.")
    own: UInt8 = np.array(pixels.reshape(*pixels.shape[:2], -1), order="C")
    return Photo(own) if own.shape[2] == 3 else Photo(seen(own), extra=Extra(own))


def summary(pixels: NDArray[Any]) -> str:
    return f"{pixels.dtype} {tuple(pixels.shape)}"


def _absent(name: str) -> str:
    """What to say of a photo that is not there, by what was given instead of a file's name."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    if re.match(r"[a-z]{2,}:/+", name, re.IGNORECASE):
        return f"{short} is an address; emorph reads files: download the photo, and name its file."
    if name == "-":
        return "a photo is not read from standard input; save it, and name its file."
    if name.startswith("data:"):
        return f"{short} is a picture as text; emorph reads files: save it, and name its file."
    return f"there is no file {short}; check the name and the folder."
