"""``emorph train``: show what a configuration will do, run it, resume it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, print_json, print_names, say
from emorph.cli.options import Json, refuse_options, whole_numbers
from emorph.cli.search import search
from emorph.core.errors import ConfigError

if TYPE_CHECKING:
    from emorph.train.config import TaskConfig
    from emorph.train.ways import Wishes

app = typer.Typer(
    help="Train models: show what a configuration will do, run it, resume it.\n\n"
    "Training uses one GPU, several, or several machines: see --devices and --nodes. Under torchrun or SLURM (srun), "
    "start the same command in every process; each finds its place from the environment.",
    no_args_is_help=True,
)

ConfigFile = Annotated[Path, typer.Argument(help="A TOML file, such as `emorph train new` writes.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of the run.")]
Samples = Annotated[int | None, typer.Option(min=1, help="Number of samples, instead of the file's budget.")]
TrainSteps = Annotated[int | None, typer.Option(min=1, help="Number of steps, instead of the file's budget.")]
Epochs = Annotated[float | None, typer.Option(min=0.001, help="Number of epochs, instead of the file's budget.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0.01, help="Save and stop after this many minutes.")]
Devices = Annotated[
    str | None,
    typer.Option(help="Number of devices on each machine that share a batch, or auto.", show_default="auto"),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default="1",
        help="Number of machines that share a batch. Start the same command on each: under SLURM (srun), under "
        "torchrun, or with MASTER_ADDR, MASTER_PORT and NODE_RANK set.",
    ),
]
Accelerator = Annotated[str | None, typer.Option(help="auto, gpu, cpu or mps.", show_default="auto")]
NoWarmUp = Annotated[bool, typer.Option("--no-warm-up", help="Do not run a few steps to measure the time.")]


@app.command("new")
def new_file(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A task, or a preset of --list.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The file to write.", show_default="NAME.toml")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the tasks and the presets.")] = False,
) -> None:
    """Write the file of a new run: of a task with every key explained, or of a preset."""
    from emorph.train.new import presets, write_new
    from emorph.train.tasks import ABOUT

    if list_all:
        print_names("tasks, each with all its keys", ABOUT)
        typer.echo()
        print_names("presets, whole runs to start from", {p.name: f"[{p.task}] {p.about}" for p in presets().values()})
        return
    if name is None:
        raise ConfigError("say what is to be trained, a task or a preset; emorph train new --list shows all.")
    path = out or Path(f"{name}.toml")
    write_new(name, path)
    typer.echo(str(path))


@app.command("keys")
def show_keys(
    task: Annotated[str, typer.Argument(help="A task, such as autoencoder.")],
    as_json: Json = False,
) -> None:
    """Show every key of a task's file: its type, unit, default, and what it does."""
    from dataclasses import asdict

    from emorph.train.keys import keys_of

    keys = keys_of(task)
    if as_json:
        print_json([asdict(key) for key in keys])
        return
    section = None
    for key in keys:
        if key.section != section:
            section = key.section
            typer.echo(f"\n[{section}]" if section else "at the top of the file")
        default = "must be stated" if key.required else f"default {key.default}" if key.default else "not stated"
        typer.echo(f"  {key.name}: {key.kind}{f' ({key.unit})' if key.unit else ''}; {default}")
        typer.echo(f"      {key.sentence}")


@app.command("plan")
def show_plan(
    config: ConfigFile,
    faces: Annotated[
        int | None,
        typer.Option(min=1, help="Number of faces, if the data set does not exist yet or to try another size."),
    ] = None,
    scan: Annotated[
        list[Path] | None,
        typer.Option(help="Count the training faces of this raw data set, as `emorph data scan` does."),
    ] = None,
    samples: Samples = None,
    steps: TrainSteps = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
    no_warm_up: NoWarmUp = False,
    as_json: Json = False,
) -> None:
    """Show what a run will do before it starts: samples, steps, epochs, emotions, checkpoints, memory and time.

    Nothing is written.
    """
    from emorph.train.tasks import read_task
    from emorph.train.ways import Wishes, way_of

    if scan and len(scan) > 1:
        raise ConfigError(f"--scan is given {len(scan)} times, and a plan counts one data set; name one.")
    task = read_task(config, say)
    warm_up = False if no_warm_up else None
    wishes = Wishes(
        faces, scan[0] if scan else None, samples, steps, epochs, max_minutes, devices, nodes, accelerator, warm_up
    )
    _refuse_what_the_task_ignores(config, task, wishes)
    if scan:
        refuse_options("a plan with --scan, which counts the faces", {"--faces": faces})
    planned = way_of(task).plan(task, wishes)
    if as_json:
        print_json(planned.values)
    else:
        typer.echo(f"{config}: {planned.text}")


