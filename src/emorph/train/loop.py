"""The training loop, on Lightning Fabric: one process or many, resumable to the bit.

Steps until the budget, the clock or Ctrl-C ends the run, and saves on the way. A checkpoint holds weights, EMA,
optimiser and the step; what comes after follows from these and the seed, so nothing is lost or doubled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils.data import Dataset

from emorph.core.types import OnStep
from emorph.data.store import FaceStore
from emorph.models.weights import PretrainedModule
from emorph.train import checkpoint, run_folder, state
from emorph.train.config import RunConfig
from emorph.train.devices import as_launched, open_fabric
from emorph.train.interrupt import StopRequest
from emorph.train.logbook import Logbook
from emorph.train.plan import Plan
from emorph.train.samples import SheetWriter
from emorph.train.stepping import Stepper
from emorph.train.tensorboard import Board, open_board

if TYPE_CHECKING:
    from lightning_fabric import Fabric

OnCheckpoint = Callable[[Path, PretrainedModule], None]
Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "budget", "max_minutes" or "interrupted"; ``folder`` is its last checkpoint.

    because: the same in words. seconds: of training in all, over every start, without the drawing of sheets, which took
    ``sheets_s`` in this start. first_process: whether this is the one that speaks for all.
    """

    ended_by: str
    step: int
    samples: int
    folder: Path
    because: str
    epochs: float
    seconds: float
    first_process: bool
    sheets_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What outcome.json holds."""
        told = ("ended_by", "because", "step", "samples", "epochs", "seconds", "sheets_s")
        return {**{name: getattr(self, name) for name in told}, "checkpoint": self.folder.name}


def _untold(title: str) -> AbstractContextManager[OnStep | None]:
    return nullcontext()


def train(
    config: RunConfig,
    faces: Dataset[Any],
    *,
    resume: bool = False,
    devices: str | int = "auto",
    nodes: int = 1,
    accelerator: str = "auto",
    show_progress: bool = True,
    reading: Callable[[str], AbstractContextManager[OnStep | None]] = _untold,
    on_start: Callable[[Plan], None] | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> Outcome:
    """Train the run that ``config`` states until its budget is spent, and return how it ended.

    faces: items {"image": uint8 (C, S, S)}, with ``labels`` where emotions are balanced. Ctrl-C saves and returns.
    reading(title) gives the first process what its share of reading the faces is reported to, for tasks that do.
    on_start(plan) and on_checkpoint(folder, ema_model), after each save, are called on the first process.
    Raises ConfigError if the folder already holds another run, CheckpointError, DataError.
    """
    run = Path(config.out)
    run_folder.check_folder(run, resume=resume)
    fabric = open_fabric(config.optim, *as_launched(devices, nodes), accelerator)
    if isinstance(faces, FaceStore):
        with reading(config.preparing) if fabric.is_global_zero else nullcontext() as on_step:
            config.prepare(faces, (fabric.global_rank, fabric.world_size), on_step)
        fabric.barrier()  # each reads a share, so none waits for long; then all is there for each
    stepper = Stepper(config, faces, fabric)
    loop = _Loop(stepper, SheetWriter(run, stepper.task, faces, config.samples), on_checkpoint)
    if resume:
        loop.resume(checkpoint.latest(run))
    elif config.init:
        state.start_from(stepper, config.init)
    if fabric.is_global_zero:
        run_folder.tidy(run, stepper.step, unfinished=bool(loop.progress.partial.get("n")))
        if not resume:
            run_folder.begin(run, config, stepper.plan)
        if on_start:
            on_start(stepper.plan)
    fabric.barrier()
    outcome = loop.run_to_end(show=show_progress and fabric.is_global_zero)
    if fabric.is_global_zero:
        run_folder.write_json(run / run_folder.OUTCOME_FILE, outcome.to_json())
    return outcome


class _Loop:
    """Steps, saves and sheets of one start of a run; saved: the checkpoint of the present step, if there is one."""

    def __init__(self, stepper: Stepper, sheets: SheetWriter, on_checkpoint: OnCheckpoint | None) -> None:
        self.stepper, self.sheets, self.on_checkpoint = stepper, sheets, on_checkpoint
        self.config = stepper.config
        self.fabric: Fabric = stepper.fabric
        self.run = Path(self.config.out)
        self.progress = state.Progress()
        self.saved: Path | None = None
        self.board: Board | None = None
        self.started = self.clock = self.last_save = time.monotonic()
        self.here_s, self.first_step = 0.0, stepper.step  # of training in this start

    def resume(self, folder: Path) -> None:
        """Go back to a checkpoint."""
        self.progress = state.restore(self.stepper, folder)
        self.saved = folder

    def run_to_end(self, *, show: bool) -> Outcome:
        """Train until the budget, the clock or Ctrl-C ends it; always ends on a saved step."""
        stepper, log = self.stepper, self.config.log
        self.first_step = stepper.step
        batches = stepper.batches()
        self.clock = self.last_save = time.monotonic()
        stepper.loss.train()
        if self.fabric.is_global_zero:
            self.board = open_board(self.run, log.tensorboard, stepper.step)
        with (
            Logbook(
                self.run,
                stepper.total_steps,
                stepper.step,
                show=show,
                every_steps=log.every_steps,
                partial=self.progress.partial,
                board=self.board,
            ) as logbook,
            StopRequest() as stop,
        ):
            self.sheets.tell = logbook.tell
            ended_by = ""
            while not ended_by and stepper.step < stepper.total_steps:
                self._note(logbook, stepper.take(batches))
                due, ended_by = self._agree((self._is_due(), "interrupted" if stop.requested else self._out_of_time()))
                if due:
                    self.save()
            folder = self.saved or self.save()
        return self._outcome(ended_by or "budget", folder)

    def save(self) -> Path:
        """Write a checkpoint and its sheet on the first process, while the others wait."""
        folder = self.saved = self.run / f"step_{self.stepper.step:08d}"
        if self.fabric.is_global_zero:
            state.save(self.stepper, self.progress)
            if self.on_checkpoint:
                self.on_checkpoint(folder, self.stepper.average)
            self._draw()
        self.fabric.barrier()
        self.last_save = time.monotonic()
        return folder

    def _draw(self) -> None:
        """The sheet of the present step; the last of a whole run is always drawn. Its time is not training's."""
        stepper, before = self.stepper, self.sheets.spent_s
        here = (stepper.step, stepper.average, self.board)
        if stepper.step >= stepper.total_steps:
            self.sheets.write(*here)
        else:
            samples = (stepper.step - self.first_step) * self.config.optim.batch_size
            face_s = self.here_s / max(1, samples) * self.fabric.world_size
            self.sheets.write_if_cheap(*here, trained_s=self.progress.elapsed_s, face_s=face_s)
        self.clock += self.sheets.spent_s - before

    def _note(self, logbook: Logbook, scalars: dict[str, float]) -> None:
        """Write down a step that was taken."""
        stepper, now = self.stepper, time.monotonic()
        elapsed_s = self.progress.elapsed_s + now - self.clock
        self.here_s += now - self.clock
        self.clock, self.saved = now, None
        partial = self.progress.partial
        if self.fabric.is_global_zero:
            logbook.add(stepper.step, stepper.samples, stepper.epochs, scalars)
            partial = logbook.partial
        self.progress = state.Progress(elapsed_s, partial)

    def _is_due(self) -> bool:
        kept = self.config.checkpoint
        long_ago = kept.minutes is not None and time.monotonic() - self.last_save > 60 * kept.minutes
        return kept.due(self.stepper.step) or long_ago

    def _out_of_time(self) -> str:
        limit = self.config.budget.max_minutes
        return "max_minutes" if limit and time.monotonic() - self.started > 60 * limit else ""

    def _agree(self, here: Decision) -> Decision:
        """What the first process decides, on all of them, so that none waits for another."""
        return self.fabric.broadcast(here) if self.fabric.world_size > 1 else here

    def _outcome(self, ended_by: str, folder: Path) -> Outcome:
        stepper, budget = self.stepper, self.config.budget
        spent = " and ".join(f"{unit} = {amount:,}" for unit, amount in budget.units.items())
        because = {
            "budget": f"its budget is spent ({spent})",
            "max_minutes": f"max_minutes = {budget.max_minutes or 0:g} is reached",
            "interrupted": "it was stopped",
        }
        return Outcome(
            ended_by,
            stepper.step,
            stepper.samples,
            folder,
            because=because[ended_by],
            epochs=stepper.epochs,
            seconds=self.progress.elapsed_s,
            first_process=self.fabric.is_global_zero,
            sheets_s=self.sheets.spent_s,
        )
