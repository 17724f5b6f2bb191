"""Result sheets: one row a photo, a label over each column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emorph.core.errors import ShapeError
from emorph.core.types import AlignedFace, Photo
from emorph.edit.result import Edit

TILE_PX = 256
GAP_PX = 4
LABEL_PX = 28
AROUND = 1.25  # side of the shown square over the side of the model's crop: hair and chin belong to a face
_BACKGROUND, _INK = (255, 255, 255), (32, 32, 32)


def compose(*rows: Sequence[Edit]) -> Image.Image:
    """Original and edits of one photo in each row, cropped around the face.

    rows: the edits of one photo each. Raises ShapeError if they differ in their targets.
    """
    titles = [[_title(edit) for edit in row] for row in rows]
    if any(row != titles[0] for row in titles):
        raise ShapeError("all rows of a sheet need the same targets in the same order.")
    tiles = [[tile(row[0].source, row[0].face), *(tile(edit.photo, edit.face) for edit in row)] for row in rows]
    return grid(tiles, ["Original", *titles[0]])


def _title(edit: Edit) -> str:
    plain = edit.target.emotion.title
    return plain if edit.target.strength == 1 else f"{plain} {edit.target.strength:g}"


def tile(photo: Photo, face: AlignedFace, side_px: int = TILE_PX) -> Image.Image:
    """The upright square around a face's crop, resampled to ``side_px``; beyond the photo it is white."""
    middle = (face.side_px - 1) / 2
    x, y, _ = face.crop_to_photo @ np.array([middle, middle, 1.0])
    half = AROUND * face.side_px * face.photo_px_per_crop_px / 2
    box = (round(x - half), round(y - half), round(x + half) + 1, round(y + half) + 1)
    square = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), _BACKGROUND)
    inside = (max(box[0], 0), max(box[1], 0), min(box[2], photo.pixels.shape[1]), min(box[3], photo.pixels.shape[0]))
    cut = photo.pixels[inside[1] : inside[3], inside[0] : inside[2]]
    square.paste(Image.fromarray(np.ascontiguousarray(cut)), (inside[0] - box[0], inside[1] - box[1]))
    return square.resize((side_px, side_px), Image.Resampling.LANCZOS)


def grid(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> Image.Image:
    """Tiles of one size in rows, with a title over each column."""
    side = rows[0][0].width
    width = len(titles) * (side + GAP_PX) - GAP_PX
    height = LABEL_PX + len(rows) * (side + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=LABEL_PX * 0.6)
    for column, title in enumerate(titles):
        centre = column * (side + GAP_PX) + side / 2
        draw.text((centre, LABEL_PX / 2), title, fill=_INK, font=font, anchor="mm")
        for i, row in enumerate(rows):
            sheet.paste(row[column], (column * (side + GAP_PX), LABEL_PX + i * (side + GAP_PX)))
    return sheet
