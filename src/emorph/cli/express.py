"""``emorph edit`` with a rig: action units, or an emotion as a combination of them, for photos and folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from emorph.cli.console import items, mention_other_faces, print_json, unbroken
from emorph.cli.options import check_writable, gather, is_file_name, output_names, parse_strengths
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.records import EditRecord, append

RECORDS_FILE = "edits.jsonl"


def express(
    photos: list[Path],
    *,
    to: str | None,
    au: str | None,
    strength: str,
    out: Path,
    face: str,
    min_face: int,
    model: str,
    face_model: Path | None,
    steps: int | None,
    solver: str,
    device: str,
    as_json: bool,
) -> None:
    """Set the action units ``au``, or those of the emotion ``to``, in photos; the rest of each stays as it is."""
    from emorph.edit.action_units import emotion_units, named_units, parse_units
    from emorph.edit.rig import DEFAULT_STEPS, RigEditor
    from emorph.edit.rig_files import how, record, write_strengths

    if (to is None) == (au is None):
        raise ConfigError("name either an emotion with --to or action units with --au, not both.")
    emotion = Emotion.parse(to) if to is not None else None
    asked = parse_units(au) if au is not None else {}
    strengths = parse_strengths(strength)
    sources = gather(photos)
    if is_file_name(out) and len(sources) > 1:
        raise ConfigError(f"-o {out} is one picture, but {len(sources)} photos are given; name a folder.")
    check_writable(out)
    editor = RigEditor.from_pretrained(
        model, face_model=face_model, device=device, steps=steps or DEFAULT_STEPS, solver_name=solver
    )
    units = emotion_units(editor.face, emotion) if emotion is not None else named_units(editor.face, asked)
    ending = emotion.word if emotion is not None else "au"  # neutral is 0, and so false
    goal = {"emotion": emotion.word} if emotion is not None else {"action_units": units}
    made = how(editor, ("expression",), seed=None, **goal)
    records: list[EditRecord] = []
    listed: list[dict[str, object]] = []
    with items(len(sources)) as work:
        for source, name in zip(sources, output_names(sources), strict=True):
            with work.item(source.name):
                stem = out.with_suffix("") if is_file_name(out) else out / f"{name}_{ending}"
                suffix = out.suffix if is_file_name(out) else ".png"
                faces = editor.sources(source, face, min_face_px=min_face)
                edits = editor.express(faces, units, strengths, on_step=work.step)
                with unbroken():
                    paths, shown = write_strengths(edits, strengths, stem, suffix, made, never=sources)
                    triples = list(zip(edits, paths, strengths, strict=True))
                    if emotion is not None:
                        found = [record(edit, editor, source, path, emotion.word, dose) for edit, path, dose in triples]
                        records += found
                        if not is_file_name(out):
                            append(out / RECORDS_FILE, found)
                    listed += [
                        {"source": str(source), "edited": str(path), "strength": dose} for _, path, dose in triples
                    ]
                    mention_other_faces(source.name, faces[0].n_faces, face)
                    if not as_json:
                        typer.echo(f"{shown}  ({edits[0].seconds:.1f} s)")
    if as_json:
        print_json([asdict(one) for one in records] if emotion is not None else _with_units(listed, units))
    work.finish()


def _with_units(listed: Sequence[dict[str, object]], units: dict[str, float]) -> list[dict[str, object]]:
    return [{**row, "action_units": units} for row in listed]
