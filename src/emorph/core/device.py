"""Where the networks run."""

from __future__ import annotations

import torch

from emorph.core.errors import ConfigError


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """ "auto" is a GPU if there is one (CUDA, then Apple's MPS), else the CPU. Raises ConfigError."""
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without a device
            raise ConfigError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu.") from None
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
