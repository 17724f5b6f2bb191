"""The trials of a search in one SQLite file: handed out to one process or several, and taken up again after a kill.

Each trial is one row of Optuna's study and keeps its number whatever happens: a process that works on it holds its lock
file, which the system lets go of when the process is gone, killed or not. A trial that runs while nobody holds its
lock is taken up by the next process that asks for work, with the settings that it had.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from emorph.core.commands import install
from emorph.core.errors import ConfigError, MissingAssetError
from emorph.train.search.space import Choices, Range, Scalar, Space
from emorph.train.seen import measure_of
from emorph.train.task import hash_seed

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

STUDY_FILE, TRIALS_FOLDER, LOCK_FILE = "study.db", "trials", "study.lock"
STUDY_NAME, FINGERPRINT, REASON = "search", "fingerprint", "reason"
RANDOM_TRIALS = 10  # before the sampler (TPE, Bergstra et al. 2011) goes by what it has seen
PRUNED_FROM_TRIAL, PRUNED_FROM_PERCENT = 5, 30
REPORT_PERCENT = 5  # values are compared at these parts of a training
WAIT_S = 60.0  # for another process to write its line


def optuna_module() -> Any:
    """Optuna, quiet. Raises MissingAssetError."""
    try:
        import optuna
    except ImportError:
        raise MissingAssetError(f"a search needs the extra packages: `{install('train,search')}`.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("optuna").setLevel(logging.ERROR)
    return optuna


@dataclass
class Claim:
    """A trial that this process works on. values: its settings by name; again: whether another process had begun it.

    told: percents of the training at which it has reported a value already.
    """

    trial: Trial
    values: dict[str, Scalar]
    again: bool
    told: frozenset[int] = frozenset()

    @property
    def number(self) -> int:
        """From 1 on, as people count."""
        return self.trial.number + 1


class Trials:
    """The study of one search in ``folder``, as one of the processes that work on it.

    Raises ConfigError if the folder holds the trials of another search.
    """

    def __init__(self, space: Space, folder: Path) -> None:
        optuna = optuna_module()
        self.space, self.folder = space, folder
        (folder / TRIALS_FOLDER).mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK_FILE, timeout=WAIT_S)
        direction = "maximize" if measure_of(space.search.measure).higher else "minimize"
        url = f"sqlite:///{(folder / STUDY_FILE).resolve()}"
        with self._lock:
            storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": WAIT_S}})
            self.study: Study = optuna.create_study(
                storage=storage,
                study_name=STUDY_NAME,
                direction=direction,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=PRUNED_FROM_TRIAL, n_warmup_steps=PRUNED_FROM_PERCENT
                ),
            )
            before = self.study.user_attrs.get(FINGERPRINT, space.fingerprint())
            if before != space.fingerprint():
                raise ConfigError(
                    f"{folder} holds the trials of another search: {space.path} has changed since. Choose another "
                    "'out', or set the file back."
                )
            self.study.set_user_attr(FINGERPRINT, before)
            if not self.study.get_trials(deepcopy=False):
                self.study.enqueue_trial(space.start())

    @contextmanager
    def claim(self, n_trials: int) -> Iterator[Claim | None]:
        """A trial to work on, held until the block ends; None if all of ``n_trials`` are done or worked on."""
        with self._lock:
            found, held = self._next(n_trials)
        try:
            yield found
        finally:
            if held is not None:
                held.release()

    def finish(self, claim: Claim, value: float | None, *, reason: str = "", pruned: bool = False) -> None:
        """Write down how a trial ended: with a value, pruned, or failed for a reason."""
        state = self._states.PRUNED if pruned else self._states.FAIL if value is None else self._states.COMPLETE
        if reason:
            claim.trial.set_user_attr(REASON, reason)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study.tell(claim.trial, value if state == self._states.COMPLETE else None, state=state)

    def done(self) -> int:
        """How many trials are finished, pruned or failed."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    @property
    def _states(self) -> Any:
        return optuna_module().trial.TrialState

    def _next(self, n_trials: int) -> tuple[Claim | None, FileLock | None]:
        optuna = optuna_module()
        trials = self.study.get_trials(deepcopy=False)
        for old in trials:
            if old.state != self._states.RUNNING or (held := self._hold(old.number)) is None:
                continue
            if self.study.get_trials(deepcopy=False)[old.number].state != self._states.RUNNING:
                held.release()  # finished since
                continue
            trial = optuna.trial.Trial(self.study, old._trial_id)  # killed: nobody holds it
            return self._claim(trial, again=True), held
        if len(trials) < n_trials or any(trial.state == self._states.WAITING for trial in trials):
            self.study.sampler = self._sampler(len(trials))
            trial = self.study.ask()
            held = self._hold(trial.number)
            return self._claim(trial, again=False), held
        return None, None

    def _sampler(self, number: int) -> Any:
        optuna = optuna_module()
        seed = hash_seed(self.space.search.seed, number) % 2**32
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS, constant_liar=True)

    def _hold(self, number: int) -> FileLock | None:
        """This process's hold on a trial; None if another has it."""
        lock = FileLock(self.folder / TRIALS_FOLDER / f"{number + 1:04d}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock

    def _claim(self, trial: Trial, *, again: bool) -> Claim:
        stored = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        return Claim(trial, suggest(trial, self.space.ranges), again, frozenset(stored))


def suggest(trial: Trial, ranges: Mapping[str, Range | Choices]) -> dict[str, Scalar]:
    """The settings of a trial; what it has already stays."""
    values: dict[str, Scalar] = {}
    for name, one in ranges.items():
        if isinstance(one, Choices):
            chosen = trial.suggest_categorical(name, list(one.choices))
            values[name] = one.choices[one.choices.index(chosen)]
        elif one.whole:
            values[name] = trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
        else:
            values[name] = trial.suggest_float(name, float(one.low), float(one.high), log=one.log)
    return values
