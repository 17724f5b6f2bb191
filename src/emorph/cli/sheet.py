"""``emorph sheet``: original and all eight emotions, a row for each photo."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import Items, items, mention_other_faces, print_json, unbroken
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
    load_editor,
    result_paths,
)

if TYPE_CHECKING:
    from emorph.core.types import Target
    from emorph.edit.pipeline import Editor
    from emorph.edit.sheet import Row


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
    from emorph.edit.files import refuse_overwriting

    started = time.perf_counter()
    sources = gather(photos)
    (path,) = result_paths(out, [f"{sources[0].stem}_sheet" if len(sources) == 1 else "sheet"])
    refuse_overwriting([path], sources)
    check_writable(out)
    editor = load_editor(model, directions, device, steps, solver)
    drawing = Drawing(editor, editor.sheet_targets(strength), face, min_face)
    with items(len(sources)) as work:
        try:
            for source in sources:
                with work.item(source.name):
                    drawing.add(source, work)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(drawing.left_in(path, len(sources))) from None
    if drawing.rows:
        drawing.write(path)
        seconds = time.perf_counter() - started
        if as_json:
            print_json({"sheet": str(path), "seconds": round(seconds, 3), "photos": drawing.listed})
        else:
            typer.echo(f"{path}  ({len(drawing.rows)} of {len(sources)} photos, {seconds:.1f} s with loading)")
    work.finish()


@dataclass
class Drawing:
    """A sheet that grows by a row a photo."""

    editor: Editor
    targets: Sequence[Target]
    face: str
    min_face_px: int
    rows: list[Row] = field(default_factory=list)
    listed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, source: Path, work: Items) -> None:
        """Draw a photo's row. Raises ImageError, NoFaceError."""
        from emorph.edit.sheet import tiles

        edits = self.editor.edit_many(
            source, self.targets, face=self.face, min_face_px=self.min_face_px, on_step=work.step
        )
        with unbroken():
            self.rows.append(tiles(edits))
            self.listed.append({"source": str(source), "seconds": round(edits[0].seconds, 3)})
            mention_other_faces(source.name, edits[0].n_faces, self.face)

    def write(self, path: Path) -> None:
        """Write the rows that there are. Raises ImageError."""
        from emorph.edit.files import write_sheet

        with unbroken():
            write_sheet(path, self.rows, self.targets, self.editor)

    def left_in(self, path: Path, n_photos: int) -> str:
        """Write what is done of a sheet that was stopped; a sentence that says what is there."""
        if not self.rows:
            return "No photo was done; no sheet was written."
        self.write(path)
        return f"{path} has the {len(self.rows)} of {n_photos} photos that were done."
