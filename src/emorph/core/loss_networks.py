"""Who gave a loss while a model was trained, and who therefore may not mark what the model makes.

A model that learns to please a network pleases that network, whatever people see. Its folder's config.json names these
networks under ``losses``: a list of {name, fingerprint, data}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import BUNDLED, CONFIG_FILE, bundled_models, stated_losses

LOSSES = "losses"


@dataclass(frozen=True)
class LossNetwork:
    """A frozen network, or one that may judge.

    name: without a path. fingerprint: eight digits of its weights (``emorph.models.weights.fingerprint``), "" where
    they are not known. data: the sets whose pictures it was trained on, such as "fer2013/train".
    """

    name: str
    fingerprint: str = ""
    data: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As config.json and edits.jsonl have it."""
        return asdict(self) | {"data": list(self.data)}


def parse_losses(rows: object, where: str) -> tuple[LossNetwork, ...]:
    """Networks as a JSON file names them. Raises CheckpointError, naming ``where``."""
    found = []
    for row in rows if isinstance(rows, list | tuple) else [rows]:
        fields = row if isinstance(row, dict) else {}
        name, digits, data = fields.get("name"), fields.get("fingerprint", ""), fields.get("data", [])
        words = [word for word in data if isinstance(word, str)] if isinstance(data, list | tuple) else None
        is_known = words is not None and len(words) == len(data)
        if not is_known or not isinstance(name, str) or not name or not isinstance(digits, str):
            wanted = "a list of {name, fingerprint, data}"
            raise CheckpointError(f"{where}: {LOSSES} must be {wanted}, found {str(row)[:60]!r}.")
        found.append(LossNetwork(name, digits, tuple(words or ())))
    return tuple(found)


def losses_in(folder: Path) -> tuple[LossNetwork, ...]:
    """The networks that gave a loss while the model in a folder was trained. Raises CheckpointError."""
    return parse_losses(stated_losses(folder), str(folder / CONFIG_FILE))


def losses_by_id(model_id: str) -> tuple[LossNetwork, ...]:
    """Those of a bundled model, by what records call it: "emorph-base-0123abcd"; none for other models."""
    name = model_id.rpartition("-")[0]
    return losses_in(BUNDLED / name) if name in bundled_models() else ()


def why_unfair(judge: LossNetwork, losses: Sequence[LossNetwork]) -> str:
    """Why a judge may not mark the edits of a model with these losses, as a sentence; "" if it may.

    It may not if it is one of them, by its name or by its weights, or was trained on the same pictures as one of them.

    >>> why_unfair(LossNetwork("mine", "", ("fer2013/train",)), [LossNetwork("theirs", "", ("lfw/train", "fer2013"))])
    'mine was trained on the same pictures (fer2013/train) as theirs, which gave a loss while the model was trained'
    """
    for one in losses:
        if judge.name == one.name or (judge.fingerprint and judge.fingerprint == one.fingerprint):
            also = "" if judge.name == one.name else f" under the name {one.name}"
            return f"{judge.name} gave a loss while the model was trained{also}"
    for one in losses:
        shared = sorted(word for word in judge.data if any(_same_pictures(word, other) for other in one.data))
        if shared:
            return (
                f"{judge.name} was trained on the same pictures ({', '.join(shared)}) as {one.name}, which gave a loss "
                "while the model was trained"
            )
    return ""


def _same_pictures(a: str, b: str) -> bool:
    """Of one set and split; a set without a split is all of it."""
    (set_a, _, split_a), (set_b, _, split_b) = a.lower().partition("/"), b.lower().partition("/")
    return set_a == set_b and (split_a == split_b or not split_a or not split_b)
