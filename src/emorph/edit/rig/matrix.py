"""All pairs of photos: what each becomes with a part of each other one, as one picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emorph.core.errors import ConfigError, ImageError
from emorph.core.files import photo_names, replace_file
from emorph.core.types import OnStep, UInt8
from emorph.edit.result import Edit
from emorph.edit.rig.editor import RigEditor
from emorph.edit.rig.parts import Look, RigFace
from emorph.edit.sheet import TILE_PX, Row, grid, tile

See = Callable[[int, int, Edit[Look]], None]


def draw_matrix(
    editor: RigEditor,
    faces: Sequence[RigFace],
    parts: Sequence[str],
    *,
    see: See | None = None,
    on_step: OnStep | None = None,
) -> UInt8:
    """The sources down the side, the targets along the top, and each source with the parts of each target: (H, W, 3).

    see(i, j, edit) is shown each edit, in the photo's own size, of face i with the parts of face j: but one row of them
    is held at a time. Raises ConfigError for fewer than two faces.
    """
    if len(faces) < 2:
        raise ConfigError(f"a matrix needs at least two faces; found {len(faces)}.")
    own = [tile(face.photo, face.aligned) for face in faces]
    corner = Image.new("RGB", (TILE_PX, TILE_PX), (255, 255, 255))
    titles = ("source / target", *photo_names(face.photo for face in faces))
    rows = [Row((corner, *own), titles)]
    for i in range(len(faces)):
        rows.append(Row((own[i], *_row(editor, faces, i, parts, see, on_step)), titles))
    return np.asarray(grid(rows))


def _row(
    editor: RigEditor, faces: Sequence[RigFace], i: int, parts: Sequence[str], see: See | None, on_step: OnStep | None
) -> list[Image.Image]:
    def report(done: int, total: int) -> None:
        if on_step:
            on_step(i * total + done, len(faces) * total)

    tiles = []
    for j, edit in enumerate(editor.apply_each([faces[i]], faces, parts, on_step=report)):
        tiles.append(tile(edit.photo, faces[i].aligned))
        if see:
            see(i, j, edit)
    return tiles


def write_scores(path: Path, scores: Mapping[str, Any]) -> None:
    """Write what was measured of a matrix as JSON, whole or not at all. Raises ImageError."""
    try:
        replace_file(path, (json.dumps(scores, indent=2) + "\n").encode())
    except OSError as error:
        raise ImageError(
            f"cannot write {path}: {error.strerror}; check permissions and free space, or choose another output."
        ) from error
