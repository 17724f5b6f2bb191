"""``emorph train``: run a configuration, resume a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, say
from emorph.core.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from emorph.data.store import FaceStore
    from emorph.train.loop import Outcome
    from emorph.train.plan import DataConfig, RunConfig
    from emorph.train.tasks.judge import JudgeRunConfig
    from emorph.train.tasks.rig import RigRunConfig

app = typer.Typer(help="Training: run a configuration, resume a run.", no_args_is_help=True)

CLASSIFIER = "classifier"  # no run of steps and checkpoints, but a minute's fit
Devices = Annotated[str, typer.Option(help="How many devices, or auto.")]
Nodes = Annotated[int, typer.Option(min=1, help="How many machines.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0.01, help="Save and stop after so many minutes.")]


@app.command("run")
def run(
    config: Annotated[Path, typer.Argument(help="A TOML file, such as examples/emorph-base/1_start.toml.")],
    max_minutes: MaxMinutes = None,
    devices: Devices = "auto",
    nodes: Nodes = 1,
) -> None:
    """Train what a configuration states; Ctrl-C saves, and `emorph train resume` goes on."""
    task = _task(config)
    if task == CLASSIFIER:
        if (max_minutes, devices, nodes) != (None, "auto", 1):
            raise ConfigError(
                "a classifier takes a minute on one device: leave out --max-minutes, --devices and --nodes."
            )
        _run_classifier(config)
        return
    _train(_limited(_read(config, task), max_minutes), False, devices, nodes)


@app.command("resume")
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    max_minutes: MaxMinutes = None,
    devices: Devices = "auto",
    nodes: Nodes = 1,
) -> None:
    """Go on with a run from its last checkpoint, exactly as if it had not stopped."""
    from emorph.train.loop import CONFIG_FILE

    file = run / CONFIG_FILE
    config = _read(file, _task(file))
    _train(_limited(config.model_copy(update={"out": str(run.resolve())}), max_minutes), True, devices, nodes)


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


def _train(config: RunConfig, resuming: bool, devices: str, nodes: int) -> None:
    import torch

    from emorph.models.diffae import count_parameters
    from emorph.train.loop import train
    from emorph.train.plan import describe
    from emorph.train.tasks.judge import JudgeRunConfig
    from emorph.train.tasks.rig import RigRunConfig

    faces = open_faces(config.data, *config.picture)
    with torch.device("meta"):
        n_parameters = count_parameters(config.new_model())
    say(describe(config, len(faces), n_parameters))
    if isinstance(config, RigRunConfig):
        _read_coefficients(config, faces)
    outcome = train(config, faces, resume=resuming, devices=devices, nodes=nodes)
    _say_how_it_ended(outcome, config.out)
    if isinstance(config, JudgeRunConfig):
        _say_recall(config, outcome.folder / "ema")
    typer.echo(str(outcome.folder / "ema"))


def _read_coefficients(config: RigRunConfig, faces: FaceStore) -> None:
    """Beforehand, with progress; the run finds them in their file."""
    with items(1) as work, work.item("reading faces"):
        known = config.told(faces, work.step).known
    work.finish()
    n_rows = len(known)
    if n_rows > int(known.sum()):
        say(f"{n_rows - int(known.sum()):,} of {n_rows:,} pictures fit no 3D face; they are left out.")


def _say_how_it_ended(outcome: Outcome, run: str) -> None:
    reasons = {
        "budget": "the budget is spent",
        "max_minutes": "max_minutes is reached",
        "interrupted": "it was stopped",
    }
    say(f"{outcome.step:,} steps, {outcome.samples:,} samples: {reasons[outcome.ended_by]}.")
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
    from emorph.models.port import load
    from emorph.train.tasks.classifier import ClassifierConfig, encode_all, train_classifier

    config = ClassifierConfig.read(path)
    model = load(config.model)
    size = (model.config.image_size, model.config.image_channels)
    cache = Path(config.out).parent / "z_sem"
    training = open_faces(config.data, *size)
    held_out = open_faces(config.data.model_copy(update={"split": config.held_out}), *size)
    with items(2) as work:
        with work.item("encoding"):
            codes = encode_all(
                model,
                training,
                cache,
                mirror=config.data.mirror,
                confounds=config.head.confounds,
                on_step=work.step,
            )
        with work.item("encoding held-out faces"):
            held = encode_all(model, held_out, cache, mirror=False, on_step=work.step)
    work.finish()
    result = train_classifier(config.head, config.seed, codes, held)
    result.directions.save_pretrained(config.out)
    for word, (recall, n) in result.recall.items():
        say(f"{word:<10} recall {recall:6.1%}  (n = {n})")
    say(f"{'all':<10} accuracy {result.accuracy:.1%}  (n = {len(held.labels)})")
    typer.echo(config.out)


def open_faces(data: DataConfig, side_px: int, channels: int) -> FaceStore:
    """The faces that a configuration's [data] names."""
    from emorph.data.store import CropWindow, FaceStore

    window = CropWindow(*data.window) if data.window else None
    return FaceStore(data.path, side_px=side_px, channels=channels, split=data.split, window=window)
