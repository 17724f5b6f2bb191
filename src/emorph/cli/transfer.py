"""``emorph transfer``: expression, pose, light or looks of one photo onto others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import items, mention_other_faces, print_json
from emorph.cli.options import Device, Face, Json, MinFace, check_writable, gather, output_names
from emorph.core.errors import ConfigError, EmorphError

if TYPE_CHECKING:
    from emorph.edit.rig import RigEditor, RigFace, Transfer

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
    steps: Annotated[int, typer.Option(min=2, max=999, help="DDIM steps in each direction.")] = 20,
    seed: Annotated[
        int | None, typer.Option(help="Draw from this seed's noise, not from the noise that holds the photo.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Take over a part of the target's face; the rest of each source photo stays as it is."""
    from emorph.edit.files import refuse_overwriting
    from emorph.edit.rig import DEFAULT_RIG, RigEditor, check_parts, mean_shape

    parts = check_parts(name.strip() for name in part.split(",") if name.strip())
    if len(photos) < 2:
        raise ConfigError("name at least one photo to change, and last the one to take from.")
    sources = gather(photos[:-1])
    paths = [out / f"{name}_{'-'.join(parts)}.png" for name in output_names(sources)]
    check_writable(out)
    refuse_overwriting(paths, [*sources, photos[-1]])
    editor = RigEditor.from_pretrained(
        model or DEFAULT_RIG,
        face_model=face_model,
        source_encoder=source_encoder,
        target_encoder=target_encoder,
        device=device,
        steps=steps,
    )
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
                listed.append(_write(path, source, photos[-1], done, editor, seed))
                mention_other_faces(source.name, faces[0].n_faces, face)
                if not as_json:
                    typer.echo(f"{path}  ({done.seconds:.1f} s)")
    if as_json:
        print_json(listed)
    work.finish()


def _write(
    path: Path, source: Path, target: Path, done: Transfer, editor: RigEditor, seed: int | None
) -> dict[str, Any]:
    """Write a result, which says of itself how it was made."""
    import emorph
    from emorph.core.images import write_image

    made: dict[str, Any] = {
        "tool": f"emorph {emorph.__version__}",
        "model": editor.model_id,
        "parts": list(done.parts),
        "target": target.name,
        "encoders": [editor.source_reader.name, editor.target_reader.name],
        "solver": "ddim",
        "steps": editor.steps,
        "seed": seed,
    }
    metadata = {
        "Software": f"emorph {emorph.__version__}",
        "Description": f"In this picture, {_listing(done.parts)} of a face were edited by a machine.",
        "emorph": json.dumps({"edited": True, **made}),
    }
    write_image(path, done.photo.pixels, metadata=metadata)
    return {"source": str(source), "edited": str(path), "seconds": round(done.seconds, 3), **made}


def _listing(parts: Sequence[str]) -> str:
    words = ["looks" if part == "code" else part for part in parts]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
