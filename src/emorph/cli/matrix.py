"""``emorph transfer --matrix``: all pairs of photos in one picture, measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from emorph.cli.console import items, print_json
from emorph.cli.options import is_file_name
from emorph.core.errors import ConfigError, NoFaceError

if TYPE_CHECKING:
    from emorph.edit.rig import RigEdit, RigEditor
    from emorph.edit.rig_parts import Part, RigFace


def matrix(
    editor: RigEditor, sources: list[Path], parts: tuple[Part, ...], out: Path, *, min_face: int, as_json: bool
) -> None:
    """Write ``out``/matrix_PARTS.png, or ``out`` itself, and what was measured beside it as JSON."""
    import json

    from emorph.edit.files import refuse_overwriting
    from emorph.edit.rig_files import how, write_edit
    from emorph.edit.rig_matrix import all_pairs, matrix_picture

    path = out if is_file_name(out) else out / f"matrix_{'-'.join(parts)}.png"
    refuse_overwriting([path], sources)
    faces = []
    with items(len(sources) + 1) as work:
        for source in sources:
            with work.item(source.name):
                faces.append(editor.sources(source, min_face_px=min_face)[0])
        if len(faces) < 2:
            raise ConfigError(f"a matrix needs two photos with a face; found {len(faces)}.")
        with work.item("the matrix"):
            edits = all_pairs(editor, faces, parts, on_step=work.step)
            write_edit(path, matrix_picture(faces, edits), how(editor, parts, seed=None))
            rows = measured(editor, faces, edits)
    made = {"picture": str(path), "model": editor.model_id, "parts": list(parts), "pairs": rows}
    path.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{path}  ({_summary(rows)})")
    work.finish()


def measured(editor: RigEditor, faces: Sequence[RigFace], edits: Sequence[Sequence[RigEdit]]) -> list[dict[str, Any]]:
    """Of each pair of two photos: the distance to the target before and after, and dlib's to the source.

    A result in which no face is found again has only its names, and ``lost``.
    """
    from dataclasses import asdict

    from emorph.evaluate.identity import describe, distances
    from emorph.evaluate.rig_edits import VERIFIED, coeff_distance

    known = [describe(face.photo, face.aligned.landmarks)[None] for face in faces]
    rows: list[dict[str, Any]] = []
    for i, (source, row) in enumerate(zip(faces, edits, strict=True)):
        for j, (target, edit) in enumerate(zip(faces, row, strict=True)):
            if i == j:
                continue
            names = {"source": source.photo.name, "target": target.photo.name}
            try:
                again = editor.reread(edit)
            except NoFaceError as error:
                rows.append({**names, "lost": str(error)})
                continue
            seen = describe(edit.photo, again.aligned.landmarks)[None]
            distance = float(distances(known[i], seen)[0])
            rows.append(
                {
                    **names,
                    "before": asdict(coeff_distance(source.coeffs, target.coeffs)),
                    "after": asdict(coeff_distance(again.coeffs, target.coeffs)),
                    "identity_distance": round(distance, 4),
                    "verified": distance < VERIFIED,
                    "pair_distance": round(float(distances(known[i], known[j])[0]), 4),
                }
            )
    return rows


def means(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Over the pairs that were read again: distances before and after, and the share that passes for the person."""
    kept = [row for row in rows if "after" in row]
    if not kept:
        return {}
    found = {
        f"{part}_{when}": sum(row[when][part] for row in kept) / len(kept)
        for part in ("expression", "pose_deg", "light")
        for when in ("before", "after")
    }
    return {**found, "verified": sum(row["verified"] for row in kept) / len(kept), "pairs": float(len(kept))}


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    mean = means(rows)
    if not mean:
        return "no face was found again in any result"
    return (
        f"to the target: expression {mean['expression_before']:.3f} -> {mean['expression_after']:.3f}, "
        f"pose {mean['pose_deg_before']:.1f} -> {mean['pose_deg_after']:.1f} degrees, "
        f"light {mean['light_before']:.3f} -> {mean['light_after']:.3f}; "
        f"{100 * mean['verified']:.0f} % pass for the person"
    )
