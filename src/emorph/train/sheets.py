"""A sheet of pictures to watch a run by: its rows and tiles, and how a diffusion model's pictures come on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from emorph.core.images import to_pixels
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import Denoise, Sampler, solver
from emorph.diffusion.schedule import Schedule
from emorph.edit.sheet import Row

N_STEPS = 10  # of the solver in each direction: enough to see how a run does
LEAST_TILE_PX = 128  # smaller pictures are enlarged, so that titles fit over them
MAX_ROWS = 32  # pictures drawn at a time
Given = tuple[Tensor, ...]
Denoiser = Callable[..., Denoise]


@dataclass(frozen=True)
class Shown:
    """The faces of a run's sheets. images: uint8 (n, C, S, S); landmarks: (n, 68, 2) in [-1, 1], or None."""

    images: Tensor
    landmarks: Tensor | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Sheet:
    """Rows of tiles, one a face. n_fixed: how many leading columns are the same at every step."""

    rows: tuple[Row, ...]
    n_fixed: int


def reconstructed(process: Schedule, denoiser: Denoiser, given: Given, x: Tensor) -> Tensor:
    """Pictures x (n, C, S, S) turned into their own noise and drawn from it again.

    denoiser(*given) is what a sampler takes; given: tensors of n rows.
    """
    dpm = solver("dpm")
    schedule = dpm.schedule(process, N_STEPS)
    parts = [dpm.invert(denoiser(*rows), pictures, schedule) for pictures, *rows in _in_parts(x, *given)]
    return _sampled(process, denoiser, given, torch.cat(parts), dpm.sample)


def drawn(process: Schedule, denoiser: Denoiser, given: Given, shape: Sequence[int], seed: int) -> Tensor:
    """Pictures of this shape (n, C, S, S) from a seed's noise, the same for every row: ``given`` makes them differ."""
    noise = seeded_noise([seed], shape[1:], given[0].device).expand(*shape)
    return _sampled(process, denoiser, given, noise, solver("dpm").generate)


def _sampled(process: Schedule, denoiser: Denoiser, given: Given, x_T: Tensor, sample: Sampler) -> Tensor:
    schedule = solver("dpm").schedule(process, N_STEPS)
    return torch.cat([sample(denoiser(*rows), noise, schedule) for noise, *rows in _in_parts(x_T, *given)])


def _in_parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """At most MAX_ROWS rows of each at a time."""
    return zip(*(torch.split(tensor, MAX_ROWS) for tensor in tensors), strict=True)


def sheet_of(columns: Sequence[Tensor], titles: tuple[str, ...], *, n_fixed: int) -> Sheet:
    """Pictures side by side. columns: (n, 1 or 3, S, S) in [-1, 1] each, of n faces."""
    side = max(columns[0].shape[-1], LEAST_TILE_PX)
    tiles = []
    for column in columns:
        pixels = to_pixels(column.clamp(-1, 1).float().expand(-1, 3, -1, -1))
        tiles.append([Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC) for face in pixels])
    return Sheet(tuple(Row(row, titles) for row in zip(*tiles, strict=True)), n_fixed)
