"""Going on longer than a run was meant to: another budget for a run that has checkpoints already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emorph.core.errors import ConfigError
from emorph.train import checkpoint
from emorph.train.config import RunConfig
from emorph.train.draws import KnownFaces
from emorph.train.plan import Plan, plan_of
from emorph.train.plan_text import duration
from emorph.train.stepping import learning_rate

RATE_CHANGE = 0.01  # a change of the learning rate that is worth a word


@dataclass(frozen=True)
class Longer:
    """A run that goes on to another budget.

    step: of its newest checkpoint. before, now: steps of the whole run under the old and the new budget. step_s: what a
    step took so far, None if it is not known.
    """

    config: RunConfig
    step: int
    before: int
    now: int
    step_s: float | None

    @classmethod
    def of(cls, run: Path, old: RunConfig, new: RunConfig, known: KnownFaces) -> Longer:
        """Raises CheckpointError without a checkpoint, ConfigError if the run has gone as far already."""
        newest = checkpoint.latest(run)
        step = checkpoint.step_of(newest)
        before, now = (plan_of(config, known).steps for config in (old, new))
        if now <= step:
            stated = " and ".join(f"{unit} = {amount:,}" for unit, amount in new.budget.units.items())
            raise ConfigError(
                f"{run} is at step {step:,} already, and a budget of {stated} is {now:,} steps: ask for more."
            )
        elapsed_s = float(checkpoint.load_state(newest, in_part=True).get("elapsed_s", 0.0))
        return cls(new, step, before, now, elapsed_s / step if step and elapsed_s else None)

    def lines(self, plan: Plan) -> list[str]:
        """What is said of it before it goes on. plan: of the whole run under the new budget."""
        epochs = f" ({self._epochs(self.step, plan)} to {self._epochs(self.now, plan)})" if plan.epoch_size else ""
        left = self.now - self.step
        took = "" if self.step_s is None else f", about {duration(left * self.step_s)} as it went so far"
        said = [
            f"Goes on from step {self.step:,} to step {self.now:,}{epochs}: {left:,} steps{took}; it was to end at "
            f"step {self.before:,}. Its run.toml and its plan are written anew."
        ]
        optim = self.config.optim
        last = learning_rate(optim, min(self.step, self.before) - 1, self.before) if self.step else 0.0
        following = learning_rate(optim, self.step, self.now)
        if self.step and abs(following - last) > RATE_CHANGE * optim.lr:
            said.append(
                f"Its learning rate goes from {last:.3g} to {following:.3g}, because decay_share = "
                f"{optim.decay_share:g} now falls over the last part of {self.now:,} steps."
            )
        return said

    def _epochs(self, step: int, plan: Plan) -> str:
        return f"{step * plan.batch_size / (plan.epoch_size or 1):.2f} epochs"
