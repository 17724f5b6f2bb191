"""Where the networks run."""

from __future__ import annotations

import platform
from typing import TypeVar

import torch
from torch import nn

from emorph.core.errors import ConfigError

Network = TypeVar("Network", bound=nn.Module)

_LONGEST_REASON = 120  # characters; what is longer tells of PyTorch's inside


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """ "auto" is a GPU if there is one (CUDA, then Apple's MPS), else the CPU. Raises ConfigError."""
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
        except (
            RuntimeError,
            AssertionError,
            ImportError,
        ) as error:  # torch asserts where it was built without a device
            raise _not_here(name, error) from None
        if device.type == "meta":
            raise _not_here(name, None)
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def laid_out(network: Network, device: torch.device) -> Network:
    """A network on a device, in the layout that is quickest there.

    On processors channels last: convolutions want it, and every evaluation else begins with copies.
    """
    placed = network.to(device)
    if device.type == "cpu":
        placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return placed


def devices_here() -> dict[str, str]:
    """The devices that networks can run on here, as --device calls them, and the name of each."""
    names = {"cpu": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        names |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        names |= {f"xpu:{i}": torch.xpu.get_device_name(i) for i in range(torch.xpu.device_count())}
    return names


def _not_here(name: str | torch.device, error: BaseException | None) -> ConfigError:
    """One sentence: which device it was, why if that is short, and which there are."""
    said = "" if error is None or isinstance(error, NotImplementedError) else str(error).partition("\n")[0].rstrip(".")
    reason = f" ({said})" if 0 < len(said) <= _LONGEST_REASON else ""
    return ConfigError(f"device {str(name)!r} cannot be used here{reason}; there is {', '.join(devices_here())}.")
