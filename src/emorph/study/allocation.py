"""Who sees what: the endless row of blocks of a study, of which each participant takes one.

One round is all trials of a task once, dealt into blocks. Blocks are taken in the order of their numbers, so after any
number of finished blocks every trial was shown equally often, or once more than another. Every second round repeats
the blocks of the round before with left and right exchanged, in another order. All of it follows from the design, the
trials and the number: nothing is drawn while the study runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.study import balance
from emorph.study.records import Design, Screen, Task, Trial

N_DRAWS = 200  # of an order, before it is held to be impossible
_TASK_SEED: dict[Task, int] = {"preference": 1, "identification": 2}
_CHOICES_SEED = 3


class Allocation:
    """The blocks of a design. trials: as ``read_trials`` gives them. Raises ConfigError if no block can be made."""

    def __init__(self, design: Design, trials: Sequence[Trial]) -> None:
        self.design = design
        self._checks = {trial.task: trial for trial in trials if trial.control == "attention"}
        self._trials: dict[Task, list[Trial]] = {}
        self.n_blocks: dict[Task, int] = {}  # of one round
        for task in design.tasks:
            own = [trial for trial in trials if trial.task == task and trial.control != "attention"]
            if not own:
                raise ConfigError(f"there is no trial for the {task}; take its table out of study.toml.")
            self._trials[task] = own
            limits = design.blocks
            self.n_blocks[task] = balance.n_blocks(own, limits.trials, same_source=limits.same_source)
        self._round = lru_cache(maxsize=8)(self._drawn_round)

    def trials(self, task: Task) -> Sequence[Trial]:
        """All of a task, without attention checks."""
        return self._trials[task]

    def n_trials(self, task: Task) -> int:
        """How many one participant sees at most, without those that are repeated and the checks."""
        return -(-len(self._trials[task]) // self.n_blocks[task])

    def screens(self, number: int) -> list[Screen]:
        """What the participant with block ``number`` (from 0) is shown, in order.

        Raises ConfigError if there is no order in which no picture comes twice in a row.
        """
        screens: list[Screen] = []
        for task in self.design.tasks:
            screens += self._screens(task, number, screens[-1:])
        return [dataclasses.replace(screen, slot=slot) for slot, screen in enumerate(screens)]

    def choices(self, number: int) -> list[str]:
        """The eight emotions in the order in which the participant with block ``number`` finds them."""
        words = [emotion.word for emotion in Emotion]
        asked = self.design.identification
        if asked is None or asked.order == "fixed":
            return words
        rng = np.random.default_rng([self.design.seed, _CHOICES_SEED, number])
        return [words[i] for i in rng.permutation(len(words))]

    def _drawn_round(self, task: Task, pair_of_rounds: int) -> list[list[Trial]]:
        rng = np.random.default_rng([self.design.seed, _TASK_SEED[task], pair_of_rounds])
        return balance.partition(self._trials[task], self.n_blocks[task], rng)

    def _screens(self, task: Task, number: int, before: Sequence[Screen]) -> list[Screen]:
        turn, index = divmod(number, self.n_blocks[task])
        trials = self._round(task, turn // 2)[index]
        is_left = self._sides(trials, turn, index) if task == "preference" else {}
        rng = np.random.default_rng([self.design.seed, _TASK_SEED[task], turn, index, 1])
        for _ in range(N_DRAWS):
            order = balance.in_order(trials, rng)
            if order is not None and not any(balance.echoes(screen.trial, order[0]) for screen in before):
                screens = [Screen(0, trial, _position(trial, is_left=is_left.get(trial.id, False))) for trial in order]
                if self._add_repeated(screens, rng) and self._add_checks(screens, task, rng):
                    return screens
        raise ConfigError(
            f"a block of {len(trials)} trials of the {task} has no order in which no picture comes twice in a row; "
            "take more photos, or fewer blocks.repeated."
        )

    def _sides(self, trials: Sequence[Trial], turn: int, index: int) -> dict[str, bool]:
        """Whether method_a stands on the left, by trial: in the second of two rounds where it did not in the first."""
        rng = np.random.default_rng([self.design.seed, _TASK_SEED["preference"], turn // 2, index])
        on_left = balance.sides([(trial.method_a, trial.method_b) for trial in trials], rng)
        return {trial.id: left != bool(turn % 2) for trial, left in zip(trials, on_left, strict=True)}

    def _add_repeated(self, screens: list[Screen], rng: np.random.Generator) -> bool:
        """Put trials of the first half in again, in the second half, with left and right exchanged."""
        first = [screen for screen in screens[: -(-len(screens) // 2)] if screen.trial.control == ""]
        n_repeated = min(self.design.blocks.repeated, len(first))
        middle = len(screens) // 2 + 1
        for i in rng.permutation(len(first))[:n_repeated]:
            trial = first[i].trial
            places = balance.free_places(screens, trial, middle)
            if not places:
                return False
            position = _position(trial, is_left=first[i].position == "right")
            place = places[int(rng.integers(len(places)))]
            screens.insert(place, Screen(0, trial, position, repeat_of=trial.id))
        return True

    def _add_checks(self, screens: list[Screen], task: Task, rng: np.random.Generator) -> bool:
        """Put in screens that look like the others, with a photo that the block does not have if there is one."""
        for _ in range(self.design.blocks.attention):
            shown = {screen.trial.source for screen in screens}
            spare = [trial for trial in self._trials[task] if trial.control == "" and trial.source not in shown]
            lent = spare[int(rng.integers(len(spare)))] if spare else self._checks.get(task)
            if lent is None:
                raise ConfigError(f"there is no picture for an attention check of the {task}; make the study again.")
            words = ("a", "b") if task == "preference" else tuple(emotion.word for emotion in Emotion)
            expected = words[int(rng.integers(len(words)))]
            check = dataclasses.replace(lent, id=f"check-{task}", control="attention")
            places = balance.free_places(screens, check, min(1, len(screens)))
            if not places:
                return False
            place = places[int(rng.integers(len(places)))]
            screens.insert(place, Screen(0, check, _position(check, is_left=bool(rng.integers(2))), expected=expected))
        return True


def _position(trial: Trial, *, is_left: bool) -> Literal["left", "right", ""]:
    """Where method_a's picture stands."""
    if trial.task != "preference":
        return ""
    return "left" if is_left else "right"
