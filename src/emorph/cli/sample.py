"""``emorph sample``: new faces, drawn by a model with a latent net."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import finish, items, print_json
from emorph.cli.options import Backend, Device, Json, Reuse, Solver, Steps, load_editor

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit


def sample(
    model: Annotated[str, typer.Option(help="A model with a latent net: a folder, a hub id, or a checkpoint.")],
    n: Annotated[int, typer.Option("-n", "--n", "--number", min=1, help="How many faces.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first face; the others count up from it.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder, or a file name if there is one face.")] = Path(
        "samples"
    ),
    latent_steps: Annotated[int, typer.Option(min=1, max=999, help="Evaluations of the latent net.")] = 50,
    steps: Steps = None,
    solver: Solver = "dpm",
    reuse: Reuse = 1,
    backend: Backend = "torch",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw new faces of people who do not exist, by a model with a latent net; none is bundled.

    DiffAE's official ffhq256-autoenc-latent is one; `emorph train new latent` begins another. The same seed always
    gives the same face.
    """
    from emorph.edit.codec import MAX_ROWS
    from emorph.edit.files import plan_samples, sample_files

    plan_samples(range(seed, seed + n), out)
    editor = load_editor(model, None, device, steps, solver, reuse=reuse, backend=backend)

    def tell(done: FileEdit) -> None:
        if not as_json:
            typer.echo(str(done.files[-1]))

    with items(n, tell) as work:
        report = sample_files(editor, range(seed, seed + n), out, latent_steps=latent_steps, watch=work.watch)
    if as_json:
        print_json([{**done.made, "path": str(done.files[-1])} for done in report.edits])
    finish(report.failures, math.ceil(n / MAX_ROWS))  # they are drawn, and fail, so many at a time
