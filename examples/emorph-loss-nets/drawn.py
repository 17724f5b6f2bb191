"""Training pictures: windows moved, turned, blurred and relit anew each time; and the loop both networks share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from faces import MARGIN
from numpy.typing import NDArray
from torch import Tensor

from emorph.models.weights import PretrainedModule

Columns = dict[str, NDArray[Any]]
TURN_RAD, ZOOM, SHIFT = 0.14, 0.08, 0.05  # largest of each; the shift in sides of the window
GAMMA, NOISE = 0.4, 0.06
COARSEST = 0.4  # smallest side, in the window's, that a picture is brought to and back from
HIDDEN = 0.35  # largest side of a rectangle that is blotted out
WARM_UP = 200
EMA = 0.998
WORD_S = 20


def read(path: Path) -> Columns:
    """What faces.py wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def changed(pixels: NDArray[np.uint8], side_px: int, generator: torch.Generator, *, mirror: bool) -> Tensor:
    """Pictures float (B, 1, side_px, side_px) in [-1, 1], each changed by draws of its own."""

    def draws(*size: int) -> Tensor:
        return 2 * torch.rand(len(pixels), *size, generator=generator) - 1

    x = torch.from_numpy(pixels)[:, None].float() / 127.5 - 1
    turn, scale = draws() * TURN_RAD, torch.exp(draws() * ZOOM) / MARGIN
    flip = torch.where(draws() < 0, -1.0, 1.0) if mirror else torch.ones(len(pixels))
    cos, sin, shift = torch.cos(turn) * scale, torch.sin(turn) * scale, draws(2) * 2 * SHIFT / MARGIN
    across = torch.stack([cos * flip, -sin, shift[:, 0]], dim=1)
    down = torch.stack([sin * flip, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), [len(x), 1, side_px, side_px], align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = torch.cat([coarser(part, float(share)) for part, share in zip(x.split(16), draws()[::16], strict=True)])
    exponent = torch.exp(draws() * GAMMA)[:, None, None, None]
    x = 2 * ((x + 1) / 2).clamp(0, 1) ** exponent - 1
    noise = torch.randn(x.shape, generator=generator) * (draws().abs() * NOISE)[:, None, None, None]
    return hidden(x + noise, draws(4), draws())


def coarser(x: Tensor, draw: float) -> Tensor:
    """Pictures brought to a smaller side and back, half of the time: sharpness must not tell one set from another."""
    if draw < 0:
        return x
    side = round(x.shape[-1] * (1 - draw * (1 - COARSEST)))
    small = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[-2:], mode="bilinear")


def hidden(x: Tensor, place: Tensor, whether: Tensor) -> Tensor:
    """A rectangle of half of the pictures at their mean level."""
    steps = torch.linspace(-1, 1, x.shape[-1])
    near = (steps - place[:, :2, None]).abs() < (place[:, 2:, None].abs() * HIDDEN)
    blot = (near[:, 0, :, None] & near[:, 1, None, :])[:, None] & (whether > 0)[:, None, None, None]
    return torch.where(blot, x.mean(dim=(1, 2, 3), keepdim=True), x)


def plain(pixels: NDArray[np.uint8], side_px: int) -> Iterator[Tensor]:
    """The windows as they are, (B, 1, side_px, side_px), a part after the other."""
    for i in range(0, len(pixels), 256):
        x = torch.from_numpy(pixels[i : i + 256])[:, None].float() / 127.5 - 1
        matrix = torch.tensor([[1 / MARGIN, 0, 0], [0, 1 / MARGIN, 0]]).expand(len(x), 2, 3)
        grid = F.affine_grid(matrix, [len(x), 1, side_px, side_px], align_corners=False)
        yield F.grid_sample(x, grid, align_corners=False)


def train(
    model: PretrainedModule, loss: Callable[[int], Tensor], steps: int, out: Path, *, lr: float = 1e-3
) -> PretrainedModule:
    """Minimise ``loss`` of a step; returns the running mean of the weights, which is saved every tenth of the way.

    After Ctrl-C the folder holds the last one.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1, (i + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * i / steps)) + 1e-3
    )
    mean = {key: value.clone() for key, value in model.state_dict().items()}
    began = said = time.monotonic()
    smooth = 0.0
    for step in range(steps):
        value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        keep = min(EMA, (step + 1) / (step + 10))
        for key, weight in model.state_dict().items():
            mean[key].lerp_(weight, 1 - keep)
        smooth = value.item() if not step else 0.98 * smooth + 0.02 * value.item()
        if time.monotonic() - said > WORD_S:
            said = time.monotonic()
            left = (said - began) / (step + 1) * (steps - step - 1)
            print(f"step {step + 1:,} of {steps:,}  loss {smooth:.4f}  ETA {left / 60:.1f} min", flush=True)
        if (step + 1) % max(steps // 10, 1) == 0:
            averaged(model, mean).save_pretrained(out, dtype=torch.float16)
    return averaged(model, mean)


def averaged(model: PretrainedModule, mean: dict[str, Tensor]) -> PretrainedModule:
    """The model with these weights, in evaluation mode."""
    return type(model).from_tensors(model.config, mean, "the run")
