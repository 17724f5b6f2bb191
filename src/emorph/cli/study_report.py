"""``emorph study plan`` and ``emorph study results``: how many people a study needs, and what they said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, get_args

import typer

from emorph.cli.console import asked_command, print_json, say
from emorph.cli.options import Json
from emorph.core.errors import ConfigError, UnknownNameError


def results(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The report's folder.")] = Path("study-report"),
    scores: Annotated[
        Path | None,
        typer.Option(help="A report of emorph evaluate on the same edits; its metrics are held against people."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the analysis's random choices.")] = 0,
    as_json: Json = False,
) -> None:
    """Analyse the votes: a page, tables as CSV, Markdown and LaTeX, and people's scores of each edit.

    May be asked while a study runs; who has not finished is left out if study.toml says so.
    """
    if scores is not None and out.resolve() == scores.resolve():
        raise ConfigError(f"{out} holds the report that --scores names, which would be replaced; choose another -o.")
    from emorph.study.analysis import analyse
    from emorph.study.report.write import as_json as results_as_json
    from emorph.study.report.write import contents, text_lines, write_report

    found = analyse(study, scores=scores, seed=seed)
    page = write_report(out, found, asked_command())
    told = contents(found)
    if as_json:
        print_json({"report": str(page), **results_as_json(found, told)})
        return
    for line in text_lines(told):
        typer.echo(line)
    typer.echo(str(page))


def plan(
    task: Annotated[str, typer.Option(help="preference or identification.")] = "preference",
    methods: Annotated[int, typer.Option(min=2, help="Methods that are compared.")] = 3,
    photos: Annotated[int, typer.Option(min=2, help="Photos that are edited.")] = 20,
    tables: Annotated[
        int, typer.Option(min=1, help="1: one result over all targets; the number of targets: one for each of them.")
    ] = 1,
    half_width: Annotated[
        float | None,
        typer.Option(help="The goal: half the 95 % interval of a chance or accuracy.", show_default="0.05"),
    ] = None,
    power: Annotated[
        float | None, typer.Option(help="Another goal: share of studies that tell a better method apart, as 0.8.")
    ] = None,
    better: Annotated[
        float | None,
        typer.Option(
            help="For --power: the chance that the better method is chosen; for identification, how much higher its "
            "accuracy is.",
            show_default="0.6; 0.1",
        ),
    ] = None,
    trials: Annotated[
        list[int] | None, typer.Option(help="Trials of a person; may be repeated.", show_default="20, 40 and 60")
    ] = None,
    ties: Annotated[float, typer.Option(help="Share of ties between equal edits; 0 if ties are not allowed.")] = 0.0,
    people_sd: Annotated[float, typer.Option(help="How much people differ, in log odds.")] = 0.5,
    photos_sd: Annotated[float, typer.Option(help="How much photos differ, in log odds.")] = 0.5,
    seconds: Annotated[float, typer.Option(help="Seconds that a trial takes.")] = 8.0,
    studies: Annotated[int, typer.Option(min=10, help="Simulated studies for each number of people.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    as_json: Json = False,
) -> None:
    """How many people a study needs, and how long each is busy: simulated studies are analysed like the real one."""
    from emorph.study.simulate import Task, Wish
    from emorph.study.simulate import plan as planned

    if task not in get_args(Task):
        raise UnknownNameError("task", task, get_args(Task))
    if half_width is not None and power is not None:
        raise ConfigError("--half-width and --power are two goals; name one.")
    default = 0.6 if task == "preference" else 0.1
    wish = Wish(
        "preference" if task == "preference" else "identification",
        methods,
        photos,
        tables,
        "half-width" if power is None else "power",
        (0.05 if half_width is None else half_width) if power is None else power,
        default if better is None else better,
        ties,
        people_sd,
        photos_sd,
        seconds,
    )
    found = planned(
        wish,
        trials or (20, 40, 60),
        n_studies=studies,
        seed=seed,
        on_step=lambda n_trials, people: say(f"trying {people} people with {n_trials} trials"),
    )
    if as_json:
        print_json({**dataclasses.asdict(found), "sentences": found.sentences()})
        return
    for line in found.sentences():
        typer.echo(line)
