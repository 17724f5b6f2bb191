"""The ``emorph`` command: its verbs, and how errors reach the user."""

from __future__ import annotations

import inspect
import io
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emorph import __version__
from emorph.cli import data, doctor, edit, evaluate, face, models, sample, sheet, study, train, transfer, web
from emorph.cli.console import say
from emorph.core.errors import EmorphError

STOPPED = 130  # what a shell reports for a command that Ctrl-C ended

KEPT = "What was finished is kept."


class _Verbs(TyperGroup):
    """Commands that say on Ctrl-C what is kept."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _flow_help(self)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            say(f"Stopped. {str(stopped) or KEPT}")
            raise typer.Exit(STOPPED) from None


def _flow_help(command: Any) -> None:
    """Join the lines of each paragraph of help, of a command and of those below it: a terminal breaks them anew.

    Arguments without a word of their own are written in capitals, as those with one are.
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    for param in command.params:
        if param.param_type_name == "argument" and param.metavar is None:
            param.metavar = param.name.upper()
    for each in getattr(command, "commands", {}).values():
        _flow_help(each)


app = typer.Typer(
    name="emorph",
    cls=_Verbs,
    help="Edit the expression of a face in a photograph, and keep the person the same.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("edit")(edit.edit)
app.command("sheet")(sheet.sheet)
app.command("sample")(sample.sample)
app.command("face")(face.face)
app.command("transfer")(transfer.transfer)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(study.app, name="study")
app.command("web")(web.web)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"emorph {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def _at_home(word: str) -> str:
    """~/ at the beginning of a path, which shells leave as it is within quotes and behind --option=."""
    begins = re.match(r"(--[a-z-]+=)?~/", word)
    if begins is None:
        return word
    option = begins[1] or ""
    return f"{option}{Path(word.removeprefix(option)).expanduser()}"


def main() -> None:
    """Run a command. Exit status: 0 done, 1 some items failed, 2 it could not be started, 130 stopped with Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=[_at_home(word) for word in sys.argv[1:]])
    except EmorphError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(2)
