"""An autoencoder for an editor, run by torch or by another library."""

from __future__ import annotations

from pathlib import Path

import torch

from emorph.core.assets import home
from emorph.core.errors import ConfigError, UnknownNameError
from emorph.core.pretrained import locate
from emorph.models.backends.export import OnPart, export
from emorph.models.backends.exported import holds_graphs, is_exported, read_exported
from emorph.models.backends.graphs import BACKENDS, TORCH
from emorph.models.diffae import DiffAE
from emorph.models.port import load

EXPORTS = "onnx"  # below home(): graphs that were made because a backend needed them


def load_for(name: str | Path, backend: str, device: str | torch.device = "auto") -> DiffAE:
    """An autoencoder that ``backend`` computes: "torch", or "onnx" or "openvino", which are quicker on a CPU.

    name: as in ``emorph.models.load``, or a folder of ``emorph models export``. Graphs of a model that is no such
    folder are written once, see ``write_graphs``.
    Raises UnknownNameError, ConfigError for another device, MissingAssetError, CheckpointError.
    """
    place_for(backend, device)
    if backend == TORCH:
        return load(name)
    if is_exported(name):
        return read_exported(locate(name), backend)
    model = load(name)
    read = read_exported(_written(name, model), backend)
    read.latent_net, read.latent_stats, read.losses = model.latent_net, model.latent_stats, model.losses
    return read


def place_for(backend: str, device: str | torch.device) -> str | torch.device:
    """Where a backend computes: others than torch on the CPU. Raises UnknownNameError, ConfigError."""
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if backend == TORCH:
        return device
    if torch.device("cpu" if str(device) == "auto" else device).type != "cpu":
        raise ConfigError(f"the backend {backend} computes on the CPU; leave out the device {device}.")
    return "cpu"


def write_graphs(name: str | Path, on_part: OnPart | None = None) -> None:
    """Have the graphs that other backends than torch need, below ``emorph.core.assets.home()``.

    That takes a minute or two for the official sizes, once; ``on_part`` is called with the parts done and all. A folder
    of graphs needs nothing. Raises MissingAssetError, CheckpointError.
    """
    if not is_exported(name):
        _written(name, load(name), on_part)


def _written(name: str | Path, model: DiffAE, on_part: OnPart | None = None) -> Path:
    folder = home() / EXPORTS / f"{model.fingerprint}-{model.encoder_digest}"
    if not holds_graphs(folder):
        export(name, folder, on_part)
    return folder
