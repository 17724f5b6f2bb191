"""``emorph train``: show what a configuration will do, run it, resume it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json, refuse_options
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

app.command("search")(search)
ConfigFile = Annotated[Path, typer.Argument(help="A TOML file, such as examples/emorph-base/1_start.toml.")]
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


@app.command("plan")
def show_plan(
    config: ConfigFile,
    faces: Annotated[
        int | None,
        typer.Option(min=1, help="Number of faces, if the data set does not exist yet or to try another size."),
    ] = None,
    scan: Annotated[
        Path | None,
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

    task = read_task(config)
    warm_up = False if no_warm_up else None
    wishes = Wishes(faces, scan, samples, steps, epochs, max_minutes, devices, nodes, accelerator, warm_up)
    _refuse_what_the_task_ignores(config, task, wishes)
    if scan is not None:
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

    task = read_task(config)
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
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
) -> None:
    """Continue a run from its last checkpoint, exactly as if it had never stopped."""
    from emorph.train.ways import Reporter, Wishes, resume_run

    wishes = Wishes(max_minutes=max_minutes, devices=devices, nodes=nodes, accelerator=accelerator)
    _print_result(resume_run(run, wishes, Reporter(say, _progress)))


@app.command("samples")
def compare_samples(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    steps: Annotated[
        str | None, typer.Option(help="Steps to show, such as 5000,7000,10000.", show_default="all of them")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path("samples.html"),
) -> None:
    """Compare the sample sheets that runs wrote at their checkpoints, side by side on one page."""
    from emorph.train.samples_page import write_page

    try:
        wanted = [int(step) for step in steps.split(",")] if steps else None
    except ValueError:
        raise ConfigError(f"--steps {steps!r}: expected numbers separated by commas, such as 5000,10000.") from None
    sheets = write_page(out, runs, wanted)
    typer.echo(f"{out}  ({len(sheets)} sheet{'s' if len(sheets) > 1 else ''})")


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
