"""``emorph study``: edits on disk to a running study, and its votes to a report."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli import study_report
from emorph.cli.console import items, print_json, say, stopping
from emorph.cli.options import Json
from emorph.core.commands import command
from emorph.core.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from emorph.study.design import NewStudy
    from emorph.study.records import Task

app = typer.Typer(help="User studies: plan one, make it, run it, report it.", no_args_is_help=True)

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
TASKS: dict[str, tuple[Task, ...]] = {
    "both": ("preference", "identification"),
    "preference": ("preference",),
    "identification": ("identification",),
}


app.command("plan")(study_report.plan)


@app.command("new")
def new(
    study: Study,
    more: Annotated[list[str] | None, typer.Argument(metavar="NAME=EDITS", help="More sets of edits.")] = None,
    edits: Annotated[
        list[str] | None,
        typer.Option(
            "--edits",
            help="Sets of edits, NAME=FOLDER for each method, as emorph evaluate reads them; or one CSV with method, "
            "source, edited, target (and strength).",
        ),
    ] = None,
    sources: Annotated[Path | None, typer.Option(help="Folder of the photos, for sets that are pictures only.")] = None,
    real: Annotated[
        Path | None, typer.Option(help="Folder of real photos with labels, EMOTION/NAME.png, shown among the edits.")
    ] = None,
    task: Annotated[str, typer.Option(help="What people do: preference, identification or both.")] = "both",
    title: Annotated[str, typer.Option(help="What participants see as the study's name.")] = "Faces",
    participants: Annotated[int, typer.Option(min=0, help="How many people should finish; 0 is as many as come.")] = 0,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="Trials of each task for one person, at most.")] = 30,
    same_source: Annotated[
        bool, typer.Option("--same-source", help="One person may see a photo more than once in a task.")
    ] = False,
    crop: Annotated[bool, typer.Option("--crop", help="Show only the surroundings of each photo's face.")] = False,
    size: Annotated[int, typer.Option(min=128, max=1024, help="Side of the pictures in px.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a study of edits, by emorph or any other method: pictures, design, and the text people agree to."""
    from emorph.study.design import Wishes, new_study

    if task not in TASKS:
        raise ConfigError(f"--task {task} is not known; use preference, identification or both.")
    sets = [*(edits or []), *(more or [])]
    if not sets:
        raise ConfigError("no edits are given; name them: --edits A=folder B=folder, or --edits table.csv.")
    wishes = Wishes(title, TASKS[task], sources, real, participants, trials, same_source, size, crop, seed)
    with stopping(f"{study} was not made."):
        _tell_new(study, new_study(study, sets, wishes), as_json=as_json)


@app.command("demo")
def demo(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")] = Path("study-demo"),
    photo: Annotated[Path, typer.Option(help="A photo with a face.")] = Path("examples/astronaut.png"),
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Make it, and do not serve it.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of this machine.")] = 8080,
) -> None:
    """Make a small study of the bundled model's edits of one photo, and serve it on this machine."""
    from emorph.study.demo import demo_study
    from emorph.study.records import DESIGN_FILE

    if not (study / DESIGN_FILE).is_file():
        if not photo.is_file():
            raise ImageError(f"there is no file {photo}; run this in the clone, or name a photo: --photo me.jpg.")
        with stopping(f"{study} was not made."), items(1) as work:
            made = demo_study(study, photo, work.step)
        _tell_new(study, made, as_json=False)
    if not no_serve:
        serve(study, port=port)


@app.command("serve")
def serve(
    study: Study,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is any.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    prefix: Annotated[str, typer.Option(help="Part of the path that a reverse proxy leaves in place: /study.")] = "",
    renew_token: Annotated[
        bool, typer.Option("--new-token", help="Print a new token for the results; the old one is void.")
    ] = False,
) -> None:
    """Let people take part. Every answer is on the disk before it is acknowledged; Ctrl-C stops, nothing is lost."""
    from emorph.study.records import read_design
    from emorph.study.serve import Place, new_token
    from emorph.study.serve import serve as run

    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", prefix):
        raise ConfigError(f"--prefix {prefix} is not a path; write it as /study.")
    read_design(study)
    token = new_token(study, renew=renew_token)
    if token is not None:
        say(f"Token for the results, shown this once: {token}")
    is_terminal = sys.stderr.isatty()

    def tell(line: str) -> None:
        typer.echo(f"\r\033[K{line}" if is_terminal else line, err=True, nl=not is_terminal)

    def ready(address: str) -> None:
        say(f"Participants: {address}    Ctrl-C stops; all answers are kept, and the same command continues.")

    try:
        run(study, Place(host, port, prefix), on_ready=ready, on_line=tell, every_s=1.0 if is_terminal else 10.0)
    finally:
        if is_terminal:
            typer.echo(err=True)  # what is said next stands in a line of its own


app.command("results")(study_report.results)


@app.command("export")
def export(
    study: Study,
    participant: Annotated[
        str | None, typer.Argument(metavar="ID", help="All that is stored about this participant, as JSON.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A file.", show_default="stdout")] = None,
) -> None:
    """Write all votes as CSV; or, given an id, all that is stored about one participant as JSON."""
    from emorph.core.outputs import write_text
    from emorph.study.export import participant_json, votes_csv

    text = votes_csv(study) if participant is None else participant_json(study, participant)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)


@app.command("delete")
def delete(
    study: Study,
    participant: Annotated[str, typer.Argument(metavar="ID", help="The number that the last page shows.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget one participant: their answers are overwritten, and their block goes to somebody else."""
    from emorph.study.export import forget, n_votes_of

    n_votes = n_votes_of(study, participant)  # nobody is asked about a person who does not exist
    if not yes and not typer.confirm(f"Delete the {n_votes} votes of {participant}? It cannot be undone."):
        raise typer.Exit(1)
    typer.echo(f"{forget(study, participant)} votes deleted.")


def _people(n: int) -> str:
    return "one person alone sees" if n == 1 else f"{n} people together see"


def _tell_new(study: Path, made: NewStudy, *, as_json: bool) -> None:
    """What a new study asks of people, and what to do next."""
    design, allocation = made.design, made.allocation
    tasks = {
        task: {
            "trials": len(allocation.trials(task)),
            "blocks": allocation.n_blocks[task],
            "trials_each": allocation.n_trials(task),
        }
        for task in design.tasks
    }
    if as_json:
        print_json({"study": str(study), "pictures": made.n_pictures, "methods": design.methods, "tasks": tasks})
        return
    typer.echo(f"{study}: {', '.join(design.methods)}; {made.n_pictures} pictures.")
    for task, numbers in tasks.items():
        typer.echo(
            f"  {task}: {numbers['trials']} trials; each person sees up to {numbers['trials_each']}, "
            f"and {_people(numbers['blocks'])} each of them once."
        )
        if design.participants:
            typer.echo(
                f"    {design.participants} people: each trial {design.participants / numbers['blocks']:.3g} times."
            )
    typer.echo(f"Look over {study}/study.toml and consent.*.txt, then: {command('study', 'serve', study)}")
