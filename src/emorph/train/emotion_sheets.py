"""The eight emotions of always the same faces at every stage of a training, and a page that compares them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from emorph.core.encode import jpeg_url
from emorph.core.errors import DataError, ImageError
from emorph.core.images import read_metadata
from emorph.core.outputs import rendered, write_text
from emorph.core.types import AlignedFace, Float32, Landmarks, UInt8
from emorph.edit.crops import CropEditor
from emorph.edit.latent import directions_digest
from emorph.edit.sheet import Row
from emorph.models.fitted_on import weights_digest
from emorph.train.config import OnPart
from emorph.train.emotion_stages import Stage, Training
from emorph.train.samples import LAYOUT_KEY, shown_faces, write_sheet
from emorph.train.samples_page import QUALITY, SHOWN_PX, StepSheet, read_sheet
from emorph.train.sections import SamplesConfig
from emorph.train.sheets import LEAST_TILE_PX, N_STEPS, Sheet, Shown

MADE_OF = "made_of"  # in a sheet's layout: what it follows from
TEMPLATE = Path(__file__).with_name("emotions.html.j2")


def write_emotion_page(
    path: Path, training: Training, *, n_faces: int, strength: float = 1.0, on_part: OnPart | None = None
) -> list[StepSheet]:
    """Draw the sheets that are not there yet into the run's folder, and write the page of all.

    strength: of the edits, as for ``Editor.edit``. on_part: is told what is being done, how much of it, and of how
    much. Raises DataError, ImageError.
    """
    shown = shown_faces(training.faces, SamplesConfig(n=n_faces, split=training.held_out, seeds=()))
    sheets = [_sheet(stage, training, shown, strength, on_part) for stage in training.stages]
    emotions = [name.lower() for name in sheets[0].titles[1:]]
    text = rendered(
        TEMPLATE,
        name=training.name,
        strength=strength,
        split=training.held_out if _is_held_out(training) else "training",
        titles=sheets[0].titles[1:],
        tile_px=min(SHOWN_PX, sheets[0].tiles.shape[2]),
        faces=[
            {
                "original": jpeg_url(sheets[0].tiles[row, 0], QUALITY),
                "rows": [
                    (stage.words, _named(emotions, sheet.tiles[row, 1:]))
                    for stage, sheet in zip(training.stages, sheets, strict=True)
                ],
            }
            for row in range(len(sheets[0].tiles))
        ],
    )
    write_text(path, text)
    return sheets


def _named(emotions: Sequence[str], tiles: UInt8) -> list[tuple[str, str]]:
    """Each emotion with its tile, uint8 (n, side, side, 3), as a data URL."""
    return [(emotion, jpeg_url(tile, QUALITY)) for emotion, tile in zip(emotions, tiles, strict=True)]


def _is_held_out(training: Training) -> bool:
    try:
        training.faces.of_split(training.held_out)
    except DataError:
        return False
    return True


def _sheet(stage: Stage, training: Training, shown: Shown, strength: float, on_part: OnPart | None) -> StepSheet:
    """The sheet of a stage: as it lies in the folder, if it was made of the same, or else drawn."""
    tell = on_part or (lambda what, done, total: None)
    model, directions = stage.make(lambda done, total: tell(f"{stage.words}: encoding faces", done, total))
    editor = CropEditor(model, directions, model_id=training.name, device=model.rates.device, steps=N_STEPS)
    file = training.folder / f"step_{stage.number:08d}.png"
    made_of = _made_of(editor, shown, strength)
    if not _states(file, made_of):
        rows = []
        for i in range(len(shown.images)):
            tell(f"{stage.words}: drawing emotions", i, len(shown.images))
            rows.append(_row(editor, shown, i, strength))
        write_sheet(file, Sheet(tuple(rows), n_fixed=1), stage.number, {MADE_OF: made_of})
    return read_sheet(file, training.name)


def _row(editor: CropEditor, shown: Shown, i: int, strength: float) -> Row:
    """One face, as it is and as the model draws it with each emotion."""
    face = crop_of(shown.images[i], None if shown.landmarks is None else shown.landmarks[i])
    targets = editor.sheet_targets(strength)
    pictures = [face.pixels.astype(np.float32), *(change.drawn for change in editor.changes([face], targets)[0])]
    return Row(tuple(map(_tile, pictures)), ("Original", *(target.title for target in targets)))


def crop_of(image: Tensor, points: Tensor | None) -> AlignedFace:
    """A stored face as a crop of itself. image: uint8 (C, S, S); points: (68, 2) in [-1, 1] across it, or None."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    side = pixels.shape[0]
    in_px = np.zeros((68, 2), np.float32) if points is None else ((points + 1) * (side / 2) - 0.5).numpy()
    return AlignedFace(pixels, np.eye(3), Landmarks(in_px.astype(np.float32), (0, 0, side, side), 1.0))


def _tile(picture: Float32) -> Image.Image:
    """A crop of one or three channels, 0..255, as a tile that is not too small to be seen."""
    levels = np.broadcast_to(picture, (*picture.shape[:2], 3)).clip(0, 255).round().astype(np.uint8)
    side = max(levels.shape[0], LEAST_TILE_PX)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)


def _made_of(editor: CropEditor, shown: Shown, strength: float) -> str:
    """Digits of all that a sheet follows from: the model, the directions, the faces, the strength."""
    digest = hashlib.sha256(repr((strength, N_STEPS, directions_digest(editor.directions))).encode())
    digest.update(weights_digest(editor.model).encode())
    digest.update(shown.images.numpy().tobytes())
    return digest.hexdigest()[:16]


def _states(file: Path, made_of: str) -> bool:
    """Whether a sheet is there and says that it was made of this."""
    try:
        return bool(file.exists() and json.loads(read_metadata(file)[LAYOUT_KEY]).get(MADE_OF) == made_of)
    except (KeyError, ValueError, AttributeError, ImageError):
        return False
