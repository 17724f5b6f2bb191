"""``emorph transfer --matrix``: all pairs of photos in one picture, measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emorph.cli.console import items, print_json, say, unbroken
from emorph.core.errors import ConfigError
from emorph.core.files import names_apart

if TYPE_CHECKING:
    from emorph.edit.rig.editor import RigEditor
    from emorph.edit.rig.parts import Part
    from emorph.evaluate.measure.rig_edits import PairMeans


def matrix(
    editor: RigEditor, sources: list[Path], parts: tuple[Part, ...], out: Path, *, min_face: int, as_json: bool
) -> None:
    """Write ``out``/matrix_PARTS.png, or ``out`` itself, and what was measured beside it as JSON."""
    from emorph.edit.paths import SourcePhotos, result_paths
    from emorph.edit.replaced import Earlier
    from emorph.edit.rig.files import facts, write_edit
    from emorph.edit.rig.matrix import draw_matrix, write_scores
    from emorph.evaluate.measure.rig_edits import PairScores

    (path,) = result_paths(out, [f"matrix_{'-'.join(parts)}"])
    SourcePhotos(sources).refuse([path])
    faces = []
    with items(len(sources) + 1) as work:
        for source, name in names_apart(sources).items():
            with work.item(name):
                faces.append(editor.sources(source, min_face_px=min_face)[0])
        if len(faces) < 2:
            raise ConfigError(f"a matrix needs at least two photos with a face; found {len(faces)}.")
        with work.item("the matrix"):
            scores = PairScores(faces, editor.reread)
            picture = draw_matrix(editor, faces, parts, see=scores.add, on_step=work.step)
            pairs = [asdict(row) for row in scores.rows]
            made = {"picture": str(path), "model": editor.model_id, "parts": list(parts), "pairs": pairs}
            earlier = Earlier([path, path.with_suffix(".json")])
            with unbroken():
                write_edit(path, picture, facts(editor, parts, seed=None))
                write_scores(path.with_suffix(".json"), made)
            if remark := earlier.said([path, path.with_suffix(".json")]):
                say(remark)
            if as_json:
                print_json(made)
            else:
                typer.echo(f"{path}  ({_summary(scores.means())})")
    work.finish()


def _summary(mean: PairMeans | None) -> str:
    if mean is None:
        return "no face was found in any result"
    before, after = mean.before, mean.after
    return (
        f"distance to the target: expression {before.expression:.3f} -> {after.expression:.3f}, "
        f"pose {before.pose_deg:.1f} -> {after.pose_deg:.1f} degrees, "
        f"light {before.light:.3f} -> {after.light:.3f}; "
        f"{100 * mean.verified:.0f} % still pass for the same person"
    )
