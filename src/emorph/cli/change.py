"""The loop of ``emorph edit``: one change for all photos, written with its records, and gone on with after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emorph.cli.console import items, mention_other_faces, print_json, say, unbroken
from emorph.cli.options import check_writable, is_file_name, output_names, result_paths
from emorph.core.records import EditRecord, append, mend, read

if TYPE_CHECKING:
    from emorph.edit.files import Change, Plan


def plans_for(sources: Sequence[Path], out: Path, word: str, strengths: Sequence[float]) -> list[Plan]:
    """What is to be written for each photo, before anything is loaded; ``word`` ends the names in a folder.

    Raises ConfigError where ``out`` cannot be written or is one picture for several photos, ImageError where a result
    would take a source photo's place.
    """
    from emorph.edit.files import Plan, refuse_overwriting

    paths = result_paths(out, [f"{name}_{word}" for name in output_names(sources)])
    plans = [Plan.named(source, path, strengths) for source, path in zip(sources, paths, strict=True)]
    refuse_overwriting((file for plan in plans for file in plan.all_files), sources)
    check_writable(out)
    return plans


def change_photos(change: Change, plans: Sequence[Plan], out: Path, *, again: bool, as_json: bool) -> None:
    """Change the photos that are not finished, and list all; in a folder, records are written beside the pictures.

    again: do the finished ones, too.
    """
    from emorph.edit.files import write_drawn

    log = None if is_file_name(out) else out / change.records_file
    done = _finished(change, plans, log, again=again)
    todo = [plan for plan in plans if plan not in done]
    with items(len(todo)) as work:
        for plan in todo:
            with work.item(plan.source.name):
                drawn = change.draw(plan.source, work.step)
                with unbroken():
                    done[plan] = write_drawn(drawn, plan, change)
                    if log:
                        append(log, done[plan])
                    mention_other_faces(plan.source.name, drawn.n_faces, change.face)
                    if not as_json:
                        typer.echo(f"{plan.all_files[-1]}  ({drawn.seconds:.1f} s)")
    if as_json:
        print_json([change.as_json(record) for plan in plans for record in done.get(plan, [])])
    work.finish()


def _finished(change: Change, plans: Sequence[Plan], log: Path | None, *, again: bool) -> dict[Plan, list[EditRecord]]:
    """What an earlier run did of the same; a line that it left half written is cut off."""
    if log is None or not log.exists():
        return {}
    mend(log)
    if again:
        return {}
    known = {record.id: record for record in read(log)}
    done = {plan: records for plan in plans if (records := plan.finished(change, known))}
    if done:
        say(f"{len(done)} done before; --again does them anew.")
    return done
