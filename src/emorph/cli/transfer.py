"""``emorph transfer``: expression, pose, light or looks of one photo onto others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import (
    faces_of,
    finish,
    items,
    mention_left_out,
    print_json,
    stopping,
    tell_edit,
)
from emorph.cli.drive import DriveOptions, drive_photo
from emorph.cli.film import PreviewOption
from emorph.cli.matrix import matrix
from emorph.cli.options import (
    COMPUTING,
    FACES,
    FILMS,
    DetectorOption,
    Device,
    FaceIfGiven,
    Frame,
    Json,
    MinFace,
    MinScore,
    Out,
    Solver,
    Steps,
    StripLocation,
    load_rig_editor,
    refuse_options,
)
from emorph.core.errors import ConfigError
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE
from emorph.video.clip import is_film

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit
    from emorph.edit.rig.editor import RigEditor
    from emorph.edit.rig.parts import Part

Photos = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOURCE... TARGET",
        help="The photos or folders to change, followed by the photo to take from; or a film and the photo that moves "
        "as the film's person does.",
    ),
]
PartNames = Annotated[
    str, typer.Option(help="What to take over: expression, pose, light, code (the other looks); several with commas.")
]
Album = Annotated[
    bool, typer.Option("--album", help="All sources show the same person: use the mean of their face shapes.")
]
AsMatrix = Annotated[
    bool, typer.Option("--matrix", help="Every photo with the face of every other, as one picture with scores in JSON.")
]
TargetFace = Annotated[
    str | None,
    typer.Option(
        help="Which face of the target: largest, left, or a number; in a film also a photo of the person.",
        show_default="largest",
        rich_help_panel=FACES,
    ),
]
TargetNeutral = Annotated[
    Path | None,
    typer.Option(
        help="A photo of the target's person without an expression: what differs from it is taken over, and the form "
        "of that person's own mouth and brows is not.",
    ),
]
RigName = Annotated[
    str | None,
    typer.Option(
        help="A rig: a folder, a hub id, a training checkpoint, or an official model*.pt.",
        show_default="emorph-rig",
        rich_help_panel=COMPUTING,
    ),
]
FaceModelFile = Annotated[
    Path | None,
    typer.Option(
        help="The face model of the rig: ict_face.npz or a converted FLAME folder.", rich_help_panel=COMPUTING
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="What reads this face: landmarks, deca or emoca.",
        show_default="what the rig was made for",
        rich_help_panel=COMPUTING,
    ),
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Of films: redo what was done, and what was left half done.", rich_help_panel=FILMS),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Redraw the whole face from noise with this seed instead of moving pixels; for large rigs."),
]


def transfer(
    photos: Photos,
    part: PartNames = "expression",
    out: Out = Path("transferred"),
    album: Album = False,
    as_matrix: AsMatrix = False,
    face: FaceIfGiven = None,
    target_face: TargetFace = None,
    target_neutral: TargetNeutral = None,
    min_face: MinFace = MIN_FACE_PX,
    min_score: MinScore = SURE_SCORE,
    detector: DetectorOption = "auto",
    frame: Frame = None,
    strip_location: StripLocation = False,
    model: RigName = None,
    face_model: FaceModelFile = None,
    source_encoder: Encoder = None,
    target_encoder: Encoder = None,
    steps: Steps = None,
    solver: Solver = "dpm",
    seed: Seed = None,
    again: Again = False,
    preview: PreviewOption = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Give faces the expression, pose, light or looks of another face; the rest of each photo stays as it is.

    With a film in place of the other photo, the photo moves as the person in the film does.
    """
    from emorph.edit.rig.editor import DEFAULT_RIG
    from emorph.edit.rig.parts import check_parts

    parts = check_parts(name.strip() for name in part.split(",") if name.strip())

    def load() -> RigEditor:
        return load_rig_editor(
            model or DEFAULT_RIG, face_model, device, steps, solver, source_encoder, target_encoder, detector, min_score
        )

    if any(map(is_film, photos)) and frame is None:
        refuse_options(
            "a photo that a film moves",
            {"--album": album or None, "--matrix": as_matrix or None, "--target-neutral": target_neutral,
             "--strip-location": strip_location or None, "--seed": seed},
        )  # fmt: skip
        asked = DriveOptions(parts, face or "largest", target_face or "largest", min_face, preview)
        drive_photo(photos, out, asked, again=again, as_json=as_json, load=load)
        return
    refuse_options("photos", {"--again": again or None, "--preview": preview or None})
    if as_matrix:
        refuse_options(
            "a matrix, which uses the largest face of every photo",
            {"--album": album or None, "--face": face, "--target-face": target_face,
             "--target-neutral": target_neutral, "--target-encoder": target_encoder, "--frame": frame,
             "--strip-location": strip_location or None, "--seed": seed},
        )  # fmt: skip
        _as_matrix(photos, out, parts, load, min_face=min_face, as_json=as_json)
        return
    if len(photos) < 2:
        raise ConfigError("name at least one photo to change, and last the photo to take from.")
    if target_face == "all":
        raise ConfigError("--target-face takes one face, the one to take from: largest, left or a number.")
    taken = {
        "album": album, "face": face or "largest", "target_face": target_face or "largest",
        "target_neutral": target_neutral, "min_face_px": min_face, "frame": frame, "strip_location": strip_location,
        "seed": seed,
    }  # fmt: skip
    _onto_photos(photos, out, parts, load, taken, as_json=as_json)


def _as_matrix(
    photos: list[Path],
    out: Path,
    parts: tuple[Part, ...],
    load: Callable[[], RigEditor],
    *,
    min_face: int,
    as_json: bool,
) -> None:
    """Every photo with the face of every other."""
    from emorph.edit.paths import check_writable, photo_files

    sources = photo_files(photos)
    check_writable(out)
    editor = load()
    with stopping("The matrix is unfinished; the next run starts it from the beginning."):
        matrix(editor, sources, parts, out, min_face=min_face, as_json=as_json)


def _onto_photos(
    photos: list[Path], out: Path, parts: tuple[Part, ...], load: Callable[[], RigEditor], taken: dict[str, Any], *,
    as_json: bool,
) -> None:  # fmt: skip
    """All photos with the face of the last one. taken: how faces and files are to be, as of ``transfer_files``."""
    from emorph.edit.rig.files import plan_transfer, transfer_files

    *given, target = photos
    jobs = plan_transfer(given, target, out, parts, taken["target_neutral"])
    mention_left_out(given)
    editor = load()
    with items(len(jobs), functools.partial(tell_edit, taken["face"], as_json)) as work:
        report = transfer_files(editor, given, target, out, parts, watch=work.watch, **taken)
    if as_json:
        print_json([_as_json(done) for done in report.edits])
    finish(report.failures, len(jobs))


def _as_json(done: FileEdit) -> dict[str, Any]:
    return {
        "source": str(done.source),
        "edited": str(done.files[-1]),
        "seconds": round(done.seconds, 3),
        **faces_of(done),
        **done.made,
        "kept": done.kept,
        "lost": done.lost,
    }
