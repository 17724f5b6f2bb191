"""The arms of bench/steps.py: which runs are trained, from what, for how long, and where they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emorph.models.beside import losses_of
from emorph.train.checkpoint import latest, step_folders
from emorph.train.loop import train
from emorph.train.plan import make_plan
from emorph.train.run_folder import OUTCOME_FILE
from emorph.train.tasks.expression import ExpressionConfig

BASE, STEP_1, BOTH = "base", "step 1", "step 1+2"
ARMS = (BASE, STEP_1, BOTH)


@dataclass(frozen=True)
class Budget:
    """How long an arm is trained: optimiser steps of all its halves together, and faces a step."""

    steps: int
    batch: int
    lr: float

    @property
    def half(self) -> int:
        """Steps of one half."""
        return max(1, self.steps // 2)


@dataclass(frozen=True)
class Recipe:
    """What all arms share.

    model: what they start from. directions: None for those beside it. window: of the stored pictures. trains, way: as
    in the task. shape_weight: of Step 2's loss. correction: the weight of the shift's size, in both steps.
    """

    data: Path
    model: str
    directions: str | None
    window: tuple[int, int, int] | None
    emotion_network: str
    shape_network: str
    shape_weight: float
    correction: float
    trains: str
    way: str
    work: Path

    def digits(self, budget: Budget) -> str:
        """Eight digits for everything that the trained models depend on."""
        facts = {**vars(self), "work": "", "data": self.data.name, **vars(budget)}
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:8]

    def config(self, out: Path, init: str, budget: Budget, *, seed: int, shape: bool) -> ExpressionConfig:
        """One half of an arm."""
        shared = {"emotion_networks": [self.emotion_network], "correction": self.correction}
        losses = {**shared, "shape": self.shape_weight if shape else 0.0, "shape_network": self.shape_network}
        return ExpressionConfig.parse(
            {
                "task": "expression",
                "init": init,
                "directions": self.directions if init == self.model else None,
                "out": str(out),
                "seed": seed,
                "trains": self.trains,
                "pictures": {"way": self.way},
                "losses": losses,
                "data": {"path": str(self.data), "split": "train", "window": self.window},
                "optim": {"batch_size": budget.batch, "lr": budget.lr, "decay_share": 0.2, "ema_decay": 0.99},
                "budget": {"steps": budget.half},
                "checkpoint": {"every_minutes": 5.0, "keep": 1},
                "samples": {"n": 0},
            }
        )


def measured_budget(recipe: Recipe, minutes: float, n_seeds: int, *, batch: int, lr: float) -> Budget:
    """As many steps as ``minutes`` of training allow for all arms; the same when it is asked again.

    A seed takes three halves: Step 1's first, which both arms share, and a second one for each.
    """
    file = recipe.work / f"budget-{minutes:g}-{n_seeds}-{batch}-{recipe.digits(Budget(0, batch, lr))}.json"
    if not file.exists():
        trial = recipe.config(recipe.work / "trial", recipe.model, Budget(2, batch, lr), seed=0, shape=True)
        plan = make_plan(trial, trial.open_faces(), None)
        if plan.warm_up is None:
            raise SystemExit(f"the time of a step could not be measured ({plan.untimed}): state --steps.")
        halves = 3 * n_seeds
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"steps": 2 * max(1, int(60 * minutes / halves / plan.warm_up.step_s))}))
    return Budget(json.loads(file.read_text())["steps"], batch, lr)


def trained(recipe: Recipe, budget: Budget, seeds: Sequence[int]) -> dict[tuple[str, int], str]:
    """The model of every arm and seed, trained where it is not there yet; ``base`` has one, seed -1.

    Both arms share their first half, a run of Step 1, and begin the second half alike, so that what they differ by is
    the loss on the shape alone. A run that was stopped is resumed.
    """
    models = {(BASE, -1): recipe.model}
    folder = recipe.work / recipe.digits(budget)
    for seed in seeds:
        first = half(recipe, folder / f"first-{seed}", recipe.model, budget, seed=seed, shape=False)
        for arm in (STEP_1, BOTH):
            name = f"{arm.replace(' ', '')}-{seed}"
            second = half(recipe, folder / name, str(first), budget, seed=seed + 1000, shape=arm == BOTH)
            models[arm, seed] = str(second)
    return models


def half(recipe: Recipe, out: Path, init: str, budget: Budget, *, seed: int, shape: bool) -> Path:
    """The averaged weights of one half of an arm."""
    config = recipe.config(out, init, budget, seed=seed, shape=shape)
    ended = json.loads((out / OUTCOME_FILE).read_text())["ended_by"] if (out / OUTCOME_FILE).exists() else ""
    if ended != "budget":
        print(f"training {out.name}: {budget.half} steps x {budget.batch}")
        outcome = train(config, config.open_faces(), resume=bool(step_folders(out)))
        if outcome.ended_by != "budget":
            raise SystemExit(f"stopped at step {outcome.step} of {out}; run the same command again to go on.")
    return latest(out) / "ema"


def check_judges(judges: Sequence[str], models: Sequence[str]) -> None:
    """Whoever gave a loss may not give the mark. Raises SystemExit."""
    asked = {str(row["name"]) for model in models for row in losses_of(model)}
    for judge in judges:
        if Path(judge).name in asked:
            raise SystemExit(
                f"{judge} gave a loss in training, so it cannot mark the edits: name another with --judges."
            )
