"""Result sheets: one row a photo, a label over each column."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emorph.core.decode import to_srgb
from emorph.core.errors import ShapeError
from emorph.core.types import AlignedFace, Photo, Target

if TYPE_CHECKING:  # training on a machine without an image library draws sheets, too
    from emorph.edit.result import Edit

TILE_PX = 256
GAP_PX = 4
LABEL_PX = 28
NAME_PX = 20  # a line of a row's name; also a further one of a title
AROUND = 1.25  # side of the shown square over the side of the model's crop: hair and chin belong to a face
_BACKGROUND, _INK = (255, 255, 255), (32, 32, 32)


@dataclass(frozen=True)
class Row:
    """One face's part of a sheet: tiles of one size and the title of each. name: what stands over it, or ""."""

    tiles: tuple[Image.Image, ...]
    titles: tuple[str, ...]
    name: str = ""


def tiles(edits: Sequence[Edit[Target]], name: str = "", which: int = 0) -> Row:
    """Original and edits of one photo, cropped around a face: all that a sheet needs of them.

    name: the row's. which: of the faces that were changed, counted from 0.
    """
    pictures = (tile(edits[0].source, edits[0].faces[which]), *(tile(e.photo, e.faces[which]) for e in edits))
    is_strip = len({edit.target.strength for edit in edits}) > 1
    return Row(pictures, ("Original", *(title(edit.target, with_strength=is_strip) for edit in edits)), name)


def rows_of(edits: Sequence[Edit[Target]], name: str = "") -> list[Row]:
    """A row for each face of one photo that was changed. name: the photo's; of several faces each is counted."""
    n = len(edits[0].faces)
    return [tiles(edits, f"{name} ({i + 1} of {n})" if name and n > 1 else name, i) for i in range(n)]


def title(target: Target, *, with_strength: bool = False) -> str:
    """What stands over an edit: the target, and its strength where that is not the usual, or is wanted.

    >>> from emorph.core.expressions import Emotion
    >>> title(Target(Emotion.SAD)), title(Target(Emotion.SAD, 0.5)), title(Target(Emotion.SAD), with_strength=True)
    ('Sad', 'Sad 0.5', 'Sad 1')
    >>> title(Target(units=(("AU12", 0.6),), strength=0.5))  # the font has no other sign for "times"
    'AU12 0.6 x 0.5'
    """
    between = " x " if target.units or target.blend else " "
    is_told = with_strength or target.strength != 1
    return f"{target.title}{between}{target.strength:g}" if is_told else target.title


def tile(photo: Photo, face: AlignedFace, side_px: int = TILE_PX) -> Image.Image:
    """The upright square around a face's crop, resampled to ``side_px``, in sRGB; beyond the photo it is white."""
    middle = (face.side_px - 1) / 2
    x, y, _ = face.crop_to_photo @ np.array([middle, middle, 1.0])
    half = AROUND * face.side_px * face.photo_px_per_crop_px / 2
    box = (round(x - half), round(y - half), round(x + half) + 1, round(y + half) + 1)
    square = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), _BACKGROUND)
    inside = (max(box[0], 0), max(box[1], 0), min(box[2], photo.pixels.shape[1]), min(box[3], photo.pixels.shape[0]))
    cut = photo.pixels[inside[1] : inside[3], inside[0] : inside[2]]
    square.paste(Image.fromarray(np.ascontiguousarray(cut)), (inside[0] - box[0], inside[1] - box[1]))
    shown = square.resize((side_px, side_px), Image.Resampling.LANCZOS)
    return shown if photo.icc is None else to_srgb(shown, photo.icc)


def grid(rows: Sequence[Row], font: str = "") -> Image.Image:
    """Rows below each other, with a title over each column; several rows with their names, where they have any.

    What is too long for its place is wrapped. font: the file of one that has all letters of the titles, by default one
    with Latin letters. Raises ShapeError if the rows differ in their titles.
    """
    titles = rows[0].titles
    if any(row.titles != titles for row in rows):
        raise ShapeError("all rows of a sheet need the same targets in the same order.")
    named = len(rows) > 1 and any(row.name for row in rows)
    side = rows[0].tiles[0].width
    width = len(titles) * (side + GAP_PX) - GAP_PX
    title_font, name_font = (ImageFont.load_default(size=each * 0.6) for each in (LABEL_PX, NAME_PX))
    if font:
        title_font = ImageFont.truetype(font, LABEL_PX * 0.6)
    shown = titles if font else [_drawable(title, column) for column, title in enumerate(titles)]
    over_columns = [_wrapped(title, title_font, side) for title in shown]
    over_rows = [
        _wrapped(_drawable(row.name, number), name_font, width - 2 * GAP_PX) if named else []
        for number, row in enumerate(rows, start=1)
    ]
    top = LABEL_PX + NAME_PX * (max(map(len, over_columns)) - 1)
    height = top + NAME_PX * sum(map(len, over_rows)) + len(rows) * (side + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(over_columns):
        centre = column * (side + GAP_PX) + side / 2
        for i, line in enumerate(reversed(lines)):
            draw.text((centre, top - LABEL_PX / 2 - NAME_PX * i), line, fill=_INK, font=title_font, anchor="mm")
    for row, lines in zip(rows, over_rows, strict=True):
        for line in lines:
            draw.text((GAP_PX, top + NAME_PX / 2), line, fill=_INK, font=name_font, anchor="lm")
            top += NAME_PX
        for column, picture in enumerate(row.tiles):
            sheet.paste(picture, (column * (side + GAP_PX), top))
        top += side + GAP_PX
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: float) -> list[str]:
    """Lines of a text that are no wider, at least one; a word is broken where it is wider itself."""
    for n in range(len(text), 0, -1):
        lines = textwrap.wrap(text, n, break_on_hyphens=False)
        if all(font.getlength(line) <= width_px for line in lines):
            return lines
    return [text]


def is_drawable(name: str) -> bool:
    """Whether the font, which is Latin, has all letters of a row's name."""
    return _latin(name) == name


def _drawable(name: str, number: int) -> str:
    """The name of a row or column, with its number where the font lacks letters of it.

    >>> _drawable("me.jpg", 1), _drawable("\u9854.jpg", 2)
    ('me.jpg', '2 (?.jpg)')
    """
    return name if is_drawable(name) else f"{number} ({_latin(name)})"


def _latin(name: str) -> str:
    return name.encode("latin-1", "replace").decode("latin-1")
