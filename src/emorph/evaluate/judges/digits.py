"""The first digits of a network's SHA-256, by which its answers are told from those of another file of its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from emorph.core.files import file_digest

N_DIGITS = 8


def digits_of(path: Path) -> str:
    """Of a file."""
    return file_digest(path)[:N_DIGITS]


def tensor_digits(module: torch.nn.Module) -> str:
    """Of a network's weights, however its file packs them."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:N_DIGITS]
