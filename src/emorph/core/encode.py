"""Photos and pictures to files: complete or not at all, with what the photo's file held, and what is lost named."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from emorph.core.commands import install
from emorph.core.decode import DEPTH, check_size, decoding, opened, summary
from emorph.core.deep_png import write_deep_png
from emorph.core.errors import ImageError, ShapeError
from emorph.core.exif import Exif
from emorph.core.files import written_beside
from emorph.core.formats import HEIF_SUFFIXES_WRITTEN, has_heif, writable_suffixes
from emorph.core.levels import changed, eight_bits, has_alpha, is_transparent
from emorph.core.types import Extra, Photo, UInt8

if TYPE_CHECKING:
    from emorph.core.levels import Levels

EXACT = "exact pixels"
TRANSPARENCY, LOCATION = "transparency", "location"
_EXIF_IFD, _EXIF_USER_COMMENT = 0x8769, 0x9286
_ASCII_COMMENT = b"ASCII\0\0\0"  # EXIF 2.3, 4.6.5: UserComment starts with its character code
_MAX_KEY_CHARS = 79  # PNG keywords
_LOSSY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "HEIF": {"quality": 90, "chroma": "444"},
}


@dataclass(frozen=True)
class Carried:
    """What a written file has of what its photo's file held, and what it has not, in words."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]


