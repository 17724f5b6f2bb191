"""All pairs of photos: what each becomes with a part of each other one, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from emorph.core.errors import ConfigError
from emorph.core.types import UInt8
from emorph.edit.codec import OnStep
from emorph.edit.rig import RigEdit, RigEditor
from emorph.edit.rig_parts import RigFace
from emorph.edit.sheet import TILE_PX, Row, grid, tile


def all_pairs(
    editor: RigEditor, faces: Sequence[RigFace], parts: Sequence[str], *, on_step: OnStep | None = None
) -> list[list[RigEdit]]:
    """Row i, column j: face i with the parts of face j. Raises ConfigError for fewer than two faces."""
    if len(faces) < 2:
        raise ConfigError(f"a matrix needs two faces at least; found {len(faces)}.")

    def row(number: int, done: int, total: int) -> None:
        if on_step:
            on_step(number * total + done, len(faces) * total)

    return [
        editor.apply_each([face], faces, parts, on_step=lambda done, total, i=i: row(i, done, total))  # type: ignore[misc]
        for i, face in enumerate(faces)
    ]


def matrix_picture(faces: Sequence[RigFace], edits: Sequence[Sequence[RigEdit]]) -> UInt8:
    """The sources down the side, the targets along the top, (H, W, 3)."""
    own = [tile(face.photo, face.aligned) for face in faces]
    corner = Image.new("RGB", (TILE_PX, TILE_PX), (255, 255, 255))
    titles = ("source / target", *(face.photo.name for face in faces))
    rows = [Row((corner, *own), titles)]
    for face, first, row in zip(faces, own, edits, strict=True):
        rows.append(Row((first, *(tile(edit.photo, face.aligned) for edit in row)), titles))
    return np.asarray(grid(rows))
