"""What an autoencoder keeps of a face: pictures to codes and back, and how near they come, face by face.

Two ways of decoding: from the face's own x_T (inverted), which tells how true encode and decode are; and from noise,
the same for every face, which tells what z_sem alone keeps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from emorph.core.images import to_pixels, to_tensor
from emorph.core.records import ScoreRecord
from emorph.core.types import UInt8
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import solver
from emorph.evaluate.judges.asked import PanelComparer
from emorph.evaluate.measure.records import ID_DIGITS
from emorph.evaluate.measure.surroundings import resized
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.models.diffae import DiffAE
from emorph.models.weights import fingerprint

Start = Literal["x_T", "noise"]
STARTS: tuple[Start, ...] = ("x_T", "noise")
DIGITS = 8


@dataclass(frozen=True)
class Way:
    """How one model encodes and decodes. name: for tables. steps: network evaluations in each direction."""

    name: str
    model: DiffAE
    solver_name: str
    steps: int

    @property
    def id(self) -> str:
        """In records: what the numbers depend on."""
        return f"{fingerprint(self.model)} {self.solver_name} {self.steps}"

    @torch.inference_mode()
    def rebuilt(self, pictures: Tensor) -> dict[Start, Tensor]:
        """Pictures (B, C, S, S) in [-1, 1] encoded and decoded, by where the decoder starts."""
        sampler = solver(self.solver_name)
        schedule = sampler.schedule(self.model.diffusion, self.steps)
        tone = self.model.tone(pictures)
        seen = tone.take_off(pictures)
        denoiser = self.model.denoiser(self.model.encode(seen))
        x_T = sampler.invert(denoiser, seen, schedule)
        noise = seeded_noise([0], pictures.shape[1:], pictures.device).expand_as(pictures)
        own, drawn = sampler.sample(denoiser, x_T, schedule), sampler.generate(denoiser, noise, schedule)
        return {"x_T": tone.put_back(own.clamp(-1, 1)), "noise": tone.put_back(drawn.clamp(-1, 1))}


def face_id(pixels: UInt8) -> str:
    """A digest of a picture's pixels (C, S, S)."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:ID_DIGITS]


def judge_id(way: Way, start: Start, network: str = "") -> str:
    """Who tells a number, in records."""
    return " ".join(filter(None, (way.id, start, network)))


def measures() -> tuple[Metric, ...]:
    """The metrics of reconstructions, in the order of the table."""
    return metrics(Takes.RECONSTRUCTION)


def measured(way: Way, pixels: UInt8, comparers: Sequence[PanelComparer]) -> Iterator[ScoreRecord]:
    """Every number of B faces, uint8 (B, C, S, S), at both starts; what is infinite or has no value is left out."""
    device = next(way.model.parameters()).device
    pictures = to_tensor(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))).to(device)
    ids = [face_id(picture) for picture in pixels]
    for start, rebuilt in way.rebuilt(pictures).items():
        levels = to_pixels(rebuilt.cpu())  # as a file would hold them
        for row in measures():
            if row.network or min(levels.shape[1:3]) < row.least_px:
                continue
            values = row.load()(pictures.cpu(), to_tensor(levels), data_range=2).tolist()
            yield from _records(ids, row, values, judge_id(way, start))
        own, again = (np.stack([resized(_rgb(p)) for p in stack]) for stack in (to_pixels(pictures.cpu()), levels))
        for comparer in comparers:
            for record in comparer.compare(ids, Takes.RECONSTRUCTION, own, again):
                yield ScoreRecord(record.id, record.metric, record.value, judge_id(way, start, record.judge))


def _records(ids: Sequence[str], row: Metric, values: Sequence[float], judge: str) -> Iterator[ScoreRecord]:
    for id, value in zip(ids, values, strict=True):
        if math.isfinite(value):
            yield ScoreRecord(id, row.name, round(value, DIGITS), judge)


def _rgb(pixels: UInt8) -> UInt8:
    found: UInt8 = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return found


def known_values(
    scores: Mapping[tuple[str, str], Mapping[str, float]], ids: Sequence[str], row: Metric, judge: str
) -> list[float]:
    """A metric of faces, in their order; NaN where it was not measured."""
    return [scores.get((id, judge), {}).get(row.name, math.nan) for id in ids]
