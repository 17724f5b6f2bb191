"""Planning a study that lies in its folder: what it has of methods, photos and questions becomes a wish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from emorph.study.opening import check_study
from emorph.study.records import Task
from emorph.study.simulate import Goal, Plan, Wish, plan
from emorph.study.steps import SECONDS_PER_ANSWER

BETTER: dict[Task, float] = {"preference": 0.6, "identification": 0.1}
TIES = 0.2  # share among equals, where ties are allowed
OnStep = Callable[[Task, int, int], None]


def plan_study(
    study: Path,
    goal: Goal,
    value: float,
    *,
    better: float | None = None,
    by_target: bool = False,
    trials: Sequence[int] = (),
    n_studies: int = 100,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[Plan]:
    """How many people each task of a study needs.

    goal, value, better: as in ``Wish``; better is ``BETTER`` where it is not given. by_target: for each target by
    itself. trials: numbers a person to be tried; the study's own if none is given. on_step(task, trials, people).
    Raises ConfigError or DataError: no study, or a wish that cannot be meant.
    """
    allocation = check_study(study)
    design = allocation.design
    plans = []
    for task in design.tasks:
        judged = [trial for trial in allocation.trials(task) if trial.control == ""]
        wish = Wish(
            task=task,
            methods=len(design.methods),
            photos=len({trial.source for trial in judged}),
            tables=len(design.targets) if by_target else 1,
            goal=goal,
            value=value,
            better=BETTER[task] if better is None else better,
            ties=TIES if task == "preference" and design.preference is not None and design.preference.ties else 0.0,
            seconds=SECONDS_PER_ANSWER[task] * len(design.questions(task)),
        )
        tell = (lambda n, people, task=task: on_step(task, n, people)) if on_step else None
        plans.append(plan(wish, trials or (allocation.n_trials(task),), n_studies=n_studies, seed=seed, on_step=tell))
    return plans
