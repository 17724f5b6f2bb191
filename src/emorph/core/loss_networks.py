"""Who gave a loss while a model was trained, and who therefore may not mark what the model makes.

A model that learns to please a network pleases that network, whatever people see. Its folder's config.json names these
networks under ``losses``: a list of {name, fingerprint, data}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import BUNDLED, CONFIG_FILE, bundled_models, locate

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
        words = data if isinstance(data, list | tuple) else [None]
        if not isinstance(name, str) or not name or not isinstance(digits, str) or not _are_texts(words):
            wanted = "a list of {name, fingerprint, data}"
            raise CheckpointError(f"{where}: {LOSSES} must be {wanted}, found {str(row)[:60]!r}.")
        found.append(LossNetwork(name, digits, tuple(words)))
    return tuple(found)


def _are_texts(words: Iterable[object]) -> bool:
    return all(isinstance(word, str) for word in words)


def losses_in(folder: Path) -> tuple[LossNetwork, ...]:
    """The networks that gave a loss while the model in a folder was trained. Raises CheckpointError."""
    path = folder / CONFIG_FILE
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}.") from None
    return parse_losses(meta.get(LOSSES, []) if isinstance(meta, dict) else [], str(path))


def told_losses(name: str | Path) -> tuple[LossNetwork, ...]:
    """``losses_in`` a model's folder by its name or path; of a file, which cannot tell, none. Raises as ``locate``."""
    path = locate(name)
    return losses_in(path) if path.is_dir() else ()


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
