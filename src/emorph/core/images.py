"""Files to uint8 RGB and back; uint8 HWC to float BCHW in [-1, 1] and back: the only change of range."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emorph.core.decode import array_photo, check_is_file, check_size, decode_photo, opened, summary
from emorph.core.encode import read_metadata as read_metadata
from emorph.core.encode import write_image as write_image
from emorph.core.encode import write_photo as write_photo
from emorph.core.errors import ImageError, ShapeError
from emorph.core.formats import FORMATS, HEIC_SUFFIXES, START_BYTES, is_picture
from emorph.core.formats import READABLE_SUFFIXES as READABLE_SUFFIXES
from emorph.core.types import Float32, Photo, UInt8

if TYPE_CHECKING:
    from torch import Tensor


def read_photo(source: str | Path | Image.Image | NDArray[Any] | Photo, *, frame: int | None = None) -> Photo:
    """Decode one picture to upright 8-bit RGB; what else it holds stays in the photo's ``extra``.

    source: a file (JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF; HEIC with pillow-heif), told by its content, a PIL image, or
        an array uint8 (H, W, 3) RGB, (H, W, 4) RGBA, (H, W) or (H, W, 1) gray.
        Transparency is laid over white, 16 bits are scaled to 8. RGB pixels stay as they are and the photo
        keeps their colour profile; CMYK, gray and Lab are converted to sRGB by theirs.
    frame: of a file that has several frames or pages, from 1; such a file needs one.
    Returns a photo that shares no memory with ``source``; a Photo is handed back as it is.
    Raises ImageError for a file that is missing, damaged, too large (MAX_PHOTO_PX), of another kind or has several
    frames, ShapeError for an array of another shape or type.

    >>> read_photo("examples/astronaut.png").pixels.shape
    (512, 512, 3)
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return array_photo(source)
    if isinstance(source, Image.Image):
        check_size(source.size, "the photo")
        return decode_photo(source, "the photo")
    if not isinstance(source, str | PathLike):
        raise ImageError(f"a photo is a file, a PIL image or an array of its pixels, found {source!r:.60}.")
    path = Path(source)
    with opened(path, frame) as image:
        check_size(image.size, path.name)
        return decode_photo(image, path.name, path)


class Listing(NamedTuple):
    """The pictures in a folder, and what else is in it, without hidden files; both sorted by name."""

    photos: list[Path]
    others: list[Path]


def list_photos(path: str | Path) -> list[Path]:
    """The file itself, or the pictures directly in a folder, sorted by name, without hidden files.

    A picture is told by its name or by its content: one that cannot be read is listed, so that its refusal is seen.
    Raises ImageError if there is nothing at ``path``, or no picture in the folder.
    """
    path = Path(path)
    if not path.is_dir():
        check_is_file(path)
        return [path]
    photos = list_folder(path).photos
    if not photos:
        raise ImageError(f"the folder {path} holds no picture; name a folder with {FORMATS} files.")
    return photos


def list_folder(folder: Path) -> Listing:
    """The pictures directly in a folder, and what else is in it. Raises ImageError if it cannot be read."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ImageError(f"the folder {folder} cannot be read ({error.strerror}); check its permissions.") from error
    is_photo = [_is_photo(entry) for entry in entries]
    photos, others = (
        [e for e, found in zip(entries, is_photo, strict=True) if found is want] for want in (True, False)
    )
    return Listing(photos, others)


def _is_photo(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() in READABLE_SUFFIXES + HEIC_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return is_picture(file.read(START_BYTES))
    except OSError:
        return False


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
