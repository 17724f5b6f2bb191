"""Writing what a rig drew: every file says in its metadata that it was edited, how, and by what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import emorph
from emorph.core.images import write_image
from emorph.core.records import EditRecord
from emorph.core.types import UInt8
from emorph.edit.files import refuse_overwriting
from emorph.edit.rig import RigEdit, RigEditor
from emorph.edit.rig_parts import Part
from emorph.edit.sheet import Row, grid, tile


def how(editor: RigEditor, parts: Sequence[Part], *, seed: int | None, **more: Any) -> dict[str, Any]:
    """What an edited file says of itself. more: what is particular to this edit."""
    return {
        "tool": f"emorph {emorph.__version__}",
        "model": editor.model_id,
        "parts": list(parts),
        **more,
        "encoders": [editor.source_reader.name, editor.target_reader.name],
        "solver": editor.solver_name,
        "steps": editor.steps,
        "seed": seed,
    }


def write_edit(path: Path, pixels: UInt8, made: Mapping[str, Any]) -> None:
    """Write a picture that says how it was made, see ``how``. Raises ImageError."""
    metadata = {
        "Software": f"emorph {emorph.__version__}",
        "Description": f"In this picture, {_listing(made['parts'])} of a face were edited by a machine.",
        "emorph": json.dumps({"edited": True, **made}),
    }
    write_image(path, pixels, metadata=metadata)


def write_strengths(
    edits: Sequence[RigEdit],
    strengths: Sequence[float],
    stem: Path,
    suffix: str,
    made: Mapping[str, Any],
    *,
    never: Sequence[Path] = (),
) -> tuple[list[Path], Path]:
    """Write the edits of one photo, one for each strength: the files, and the one to look at first.

    One edit becomes ``stem``.suffix. Several become ``stem``_0.25.suffix and so on, and a strip of all of them
    ``stem``_strip.suffix. Raises ImageError where a file would take the place of one of ``never``.
    """
    one = len(edits) == 1
    paths = [stem.with_name(f"{stem.name}{'' if one else f'_{s:g}'}{suffix}") for s in strengths]
    strip = stem.with_name(f"{stem.name}_strip{suffix}")
    refuse_overwriting([*paths, strip], never)
    for edit, path, strength in zip(edits, paths, strengths, strict=True):
        write_edit(path, edit.photo.pixels, {**made, "strength": strength})
    if one:
        return paths, paths[0]
    first = edits[0].faces[0].aligned
    tiles = (tile(edits[0].source, first), *(tile(edit.photo, first) for edit in edits))
    row = Row(tiles, ("Original", *(f"{strength:g}" for strength in strengths)))
    write_edit(strip, np.asarray(grid([row])), {**made, "strength": list(strengths)})
    return paths, strip


def record(edit: RigEdit, editor: RigEditor, source: Path, path: Path, emotion: str, strength: float) -> EditRecord:
    """The line of edits.jsonl for an edit to an emotion."""
    return EditRecord(
        id=path.name,
        source=str(source),
        edited=str(path),
        target=emotion,
        strength=strength,
        editor=f"emorph {emorph.__version__}",
        model_id=editor.model_id,
        solver=editor.solver_name,
        steps=editor.steps,
        seconds=round(edit.seconds, 3),
    )


def _listing(parts: Sequence[str]) -> str:
    words = ["looks" if part == "code" else part for part in parts]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
