"""``emorph transfer``: expression, pose, light or looks of one photo onto others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import items, mention_other_faces, print_json, say, unbroken
from emorph.cli.matrix import matrix
from emorph.cli.options import Device, Face, Json, MinFace, Solver, Steps, check_writable, gather, output_names
from emorph.core.errors import ConfigError, EmorphError

if TYPE_CHECKING:
    from emorph.edit.rig import RigEdit
    from emorph.edit.rig_parts import RigFace

Encoder = Annotated[str | None, typer.Option(help="landmarks, deca or emoca; by default what the rig is made for.")]


def transfer(
    photos: Annotated[
        list[Path], typer.Argument(metavar="SOURCE... TARGET", help="Photos or folders to change; last, whose face.")
    ],
    part: Annotated[
        str, typer.Option(help="What to take over: expression, pose, light, code; several with commas.")
    ] = "expression",
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder for the pictures.")] = Path("transferred"),
    album: Annotated[bool, typer.Option("--album", help="The sources show one person: use their mean shape.")] = False,
    as_matrix: Annotated[
        bool, typer.Option("--matrix", help="All pairs of the photos in one picture, and what they measure as JSON.")
    ] = False,
    face: Face = "largest",
    target_face: Annotated[str, typer.Option(help="Which face of the target: largest, left, or a number.")] = "largest",
    min_face: MinFace = 40,
    model: Annotated[
        str | None, typer.Option(help="A rig: a folder, a hub id, a run's checkpoint, or an official model*.pt.")
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option(help="ict_face.npz or a converted FLAME folder, as the rig was trained with.")
    ] = None,
    source_encoder: Encoder = None,
    target_encoder: Encoder = None,
    steps: Steps = None,
    solver: Solver = "dpm",
    seed: Annotated[
        int | None, typer.Option(help="Draw the face anew from this seed's noise, moving nothing; for large rigs.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Take over a part of the target's face; the rest of each source photo stays as it is."""
    from emorph.edit.files import refuse_overwriting
    from emorph.edit.rig import DEFAULT_RIG, DEFAULT_STEPS, RigEditor
    from emorph.edit.rig_files import how, write_edit
    from emorph.edit.rig_parts import check_parts, mean_shape, turn_deg

    parts = check_parts(name.strip() for name in part.split(",") if name.strip())
    if len(photos) < 2 and not as_matrix:
        raise ConfigError("name at least one photo to change, and last the one to take from.")
    sources = gather(photos if as_matrix else photos[:-1])
    paths = [out / f"{name}_{'-'.join(parts)}.png" for name in output_names(sources)]
    check_writable(out)
    if not as_matrix:
        refuse_overwriting(paths, [*sources, photos[-1]])
    editor = RigEditor.from_pretrained(
        model or DEFAULT_RIG,
        face_model=face_model,
        source_encoder=source_encoder,
        target_encoder=target_encoder,
        device=device,
        steps=steps or DEFAULT_STEPS,
        solver_name=solver,
    )
    if as_matrix:
        matrix(editor, sources, parts, out, min_face=min_face, as_json=as_json)
        return
    giver = editor.target(photos[-1], target_face, min_face_px=min_face)
    listed: list[dict[str, Any]] = []
    read: dict[Path, list[RigFace]] = {}
    unread: list[tuple[str, EmorphError]] = []
    if album:
        with items(len(sources)) as work:
            for source in sources:
                with work.item(source.name):
                    read[source] = editor.sources(source, face, min_face_px=min_face)
        unread = work.failures
    shape = mean_shape([faces[0] for faces in read.values()]) if read else None
    with items(len(sources)) as work:
        work.failures += unread
        for source, path in zip(sources, paths, strict=True):
            if album and source not in read:
                continue
            with work.item(source.name):
                faces = read.get(source) or editor.sources(source, face, min_face_px=min_face)
                done = editor.apply(faces, giver, parts, shape=shape, seed=seed, on_step=work.step)
                made = how(editor, parts, seed=seed, target=photos[-1].name)
                with unbroken():
                    write_edit(path, done.photo.pixels, made)
                    row = {"source": str(source), "edited": str(path), "seconds": round(done.seconds, 3), **made}
                    listed.append(row)
                    mention_other_faces(source.name, faces[0].n_faces, face)
                    _mention_turn(source.name, turn_deg(faces[0].coeffs.pose, giver.coeffs.pose), done)
                    if not as_json:
                        typer.echo(f"{path}  ({done.seconds:.1f} s)")
    if as_json:
        print_json(listed)
    work.finish()


def _mention_turn(name: str, asked_deg: float, done: RigEdit) -> None:
    if "pose" in done.parts and asked_deg - done.turned_deg > 1:
        say(
            f"{name}: the head is turned by {done.turned_deg:.0f} of {asked_deg:.0f} degrees; farther round, the photo "
            "shows nothing that could be moved."
        )
