"""Which kind of picture a file is: told by its content, never by its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from emorph.core.commands import install
from emorph.core.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC"
READABLE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".avif", ".avifs"),
)
HEIC_SUFFIXES = (".heic", ".heif", ".hif")  # read where pillow-heif is installed
WRITABLE_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}
HEIF_SUFFIXES_WRITTEN = {".heic": "HEIF", ".heif": "HEIF"}  # likewise
START_BYTES = 512  # of a file, that tell its kind

_PARSERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (rb"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (rb"RIFF....WEBP", WebPImagePlugin.WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile),
    (rb"BM", BmpImagePlugin.BmpImageFile),
    (rb"GIF8[79]a", GifImagePlugin.GifImageFile),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
# what else people take for a photo, and what to do with it
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture, which emorph does not read; export it as PNG or JPEG"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture, which emorph does not read; export it as PNG or JPEG"),
    (rb"II\*\0....CR|....ftypcrx |FUJIFILMCCD-RAW|IIRO|IIU\0", "a camera's raw file; develop it, and export a TIFF"),
    (rb"8BPS", "a Photoshop document; export it as TIFF or PNG"),
    (
        rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar",
        "a packed archive, not a picture; unpack it, and name the folder",
    ),
    (rb"%PDF|%!PS", "not a picture but a document for printing; export the picture in it as JPEG or PNG"),
    (
        rb"....ftyp(qt  |isom|mp4|M4V|avc1|3gp)|\x1aE\xdf\xa3|RIFF....AVI ",
        "a film, not a picture; export a frame of it",
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, not the picture itself; fetch it with `git lfs pull`"),
    (rb"(\xef\xbb\xbf)?\s*<(?i:!doctype html|html)", "a web page, not a picture; download the picture itself"),
)


def is_picture(start: bytes) -> bool:
    """Whether a file that starts so is of a kind that can be read, HEIC among them. start: its first START_BYTES."""
    return not _other(start) and (_known_parser(start) is not None or _is_avif(start) or _is_heic(start))


def parser_for(start: bytes, name: str) -> type[ImageFile]:
    """What parses a file that starts so. Raises ImageError, which says what the file is instead of a picture.

    Pillow's parsers are called directly: Image.open would warn about sizes that we allow, and its limit is a global.
    """
    if not start:
        raise ImageError(f"{name} is empty (0 bytes); download it again or export it again.")
    if other := _other(start):
        raise ImageError(f"{name} is {other}.")
    if parser := _known_parser(start):
        return parser
    if _is_avif(start):
        return AvifImagePlugin.AvifImageFile
    if _is_heic(start):
        return _heic_parser(name)
    raise ImageError(
        f"{name} is not a picture: its content is not {FORMATS}, whatever its name says; "
        "open it in a picture viewer and export it as JPEG or PNG."
    )


def has_heif() -> bool:
    """Whether pillow-heif is installed, which reads and writes HEIC."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def writable_suffixes() -> dict[str, str]:
    """The suffixes of pictures that can be written here, and Pillow's name of each kind."""
    return WRITABLE_SUFFIXES | (HEIF_SUFFIXES_WRITTEN if has_heif() else {})


def _other(start: bytes) -> str:
    """What is not read, and what to do with it; "" for anything else."""
    return next((is_what for signature, is_what in _OTHERS if re.match(signature, start, re.DOTALL)), "")


def _known_parser(start: bytes) -> type[ImageFile] | None:
    return next((parser for signature, parser in _PARSERS if re.match(signature, start, re.DOTALL)), None)


def _brands(start: bytes) -> set[bytes]:
    """The kinds that an ISO media file says it is of (ISO/IEC 14496-12, 4.3): its major and its compatible brands."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[8:12], *(start[i : i + 4] for i in range(16, end - 3, 4))}


def _is_avif(start: bytes) -> bool:
    return bool(_brands(start) & _AVIF_BRANDS)


def _is_heic(start: bytes) -> bool:
    return bool(_brands(start) & _HEIC_BRANDS)


def _heic_parser(name: str) -> type[ImageFile]:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError:
        raise ImageError(
            f"{name} is a HEIC picture, which pillow-heif reads: `{install('heif')}`, or convert it to JPEG or PNG."
        ) from None
    parser: type[ImageFile] = HeifImageFile
    return parser
