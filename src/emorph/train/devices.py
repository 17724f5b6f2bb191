"""Which devices a run uses: Lightning Fabric, on one or many, alone or under torchrun or SLURM."""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from emorph.core.commands import install
from emorph.core.errors import ConfigError, MissingAssetError
from emorph.train.sections import OptimConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ACCELERATORS = ("auto", "cpu", "gpu", "mps")
_TRIALS = 3  # the first one prepares


def open_fabric(optim: OptimConfig, devices: str | int, nodes: int, accelerator: str) -> Fabric:
    """The processes of a run, started. Raises ConfigError for devices that are not here, MissingAssetError."""
    kind = _fabric_class()
    if accelerator not in ACCELERATORS:
        raise ConfigError(f"--accelerator {accelerator!r} is not known; choose one of {', '.join(ACCELERATORS)}.")
    with _without_small_talk():
        try:
            fabric = kind(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=optim.precision)
        except (RuntimeError, ValueError, TypeError) as error:  # Lightning raises all three for devices not here
            reason = str(error).splitlines()[0]
            raise ConfigError(f"devices {devices!r} of kind {accelerator!r} cannot be used here ({reason}).") from None
        fabric.launch()
    return fabric


@contextmanager
def _without_small_talk() -> Iterator[None]:
    """Keep what Lightning says of precision and processes to itself: plans and runs say it in their own words."""
    loggers = [logging.getLogger(name) for name in ("lightning_fabric", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def as_launched(devices: str | int, nodes: int, environ: Mapping[str, str] = os.environ) -> tuple[str | int, int]:
    """Devices of each machine, and machines: one for each process, where torchrun or srun has started several.

    Otherwise, or with another number, every process would train the whole run by itself, all into one folder.
    Raises ConfigError if more or fewer are asked for than were started.
    """
    started = _started(environ)
    if started is None:
        return devices, nodes
    launcher, here, everywhere = started
    if devices == "auto":
        devices, nodes = here, everywhere // here if nodes == 1 else nodes
    if str(devices).isdecimal() and int(devices) * nodes != everywhere:
        raise ConfigError(
            f"{launcher} started {everywhere} processes on {everywhere // here} machine(s), but --devices {devices} "
            f"--nodes {nodes} is {int(devices) * nodes}: leave both out, or start as many."
        )
    return devices, nodes


def _started(environ: Mapping[str, str]) -> tuple[str, int, int] | None:
    """Who started several processes, how many on this machine, and how many in all; None if nobody did."""
    if "TORCHELASTIC_RUN_ID" in environ:
        name, everywhere = "torchrun", int(environ["WORLD_SIZE"])
        here = int(environ["LOCAL_WORLD_SIZE"])
    elif "SLURM_STEP_ID" in environ or "SLURM_PROCID" in environ:
        if environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):  # then Lightning, too, looks no further
            return None
        name, everywhere = "srun", int(environ.get("SLURM_NTASKS", "1"))
        here = max(1, everywhere // int(environ.get("SLURM_NNODES", "1")))
    else:
        return None
    return (name, here, everywhere) if everywhere > 1 else None


def count_devices(devices: str, nodes: int, accelerator: str) -> int:
    """How many devices a plan is for: what is asked for, or what is here. Raises ConfigError."""
    if devices == "auto":
        return nodes * (max(1, torch.cuda.device_count()) if accelerator in ("auto", "gpu") else 1)
    if not devices.isdecimal() or not int(devices):
        raise ConfigError(f"--devices {devices!r} is neither a number nor auto.")
    return nodes * int(devices)


def bfloat16_slowdown() -> float:
    """How many times as long as in float32 a convolution takes in bfloat16 on this machine's processor.

    A processor without instructions for bfloat16 computes it some tens of times slower.
    """

    def seconds(dtype: torch.dtype) -> float:
        picture, weight = torch.zeros(1, 64, 32, 32, dtype=dtype), torch.zeros(64, 64, 3, 3, dtype=dtype)
        times = []
        for _ in range(_TRIALS):
            before = time.perf_counter()
            torch.nn.functional.conv2d(picture, weight, padding=1)
            times.append(time.perf_counter() - before)
        return min(times)

    return seconds(torch.bfloat16) / seconds(torch.float32)


def _fabric_class() -> type[Fabric]:
    for package in ("lightning_fabric", "lightning.fabric"):  # alone, or as a part of "lightning"
        try:
            fabric: type[Fabric] = importlib.import_module(package).Fabric
        except ImportError:
            continue
        return fabric
    raise MissingAssetError(f"training needs the extra packages: `{install('train')}`.")
