"""``emorph train``: say what a configuration will do, run it, resume a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json, refuse_options
from emorph.core.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from emorph.core.types import OnStep
    from emorph.data.store import FaceStore
    from emorph.train.loop import Outcome
    from emorph.train.order import KnownFaces
    from emorph.train.plan import DataConfig, RunConfig
    from emorph.train.tasks.judge import JudgeRunConfig

app = typer.Typer(
    help="Training: say what a configuration will do, run it, resume a run.\n\n"
    "One GPU, several, or several machines: --devices and --nodes; under torchrun or SLURM (srun) the same command "
    "runs in each process, and finds its place by their environment variables.",
    no_args_is_help=True,
)

CLASSIFIER = "classifier"  # no run of steps and checkpoints, but a minute's fit
ConfigFile = Annotated[Path, typer.Argument(help="A TOML file, such as examples/emorph-base/1_start.toml.")]
Devices = Annotated[
    str | None, typer.Option(help="How many devices of each machine share a batch, or auto.", show_default="auto")
]
Nodes = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default="1",
        help="How many machines share a batch. Start the same command on each under SLURM (srun), under torchrun, or "
        "with MASTER_ADDR, MASTER_PORT and NODE_RANK set.",
    ),
]
HOLDOUT = 500  # of each emotion, as `emorph data prepare` holds out by default
Accelerator = Annotated[str | None, typer.Option(help="auto, gpu, cpu or mps.", show_default="auto")]
MaxMinutes = Annotated[float | None, typer.Option(min=0.01, help="Save and stop after so many minutes.")]


@app.command("plan")
def plan(
    config: ConfigFile,
    faces: Annotated[
        int | None, typer.Option(min=1, help="Faces in the data set, if it is not there yet, or to try another number.")
    ] = None,
    scan: Annotated[
        Path | None,
        typer.Option(help="Take the training faces of this raw data set, as `emorph data scan` counts them."),
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Instead of the file's budget.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the file's budget.")] = None,
    epochs: Annotated[float | None, typer.Option(min=0.001, help="Instead of the file's budget.")] = None,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
    no_warm_up: Annotated[
        bool, typer.Option("--no-warm-up", help="Do not try a few steps to measure the time.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a run will do, before it starts: samples, steps, epochs, emotions, saves, memory and time.

    Nothing is written.
    """
    task = _task(config)
    if task == CLASSIFIER:
        refuse_options(
            f"{config}: a classifier is fitted in a minute on one device, and as its file says",
            {
                "--scan": scan,
                "--samples": samples,
                "--steps": steps,
                "--epochs": epochs,
                **_of_runs(max_minutes, devices, nodes, accelerator),
                "--no-warm-up": no_warm_up or None,
            },
        )
        _plan_classifier(config, faces, as_json=as_json)
        return
    if scan is not None:
        refuse_options("a plan with --scan, which counts the faces", {"--faces": faces})
    from emorph.train.devices import count_devices
    from emorph.train.forecast import make_plan
    from emorph.train.plan_text import full_text

    found = _limited(_read(config, task), max_minutes)
    found = found.with_budget(samples=samples, steps=steps, epochs=epochs)
    store = _faces_if_there(found) if faces is None and scan is None else None
    forecast = make_plan(
        found,
        store,
        _known(found, store, faces, scan),
        n_devices=count_devices(devices or "auto", nodes or 1, accelerator or "auto"),
        accelerator=accelerator or "auto",
        measure=not no_warm_up,
    )
    if as_json:
        print_json(forecast.to_json())
    else:
        typer.echo(f"{config}: {full_text(forecast)}")


@app.command("run")
def run(
    config: ConfigFile,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
) -> None:
    """Train what a configuration states; Ctrl-C saves, and `emorph train resume` goes on."""
    task = _task(config)
    if task == CLASSIFIER:
        refuse_options(
            f"{config}: a classifier is fitted in a minute on one device",
            _of_runs(max_minutes, devices, nodes, accelerator),
        )
        _run_classifier(config)
        return
    _train(_limited(_read(config, task), max_minutes), False, devices, nodes, accelerator)


@app.command("resume")
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    nodes: Nodes = None,
    accelerator: Accelerator = None,
) -> None:
    """Go on with a run from its last checkpoint, exactly as if it had not stopped."""
    from emorph.train.loop import CONFIG_FILE

    file = run / CONFIG_FILE
    config = _read(file, _task(file)).model_copy(update={"out": str(run.resolve())})
    _train(_limited(config, max_minutes), True, devices, nodes, accelerator)


