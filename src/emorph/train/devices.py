"""Which devices a run uses: Lightning Fabric, on one or many, alone or under torchrun or SLURM."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch

from emorph.core.errors import ConfigError, MissingAssetError
from emorph.train.plan import OptimConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ACCELERATORS = ("auto", "cpu", "gpu", "mps")


def open_fabric(optim: OptimConfig, devices: str | int, nodes: int, accelerator: str) -> Fabric:
    """The processes of a run, started. Raises ConfigError for devices that are not here, MissingAssetError."""
    kind = _fabric_class()
    if accelerator not in ACCELERATORS:
        raise ConfigError(f"--accelerator {accelerator!r} is not known; choose one of {', '.join(ACCELERATORS)}.")
    try:
        fabric = kind(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=optim.precision)
    except (RuntimeError, ValueError, TypeError) as error:  # Lightning raises all three for devices that are not here
        reason = str(error).splitlines()[0]
        raise ConfigError(f"devices {devices!r} of kind {accelerator!r} cannot be used here ({reason}).") from None
    fabric.launch()
    return fabric


def count_devices(devices: str, nodes: int, accelerator: str) -> int:
    """How many devices a plan is for: what is asked for, or what is here. Raises ConfigError."""
    if devices == "auto":
        return nodes * (max(1, torch.cuda.device_count()) if accelerator in ("auto", "gpu") else 1)
    if not devices.isdecimal() or not int(devices):
        raise ConfigError(f"--devices {devices!r} is neither a number nor auto.")
    return nodes * int(devices)


def _fabric_class() -> type[Fabric]:
    for package in ("lightning_fabric", "lightning.fabric"):  # alone, or as a part of "lightning"
        try:
            found: type[Fabric] = importlib.import_module(package).Fabric
        except ImportError:
            continue
        return found
    raise MissingAssetError("training needs the extra packages: pip install 'emorph[train]'.")
