"""A rig that starts from a diffusion autoencoder's U-Net, which knows faces already, instead of from random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.models.beside import directions_beside
from emorph.models.diffae import DiffAE
from emorph.models.kinds.autoencoder import AUTOENCODER
from emorph.models.port import kind_of, load, load_rig
from emorph.models.rig import Rig, RigConfig

CODE_SHARE = 0.1  # of the usual first weights that read the code, so that it changes little at first


def start_rig(name: str, config: RigConfig) -> Rig:
    """A rig from its own files, or one of ``config`` from an autoencoder's: a folder, a bundled name, or a hub id.

    Raises UnknownNameError, and CheckpointError if the file is something else or its sizes do not fit.
    """
    if kind_of(name) != AUTOENCODER.name:
        return load_rig(name)
    beside = directions_beside(name)  # they know z_sem's statistics
    return rig_from_autoencoder(config, load(name), beside.stats.mean if beside else None, str(name))


def rig_from_autoencoder(config: RigConfig, base: DiffAE, mean_z: Tensor | None, source: str) -> Rig:
    """A rig of this configuration with the autoencoder's U-Net, which takes no notice of the buffers yet.

    mean_z: (z_dim,), the z_sem whose modulation every face gets to start with, 0 if None. Raises CheckpointError.
    """
    rig = Rig(config)
    unet = rig.denoisingUNet
    taken = {k.replace("time_embed.time_embed", "time_embed"): v for k, v in base.state_dict().items()}
    z = torch.zeros(base.config.z_dim) if mean_z is None else mean_z
    state = unet.state_dict()
    for key, own in state.items():
        if "cond_emb_layers" not in key:
            if key not in taken or not _fits(key, taken[key], own):
                found = tuple(taken[key].shape) if key in taken else "nothing"
                raise CheckpointError(f"{source} cannot start this rig: {key} is {found}, not {tuple(own.shape)}.")
            state[key] = _widened(taken[key], own)
        elif key.endswith("weight"):
            state[key] = CODE_SHARE * own
        else:
            scale = F.linear(F.silu(z), taken[key.replace("bias", "weight")], taken[key])
            state[key] = torch.cat([scale, torch.zeros_like(scale)])
    unet.load_state_dict(state)
    return rig


def _fits(key: str, found: Tensor, own: Tensor) -> bool:
    """The first layer may take more channels: the buffers."""
    first = key == "input_blocks.0.0.weight"
    return found.shape == own.shape or (first and found.shape[:1] + found.shape[2:] == own.shape[:1] + own.shape[2:])


def _widened(found: Tensor, own: Tensor) -> Tensor:
    if found.shape == own.shape:
        return found
    wide = torch.zeros_like(own)
    wide[:, : found.shape[1]] = found
    return wide
