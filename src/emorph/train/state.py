"""What a checkpoint holds of a run besides its models, and how a run goes back to it, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emorph.models.diffae import DiffAE
from emorph.models.weights import PretrainedModule, load_strictly
from emorph.train import checkpoint
from emorph.train.draws import check_order, order_facts
from emorph.train.stepping import Stepper


@dataclass(frozen=True)
class Progress:
    """What a run remembers beside its weights. elapsed_s: of training, over all starts. partial: the logbook's."""

    elapsed_s: float = 0.0
    partial: Mapping[str, Any] = field(default_factory=dict)


def save(stepper: Stepper, progress: Progress) -> Path:
    """Write the present step's checkpoint and delete what is not to be kept. Raises CheckpointError."""
    state = {
        "optimizer": stepper.optimizer.state_dict(),
        "heads": {k: v for k, v in stepper.task.loss.state_dict().items() if not k.startswith("model.")},
        "step": stepper.step,
        "samples": stepper.samples,
        "order": order_facts(stepper.config, stepper.known),
        "elapsed_s": progress.elapsed_s,
        "ema_updates": stepper.ema.n_updates,
        "logbook": dict(progress.partial),
    }
    kept = stepper.config.checkpoint
    return checkpoint.save(
        Path(stepper.config.out),
        stepper.step,
        stepper.model,
        stepper.average,
        state,
        keep=kept.keep,
        keep_steps=kept.keep_steps,
    )


def restore(stepper: Stepper, folder: Path) -> Progress:
    """Go back to a checkpoint. Raises CheckpointError, and ConfigError if the faces would now come in another order."""
    state = checkpoint.load_state(folder)
    check_order(folder, state, stepper.config, stepper.known)
    for model, name in ((stepper.model, "model"), (stepper.average, "ema")):
        _take_over(model, model.from_pretrained(folder / name), str(folder))
    own = {f"model.{key}": value for key, value in stepper.model.state_dict().items()}
    load_strictly(stepper.task.loss, own | state["heads"], str(folder))
    stepper.optimizer.load_state_dict(state["optimizer"])
    stepper.step = state["step"]
    stepper.ema.n_updates = state["ema_updates"]
    return Progress(state["elapsed_s"], state.get("logbook", {}))


def start_from(stepper: Stepper, name: str) -> None:
    """Take over the weights of another model of the same sizes. Raises CheckpointError, ConfigError."""
    started = stepper.task.start(name)
    _take_over(stepper.model, started, name)
    _take_over(stepper.average, started, name)


def _take_over(model: PretrainedModule, other: PretrainedModule, source: str) -> None:
    """The weights of another model, and what it says of the networks that gave it a loss."""
    load_strictly(model, other.state_dict(), source)
    if isinstance(model, DiffAE) and isinstance(other, DiffAE):
        model.losses = other.losses
