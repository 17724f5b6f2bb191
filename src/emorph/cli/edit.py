"""``emorph edit``: one emotion, for photos and folders."""

from __future__ import annotations

from dataclasses import asdict
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
    output_names,
    parse_strengths,
)
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.records import EditRecord, append
from emorph.core.types import Target

RECORDS_FILE = "edits.jsonl"


def edit(
    photos: Photos,
    to: Annotated[str, typer.Option(help="neutral, happy, sad, surprise, fear, disgust, anger or contempt.")],
    strength: Annotated[str, typer.Option(help="0 is unchanged, 1 the usual dose; 0:1.5:0.25 gives a strip.")] = "1",
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; or a picture's name, for one photo.")] = Path(
        "edited"
    ),
    face: Face = "largest",
    min_face: MinFace = 40,
    model: Model = "emorph-base",
    directions: DirectionsOption = None,
    steps: Steps = None,
    solver: Solver = "dpm",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Edit the expression in photos; the rest of each photo stays as it is, at its own size."""
    from emorph.edit.files import write_edits

    emotion = Emotion.parse(to)
    strengths = parse_strengths(strength)
    sources = gather(photos)
    if is_file_name(out) and len(sources) > 1:
        raise ConfigError(f"-o {out} is one picture, but {len(sources)} photos are given; name a folder.")
    check_writable(out)
    editor = load_editor(model, directions, device, steps, solver)
    targets = [Target(emotion, s) for s in strengths]
    names = output_names(sources)
    records: list[EditRecord] = []
    with items(len(sources)) as work:
        for source, name in zip(sources, names, strict=True):
            with work.item(source.name):
                stem = out.with_suffix("") if is_file_name(out) else out / f"{name}_{emotion.word}"
                suffix = out.suffix if is_file_name(out) else ".png"
                edits = editor.edit_many(source, targets, face=face, min_face_px=min_face, on_step=work.step)
                written = write_edits(edits, editor, stem, suffix, never=sources)
                records += written.records
                mention_other_faces(source.name, edits[0].n_faces, face)
                if not is_file_name(out):
                    append(out / RECORDS_FILE, written.records)
                if not as_json:
                    typer.echo(f"{written.shown}  ({edits[0].seconds:.1f} s)")
    if as_json:
        print_json([asdict(record) for record in records])
    work.finish()
