"""``emorph train search``: try settings, and say which are best on validation faces and for how many epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json


def search(
    config: Annotated[Path, typer.Argument(help="A TOML file with ranges, and with a section named search.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many settings to try in all.", show_default="the file's, or 40")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try settings that a configuration gives as ranges, and report the best, with learning curves.

    Run it again to continue, also after a crash, or with more --trials. Several processes may run it at the same time:
    they share the trials.
    """
    from emorph.train.search.run import search as work_on

    @contextmanager
    def working() -> Iterator[Callable[[str, int, int], None]]:
        with items(1) as work, work.item("trials"):
            yield work.named_step
        work.finish()

    outcome = work_on(config, n_trials=trials, say=say, working=working)
    if as_json:
        print_json(outcome.to_json())
        return
    for line in outcome.lines():
        say(line)
    typer.echo(str(outcome.page))
