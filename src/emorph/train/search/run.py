"""Working on a search: one trial after another, until as many are done as were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from emorph.core.commands import command
from emorph.core.errors import ConfigError, EmorphError
from emorph.train.config import FitConfig, OnPart, RunConfig, TaskConfig
from emorph.train.plan_text import duration
from emorph.train.search.looks import Looks
from emorph.train.search.report import Outcome, write_report
from emorph.train.search.space import Space
from emorph.train.search.steps import watch_steps
from emorph.train.search.study import REPORT_PERCENT, TRIALS_FOLDER, Claim, Trials
from emorph.train.seen import OnSeen, Seen, measure_of

Say = Callable[[str], None]


class PrunedError(Exception):
    """Ends a trial that is worse than half of the others were at this point."""


def search(
    path: Path,
    *,
    n_trials: int | None,
    say: Say,
    working: Callable[[], AbstractContextManager[OnPart | None]] = nullcontext,
) -> Outcome:
    """Do what is left of a search and write its report; other processes may do so at the same time.

    n_trials: in all, over every start and process; the file's number if left out. working() holds while trials are at
    work, and gives what is told of faces that are read before. Ctrl-C leaves a search that the same command continues.
    Raises ConfigError, DataError, MissingAssetError.
    """
    space = Space.read(path)
    total = n_trials or space.search.trials
    folder = Path(space.config(space.start()).out)
    worker = _Worker(space, Trials(space, folder), folder, say)
    try:
        with working() as on_part:
            worker.work(total, on_part)
    except KeyboardInterrupt:
        again = command("train", "search", path)
        say(f"Stopped after {worker.trials.done()} of {total} trials. Continue with: {again} --trials {total}")
        raise
    return write_report(space, worker.trials, folder)


@dataclass
class _Worker:
    space: Space
    trials: Trials
    folder: Path
    say: Say

    def work(self, total: int, on_part: OnPart | None) -> None:
        """Take trials until none is left."""
        began, mine = time.monotonic(), 0
        while True:
            with self.trials.claim(total) as claim:
                if claim is None:
                    return
                told = self._try(claim, on_part)
            mine += 1
            done = self.trials.done()
            left_s = (total - done) * (time.monotonic() - began) / mine
            eta = f"; about {duration(left_s)} left" if done < total else ""
            self.say(f"trial {claim.number} of {total}: {told}{' (taken up again)' if claim.again else ''}{eta}")

    def _try(self, claim: Claim, on_part: OnPart | None) -> str:
        """Train with one trial's settings and write down how it ended. Returns that in words."""
        measure = self.space.search.measure
        file = self.folder / TRIALS_FOLDER / f"{claim.number:04d}.npz"
        recorder = _Recorder(claim, measure, file, Looks.read(file))
        try:
            config = self.space.config(claim.values)
            beside = f"{config.out}.trial{claim.number:04d}"  # what it keeps of its faces is kept where a run looks
            _watch(config.model_copy(update={"out": beside}), recorder.see, on_part)
        except PrunedError:
            self.trials.finish(claim, None, pruned=True)
            return f"pruned at {recorder.looks.seen[-1].share:.0%}"
        except (EmorphError, torch.OutOfMemoryError) as error:
            if claim.number == 1 or isinstance(error, UnknownMeasureError):
                raise  # no setting is to blame: every trial would fail
            reason = str(error).splitlines()[0]
            self.trials.finish(claim, None, reason=reason)
            return f"failed: {reason}"
        best = recorder.looks.best(measure)
        if best is None:
            self.trials.finish(claim, None, reason=f"no face could be measured by {measure}")
            return "failed: no face could be measured"
        value = recorder.looks.values(measure)[best]
        self.trials.finish(claim, value)
        kind = measure_of(measure)
        return f"{kind.words} {kind.text(value)} at epoch {recorder.looks.seen[best].epoch:.3g}"


def _watch(config: TaskConfig, on_seen: OnSeen, on_part: OnPart | None) -> None:
    if isinstance(config, RunConfig):
        watch_steps(config, on_seen, on_part)
    elif isinstance(config, FitConfig):
        config.watch(on_seen, on_part)


class UnknownMeasureError(ConfigError):
    """search.measure names what the task does not measure."""


@dataclass
class _Recorder:
    """Keeps what a trial sees, tells the study, and ends a trial that is to be pruned."""

    claim: Claim
    measure: str
    file: Path
    looks: Looks
    reported: int = 0

    def see(self, seen: Seen) -> None:
        """One look. Raises PrunedError, and UnknownMeasureError."""
        if self.measure not in seen.faces:
            raise UnknownMeasureError(
                f"search.measure = {self.measure!r} is not known; this task measures {', '.join(seen.faces)}."
            )
        percent = int(100 * seen.share + 1e-9)
        if self.looks.add(seen) and (self.reported + REPORT_PERCENT <= percent or percent >= 100):
            self.looks.write(self.file)
        value = seen.values()[self.measure]
        while self.reported + REPORT_PERCENT <= percent:
            self.reported += REPORT_PERCENT
            if self.reported not in self.claim.told:
                self.claim.trial.report(value, self.reported)
        if self.claim.number > 1 and percent < 100 and self.claim.trial.should_prune():
            raise PrunedError
