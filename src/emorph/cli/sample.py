"""``emorph sample``: faces from nothing, drawn by a model with a latent net."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, print_json
from emorph.cli.options import Device, Json, Solver, Steps, check_writable, load_editor


def sample(
    model: Annotated[str, typer.Option(help="A model with a latent net: a folder, a hub id, or a checkpoint.")],
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many faces.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the first face; the others follow.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")] = Path("samples"),
    latent_steps: Annotated[int, typer.Option(min=1, max=999, help="Evaluations of the latent net.")] = 50,
    steps: Steps = None,
    solver: Solver = "dpm",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw faces of people who never were; the same seed gives the same face."""
    from emorph.edit.files import write_sample

    check_writable(out)
    editor = load_editor(model, None, device, steps, solver)
    written = []
    with items(n) as work:
        for number in range(seed, seed + n):
            with work.item(f"seed {number}"):
                path = out / f"sample_{number:06d}.png"
                write_sample(path, editor, number, latent_steps)
                written.append({"seed": number, "path": str(path)})
                if not as_json:
                    typer.echo(str(path))
    if as_json:
        print_json(written)
    work.finish()
