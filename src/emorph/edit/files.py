"""Writing edited photos: every file says in its metadata that it was edited, how, and by what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import emorph
from emorph.core.errors import ImageError
from emorph.core.images import to_pixels, write_image
from emorph.core.records import EditRecord
from emorph.core.types import Target, UInt8
from emorph.edit.pipeline import Editor
from emorph.edit.result import Edit
from emorph.edit.sheet import Row, grid, tiles


@dataclass(frozen=True)
class Written:
    """What ``write_edits`` wrote: a record for each photo, and the file to look at first."""

    records: list[EditRecord]
    shown: Path


def write_edits(
    edits: Sequence[Edit], editor: Editor, stem: Path, suffix: str, *, never: Sequence[Path] = ()
) -> Written:
    """Write the edits of one photo for one target.

    One edit becomes ``stem``.suffix. Several strengths become ``stem``_0.25.suffix and so on, and a strip of all of
    them ``stem``_strip.suffix. Raises ImageError where a file would take the place of one of ``never``.
    """
    one = len(edits) == 1
    paths = [_with_ending(stem, "" if one else f"_{edit.target.strength:g}", suffix) for edit in edits]
    strip = _with_ending(stem, "_strip", suffix)
    refuse_overwriting([*paths, strip], never)
    records = []
    for edit, path in zip(edits, paths, strict=True):
        write_image(path, edit.photo.pixels, metadata=metadata(editor, [edit.target]))
        records.append(_record(edit, editor, path))
    if one:
        return Written(records, paths[0])
    write_sheet(strip, [tiles(edits)], [edit.target for edit in edits], editor)
    return Written(records, strip)


def write_sheet(path: Path, rows: Sequence[Row], targets: Sequence[Target], editor: Editor) -> None:
    """Write a sheet of several photos, a row each. Raises ImageError."""
    sheet: UInt8 = np.asarray(grid(rows))
    write_image(path, sheet, metadata=metadata(editor, targets))


def write_sample(path: Path, editor: Editor, seed: int, latent_steps: int) -> None:
    """Draw the face of a seed from nothing and write it. Raises MissingAssetError without a latent net, ImageError."""
    pixels = to_pixels(editor.sample([seed], latent_steps=latent_steps))[0]
    made = {"drawn": True, "seed": seed, "latent_steps": latent_steps, **_maker(editor)}
    description = "This face was drawn by a machine; the person never was."
    said = {"Software": f"emorph {emorph.__version__}", "Description": description, "emorph": json.dumps(made)}
    write_image(path, pixels, metadata=said)


def metadata(editor: Editor, targets: Sequence[Target]) -> dict[str, str]:
    """What an edited file says of itself."""
    made = {
        "edited": True,
        "targets": [_said(target) for target in targets],
        **_maker(editor),
    }
    return {
        "Software": f"emorph {emorph.__version__}",
        "Description": "The facial expression in this picture was edited by a machine.",
        "emorph": json.dumps(made),
    }


def _maker(editor: Editor) -> dict[str, object]:
    return {
        "tool": f"emorph {emorph.__version__}",
        "model": editor.model_id,
        "solver": editor.solver_name,
        "steps": editor.steps,
    }


def _said(target: Target) -> dict[str, object]:
    if target.emotion is not None:
        return {"emotion": target.emotion.word, "strength": target.strength}
    asked = {"valence": target.valence, "arousal": target.arousal, "strength": target.strength}
    return {name: value for name, value in asked.items() if value is not None}


def _record(edit: Edit, editor: Editor, path: Path) -> EditRecord:
    source = str(edit.source.path or "")
    return EditRecord(
        id=path.name,
        source=source,
        edited=str(path),
        target=edit.target.word,
        strength=edit.target.strength,
        editor=f"emorph {emorph.__version__}",
        model_id=editor.model_id,
        solver=editor.solver_name,
        steps=editor.steps,
        seconds=round(edit.seconds, 3),
    )


def _with_ending(stem: Path, ending: str, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}{ending}{suffix}")


def refuse_overwriting(paths: Sequence[Path], never: Sequence[Path]) -> None:
    """Raises ImageError if a file of ``paths`` is one of ``never``, by whatever name."""
    for path in paths:
        for photo in never:
            if path.exists() and photo.exists() and path.samefile(photo):
                raise ImageError(f"{path} is a source photo itself; choose another output name.")
