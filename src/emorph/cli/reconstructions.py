"""``emorph evaluate --model``: how near an autoencoder's reconstructions come to their faces."""

from __future__ import annotations

from pathlib import Path

import typer

from emorph.cli.console import asked_command, items, print_json, say
from emorph.cli.options import whole_numbers
from emorph.core.errors import ConfigError

N_FACES = 500


def reconstructions(
    models: list[str],
    data: str | None,
    out: Path,
    n: int | None,
    steps: str | None,
    split: str | None,
    window: str | None,
    solver: str | None,
    without: list[str],
    *,
    as_json: bool,
) -> None:
    """Encode and decode, and show the table; options as in ``emorph evaluate``."""
    from emorph.train.reconstructions import Wanted, reconstructions

    if data is None:
        raise ConfigError("--model needs --data: the prepared faces to encode and decode.")
    square = None if window is None else whole_numbers("--window", window)
    if square is not None and len(square) != 3:
        raise ConfigError(f"--window {window!r}: expected LEFT,TOP,SIDE in whole pixels, such as 12,24,104.")
    wanted = Wanted(
        tuple(models),
        data,
        tuple(dict.fromkeys(whole_numbers("--steps", steps or "20"))),
        n or N_FACES,
        split,
        None if square is None else (square[0], square[1], square[2]),
        solver or "dpm",
    )
    with items(1) as work:
        found = reconstructions(wanted, out, without=without, on_step=work.step)
    page = found.write(out, asked_command())
    if as_json:
        print_json({"report": str(page), **found.as_json()})
        return
    for warning in found.faces.warnings:
        say(f"Warning: {warning}")
    for missing in found.missing:
        say(f"{missing.name}: {missing.why}")
    typer.echo(found.faces.about)
    for line in found.table().plain():
        typer.echo(line)
    typer.echo(str(page))
