"""``emorph sheet``: original and all eight emotions, a row for each photo."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import faces_of, finish, items, mention_left_out, mention_other_faces, print_json, say
from emorph.cli.options import (
    Anyway,
    Backend,
    DetectorOption,
    Device,
    DirectionsOption,
    Frame,
    Json,
    MinFace,
    MinScore,
    Model,
    PhotoFace,
    Photos,
    Reuse,
    Solver,
    Steps,
    load_editor,
    refuse_wishes_as_files,
)
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit


def sheet(
    photos: Photos,
    strength: Annotated[float, typer.Option(min=-3, max=3, help="0 changes nothing, 1 is the usual amount.")] = 1.0,
    to: Annotated[
        list[str] | None,
        typer.Option(help="In place of the eight emotions: an emotion or a blend, happy=0.6,surprise=0.4; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder, or the sheet's file name.")] = Path("sheets"),
    face: PhotoFace = "largest",
    min_face: MinFace = MIN_FACE_PX,
    min_score: MinScore = SURE_SCORE,
    detector: DetectorOption = "auto",
    frame: Frame = None,
    model: Model = "emorph-base",
    directions: DirectionsOption = None,
    anyway: Anyway = False,
    steps: Steps = None,
    solver: Solver = "dpm",
    reuse: Reuse = 1,
    backend: Backend = "torch",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make one sheet of photos: Original, Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger, Contempt."""
    from emorph.edit.files import plan_sheet, sheet_file

    refuse_wishes_as_files(photos, "or repeat --to: --to happy --to sad")
    started = time.perf_counter()
    sources, path = plan_sheet(photos, out, strength, to or ())  # a word that is none is said before a model is loaded
    mention_left_out(photos)
    editor = load_editor(
        model, directions, device, steps, solver, detector, min_score, anyway=anyway, reuse=reuse, backend=backend
    )

    def tell(done: FileEdit) -> None:
        mention_other_faces(done, face)

    with items(len(sources), tell) as work:
        report = sheet_file(
            editor, sources, path, strength, to=to or (), face=face, min_face_px=min_face, frame=frame, watch=work.watch
        )
    if report.remark:
        say(report.remark)
    seconds = time.perf_counter() - started
    if report.edits and as_json:
        rows = [
            {"source": str(done.source), "seconds": round(done.seconds, 3), **faces_of(done)} for done in report.edits
        ]
        print_json({"sheet": str(path), "seconds": round(seconds, 3), "photos": rows})
    elif report.edits:
        typer.echo(f"{path}  ({len(report.edits)} of {len(sources)} photos, {seconds:.1f} s including loading)")
        for line in _rows_without_names(report.edits, sources):
            typer.echo(line)
    finish(report.failures, len(sources))


def _rows_without_names(edits: Sequence[FileEdit], sources: Sequence[Path]) -> list[str]:
    """Which photo a row shows whose name the sheet's font cannot write, a line each; a single row has no name."""
    from emorph.core.files import names_apart
    from emorph.edit.sheet import is_drawable

    names = names_apart(sources)
    ends = list(itertools.accumulate(done.n_edited for done in edits))
    rows = [(end - done.n_edited + 1, end, names[done.source]) for end, done in zip(ends, edits, strict=True)]
    return [
        f"  row {first if first == last else f'{first} to {last}'}: {name}"
        for first, last, name in rows
        if ends[-1] > 1 and not is_drawable(name)
    ]