@app.command("samples")
def samples(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    steps: Annotated[
        str | None, typer.Option(help="Which steps, as in 5000,7000,10000; all that there are if left out.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path("samples.html"),
) -> None:
    """Set the sheets that runs drew at their checkpoints side by side, on one page."""
    from emorph.train.samples_page import write_page

    try:
        wanted = [int(step) for step in steps.split(",")] if steps else None
    except ValueError:
        raise ConfigError(f"--steps {steps!r}: expected numbers with commas between them, as in 5000,10000.") from None
    sheets = write_page(out, runs, wanted)
    typer.echo(f"{out}  ({len(sheets)} sheets)")


def _of_runs(
    max_minutes: float | None, devices: str | None, nodes: int | None, accelerator: str | None
) -> dict[str, object]:
    """Options of runs of steps and checkpoints."""
    return {"--max-minutes": max_minutes, "--devices": devices, "--nodes": nodes, "--accelerator": accelerator}


def _task(path: Path) -> str:
    from emorph.core.config import read_toml
    from emorph.train.tasks import CONFIGS

    task = str(read_toml(path).get("task", "autoencoder"))
    if task not in (*CONFIGS, CLASSIFIER):
        raise UnknownNameError("task", task, (*CONFIGS, CLASSIFIER))
    return task


def _read(path: Path, task: str) -> RunConfig:
    from emorph.train.tasks import config_class

    return config_class(task).read(path)


def _limited(config: RunConfig, max_minutes: float | None) -> RunConfig:
    if max_minutes is None:
        return config
    return config.model_copy(update={"budget": config.budget.model_copy(update={"max_minutes": max_minutes})})


def _faces_if_there(config: RunConfig) -> FaceStore | None:
    return open_faces(config.data, *config.picture) if Path(config.data.path).exists() else None


def _known(config: RunConfig, store: FaceStore | None, faces: int | None, scan: Path | None) -> KnownFaces | None:
    """What there is to plan with: the option's answer, else the data set's, else the configuration's."""
    from emorph.train.order import KnownFaces

    if scan is not None:
        from emorph.data.layouts import open_index
        from emorph.data.report import scan_report

        report = scan_report(open_index(scan, None), holdout=HOLDOUT, seed=0)
        return KnownFaces.scanned(report.faces, f"a scan of {scan}")
    if store is not None:
        return KnownFaces.of(store, config.data.path, with_affect=config.data.balance.startswith("affect"))
    assumed = config.data.assumed_faces
    if faces is not None:
        of_each = isinstance(assumed, dict) and sum(assumed.values()) == faces
        return KnownFaces.stated(assumed if of_each and assumed else faces, "--faces")
    return KnownFaces.stated(assumed, "data.assumed_faces") if assumed else None


def _plan_classifier(path: Path, faces: int | None, *, as_json: bool) -> None:
    from emorph.train.plan_text import fit_text
    from emorph.train.tasks.classifier import ClassifierConfig

    config = ClassifierConfig.read(path)
    if faces is None and Path(config.data.path).exists():
        faces = int((open_faces(config.data, 1, 1).labels >= 0).sum())
    text, values = fit_text(config.head, faces, mirror=config.data.mirror)
    if as_json:
        print_json({"task": CLASSIFIER, **values})
    else:
        typer.echo(f"{path}: {text}")


def _train(config: RunConfig, resuming: bool, devices: str | None, nodes: int | None, accelerator: str | None) -> None:
    from emorph.train.loop import train
    from emorph.train.plan_text import short_text
    from emorph.train.tasks.judge import JudgeRunConfig

    faces = open_faces(config.data, *config.picture)
    outcome = train(
        config,
        faces,
        resume=resuming,
        devices=devices or "auto",
        nodes=nodes or 1,
        accelerator=accelerator or "auto",
        reading=_reading,
        on_start=lambda plan: say(short_text(plan)),
    )
    if not outcome.first_process:
        return
    _say_how_it_ended(outcome, config.out)
    if isinstance(config, JudgeRunConfig):
        _say_recall(config, outcome.folder / "ema")
    typer.echo(str(outcome.folder / "ema"))


@contextmanager
def _reading() -> Iterator[OnStep]:
    """Progress over what a task reads off the faces beforehand; the run finds it in files."""
    with items(1) as work, work.item("reading faces"):
        yield work.step
    work.finish()


def _say_how_it_ended(outcome: Outcome, run: str) -> None:
    from emorph.train.plan_text import duration

    say(
        f"{outcome.step:,} steps, {outcome.samples:,} samples, {outcome.epochs:.2f} epochs in "
        f"{duration(outcome.seconds)}: {outcome.because}."
    )
    if outcome.ended_by != "budget":
        say(f"Go on with: emorph train resume {run}")


def _say_recall(config: JudgeRunConfig, folder: Path) -> None:
    """How well a judge knows the held-out faces."""
    from emorph.models.judge import Judge
    from emorph.train.tasks.judge import held_out_confusion

    data = config.data.model_copy(update={"split": config.held_out})
    found = held_out_confusion(Judge.from_pretrained(folder), open_faces(data, *config.picture))
    for emotion in found.emotions:
        recall, n = found.recall(emotion)
        say(f"{emotion.word:<10} recall {recall:6.1%}  (n = {n})")
    say(f"{'all':<10} accuracy {found.accuracy:.1%}  (n = {int(found.counts.sum())})")


def _run_classifier(path: Path) -> None:
    from emorph.train.tasks.classifier import ClassifierConfig, run_classifier
    from emorph.train.tasks.classifier_report import lines

    config = ClassifierConfig.read(path)
    with items(1) as work, work.item("classifier"):
        result = run_classifier(config, work.named_step)
    work.finish()
    for line in lines(result.confusion, result.calibration, result.affect):
        say(line)
    typer.echo(config.out)


def open_faces(data: DataConfig, side_px: int, channels: int) -> FaceStore:
    """The faces that a configuration's [data] names."""
    return data.open(side_px, channels)
