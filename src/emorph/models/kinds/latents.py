"""The kind of the official latent.pkl: mean and standard deviation of z_sem, and nothing else."""

from __future__ import annotations

from emorph.models.diffae import latent_stats_from
from emorph.models.directions import LatentStats
from emorph.models.kinds.kind import FileForm, Hints, ModelKind, Weights
from emorph.models.sources import MEAN, STATISTICS, Source

_CODES = "conds"  # every z_sem of the training set, which nobody needs


def _sort(source: Source) -> Weights | None:
    tensors = source.tensors
    if MEAN not in tensors or not set(tensors) <= {_CODES, *STATISTICS}:
        return None
    return {key: value for key, value in tensors.items() if key != _CODES}


def _load(source: Source, weights: Weights, hints: Hints) -> LatentStats:
    return latent_stats_from(weights, weights[MEAN].numel(), source.name)


LATENTS = ModelKind(
    name="latents",
    what="a file of z_sem's statistics (latent.pkl)",
    use="read it with emorph.models.port.read_latent_stats",
    file=FileForm(_sort, _load),
)
