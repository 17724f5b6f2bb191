"""The ways in which a task is trained, and what planning, running and resuming it means in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

from emorph.core.commands import command
from emorph.core.errors import CheckpointError, ConfigError
from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.train import checkpoint
from emorph.train.config import FitConfig, OnPart, RunConfig, TaskConfig
from emorph.train.devices import count_devices
from emorph.train.draws import KnownFaces
from emorph.train.longer import Longer
from emorph.train.loop import Outcome, train
from emorph.train.plan import Plan, make_plan
from emorph.train.plan_text import duration, full_text, short_text
from emorph.train.run_folder import CONFIG_FILE, begin
from emorph.train.tasks import read_task

PATIENCE_S = 3.0  # before what is silent says that it goes on


@dataclass(frozen=True)
class Wishes:
    """What is asked of a plan or a run beside its configuration; None where nothing is.

    faces: how many the data set has, if it is not there yet, or to try another number. scan: a raw data set whose
    training faces are counted in its place. samples, steps, epochs, max_minutes: in place of the configuration's.
    warm_up: False estimates memory instead of trying a few steps.
    """

    faces: int | None = None
    scan: Path | None = None
    samples: int | None = None
    steps: int | None = None
    epochs: float | None = None
    max_minutes: float | None = None
    devices: str | None = None
    nodes: int | None = None
    accelerator: str | None = None
    warm_up: bool | None = None

    @property
    def stated(self) -> list[str]:
        """Names of what is asked."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True)
class Reporter:
    """How a run speaks to people.

    say: prints a line. progress(title): a bar, which is told what is being done, how much of it is, and of how much.
    """

    say: Callable[[str], None]
    progress: Callable[[str], AbstractContextManager[OnPart]]


