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


def load_for(
    name: str | Path, backend: str, device: str | torch.device = "auto", on_export: OnPart | None = None
) -> DiffAE:
    """An autoencoder that ``backend`` computes; other backends than torch compute on the CPU.

    name: as in ``emorph.models.load``, or a folder of ``emorph models export``. Graphs of a model that is no such
    folder are written once below ``emorph.core.assets.home()``, which takes a minute or two for the official sizes;
    on_export(done, total) is called while that is done.
    Raises UnknownNameError, ConfigError for another device, MissingAssetError, CheckpointError.
    """
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if backend == TORCH:
        return load(name)
    if torch.device("cpu" if str(device) == "auto" else device).type != "cpu":
        raise ConfigError(f"the backend {backend} computes on the CPU; leave out the device {device}.")
    if is_exported(name):
        return read_exported(locate(name), backend)
    model = load(name)
    folder = home() / EXPORTS / f"{model.fingerprint}-{model.encoder_digest}"
    if not holds_graphs(folder):
        export(name, folder, on_export)
    read = read_exported(folder, backend)
    read.latent_net, read.latent_stats, read.losses = model.latent_net, model.latent_stats, model.losses
    return read
