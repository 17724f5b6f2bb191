"""``emorph sheet``: original and all eight emotions, a row for each photo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, mention_other_faces, print_json
from emorph.cli.options import (
    Device,
    DirectionsOption,
    Face,
    Json,
    MinFace,
    Model,
    Photos,
    Solver,
    Steps,
    check_writable,
    gather,
    is_file_name,
    load_editor,
)


def sheet(
    photos: Photos,
    strength: Annotated[float, typer.Option(min=-3, max=3, help="0 is unchanged, 1 the usual dose.")] = 1.0,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder, or the sheet's file name.")] = Path("sheets"),
    face: Face = "largest",
    min_face: MinFace = 40,
    model: Model = "emorph-base",
    directions: DirectionsOption = None,
    steps: Steps = None,
    solver: Solver = "dpm",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make one sheet of photos: Original, Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger, Contempt."""
    from emorph.edit.files import refuse_overwriting, write_sheet
    from emorph.edit.sheet import tiles

    started = time.perf_counter()
    sources = gather(photos)
    check_writable(out)
    name = f"{sources[0].stem}_sheet.png" if len(sources) == 1 else "sheet.png"
    path = out if is_file_name(out) else out / name
    refuse_overwriting([path], sources)
    editor = load_editor(model, directions, device, steps, solver)
    targets = editor.sheet_targets(strength)
    rows, listed = [], []
    with items(len(sources)) as work:
        for source in sources:
            with work.item(source.name):
                edits = editor.edit_many(source, targets, face=face, min_face_px=min_face, on_step=work.step)
                rows.append(tiles(edits))
                listed.append({"source": str(source), "seconds": round(edits[0].seconds, 3)})
                mention_other_faces(source.name, edits[0].n_faces, face)
    if rows:
        write_sheet(path, rows, targets, editor)
        seconds = time.perf_counter() - started
        if as_json:
            print_json({"sheet": str(path), "seconds": round(seconds, 3), "photos": listed})
        else:
            typer.echo(f"{path}  ({len(rows)} of {len(sources)} photos, {seconds:.1f} s with loading)")
    work.finish()
