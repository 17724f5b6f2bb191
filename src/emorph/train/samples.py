"""Sheets of always the same faces, drawn with the averaged weights at every checkpoint, to watch a run by."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.errors import DataError, EmorphError
from emorph.core.images import to_pixels, unit_range, write_image
from emorph.core.types import UInt8
from emorph.data.store import FaceStore
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import Denoise, Sampler, solver
from emorph.diffusion.schedule import Schedule
from emorph.edit.sheet import Row, grid
from emorph.models.diffae import DiffAE
from emorph.models.latent import sample_latents
from emorph.models.rig import Rig
from emorph.train.plan import SamplesConfig

if TYPE_CHECKING:
    from emorph.train.task import Model, Task
    from emorph.train.tensorboard import Board

FOLDER = "samples"
LAYOUT_KEY = "emorph-sheet"  # the PNG's text that says where its tiles are
N_STEPS = 10  # of the solver in each direction: enough to see how a run does
LATENT_STEPS = 20
LEAST_TILE_PX = 128  # smaller pictures are enlarged, so that titles fit over them
MAX_ROWS = 32  # pictures drawn at a time
_log = logging.getLogger(__name__)


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


class SheetWriter:
    """Writes ``run``/samples/step_00005000.png. A sheet that fails is said and left out: the run is worth more."""

    def __init__(self, run: Path, task: Task, faces: Dataset[Any], config: SamplesConfig) -> None:
        self.folder = run / FOLDER
        self.task, self.faces, self.config = task, faces, config
        self._shown: Shown | None = None

    def write(self, step: int, model: Model, board: Board | None = None) -> None:
        """Draw and write the sheet of one step; nothing for a task without one, or with n = 0."""
        if not self.config.n:
            return
        try:
            self._shown = self._shown or shown_faces(self.faces, self.config)
            with torch.inference_mode():
                sheet = self.task.sheet(model, self._shown)
            if sheet is not None:
                pixels = write_sheet(self.folder / f"step_{step:08d}.png", sheet, step)
                if board:
                    board.picture(step, pixels)
        except (EmorphError, torch.OutOfMemoryError) as error:
            reason = str(error).splitlines()[0]
            _log.warning("no sheet was written at step %d (%s); [samples] n = 0 asks for none.", step, reason)


def shown_faces(faces: Dataset[Any], config: SamplesConfig) -> Shown:
    """The faces of a run's sheets: evenly spread over the held-out ones, or over the training faces without these."""
    source = faces
    if isinstance(faces, FaceStore) and faces.split not in (None, config.split):
        try:
            source = faces.of_split(config.split)
        except DataError:  # there is no such split
            source = faces
    n_faces = len(source)  # type: ignore[arg-type]  # a map-style data set has a length
    n = min(config.n, n_faces)
    items = [source[int(i)] for i in (np.arange(n) * n_faces) // n]
    landmarks = torch.stack([item["landmarks"] for item in items]) if "landmarks" in items[0] else None
    return Shown(torch.stack([item["image"] for item in items]), landmarks, config.seeds)


def autoencoder_sheet(model: DiffAE, shown: Shown) -> Sheet:
    """Each face, its reconstruction, and its z_sem with other noises."""
    x = unit_range(shown.images.to(_device(model)))
    tone = model.tone(x)
    seen = tone.take_off(x)
    z = model.encode(seen)
    columns = map(tone.put_back, _both_ways(model.diffusion, model.denoiser, (z,), seen, shown.seeds))
    titles = ("Original", "Reconstruction", *(f"z, noise {seed}" for seed in shown.seeds))
    return _sheet([x, *columns], titles, n_fixed=1)


def latent_sheet(model: DiffAE, shown: Shown) -> Sheet | None:
    """Faces from nothing: a z_sem a row, the same at every step but for what was learnt, with several noises."""
    net, stats = model.latent_net, model.latent_stats
    if net is None or stats is None:
        return None
    noise = seeded_noise(range(len(shown.images)), (model.config.z_dim,), _device(model))
    z = sample_latents(net, stats, noise, LATENT_STEPS)
    shape = (len(z), model.config.image_channels, *[model.config.image_size] * 2)
    seeds = shown.seeds or (0,)
    generate = solver("dpm").generate
    columns = [_drawn(model.diffusion, model.denoiser, (z,), _noise(seed, shape, z.device), generate) for seed in seeds]
    return _sheet(columns, tuple(f"Noise {seed}" for seed in seeds), n_fixed=0)


def rig_sheet(model: Rig, x: Tensor, buffers: Tensor, seeds: Sequence[int]) -> Sheet:
    """Each face, the shaded buffer, its reconstruction, and the buffers with other noises.

    x: (n, C, S, S) in [-1, 1]; buffers: (n, 9, S, S).
    """
    code = model.encode(x)
    columns = _both_ways(model.diffusion, model.denoiser, (buffers, code), x, seeds)
    shaded = 2 * buffers[:, :3] - 1
    titles = ("Original", "Buffer", "Reconstruction", *(f"Noise {seed}" for seed in seeds))
    return _sheet([x, shaded, *columns], titles, n_fixed=2)


def write_sheet(path: Path, sheet: Sheet, step: int) -> UInt8:
    """Write a sheet, and in it where its tiles are. Returns its pixels (H, W, 3). Raises ImageError."""
    pixels: UInt8 = np.asarray(grid(sheet.rows))
    layout = {
        "step": step,
        "n_rows": len(sheet.rows),
        "titles": list(sheet.rows[0].titles),
        "n_fixed": sheet.n_fixed,
        "tile_px": sheet.rows[0].tiles[0].width,
    }
    write_image(path, pixels, metadata={"Software": "emorph", LAYOUT_KEY: json.dumps(layout)})
    return pixels


def _both_ways(
    process: Schedule, denoiser: Any, given: tuple[Tensor, ...], x: Tensor, seeds: Sequence[int]
) -> list[Tensor]:
    """Pictures from x's own noise, then from those of the seeds. denoiser(*given) is what a sampler takes."""
    dpm = solver("dpm")
    schedule = dpm.schedule(process, N_STEPS)
    own = [
        dpm.invert(denoiser(*parts), pictures, schedule)
        for pictures, *parts in zip(*(torch.split(tensor, MAX_ROWS) for tensor in (x, *given)), strict=True)
    ]
    noises = [_noise(seed, x.shape, x.device) for seed in seeds]
    return [
        _drawn(process, denoiser, given, torch.cat(own), dpm.sample),
        *(_drawn(process, denoiser, given, noise, dpm.generate) for noise in noises),
    ]


def _drawn(process: Schedule, denoiser: Any, given: tuple[Tensor, ...], x_T: Tensor, draw: Sampler) -> Tensor:
    schedule = solver("dpm").schedule(process, N_STEPS)
    found = []
    for noise, *parts in zip(*(torch.split(tensor, MAX_ROWS) for tensor in (x_T, *given)), strict=True):
        denoise: Denoise = denoiser(*parts)
        found.append(draw(denoise, noise, schedule))
    return torch.cat(found)


def _noise(seed: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """The same for every face: what differs between them is told by the rest."""
    return seeded_noise([seed], shape[1:], device).expand(*shape)


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _sheet(columns: Sequence[Tensor], titles: tuple[str, ...], *, n_fixed: int) -> Sheet:
    """columns: pictures (n, 1 or 3, S, S) each."""
    side = max(columns[0].shape[-1], LEAST_TILE_PX)
    tiles = []
    for column in columns:
        pixels = to_pixels(column.clamp(-1, 1).float().expand(-1, 3, -1, -1))
        tiles.append([Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC) for face in pixels])
    return Sheet(tuple(Row(row, titles) for row in zip(*tiles, strict=True)), n_fixed)
