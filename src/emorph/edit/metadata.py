"""What a written picture says of itself: that it was edited, how, and by what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import emorph
from emorph.core.loss_networks import LossNetwork
from emorph.core.types import Target

TOOL = f"emorph {emorph.__version__}"


@dataclass(frozen=True)
class Maker:
    """Who makes pictures. steps: network evaluations in each direction. directions: eight digits that tell them apart.

    losses: the networks that gave a loss while the model was trained.
    The name of ``model_id`` holds no path: it goes into files that are published.
    """

    model_id: str
    solver: str
    steps: int
    directions: str = ""
    losses: tuple[LossNetwork, ...] = ()

    def as_facts(self) -> dict[str, Any]:
        """For a file's metadata."""
        facts = {"tool": TOOL, "model": self.model_id, "solver": self.solver, "steps": self.steps}
        return {**facts, "directions": self.directions} if self.directions else facts


def expression_metadata(maker: Maker, targets: Sequence[Target]) -> dict[str, str]:
    """Of a picture in which a face shows a target, or several faces one each.

    >>> from emorph.core.expressions import Emotion
    >>> said = expression_metadata(Maker("mine-01234567", "dpm", 15), [Target(Emotion.HAPPY)])
    >>> said["Description"]
    'The facial expression in this picture was edited by a machine.'
    >>> json.loads(said["emorph"])["targets"]
    [{'emotion': 'happy', 'strength': 1.0}]
    """
    made = {"edited": True, "targets": [_goal(target) for target in targets], **maker.as_facts()}
    return described("The facial expression in this picture was edited by a machine.", made)


def sample_metadata(maker: Maker, seed: int, latent_steps: int) -> dict[str, str]:
    """Of a new face, drawn from noise."""
    made = {"drawn": True, "seed": seed, "latent_steps": latent_steps, **maker.as_facts()}
    return described("This face was drawn by a machine; it is not a real person's.", made)


def described(description: str, made: Mapping[str, Any]) -> dict[str, str]:
    """Metadata: a sentence for people, and how the picture was made for machines."""
    return {"Software": TOOL, "Description": description, "emorph": json.dumps(made)}


def _goal(target: Target) -> dict[str, object]:
    asked = {
        "emotion": None if target.emotion is None else target.emotion.word,
        "blend": {emotion.word: weight for emotion, weight in target.blend} or None,
        "action_units": dict(target.units) or None,
        "valence": target.valence,
        "arousal": target.arousal,
        "strength": target.strength,
    }
    return {name: value for name, value in asked.items() if value is not None}
