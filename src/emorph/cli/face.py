"""``emorph face``: a face of a photo in 3D, as a picture, a mesh or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import items, mention_left_out, print_json, say, unbroken
from emorph.cli.options import DetectorOption, Frame, Json, MinFace, MinScore, Out, PhotoFace, Photos
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE

if TYPE_CHECKING:
    from emorph.face3d.model import FaceModel
    from emorph.face3d.photo import FittedFace


def face(
    photos: Photos,
    out: Out = Path("faces3d"),
    face: PhotoFace = "largest",
    min_face: MinFace = MIN_FACE_PX,
    min_score: MinScore = SURE_SCORE,
    detector: DetectorOption = "auto",
    frame: Frame = None,
    face_model: Annotated[
        Path | None,
        typer.Option(help="ict_face.npz or a converted FLAME folder, if it is not in the usual place."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="What reads the face: landmarks; or deca or emoca, which need a converted FLAME folder as "
            "--face-model."
        ),
    ] = "landmarks",
    obj: Annotated[bool, typer.Option("--obj", help="Also write the mesh, as NAME.obj.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a 3D face to each photo, or have DECA or EMOCA read it, and show landmarks, mesh, normals and shading."""
    from emorph.core.files import names_apart
    from emorph.core.images import read_photo
    from emorph.edit.paths import SourcePhotos, check_writable, output_names, photo_files, result_paths
    from emorph.face3d.photo import fit_photo, open_model
    from emorph.faces import find_faces, select_faces
    from emorph.faces.detect import as_detector
    from emorph.models.rig_faces import NETWORKS, NetworkReader, open_reader, require_encoder

    sought_by = as_detector(detector)
    sources = photo_files(photos)
    paths = result_paths(out, output_names(sources))
    protected = SourcePhotos(sources)
    protected.refuse(file for path in paths for file in _files(path, obj=obj))
    check_writable(out)
    mention_left_out(photos)
    if encoder in NETWORKS:
        require_encoder(encoder, face_model)
    head = open_model(face_model)
    reader = open_reader(encoder, head)
    read = reader.read_photo if isinstance(reader, NetworkReader) else None
    listed: list[dict[str, Any]] = []
    names = names_apart(sources)
    with items(len(sources)) as work:
        for source, path in zip(sources, paths, strict=True):
            name = names[source]
            with work.item(name):
                photo = read_photo(source, frame=frame)
                landmarks = find_faces(photo, min_face_px=min_face, detector=sought_by, min_score=min_score)
                chosen = select_faces(landmarks, face, photo, min_score=min_score)
                numbered = _numbered(path, len(chosen))
                protected.refuse(file for one in numbered for file in _files(one, obj=obj))
                if face == "largest" and len(landmarks) > 1:
                    say(f"{name} has {len(landmarks)} faces; the largest is shown. Choose another with --face.")
                for one, points in zip(numbered, chosen, strict=True):
                    fitted = fit_photo(head, photo, points, read)
                    with unbroken():
                        written = _write(one, head, fitted, obj=obj, tell=not as_json)
                        listed.append({"source": str(source), **written, "score": round(points.score, 4)})
    if as_json:
        print_json(listed)
    work.finish()


def _numbered(path: Path, n_faces: int) -> list[Path]:
    """``path`` for a single face, else one with a number for each."""
    if n_faces == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number}") for number in range(1, n_faces + 1)]


def _files(picture: Path, *, obj: bool) -> list[Path]:
    return [picture, picture.with_suffix(".obj")] if obj else [picture]


def _write(path: Path, model: FaceModel, fitted: FittedFace, *, obj: bool, tell: bool) -> dict[str, Any]:
    """Write the picture, and the mesh with ``obj``; what is to be said of them as JSON. tell: say it on stdout, too."""
    from emorph.core.images import write_image
    from emorph.edit.replaced import Earlier
    from emorph.face3d.photo import facts, picture, write_obj

    files = _files(path, obj=obj)
    earlier = Earlier(files)
    write_image(path, picture(model, fitted), metadata={"Software": "emorph"})
    if obj:
        write_obj(path.with_suffix(".obj"), model, fitted)
    found = facts(model, fitted)
    if tell:
        error = f"mean landmark error: {100 * found['error']:.1f} % of the eye distance"
        typer.echo(f"{' and '.join(map(str, files))}  ({error})")
    if remark := earlier.said(files):
        say(remark)
    return {"picture": str(path), **found}
