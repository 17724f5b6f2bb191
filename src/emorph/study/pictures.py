"""The pictures as participants get them: one size, one format, a name that tells nothing, and no metadata."""

from __future__ import annotations

import dataclasses
import io
import math
import secrets
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageCms, ImageDraw

from emorph.core.errors import DataError, EmorphError, NoFaceError
from emorph.core.files import said_of
from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.faces.detect import find_faces
from emorph.study.trials import StudyPicture

JPEG_QUALITY = 95
GROUND = (128, 128, 128)  # what a picture that is no square stands on
SURROUNDINGS = 0.45  # of a face box's side, on each side
SHAPE_TOLERANCE = 0.02  # of width to height
Window = tuple[int, int, int, int]  # left, top, right, bottom in px


def face_window(photo: Photo, name: str) -> Window:
    """A square around the largest face that lies in the photo. Raises NoFaceError."""
    faces = find_faces(photo)
    if not faces:
        raise NoFaceError(f"no face found in {name}; leave --crop out, or take the photo out.")
    height, width = photo.pixels.shape[:2]
    left, top, right, bottom = faces[0].box
    side = min(round((1 + 2 * SURROUNDINGS) * max(right - left, bottom - top)), width, height)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return x, y, x + side, y + side


def prepared(photo: Photo, size_px: int, window: Window | None = None) -> Image.Image:
    """The picture in sRGB, cut out, and fitted into a square of side ``size_px``."""
    image = _srgb(photo)
    if window is not None:
        image = image.crop(window)
    scale = size_px / max(image.size)
    fitted = image.resize(
        (max(round(image.width * scale), 1), max(round(image.height * scale), 1)), Image.Resampling.LANCZOS
    )
    square = Image.new("RGB", (size_px, size_px), GROUND)
    square.paste(fitted, ((size_px - fitted.width) // 2, (size_px - fitted.height) // 2))
    return square


def check_shape(edit: Photo, photo: Photo, edit_name: str, photo_name: str, *, same_size: bool) -> None:
    """Raises DataError if an edit is not the whole of its photo; same_size: nor of the same size."""
    (height, width), (h, w) = edit.pixels.shape[:2], photo.pixels.shape[:2]
    if same_size and (height, width) != (h, w):
        raise DataError(f"{edit_name} is {width}x{height}, its photo {photo_name} {w}x{h}; --crop needs equal sizes.")
    if abs(math.log(width * h / (height * w))) > SHAPE_TOLERANCE:
        raise DataError(
            f"{edit_name} is {width}x{height}, its photo {photo_name} {w}x{h}: not the same cut; "
            "give edits of whole photos, or the cut-out photos as their sources."
        )


def read_named(path: Path) -> Photo:
    """As ``read_photo``; whatever is wrong names the file. Raises DataError."""
    try:
        return read_photo(path)
    except EmorphError as error:
        raise DataError(said_of(str(path), str(error))) from None


def write_all(folder: Path, images: Iterable[tuple[StudyPicture, Image.Image]]) -> list[StudyPicture]:
    """Write pictures under random names, all with the same number of bytes; what they are, with their names.

    JPEG, quality 95, full colour resolution. What each is short of the longest is filled up with zeros after its end,
    which no decoder looks at: sizes of files tell nothing.
    """
    pictures, longest = [], 0
    for picture, image in images:
        content = io.BytesIO()
        image.save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        name = f"{secrets.token_hex(8)}.jpg"
        (folder / name).write_bytes(content.getvalue())
        longest = max(longest, content.tell())
        pictures.append(dataclasses.replace(picture, file=name))
    for picture in pictures:
        with (folder / picture.file).open("r+b") as file:
            file.truncate(longest)
    return pictures


def drawn_face(size_px: int, *, is_happy: bool) -> Image.Image:
    """A face drawn with a few lines, for examples and attention checks."""
    scale = 4  # drawn large and made small, so that its lines are smooth
    side = size_px * scale

    def at(*shares: float) -> list[float]:
        return [share * side for share in shares]

    image = Image.new("RGB", (side, side), (236, 239, 243))
    draw = ImageDraw.Draw(image)
    line, ink = side // 50, (52, 58, 70)
    draw.ellipse(at(0.14, 0.1, 0.86, 0.9), fill=(247, 214, 180), outline=ink, width=line)
    for x in (0.36, 0.64):
        draw.ellipse(at(x - 0.035, 0.38, x + 0.035, 0.46), fill=ink)
        tilt = 0.0 if is_happy else (0.03 if x < 0.5 else -0.03)
        draw.line(at(x - 0.08, 0.32 + tilt, x + 0.08, 0.32 - tilt), fill=ink, width=line)
    draw.line(at(0.5, 0.46, 0.47, 0.58, 0.52, 0.58), fill=ink, width=line, joint="curve")
    if is_happy:
        draw.chord(at(0.32, 0.5, 0.68, 0.78), 10, 170, fill=(255, 255, 255), outline=ink, width=line)
    else:
        draw.arc(at(0.36, 0.68, 0.64, 0.86), 200, 340, fill=ink, width=line)
    return image.resize((size_px, size_px), Image.Resampling.LANCZOS)


def _srgb(photo: Photo) -> Image.Image:
    image = Image.fromarray(photo.pixels)
    if photo.icc is None:
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(photo.icc))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image  # a damaged profile: shown as nearly every program shows it
    return image if converted is None else converted
