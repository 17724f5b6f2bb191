"""``emorph face``: a face of a photo in 3D, as a picture, a mesh or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Face, Json, MinFace, Photos, check_writable, gather, output_names


def face(
    photos: Photos,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder for the pictures.")] = Path("faces3d"),
    face: Face = "largest",
    min_face: MinFace = 40,
    model: Annotated[
        Path | None,
        typer.Option(help="ICT-FaceKit's ict_face.npz or a converted FLAME folder, instead of the usual place."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="What reads the face: landmarks, or deca or emoca, with a converted FLAME folder as --model."
        ),
    ] = "landmarks",
    obj: Annotated[bool, typer.Option("--obj", help="Write the mesh, too, as NAME.obj.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a 3D face to a photo, or let DECA or EMOCA read it, and show its landmarks, mesh, normals and shading."""
    from emorph.core.images import read_photo, write_image
    from emorph.face3d.photo import facts, fit_photo, open_model, picture, write_obj
    from emorph.faces import find_faces, select_faces
    from emorph.models.rig_faces import NETWORKS, NetworkReader, open_face, open_reader

    sources = gather(photos)
    check_writable(out)
    face_model = open_face("flame") if model is None and encoder in NETWORKS else open_model(model)
    reader = open_reader(encoder, face_model)
    read = reader.read_photo if isinstance(reader, NetworkReader) else None
    listed: list[dict[str, Any]] = []
    with items(len(sources)) as work:
        for source, name in zip(sources, output_names(sources), strict=True):
            with work.item(source.name):
                photo = read_photo(source)
                found = find_faces(photo, min_face_px=min_face)
                chosen = select_faces(found, face, photo)
                if face == "largest" and len(found) > 1:
                    say(f"{source.name} has {len(found)} faces; the largest is shown. Choose with --face.")
                for number, landmarks in enumerate(chosen, start=1):
                    fitted = fit_photo(face_model, photo, landmarks, read)
                    path = out / (f"{name}_{number}.png" if len(chosen) > 1 else f"{name}.png")
                    write_image(path, picture(face_model, fitted), metadata={"Software": "emorph"})
                    if obj:
                        write_obj(path.with_suffix(".obj"), face_model, fitted)
                    row = {"source": str(source), "picture": str(path), **facts(face_model, fitted)}
                    listed.append(row)
                    if not as_json:
                        error = 100 * row["error"]
                        typer.echo(f"{path}  (landmarks {error:.1f} % of the eye distance off on average)")
    if as_json:
        print_json(listed)
    work.finish()
