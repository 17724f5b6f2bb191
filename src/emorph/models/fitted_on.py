"""What numbers were fitted on: the fingerprint of the network whose features they read, kept in a file beside them.

Directions, heads on features and codes mean nothing to another network, even one step further in the same training.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from emorph.core.config import Config
from emorph.core.errors import CheckpointError

FITTED_FILE = "fitted_on.json"
N_DIGITS = 16
_PARTS_OF_A_CHECKPOINT = ("ema", "model")


class FittedOn(Config):
    """A network that numbers were fitted on. model: how it was called. weights: its ``weights_digest``."""

    model: str
    weights: str

    @classmethod
    def of(cls, name: str | Path, network: nn.Module) -> FittedOn:
        """Of a network, and the file or folder that it is from."""
        return cls(model=short_name(name), weights=weights_digest(network))

    @classmethod
    def beside(cls, folder: Path) -> FittedOn | None:
        """What the file in a folder says; None where there is none. Raises CheckpointError, ConfigError."""
        path = folder / FITTED_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read as JSON ({error}); copy the folder again.") from None
        return cls.parse(values, str(path))

    def text(self) -> str:
        """What ``FITTED_FILE`` holds."""
        return json.dumps(self.model_dump(), indent=2) + "\n"

    def check(self, what: str, name: str | Path, weights: str, *, anyway: bool = False) -> str:
        """Whether they fit a network. what: they, as a message calls them; name, weights: of the network, its digest.

        Returns "", or with ``anyway`` a sentence about the mismatch, for which else CheckpointError is raised.
        """
        now = FittedOn(model=short_name(name), weights=weights)
        if now.weights == self.weights:
            return ""
        sentence = (
            f"{what} was fitted on {self.model} (weights {self.weights[:8]}), but the model is {now.model} (weights "
            f"{now.weights[:8]}), whose codes mean something else"
        )
        if anyway:
            return f"{sentence}; used all the same, as asked."
        raise CheckpointError(
            f"{sentence}. Give what was fitted on {now.model}, or fit it with `emorph train run`; --anyway (in Python "
            "anyway=True) shows what comes of it."
        )


def unchecked(what: str, name: str | Path) -> str:
    """What is said of numbers that do not tell what they were fitted on."""
    return f"{what} does not say which model it was fitted on, so whether it fits {short_name(name)} is not checked."


def weights_digest(network: nn.Module) -> str:
    """Hexadecimal digits of all weights, each rounded to 16 bits: a network keeps them when it is stored so.

    >>> layer = nn.Linear(2, 1)
    >>> weights_digest(layer) == weights_digest(layer.half().float())
    True
    """
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        stored = value.detach().to("cpu", torch.float16) if value.is_floating_point() else value.detach().cpu()
        digest.update(key.encode())
        digest.update(stored.contiguous().numpy().tobytes())
    return digest.hexdigest()[:N_DIGITS]


def short_name(name: str | Path) -> str:
    """A model's name without where it lies, since it goes into files that are published.

    >>> short_name("/home/me/runs/ae3/step_00000060/ema"), short_name("emorph-base")
    ('ae3/step_00000060', 'emorph-base')
    """
    parts = [part for part in Path(name).parts if part not in _PARTS_OF_A_CHECKPOINT]
    n = 2 if parts and parts[-1].startswith("step_") else 1
    return "/".join(parts[-n:]) or str(name)