@app.command("run")
def start_run(
    config: ConfigFile,
    samples: Samples = None,
    steps: TrainSteps = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
) -> None:
    """Train what a configuration file describes. Ctrl-C saves the run; `emorph train resume` continues it."""
    from emorph.train.tasks import read_task
    from emorph.train.ways import Reporter, Wishes, way_of

    task = read_task(config, say)
    wishes = Wishes(
        samples=samples,
        steps=steps,
        epochs=epochs,
        max_minutes=max_minutes,
        devices=devices,
        nodes=nodes,
        accelerator=accelerator,
    )
    _refuse_what_the_task_ignores(config, task, wishes)
    _print_result(way_of(task).run(task, wishes, Reporter(say, _progress)))


@app.command("resume")
def resume_stopped_run(
    run: RunFolder,
    samples: Samples = None,
    steps: TrainSteps = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what it would do, and stop.")] = False,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
) -> None:
    """Continue a run from its last checkpoint, exactly as if it had never stopped.

    With --epochs, --steps or --samples it goes on to that length, counted from the run's start, which is written down.
    """
    from emorph.train.ways import Reporter, Wishes, plan_resume, resume_run

    wishes = Wishes(
        samples=samples,
        steps=steps,
        epochs=epochs,
        max_minutes=max_minutes,
        devices=devices,
        nodes=nodes,
        accelerator=accelerator,
        warm_up=False if plan else None,
    )
    if plan:
        typer.echo(plan_resume(run, wishes).text)
        return
    _print_result(resume_run(run, wishes, Reporter(say, _progress)))


@app.command("samples")
def compare_samples(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.")],
    steps: Annotated[
        str | None, typer.Option(help="Steps to show, such as 5000,7000,10000.", show_default="all of them")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path("samples.html"),
) -> None:
    """Compare the sample sheets that runs wrote at their checkpoints, side by side on one page."""
    from emorph.train.samples_page import write_page

    sheets = write_page(out, runs, whole_numbers("--steps", steps) if steps else None)
    typer.echo(f"{out}  ({len(sheets)} sheet{'s' if len(sheets) > 1 else ''})")


@app.command("sheets")
def draw_emotions(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of an autoencoder's run, or a classifier's TOML file.")
    ],
    steps: Annotated[
        str | None,
        typer.Option(help="Checkpoints to show, such as 5000,10000; of a classifier epochs, such as 1,5,20,40."),
    ] = None,
    faces: Annotated[int, typer.Option(min=1, max=32, help="Number of faces, held-out ones where there are.")] = 4,
    strength: Annotated[float, typer.Option(min=-3, max=3, help="Of the edits; 1 is the usual amount.")] = 1.0,
    fit_faces: Annotated[
        int, typer.Option(min=8, help="Faces that each checkpoint's directions are fitted on, of all emotions alike.")
    ] = 1600,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path("emotions.html"),
) -> None:
    """Draw eight emotions of the same faces at every checkpoint, and one page to compare them.

    Sheets that were drawn before are not drawn again.
    """
    from emorph.train.emotion_sheets import write_emotion_page
    from emorph.train.emotion_stages import training_of

    numbers = whole_numbers("--steps", steps) if steps else None
    training = training_of(run, fit_faces=fit_faces, numbers=numbers)
    with _progress("sheets of emotions") as on_part:
        sheets = write_emotion_page(out, training, n_faces=faces, strength=strength, on_part=on_part)
    typer.echo(f"{out}  ({len(sheets)} checkpoint{'s' if len(sheets) > 1 else ''})")


def _refuse_what_the_task_ignores(file: Path, task: TaskConfig, wishes: Wishes) -> None:
    """Raises ConfigError for an option that would do nothing."""
    from emorph.train.ways import way_of

    way = way_of(task)
    ignored = [name for name in wishes.stated if name not in way.minds]
    options = {"--no-warm-up" if name == "warm_up" else f"--{name.replace('_', '-')}": True for name in ignored}
    refuse_options(f"{file}: a {task.task} {way.reason}", options)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar over one piece of work."""
    with items(1) as work, work.item(title):
        yield work.named_step
    work.finish()


def _print_result(path: Path | None) -> None:
    """Print where the result is; only the first of several processes knows."""
    if path is not None:
        typer.echo(str(path))


app.command("search")(search)
