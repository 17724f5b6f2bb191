"""Files to uint8 RGB and back; uint8 HWC to float BCHW in [-1, 1] and back: the only change of range."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    PngImagePlugin,
)

from emorph.core.decode import FORMATS, array_to_rgb, check_is_file, check_size, decode, decoding, opened, summary
from emorph.core.errors import ImageError, ShapeError
from emorph.core.files import written_beside
from emorph.core.types import Float32, Photo, UInt8

if TYPE_CHECKING:
    from torch import Tensor

READABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
HEIC_SUFFIXES = (".heic", ".heif", ".avif")  # listed in folders, so that their refusal is seen
WRITABLE_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

_EXIF_SOFTWARE, _EXIF_IFD, _EXIF_USER_COMMENT = 0x0131, 0x8769, 0x9286
_ASCII_COMMENT = b"ASCII\0\0\0"  # EXIF 2.3, 4.6.5: UserComment starts with its character code
_MAX_KEY_CHARS = 79  # PNG keywords


def read_photo(source: str | Path | Image.Image | NDArray[Any] | Photo) -> Photo:
    """Decode one picture to upright 8-bit RGB.

    source: a file (JPEG, PNG, WebP, TIFF, BMP, GIF; its first frame), a PIL image, or an array uint8
        (H, W, 3) RGB, (H, W, 4) RGBA, (H, W) or (H, W, 1) gray.
        Transparency is laid over white, 16-bit gray is scaled to 8 bits. RGB pixels stay as they are and the photo
        keeps their colour profile; CMYK, gray and Lab are converted to sRGB by theirs.
    Returns a photo that shares no memory with ``source``; a Photo is handed back as it is.
    Raises ImageError for a file that is missing, damaged, too large (MAX_PHOTO_PX) or of another kind,
    ShapeError for an array of another shape or type.

    >>> read_photo("examples/astronaut.png").pixels.shape
    (512, 512, 3)
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return Photo(array_to_rgb(source))
    if isinstance(source, Image.Image):
        check_size(source.size, "the photo")
        pixels, icc = decode(source, "the photo")
        return Photo(pixels, icc=icc)
    path = Path(source)
    with opened(path) as image:
        check_size(image.size, path.name)
        pixels, icc = decode(image, path.name)
        return Photo(pixels, path, icc)


def list_photos(path: str | Path) -> list[Path]:
    """The file itself, or the pictures directly in a folder, by suffix, sorted by name, without hidden files.

    HEIC files are listed too: read_photo says how to convert them, nothing is passed over in silence.
    Raises ImageError if there is nothing at ``path``, or no picture in the folder.
    """
    path = Path(path)
    if not path.is_dir():
        check_is_file(path)
        return [path]
    suffixes = READABLE_SUFFIXES + HEIC_SUFFIXES
    try:
        photos = [p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".")]
    except OSError as error:
        raise ImageError(f"the folder {path} cannot be read ({error.strerror}); check its permissions.") from error
    photos = sorted(p for p in photos if p.is_file())
    if not photos:
        raise ImageError(f"the folder {path} holds no picture; name a folder with {FORMATS} files.")
    return photos


def to_tensor(pixels: NDArray[Any]) -> Tensor:
    """Pixels to what models take: x / 127.5 - 1.

    pixels: uint8 (H, W, 3) or (B, H, W, 3), or gray with a last axis of 1.
    Returns float32 (B, C, H, W) in [-1, 1]. Raises ShapeError for another type or shape.
    """
    import torch

    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3):
        raise ShapeError(f"expected uint8 pixels (H, W, 3), (B, H, W, 3) or (B, H, W, 1), found {summary(pixels)}.")
    batch = pixels if pixels.ndim == 4 else pixels[None]
    return unit_range(torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))))


def unit_range(planes: Tensor) -> Tensor:
    """``to_tensor`` for pixels that are a uint8 tensor (B, C, H, W) already. Raises ShapeError for another type."""
    if planes.is_floating_point() or planes.ndim != 4:
        raise ShapeError(f"expected uint8 (B, C, H, W), found {planes.dtype} {tuple(planes.shape)}.")
    return planes.float().div_(127.5).sub_(1.0)


