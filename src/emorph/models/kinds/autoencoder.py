"""The kind of the diffusion autoencoder: our folders, official Lightning checkpoints, and bare state dicts."""

from __future__ import annotations

from pathlib import Path

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import read_config
from emorph.models import diffae
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.kinds.kind import Facts, FileForm, Hints, ModelKind, Weights, folder_of, save_module
from emorph.models.recognise import diffae_config_from_state
from emorph.models.sources import OFFICIAL_NOISE, STATISTICS, Source

_BODY = ("time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "encoder.", "latent_net.")
_BUFFERS = (OFFICIAL_NOISE, *STATISTICS)


def sort(source: Source) -> Weights | None:
    """The averaged weights where a file has them, else its only ones. Raises CheckpointError for others beside them."""
    tensors = source.tensors
    prefix = next((p for p in ("ema_model.", "model.") if any(key.startswith(p) for key in tensors)), "")
    body = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not any(key.startswith(_BODY) for key in body):
        return None
    if source.is_lightning and prefix == "model.":
        raise CheckpointError(
            f"{source.name} has no averaged weights (ema_model.*), which official models are used with; get the whole "
            "file."
        )
    for key in tensors:
        if not key.startswith((prefix, "model.")) and key not in _BUFFERS:
            raise CheckpointError(f"{source.name} does not fit: it holds {key}, which this model does not have.")
    return body | {key: value for key, value in tensors.items() if key in _BUFFERS}


def file_config(source: Source, weights: Weights, hints: Hints) -> DiffAEConfig:
    """The sizes that a file shows. Raises CheckpointError."""
    return diffae_config_from_state(
        weights,
        image_size=hints.image_size,
        hyper_parameters=source.hyper_parameters,
        x_T=weights.get(OFFICIAL_NOISE),
        source=source.name,
    )


def folder_config(folder: Path) -> DiffAEConfig:
    """The sizes that a folder states. Raises CheckpointError."""
    return DiffAEConfig.parse(read_config(folder, diffae.KIND), str(folder))


def _load(source: Source, weights: Weights, hints: Hints) -> DiffAE:
    own = {key: value for key, value in weights.items() if key != OFFICIAL_NOISE}
    return DiffAE.from_tensors(file_config(source, weights, hints), own, source.name)


AUTOENCODER = ModelKind(
    name="autoencoder",
    what="a diffusion autoencoder",
    use="load it with emorph.models.load",
    folder=folder_of(DiffAE),
    file=FileForm(sort, _load, lambda source, weights, hints: Facts(file_config(source, weights, hints))),
    save=save_module,
)