@dataclass(frozen=True)
class Planned:
    """A plan in words, and as values for machines."""

    text: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way to train. minds: the wishes that it can fulfil. reason: why it minds no others, said of a task.

    run: trains, and returns the folder of the result; None on all processes but the first.
    """

    plan: Callable[[Any, Wishes], Planned]
    run: Callable[[Any, Wishes, Reporter], Path | None]
    minds: frozenset[str]
    reason: str


def plan_fit(config: FitConfig, wishes: Wishes) -> Planned:
    """Plan a task that is fitted in one go."""
    config = config.with_budget(samples=wishes.samples, steps=wishes.steps, epochs=wishes.epochs)
    assumed = wishes.faces is not None or wishes.scan is not None
    store = config.data.open(1, 1) if not assumed and config.data.is_there() else None
    known = KnownFaces.for_plan(config.data, store, n_faces=wishes.faces, scan=wishes.scan)
    faces = None if known is None else known.n if known.labels is None else known.labels
    text, values = config.planned(faces)
    return Planned(text, {"task": config.task, **values})


def run_fit(config: FitConfig, wishes: Wishes, reporter: Reporter) -> Path:
    """Fit a task in one go."""
    config = config.with_budget(samples=wishes.samples, steps=wishes.steps, epochs=wishes.epochs)
    with reporter.progress(config.task) as on_part:
        report = config.fit(on_part)
    for line in report:
        reporter.say(line)
    return Path(config.out)


def plan_steps(config: RunConfig, wishes: Wishes, starts: str = "") -> Planned:
    """Plan a run of steps and checkpoints. starts: where a run that goes on does so.

    Raises ConfigError for a number of faces beside a scan that counts them.
    """
    config = _with_wishes(config, wishes)
    assumed = wishes.faces is not None or wishes.scan is not None
    store = config.open_faces() if not assumed and config.data.is_there() else None
    accelerator = wishes.accelerator or "auto"
    plan = make_plan(
        config,
        store,
        KnownFaces.for_plan(config.data, store, n_faces=wishes.faces, scan=wishes.scan),
        n_devices=count_devices(wishes.devices or "auto", wishes.nodes or 1, accelerator),
        accelerator=accelerator,
        measure=wishes.warm_up is not False,
    )
    return Planned(full_text(plan, starts), plan.to_json())


def run_steps(config: RunConfig, wishes: Wishes, reporter: Reporter) -> Path | None:
    """Train a run of steps and checkpoints."""
    config = _with_wishes(config, wishes)
    faces = _opened(config, reporter)
    return _run_steps(config, faces, wishes, reporter, lambda plan: reporter.say(short_text(plan)))


def _run_steps(
    config: RunConfig,
    faces: FaceStore,
    wishes: Wishes,
    reporter: Reporter,
    on_start: Callable[[Plan], None],
    *,
    resume: bool = False,
) -> Path | None:

    @contextmanager
    def reading(title: str) -> Iterator[OnStep]:
        with reporter.progress(title) as on_part:
            yield partial(on_part, title)

    outcome = train(
        config,
        faces,
        resume=resume,
        devices=wishes.devices or "auto",
        nodes=wishes.nodes or 1,
        accelerator=wishes.accelerator or "auto",
        reading=reading,
        on_start=on_start,
    )
    if not outcome.first_process:
        return None
    average = outcome.folder / "ema"
    for line in _ending(outcome, config.out):
        reporter.say(line)
    for line in config.closing_report(average):
        reporter.say(line)
    return average


def resume_run(run: Path, wishes: Wishes, reporter: Reporter) -> Path | None:
    """Continue a run of steps from its last checkpoint, as if it had not stopped, or to another budget.

    Raises ConfigError, also for a budget that it has reached already, and CheckpointError.
    """
    config = _of_run(run)
    faces = _opened(config, reporter)
    longer = _longer(run, config, wishes, faces)

    def on_start(plan: Plan) -> None:
        if longer is not None:
            begin(run, longer.config, plan)
        reporter.say("\n".join([*(longer.lines(plan) if longer else ()), short_text(plan, new=False)]))

    return _run_steps(_with_wishes(config, wishes), faces, wishes, reporter, on_start, resume=True)


def plan_resume(run: Path, wishes: Wishes) -> Planned:
    """What ``resume_run`` would do. Raises as it does."""
    config = _of_run(run)
    faces = config.open_faces()
    longer = _longer(run, config, wishes, faces)
    newest = checkpoint.latest(run)
    planned = plan_steps(config, wishes, f"at step {checkpoint.step_of(newest):,}, from {newest}")
    if longer is None:
        return planned
    known = KnownFaces.for_plan(config.data, faces, n_faces=None, scan=None)
    said = longer.lines(make_plan(longer.config, None, known, measure=False))
    went = {"step": longer.step, "steps_before": longer.before}
    return Planned("\n".join([planned.text, "", *said]), {**planned.values, **went})


def _of_run(run: Path) -> RunConfig:
    if not (run / CONFIG_FILE).is_file():
        raise CheckpointError(f"{run} is no run: it has no {CONFIG_FILE}. Name the folder that its file calls out.")
    config = read_task(run / CONFIG_FILE)
    if not isinstance(config, RunConfig):
        raise ConfigError(f"{run} holds a task that has no checkpoints: run it again with emorph train run.")
    return config.model_copy(update={"out": str(run.resolve())})


def _longer(run: Path, config: RunConfig, wishes: Wishes, faces: FaceStore) -> Longer | None:
    """The run under another budget; None where none is asked for."""
    if wishes.samples is None and wishes.steps is None and wishes.epochs is None:
        return None
    new = config.with_budget(samples=wishes.samples, steps=wishes.steps, epochs=wishes.epochs)
    known = KnownFaces.read(config.data, faces)
    return Longer.of(run, config, new, known)


def _opened(config: RunConfig, reporter: Reporter) -> FaceStore:
    """The faces; if that takes a while, it is said."""
    later = Timer(
        PATIENCE_S,
        reporter.say,
        [f"Opening {config.data.path}; the first time, a copy is made that can be mapped into memory."],
    )
    later.start()
    try:
        return config.open_faces()
    finally:
        later.cancel()


WAYS: dict[str, Way] = {
    "steps": Way(plan_steps, run_steps, minds=frozenset(field.name for field in fields(Wishes)), reason=""),
    "fit": Way(
        plan_fit,
        run_fit,
        minds=frozenset({"faces", "scan", "samples", "steps", "epochs"}),
        reason="is fitted in a minute on one device",
    ),
}


def way_of(config: TaskConfig) -> Way:
    """How a task is trained."""
    return WAYS[config.way]


def _with_wishes(config: RunConfig, wishes: Wishes) -> RunConfig:
    return config.with_budget(
        samples=wishes.samples, steps=wishes.steps, epochs=wishes.epochs, max_minutes=wishes.max_minutes
    )


def _ending(outcome: Outcome, run: str) -> list[str]:
    drawing = f", and {duration(outcome.sheets_s)} of drawing sheets" if outcome.sheets_s >= 1 else ""
    lines = [
        f"{outcome.step:,} steps, {outcome.samples:,} samples, {outcome.epochs:.2f} epochs in "
        f"{duration(outcome.seconds)}{drawing}: {outcome.because}."
    ]
    return (
        lines
        if outcome.ended_by == "budget"
        else [*lines, f"Continue it with: {command('train', 'resume', Path(run))}"]
    )
