"""``emorph evaluate --model``: how near an autoencoder's reconstructions come to their faces."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from emorph.cli.console import items, print_json, say
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
    square = None if window is None else _numbers("--window", window)
    if square is not None and len(square) != 3:
        raise ConfigError(f"--window {window!r}: expected LEFT,TOP,SIDE in whole pixels, such as 12,24,104.")
    wanted = Wanted(
        tuple(models),
        data,
        tuple(dict.fromkeys(_numbers("--steps", steps or "20"))),
        n or N_FACES,
        split,
        None if square is None else (square[0], square[1], square[2]),
        solver or "dpm",
    )
    with items(1) as work:
        found = reconstructions(wanted, out, without=without, on_step=work.step)
    page = found.write(out, shlex.join(["emorph", *sys.argv[1:]]))
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


def _numbers(option: str, text: str) -> list[int]:
    """ "10,20" is 10 and 20. Raises ConfigError."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text!r}: expected whole numbers separated by commas.") from None
