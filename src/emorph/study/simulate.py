"""How many people a study needs: made studies are analysed as the real one will be, until the answer is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np

from emorph.core.errors import ConfigError
from emorph.study.population import Judges, Viewers, one_better
from emorph.study.statistics import identification, preference
from emorph.study.statistics.estimates import holm, require_scipy
from emorph.study.statistics.identification import Answers

Goal = Literal["half-width", "power"]
Task = Literal["preference", "identification"]
MOST_PEOPLE = 2000
N_RESAMPLES = 100  # of a made study; its interval is one of many that are averaged
ALPHA = 0.05
RUNGS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, MOST_PEOPLE)


@dataclass(frozen=True)
class Wish:
    """What is planned and what it shall reach.

    task, methods, photos: of the study. tables: into how many tables the votes are split, of which each shall reach the
    goal: 1 for all targets together, the number of targets for each by itself. goal: "half-width" of the 95 % intervals
    of a chance (preference) or an accuracy (identification); or "power", the share of studies that tell a better method
    apart after Holm's correction (preference) or two methods (identification). value: of the half-width, or of the
    power. better: the chance that the better method is chosen, or by how much its accuracy is higher, for power.
    ties: share of ties between equals. people_sd, photos_sd: how people and photos differ, in log odds.
    seconds: a trial takes. minutes_before: for consent and instructions.
    """

    task: Task = "preference"
    methods: int = 3
    photos: int = 20
    tables: int = 1
    goal: Goal = "half-width"
    value: float = 0.05
    better: float = 0.6
    ties: float = 0.0
    people_sd: float = 0.5
    photos_sd: float = 0.5
    seconds: float = 8.0
    minutes_before: float = 2.0

    def check(self) -> None:
        """Raises ConfigError for a wish that cannot be meant, in one sentence."""
        if self.methods < 2:
            raise ConfigError(f"a plan compares two methods or more; found {self.methods}.")
        if self.photos < 2:
            raise ConfigError(f"what holds for other photos takes two photos or more; found {self.photos}.")
        if self.tables < 1:
            raise ConfigError(f"the votes make one table at least; found {self.tables}.")
        if not 0 < self.value < 1:
            raise ConfigError(f"a {self.goal} lies between 0 and 1; found {self.value:g}.")
        if not 0 <= self.ties < 0.9:
            raise ConfigError(f"the share of ties lies between 0 and 0.9; found {self.ties:g}.")
        for name, value in (("people_sd", self.people_sd), ("photos_sd", self.photos_sd), ("seconds", self.seconds)):
            if not 0 <= value < 1000:
                raise ConfigError(f"{name} is 0 or more; found {value:g}.")
        low, high = (0.5, 0.95) if self.task == "preference" else (0.0, 0.4)
        if self.goal == "power" and not low < self.better <= high:
            what = "chance of the better method" if self.task == "preference" else "difference of the accuracies"
            raise ConfigError(f"the {what} lies above {low:g} and up to {high:g}; found {self.better:g}.")


@dataclass(frozen=True)
class Step:
    """What so many people reach: the mean half-width, or the power, and its standard error over made studies."""

    people: int
    reached: float
    error: float


@dataclass(frozen=True)
class Option:
    """One number of trials a person. people: how many are needed; None if no number up to ``MOST_PEOPLE`` is enough."""

    trials: int
    people: int | None
    minutes: float
    steps: tuple[Step, ...]

    @property
    def hours(self) -> float | None:
        """Of all people together."""
        return None if self.people is None else self.people * self.minutes / 60


@dataclass(frozen=True)
class Plan:
    """What a wish takes. n_studies: made for each number of people."""

    wish: Wish
    n_studies: int
    options: tuple[Option, ...]

    def sentences(self) -> list[str]:
        """For a terminal: the wish, what is taken for granted, and a line for each number of trials."""
        wish = self.wish
        said = [_about(wish, self.n_studies)]
        for option in self.options:
            start = f"{option.trials} trials a person (about {option.minutes:.0f} minutes each)"
            last = option.steps[-1]
            if option.people is None:
                reached = f"{last.people} people reach {_shown(wish, last.reached)}"
                said.append(f"{start}: not to be had with {wish.photos} photos; {reached}. Take more photos.")
            else:
                met = next(step for step in option.steps if step.people == option.people)
                reached = f"reach {_shown(wish, met.reached)} (± {100 * 1.96 * met.error:.1f})"
                said.append(f"{start}: {option.people} people, {option.hours:.1f} hours in all; they {reached}.")
        return said


def plan(
    wish: Wish,
    trials: Iterable[int] = (20, 40, 60),
    *,
    n_studies: int = 100,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Plan:
    """The number of people that reach the wish, for each number of ``trials`` a person, by simulation.

    Rungs of a ladder are tried from below, then what lies between the last two. seed: of all that is drawn; the same
    numbers serve every rung. on_step: called with (trials, people). Raises ConfigError.
    """
    require_scipy()
    wish.check()
    options = []
    for n_trials in trials:
        if n_trials < 1:
            raise ConfigError(f"a person sees one trial at least; found {n_trials}.")
        steps = _climb(wish, n_trials, n_studies, seed, on_step or (lambda *_: None))
        enough = [step.people for step in steps if _is_enough(wish, step)]
        minutes = wish.minutes_before + n_trials * wish.seconds / 60
        options.append(Option(n_trials, min(enough) if enough else None, minutes, steps))
    return Plan(wish, n_studies, tuple(options))


def simulate(wish: Wish, people: int, trials: int, n_studies: int, seed: int) -> Step:
    """Make ``n_studies`` studies of so many people and analyse each as ``emorph study results`` would."""
    study = _preference_study if wish.task == "preference" else _identification_study
    reached = [study(wish, people, trials, np.random.default_rng([seed, i])) for i in range(n_studies)]
    error = float(np.std(reached, ddof=1) / math.sqrt(n_studies)) if n_studies > 1 else math.nan
    return Step(people, float(np.mean(reached)), error)


def _climb(wish: Wish, trials: int, n_studies: int, seed: int, on_step: Callable[[int, int], None]) -> tuple[Step, ...]:
    steps: dict[int, Step] = {}

    def is_enough(people: int) -> bool:
        on_step(trials, people)
        steps[people] = simulate(wish, people, trials, n_studies, seed)
        return _is_enough(wish, steps[people])

    below = 2
    for rung in RUNGS:
        if is_enough(rung):
            break
        if _is_hopeless(wish, steps, rung):
            return tuple(steps[n] for n in sorted(steps))
        below = rung
    else:
        return tuple(steps[n] for n in sorted(steps))
    above = rung
    while above - below > max(1, above // 10):
        middle = (above + below) // 2
        above, below = (middle, below) if is_enough(middle) else (above, middle)
    return tuple(steps[n] for n in sorted(steps))


def _is_enough(wish: Wish, step: Step) -> bool:
    return step.reached <= wish.value if wish.goal == "half-width" else step.reached >= wish.value


def _is_hopeless(wish: Wish, steps: dict[int, Step], rung: int) -> bool:
    """Whether four times the people, or nearly, have hardly narrowed the intervals: the photos bound them."""
    earlier = [n for n in steps if 4 * n <= rung]
    if wish.goal != "half-width" or not earlier:
        return False
    return steps[rung].reached > 0.85 * steps[max(earlier)].reached


def _preference_study(wish: Wish, people: int, trials: int, rng: np.random.Generator) -> float:
    votes = _judges(wish).draw(people, wish.photos, max(1, round(trials / wish.tables)), rng)
    found = preference.analyse(votes, rng=rng, n_resamples=N_RESAMPLES)
    if found is None:
        return 0.0 if wish.goal == "power" else 0.5
    if wish.goal == "power":
        best = votes.methods[0]
        told = [test.first == best and test.p_holm < ALPHA for test in found.tests if best in (test.first, test.second)]
        return float(np.mean(told))
    widths = [(test.superiority.high - test.superiority.low) / 2 for test in found.tests]
    return float(np.mean([0.5 if math.isnan(width) else width for width in widths]))


def _identification_study(wish: Wish, people: int, trials: int, rng: np.random.Generator) -> float:
    answers = _viewers(wish).draw(people, wish.photos, max(1, round(trials / wish.tables)), rng)
    if wish.goal == "power":
        return _told_apart(answers)
    widths = []
    for i in range(wish.methods):
        mask = answers.method == i
        share = identification.share(answers.is_right[mask], answers.participant[mask], answers.photo[mask])
        widths.append(0.5 if share is None or not share.has_interval else (share.high - share.low) / 2)
    return float(np.mean(widths))


@lru_cache(maxsize=4)
def _judges(wish: Wish) -> Judges:
    """Who find all methods alike, which gives the widest intervals; for power, the first as much better as is asked."""
    tie = math.log(2 * wish.ties / (1 - wish.ties)) if wish.ties else None
    if wish.goal == "power":
        return one_better(wish.methods, wish.better, people_sd=wish.people_sd, photos_sd=wish.photos_sd, tie=tie)
    return Judges((0.0,) * wish.methods, wish.people_sd, wish.photos_sd, tie=tie)


@lru_cache(maxsize=4)
def _viewers(wish: Wish) -> Viewers:
    """Who name half of all pictures right; for power, the first method stands as far above it as the others below."""
    from scipy import optimize

    shift = 0.0
    if wish.goal == "power":
        shift = float(optimize.brentq(lambda odds: _share_at(odds, wish) - 0.5 - wish.better / 2, -10, 10))
    return Viewers(((shift,), *((-shift,),) * (wish.methods - 1)), wish.people_sd, wish.photos_sd)


def _share_at(log_odds: float, wish: Wish) -> float:
    return float(Viewers(((log_odds,),), wish.people_sd, wish.photos_sd).truth()[0, 0])


def _told_apart(answers: Answers) -> float:
    """The share of the other methods that the first is told apart from, all pairs corrected."""
    masks = [answers.method == i for i in range(len(answers.methods))]
    pairs = list(combinations(range(len(masks)), 2))
    gaps = [identification.difference(answers, masks[i], masks[j], ("", "")) for i, j in pairs]
    p_holm = holm(np.array([math.nan if gap is None else gap.p for gap in gaps]))
    told = [
        gap is not None and gap.difference.value > 0 and p < ALPHA
        for (i, _), gap, p in zip(pairs, gaps, p_holm, strict=True)
        if i == 0
    ]
    return float(np.mean(told))


def _shown(wish: Wish, reached: float) -> str:
    if wish.goal == "half-width":
        return f"a half-width of {100 * reached:.1f} points"
    return f"a power of {100 * reached:.0f} %"


def _about(wish: Wish, n_studies: int) -> str:
    wanted = f"95 % intervals of ± {100 * wish.value:g} points"
    if wish.goal == "power":
        better = f"is chosen in {100 * wish.better:g} %"
        if wish.task == "identification":
            better = f"is named right more often by {100 * wish.better:g} points"
        wanted = f"a power of {100 * wish.value:g} % to tell a method apart that {better}"
    split = f", in each of {wish.tables} tables" if wish.tables > 1 else ""
    return (
        f"Wanted: {wanted}{split}; {wish.methods} methods, {wish.photos} photos. Taken for granted: people differ by "
        f"{wish.people_sd:g} and photos by {wish.photos_sd:g} in log odds, {wish.seconds:g} s a trial, "
        f"{wish.minutes_before:g} minutes before the first. By {n_studies} made studies for each number of people, "
        "each analysed as emorph study results does."
    )