def write_image(
    path: str | Path, pixels: NDArray[Any], *, metadata: Mapping[str, str] | None = None, icc: bytes | None = None
) -> None:
    """Write a picture; the file appears complete or not at all, and its folder is made if need be.

    path: .png, .jpg, .jpeg (quality 95, 4:4:4), .webp (quality 95) or .avif (quality 90, 4:4:4); .heic (likewise) where
        pillow-heif is installed.
    pixels: uint8 (H, W, 3) RGB or (H, W, 1) gray.
    metadata: PNG keeps each entry as an iTXt chunk; the others keep all entries as one JSON object in
        the EXIF field UserComment, and "Software" also in the field of that name.
        Keys have 1 to 79 printable ASCII characters.
    icc: the pixels' colour profile (``Photo.icc``); without one they are sRGB.
    Raises ImageError if it cannot be written, ShapeError for other pixels.
    """
    path = Path(path)
    kind = _kind(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ShapeError(f"expected uint8 pixels (H, W, 3) or (H, W, 1), found {summary(pixels)}.")
    _write(path, kind, pixels, Extra(), metadata or {}, icc)


def write_photo(
    path: str | Path, photo: Photo, *, metadata: Mapping[str, str] | None = None, strip_location: bool = False
) -> Carried:
    """Write a photo as ``write_image`` does, with all that its file held and this kind of file can hold.

    PNG holds it all: alpha, 16 bits a channel, EXIF, resolution and colour profile; and pixels that were not changed
    are those of the photo's file. strip_location: leave out where the photo was taken.
    Returns what was kept and what was not.
    """
    path = Path(path)
    kind = _kind(path)
    extra, lost = photo.extra, list(photo.extra.missing)
    levels: Levels = photo.pixels if extra.own is None else changed(extra.own, photo.pixels)
    if levels.dtype == np.uint16 and kind != "PNG":
        levels = eight_bits(levels)
        lost.append(DEPTH)
    if has_alpha(levels) and kind == "JPEG":
        lost += [TRANSPARENCY] if is_transparent(levels) else []
        levels = photo.pixels
    exif = Exif.read(extra.exif)
    if strip_location:
        exif = exif.without_place()
    if kind in _LOSSY:
        lost += [EXACT, *(["the comment"] if metadata and _is_foreign(exif.comment) else [])]
    _write(path, kind, levels, Extra(exif=exif.block(), dpi=extra.dpi), metadata or {}, photo.icc)
    has = {
        TRANSPARENCY: is_transparent(levels),
        DEPTH: levels.dtype == np.uint16,
        "EXIF": bool(exif.picture or exif.taken),
        LOCATION: bool(exif.place),
        "dpi": extra.dpi is not None,
        "colour profile": photo.icc is not None,
    }
    return Carried(tuple(word for word, is_there in has.items() if is_there), tuple(lost))


def jpeg_url(pixels: UInt8, quality: int) -> str:
    """A picture, uint8 (H, W, 3) RGB, as the data URL of a JPEG, for pages that hold their pictures. quality: to 95."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata that write_image stored (for a PNG: all of its text chunks); empty if there is none.

    Raises ImageError if the file is not a picture that can be read.
    """
    path = Path(path)
    with opened(path, 1) as image:
        if isinstance(image, PngImagePlugin.PngImageFile):
            check_size(image.size, path.name)
            with decoding(path.name):
                return {key: str(text) for key, text in image.text.items()}
        try:
            comment = image.getexif().get_ifd(_EXIF_IFD).get(_EXIF_USER_COMMENT, b"")
            entries = json.loads(bytes(comment).removeprefix(_ASCII_COMMENT))
        except Exception:
            return {}  # foreign or damaged EXIF holds nothing of ours
    if not isinstance(entries, dict):
        return {}
    return {str(key): text for key, text in entries.items() if isinstance(text, str)}


def _kind(path: Path) -> str:
    """Pillow's name of the kind that a suffix stands for. Raises ImageError."""
    suffix, known = path.suffix.lower(), writable_suffixes()
    if suffix in HEIF_SUFFIXES_WRITTEN and not has_heif():
        raise ImageError(
            f"cannot write {path.name}: {suffix} needs pillow-heif (`{install('heif')}`); or use {', '.join(known)}."
        )
    if suffix not in known:
        raise ImageError(
            f"cannot write {path.name}: {path.suffix or 'no suffix'} is not a known picture suffix; "
            f"use {', '.join(known)}."
        )
    return known[suffix]


def _write(path: Path, kind: str, levels: Levels, extra: Extra, metadata: Mapping[str, str], icc: bytes | None) -> None:
    """Write levels (H, W, 1 to 4) that this kind can hold. extra: its exif and dpi."""
    options = _save_options(kind, _checked_metadata(metadata, path.name), extra) | {"icc_profile": icc}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as draft, draft.open("xb") as file:
            if levels.dtype == np.uint16:
                write_deep_png(file, np.asarray(levels, np.uint16), options)
            else:
                _save(kind, eight_bits(levels), file, options)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(
            f"cannot write {path}: {reason}; check permissions and free space, or choose another output."
        ) from error


def _save(kind: str, levels: UInt8, file: BinaryIO, options: dict[str, Any]) -> None:
    image = Image.fromarray(np.ascontiguousarray(levels[..., 0] if levels.shape[2] == 1 else levels))
    if kind not in ("PNG", "JPEG") and image.mode in ("L", "LA"):
        image = image.convert("RGBA" if image.mode == "LA" else "RGB")
    if kind != "HEIF":
        image.save(file, format=kind, **options)
        return
    import pillow_heif

    heif = pillow_heif.from_pillow(image)
    heif.info["icc_profile"] = options.pop("icc_profile")  # from_pillow takes a picture's own, not an option
    heif.save(file, **options)


def _is_foreign(comment: bytes) -> bool:
    """Whether somebody else wrote it; ours gives its place to the new one."""
    return bool(comment) and not comment.startswith(_ASCII_COMMENT + b"{")


def _checked_metadata(metadata: Mapping[str, str], name: str) -> dict[str, str]:
    for key in metadata:
        if not (1 <= len(key) <= _MAX_KEY_CHARS and key.isascii() and key.isprintable() and key == key.strip()):
            limit = f"1 to {_MAX_KEY_CHARS} printable ASCII characters"
            raise ImageError(f"cannot write {name}: metadata key {key!r} must have {limit}.")
    return dict(metadata)


def _save_options(kind: str, metadata: dict[str, str], extra: Extra) -> dict[str, Any]:
    options: dict[str, Any] = dict(_LOSSY.get(kind, {}))
    software = metadata.get("Software", "")
    exif = Exif.read(extra.exif)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in metadata.items():
            chunks.add_itxt(key, text)
        options["pnginfo"] = chunks
        if extra.exif and software.isascii():
            exif = exif.noted(software, b"")
    elif metadata:
        note = _ASCII_COMMENT + json.dumps(metadata).encode("ascii")
        exif = exif.noted(software if software.isascii() else "", note)
    if extra.dpi and kind in ("PNG", "JPEG"):
        options["dpi"] = extra.dpi
    elif extra.dpi:
        exif = exif.with_dpi(extra.dpi)
    block = exif.block()
    return options | ({"exif": b"Exif\0\0" + block} if block else {})
