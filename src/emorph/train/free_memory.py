"""Whether a run's memory fits into what a device of this machine has free, and what would make it fit."""

from __future__ import annotations

import torch

from emorph.core.machine import free_memory
from emorph.train.resources import Resources, size


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device; None where it cannot be told."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def free_here(accelerator: str) -> int | None:
    """Free memory of the device that a run with ``--accelerator`` takes here; None without one, or if not known."""
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return free_bytes(torch.device(torch.cuda.current_device()))
    return free_bytes(torch.device("cpu")) if accelerator in ("auto", "cpu") else None


def shortage(needs: Resources, free: int | None, micro_batch: int) -> str | None:
    """What is said of a run that needs more than the ``free`` bytes; None if it fits or that is not known.

    Gradients of fewer faces at a time are added up to the same batch, so ``optim.micro_batch`` may be lowered to any of
    its divisors.
    """
    if free is None or needs.memory <= free:
        return None
    at_least = "about" if needs.activations is not None else "at least"
    said = f"it needs {at_least} {size(needs.memory)} of memory, but only {size(free)} are free here"
    whole, kept = needs.memory, needs.activations or 0
    for n in range(micro_batch - 1, 0, -1):
        memory = whole - kept + kept * n / micro_batch
        if micro_batch % n == 0 and memory <= free:
            return f"{said}: with optim.micro_batch = {n} it needs about {size(memory)}, and a step has the same faces."
    return (
        f"{said}, and a lower optim.micro_batch does not help: it takes a device with more memory, or a smaller model."
    )
