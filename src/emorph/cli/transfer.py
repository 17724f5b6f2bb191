"""``emorph transfer``: expression, pose, light or looks of one photo onto others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import Failure, items, mention_other_faces, print_json, say, stopping, unbroken
from emorph.cli.matrix import matrix
from emorph.cli.options import (
    Device,
    FaceIfGiven,
    Json,
    MinFace,
    Solver,
    Steps,
    check_writable,
    gather,
    output_names,
    refuse_options,
    result_paths,
)
from emorph.core.errors import ConfigError

if TYPE_CHECKING:
    from emorph.edit.result import Edit
    from emorph.edit.rig.editor import RigEditor
    from emorph.edit.rig.parts import Look, Part, RigFace

Encoder = Annotated[str | None, typer.Option(help="landmarks, deca or emoca; by default what the rig is made for.")]


def transfer(
    photos: Annotated[
        list[Path], typer.Argument(metavar="SOURCE... TARGET", help="Photos or folders to change; last, whose face.")
    ],
    part: Annotated[
        str, typer.Option(help="What to take over: expression, pose, light, code; several with commas.")
    ] = "expression",
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; or a picture's name, for one photo.")] = Path(
        "transferred"
    ),
    album: Annotated[bool, typer.Option("--album", help="The sources show one person: use their mean shape.")] = False,
    as_matrix: Annotated[
        bool, typer.Option("--matrix", help="All pairs of the photos in one picture, and what they measure as JSON.")
    ] = False,
    face: FaceIfGiven = None,
    target_face: Annotated[
        str | None, typer.Option(help="Which face of the target: largest, left, or a number.", show_default="largest")
    ] = None,
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
    from emorph.edit.rig.editor import DEFAULT_RIG, DEFAULT_STEPS, RigEditor
    from emorph.edit.rig.parts import check_parts

    parts = check_parts(name.strip() for name in part.split(",") if name.strip())
    if as_matrix:
        refuse_options(
            "a matrix, which has every pair of the photos' largest faces",
            {
                "--album": album or None,
                "--face": face,
                "--target-face": target_face,
                "--target-encoder": target_encoder,
                "--seed": seed,
            },
        )
    elif len(photos) < 2:
        raise ConfigError("name at least one photo to change, and last the one to take from.")
    sources = gather(photos if as_matrix else photos[:-1])
    paths = [] if as_matrix else _planned(out, sources, photos[-1], parts)
    check_writable(out)
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
        with stopping("The matrix is not finished; it has to be drawn anew."):
            matrix(editor, sources, parts, out, min_face=min_face, as_json=as_json)
        return
    giver = editor.target(photos[-1], target_face or "largest", min_face_px=min_face)
    taking = Taking(editor, giver, parts, face or "largest", min_face, seed)
    _take_over(taking, sources, paths, album=album, as_json=as_json)


def _planned(out: Path, sources: Sequence[Path], target: Path, parts: Sequence[str]) -> list[Path]:
    """A file for each source, none of which is a photo that is given. Raises ConfigError, ImageError."""
    from emorph.edit.files import refuse_overwriting

    paths = result_paths(out, [f"{name}_{'-'.join(parts)}" for name in output_names(sources)])
    refuse_overwriting(paths, [*sources, target])
    return paths


@dataclass(frozen=True)
class Taking:
    """What is taken over, from which face, to which faces of a photo."""

    editor: RigEditor
    giver: RigFace
    parts: tuple[Part, ...]
    face: str
    min_face_px: int
    seed: int | None

    def faces(self, source: Path) -> list[RigFace]:
        """The faces of a photo that are to be changed. Raises ImageError, NoFaceError."""
        return self.editor.sources(source, self.face, min_face_px=self.min_face_px)

    def write(self, path: Path, done: Edit[Look]) -> dict[str, Any]:
        """Write a result; what is to be said of it as JSON. Raises ImageError."""
        from emorph.edit.rig.files import how, write_edit

        made = how(self.editor, self.parts, seed=self.seed, target=self.giver.photo.name)
        write_edit(path, done.photo.pixels, made, icc=done.photo.icc)
        return {"source": str(done.source.path), "edited": str(path), "seconds": round(done.seconds, 3), **made}


def _take_over(taking: Taking, sources: Sequence[Path], paths: Sequence[Path], *, album: bool, as_json: bool) -> None:
    from emorph.edit.rig.parts import mean_shape

    read, unread = _read_all(taking, sources) if album else ({}, [])
    shape = mean_shape([faces[0] for faces in read.values()]) if read else None
    listed: list[dict[str, Any]] = []
    with items(len(sources)) as work:
        work.failures += unread
        for source, path in zip(sources, paths, strict=True):
            if album and source not in read:
                continue
            with work.item(source.name):
                faces = read.get(source) or taking.faces(source)
                done = taking.editor.apply(
                    faces, taking.giver, taking.parts, shape=shape, seed=taking.seed, on_step=work.step
                )
                with unbroken():
                    listed.append(taking.write(path, done))
                    mention_other_faces(source.name, faces[0].n_faces, taking.face)
                    _mention_turn(source.name, done)
                    if not as_json:
                        typer.echo(f"{path}  ({done.seconds:.1f} s)")
    if as_json:
        print_json(listed)
    work.finish()


def _read_all(taking: Taking, sources: Sequence[Path]) -> tuple[dict[Path, list[RigFace]], list[Failure]]:
    """The faces of an album's photos, and which photos could not be read."""
    read = {}
    with items(len(sources)) as work:
        for source in sources:
            with work.item(source.name):
                read[source] = taking.faces(source)
    return read, work.failures


def _mention_turn(name: str, done: Edit[Look]) -> None:
    turned_deg, asked_deg = done.target.turned_deg, done.target.asked_deg
    if asked_deg - turned_deg > 1:
        say(
            f"{name}: the head is turned by {turned_deg:.0f} of {asked_deg:.0f} degrees; farther round, the photo "
            "shows nothing that could be moved."
        )