def to_pixels(tensor: Tensor) -> UInt8:
    """What models give back to pixels; values beyond [-1, 1] are clamped, the rest is rounded.

    tensor: float (B, 3, H, W) or (B, 1, H, W), nominally in [-1, 1].
    Returns uint8 (B, H, W, C), so that ``to_pixels(to_tensor(p))`` is ``p``.
    Raises ShapeError for another type or shape, or if it holds NaN.

    >>> pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    >>> bool((to_pixels(to_tensor(pixels)) == pixels).all())
    True
    """
    if not tensor.is_floating_point() or tensor.ndim != 4 or tensor.shape[1] not in (1, 3):
        raise ShapeError(f"expected float (B, 3, H, W) or (B, 1, H, W), found {tensor.dtype} {tuple(tensor.shape)}.")
    pixels: UInt8 = np.rint(to_levels(tensor)).clip(0, 255).astype(np.uint8)
    return pixels


def to_levels(tensor: Tensor) -> Float32:
    """``to_pixels`` before rounding and clamping, so that a small change survives: float32 (B, H, W, C), 0..255.

    Raises ShapeError if it holds NaN.
    """
    levels = (tensor.detach().float() + 1.0) * 127.5
    if bool(levels.isnan().any()):
        raise ShapeError("expected numbers in [-1, 1], found NaN: the model's output is broken, check its weights.")
    channels_last: Float32 = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return channels_last


def luminance(tensor: Tensor) -> Tensor:
    """Gray of a colour batch with the weights of Rec. 601, as PIL's mode "L".

    tensor: float (B, 3, H, W) in any range; returns (B, 1, H, W) in the same range. Raises ShapeError.

    >>> import torch
    >>> green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    >>> round(luminance(green).item(), 3)
    0.587
    """
    if not tensor.is_floating_point() or tensor.ndim != 4 or tensor.shape[1] != 3:
        raise ShapeError(f"expected float (B, 3, H, W), found {tensor.dtype} {tuple(tensor.shape)}.")
    red, green, blue = tensor[:, 0:1], tensor[:, 1:2], tensor[:, 2:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def write_image(
    path: str | Path, pixels: NDArray[Any], *, metadata: Mapping[str, str] | None = None, icc: bytes | None = None
) -> None:
    """Write a picture; the file appears complete or not at all, and its folder is made if need be.

    path: .png, .jpg, .jpeg (quality 95, 4:4:4) or .webp (quality 95).
    pixels: uint8 (H, W, 3) RGB or (H, W, 1) gray.
    metadata: PNG keeps each entry as an iTXt chunk; JPEG and WebP keep all entries as one JSON object in
        the EXIF field UserComment, and "Software" also in the field of that name.
        Keys have 1 to 79 printable ASCII characters.
    icc: the pixels' colour profile (``Photo.icc``); without one they are sRGB.
    Raises ImageError if it cannot be written, ShapeError for other pixels.
    """
    path = Path(path)
    kind = WRITABLE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise ImageError(
            f"cannot write {path.name}: {path.suffix or 'no suffix'} is not a known picture suffix; "
            f"use {', '.join(WRITABLE_SUFFIXES)}."
        )
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ShapeError(f"expected uint8 pixels (H, W, 3) or (H, W, 1), found {summary(pixels)}.")
    options = _save_options(kind, _checked_metadata(metadata or {}, path.name))
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as draft, draft.open("xb") as file:
            image.save(file, format=kind, icc_profile=icc, **options)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(
            f"cannot write {path}: {reason}; check permissions and free space, or choose another output."
        ) from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata that write_image stored (for a PNG: all of its text chunks); empty if there is none.

    Raises ImageError if the file is not a picture that can be read.
    """
    path = Path(path)
    with opened(path) as image:
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


def _checked_metadata(metadata: Mapping[str, str], name: str) -> dict[str, str]:
    for key in metadata:
        if not (1 <= len(key) <= _MAX_KEY_CHARS and key.isascii() and key.isprintable() and key == key.strip()):
            limit = f"1 to {_MAX_KEY_CHARS} printable ASCII characters"
            raise ImageError(f"cannot write {name}: metadata key {key!r} must have {limit}.")
    return dict(metadata)


def _save_options(kind: str, metadata: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}.get(kind, {})
    if not metadata:
        return options
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in metadata.items():
            chunks.add_itxt(key, text)
        return options | {"pnginfo": chunks}
    exif = Image.Exif()
    if metadata.get("Software", "").isascii() and "Software" in metadata:
        exif[_EXIF_SOFTWARE] = metadata["Software"]
    exif.get_ifd(_EXIF_IFD)[_EXIF_USER_COMMENT] = _ASCII_COMMENT + json.dumps(metadata).encode("ascii")
    return options | {"exif": exif}
