"""``emorph edit``: one emotion, or valence and arousal, for photos and folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, mention_other_faces, print_json, unbroken
from emorph.cli.express import RECORDS_FILE, express
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


def edit(
    photos: Photos,
    to: Annotated[
        str | None, typer.Option(help="neutral, happy, sad, surprise, fear, disgust, anger or contempt.")
    ] = None,
    strength: Annotated[str, typer.Option(help="0 is unchanged, 1 the usual dose; 0:1.5:0.25 gives a strip.")] = "1",
    valence: Annotated[
        float | None, typer.Option(help="In place of --to: from -1, displeased, to 1, pleased. Alone, arousal stays.")
    ] = None,
    arousal: Annotated[
        float | None, typer.Option(help="In place of --to: from -1, calm, to 1, excited. Alone, valence stays.")
    ] = None,
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
    au: Annotated[
        str | None, typer.Option(help="Action units for a rig: mouthSmile_L=0.8,jawOpen=0.3, or of FACS: AU12=0.8.")
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option(help="A rig's ict_face.npz, if it is not in the usual place.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Edit the expression in photos; the rest of each photo stays as it is, at its own size."""
    from emorph.edit.files import write_edits
    from emorph.edit.rig import DEFAULT_RIG
    from emorph.models.port import is_rig

    if au is not None or is_rig(model):
        if valence is not None or arousal is not None:
            raise ConfigError(
                "a rig knows action units and emotions, not valence and arousal: --to happy, or --au AU12=0.8."
            )
        express(
            photos,
            to=to,
            au=au,
            strength=strength,
            out=out,
            face=face,
            min_face=min_face,
            model=DEFAULT_RIG if au is not None and model == "emorph-base" else model,
            face_model=face_model,
            steps=steps,
            solver=solver,
            device=device,
            as_json=as_json,
        )
        return
    if to is None and valence is None and arousal is None:
        raise ConfigError(
            "say what the faces shall show: --to happy, --valence 0.5 --arousal -0.2, or with a rig --au AU12=0.8."
        )
    emotion = None if to is None else Emotion.parse(to)
    targets = [Target(emotion, s, valence, arousal) for s in parse_strengths(strength)]
    sources = gather(photos)
    if is_file_name(out) and len(sources) > 1:
        raise ConfigError(f"-o {out} is one picture, but {len(sources)} photos are given; name a folder.")
    check_writable(out)
    editor = load_editor(model, directions, device, steps, solver)
    names = output_names(sources)
    records: list[EditRecord] = []
    with items(len(sources)) as work:
        for source, name in zip(sources, names, strict=True):
            with work.item(source.name):
                stem = out.with_suffix("") if is_file_name(out) else out / f"{name}_{targets[0].word}"
                suffix = out.suffix if is_file_name(out) else ".png"
                edits = editor.edit_many(source, targets, face=face, min_face_px=min_face, on_step=work.step)
                with unbroken():
                    written = write_edits(edits, editor, stem, suffix, never=sources)
                    records += written.records
                    if not is_file_name(out):
                        append(out / RECORDS_FILE, written.records)
                    mention_other_faces(source.name, edits[0].n_faces, face)
                    if not as_json:
                        typer.echo(f"{written.shown}  ({edits[0].seconds:.1f} s)")
    if as_json:
        print_json([asdict(record) for record in records])
    work.finish()
