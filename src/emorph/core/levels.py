"""A file's own levels beside the photo's 8-bit RGB: alpha, 16 bits a channel, gray; and what an edit makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from emorph.core.errors import ImageError, ShapeError
from emorph.core.types import Photo, UInt8, UInt16

if TYPE_CHECKING:
    Levels = UInt8 | UInt16

_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _UNSIGNED = 258, 339, 1


def own_levels(image: Image.Image, deep: UInt16 | None, name: str) -> Levels | None:
    """The levels of a decoded picture where RGB in 8 bits does not tell them all, as ``Extra.own`` wants them.

    deep: of ``deep_levels``, in the picture's own position. Raises ImageError for levels of unknown range.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        return deep_gray(image, name)
    if deep is not None:
        return deep
    if image.mode in ("L", "1"):
        return np.array(image.convert("L"))[..., None]
    if image.has_transparency_data:
        return np.array(image if image.mode in ("LA", "RGBA") else image.convert("RGBA"))
    return None


def rgba(photo: Photo) -> UInt8:
    """A photo's pixels in 8 bits: (H, W, 4) if anything shows through, else (H, W, 3)."""
    own = photo.extra.own
    if own is None or not is_transparent(own):
        return photo.pixels
    levels = eight_bits(changed(own, photo.pixels))
    return np.ascontiguousarray(levels[..., [0, 0, 0, 1]] if levels.shape[2] == 2 else levels)


def deep_gray(image: Image.Image, name: str) -> UInt16:
    """The levels (H, W, 1) of a gray picture of more than 8 bits. Raises ImageError for more than 16."""
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ImageError(f"{name} holds 32-bit values, whose range is unknown; export it with 8 or 16 bits.")
    return levels.astype(np.uint16)[..., None]


def is_deep(image: Image.Image, path: Path | None) -> bool:
    """Whether the file has 16 bits a channel of which Pillow decodes the upper 8."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits, kinds = (np.ravel(image.tag_v2.get(tag, 1)).tolist() for tag in (_BITS_PER_SAMPLE, _SAMPLE_FORMAT))
        return set(bits) == {16} and set(kinds) == {_UNSIGNED} and not image.mode.startswith("I")
    if isinstance(image, PngImagePlugin.PngImageFile) and path is not None:
        with path.open("rb") as file:
            return file.read(25)[24:] == b"\x10" and not image.mode.startswith("I")  # IHDR's bit depth
    return False


def deep_levels(path: Path, page: int, image: Image.Image, turn: Image.Transpose | None) -> UInt16 | None:
    """All 16 bits of a picture of which Pillow has decoded the upper 8; None unless OpenCV reads exactly these.

    page: its number in the file, from 0. image: upright. turn: what turned it upright.
    """
    import cv2  # here, because most photos do without it

    if image.mode not in ("RGB", "RGBA") or (image.mode == "RGB" and image.has_transparency_data):
        return None
    upper = np.asarray(image)
    try:
        content = np.fromfile(path, np.uint8)
        if page == 0:
            found = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        else:
            found = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, range=(page, page + 1))[1][0]
    except (cv2.error, OSError, IndexError):
        return None
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        return None
    order = [2, 1, 0, 3][: upper.shape[2]]
    if len(order) > found.shape[2]:
        return None
    levels = np.ascontiguousarray(found[..., order])
    for upright in (levels, turned(levels, turn)):
        if upright.shape == upper.shape and np.array_equal(upright >> 8, upper):
            return np.ascontiguousarray(upright)
    return None


def turned(levels: NDArray[Any], turn: Image.Transpose | None) -> NDArray[Any]:
    """(H, W, C) as ``PIL.Image.transpose`` turns a picture."""
    if turn is None:
        return levels
    flips = {
        Image.Transpose.FLIP_LEFT_RIGHT: lambda a: a[:, ::-1],
        Image.Transpose.FLIP_TOP_BOTTOM: lambda a: a[::-1],
        Image.Transpose.ROTATE_90: lambda a: np.rot90(a, 1),
        Image.Transpose.ROTATE_180: lambda a: np.rot90(a, 2),
        Image.Transpose.ROTATE_270: lambda a: np.rot90(a, 3),
        Image.Transpose.TRANSPOSE: lambda a: a.swapaxes(0, 1),
        Image.Transpose.TRANSVERSE: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    }
    result: NDArray[Any] = flips[turn](levels)
    return result


def has_alpha(levels: Levels) -> bool:
    """Whether the last channel is alpha."""
    return levels.shape[2] in (2, 4)


def is_transparent(levels: Levels) -> bool:
    """Whether anything shows through."""
    return has_alpha(levels) and bool((levels[..., -1] < np.iinfo(levels.dtype).max).any())


def eight_bits(levels: Levels) -> UInt8:
    """Rounded to 8 bits a channel."""
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8, copy=False)
    rounded: UInt8 = ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)  # 65535 -> 255
    return rounded


def seen(levels: Levels) -> UInt8:
    """What a photo's pixels are of levels (H, W, 1 to 4): uint8 (H, W, 3), what is transparent over white."""
    own = eight_bits(levels)
    if own.shape[2] == 1:
        return np.repeat(own, 3, axis=2)
    if own.shape[2] == 3:
        return own.copy()
    colours = own[..., [0, 0, 0, 1]] if own.shape[2] == 2 else own
    return over_white(Image.fromarray(np.ascontiguousarray(colours)))


def over_white(image: Image.Image) -> UInt8:
    """An RGBA picture on a white ground."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return np.array(white.convert("RGB"))


def changed(own: Levels, pixels: UInt8) -> Levels:
    """A file's levels after its photo's pixels were edited: those of pixels that did not change are what they were.

    Elsewhere each channel takes the change on, so that 16 bits keep what 8 do not show; gray stays gray if the edit is.
    Where the photo is half transparent its colour changes so much that the same is seen; neither alpha itself nor what
    it hides ever changes.
    Raises ShapeError if they differ in size.
    """
    if own.shape[:2] != pixels.shape[:2]:
        raise ShapeError(f"expected pixels of the file's size {own.shape[:2]}, found {pixels.shape[:2]}.")
    before = seen(own)
    rows, columns = np.nonzero((pixels != before).any(axis=2))
    if not rows.size:
        return own
    new = pixels[rows, columns].astype(np.int32)
    step = (new - before[rows, columns]).astype(np.float64)
    result = own.copy()
    if own.shape[2] < 3 and (new != new[:, :1]).any():
        result = own[..., [0, 0, 0, 1][: 2 + own.shape[2]]]
    top = np.iinfo(own.dtype).max
    n_colours = result.shape[2] - has_alpha(result)
    levels = result[rows, columns].astype(np.float64)
    opaque = levels[:, -1:] / top if has_alpha(result) else np.ones((len(rows), 1))
    moved = levels[:, :n_colours] + (opaque > 0) * step[:, :n_colours] * (top / 255) / np.maximum(opaque, 1 / 255)
    levels[:, :n_colours] = np.clip(np.rint(moved), 0, top)
    result[rows, columns] = levels.astype(own.dtype)
    return result
