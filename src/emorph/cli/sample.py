"""``emorph sample``: faces from nothing, drawn by a model with a latent net."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, print_json, unbroken
from emorph.cli.options import Device, Json, Solver, Steps, check_writable, load_editor, result_paths


def sample(
    model: Annotated[str, typer.Option(help="A model with a latent net: a folder, a hub id, or a checkpoint.")],
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many faces.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the first face; the others follow.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; or a picture's name, for one face.")] = Path(
        "samples"
    ),
    latent_steps: Annotated[int, typer.Option(min=1, max=999, help="Evaluations of the latent net.")] = 50,
    steps: Steps = None,
    solver: Solver = "dpm",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw faces of people who never were; the same seed gives the same face."""
    from emorph.edit.codec import MAX_ROWS
    from emorph.edit.files import draw_samples, write_sample

    seeds = range(seed, seed + n)
    paths = result_paths(out, [f"sample_{number:06d}" for number in seeds], "faces are asked for")
    check_writable(out)
    editor = load_editor(model, None, device, steps, solver)
    chunks = [range(first, min(first + MAX_ROWS, seeds.stop)) for first in seeds[::MAX_ROWS]]
    path_of = dict(zip(seeds, paths, strict=True))
    written = []
    with items(len(chunks)) as work:
        for chunk in chunks:
            with work.item(f"seed {chunk[0]}" if len(chunk) == 1 else f"seeds {chunk[0]} to {chunk[-1]}"):
                for number, pixels in zip(chunk, draw_samples(editor, chunk, latent_steps, work.step), strict=True):
                    with unbroken():
                        write_sample(path_of[number], pixels, editor, number, latent_steps)
                        written.append({"seed": number, "path": str(path_of[number])})
                        if not as_json:
                            typer.echo(str(path_of[number]))
    if as_json:
        print_json(written)
    work.finish()
