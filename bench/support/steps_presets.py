"""The presets for AffectNet at full size: a few optimiser steps of each, with random weights and made faces."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from emorph import train
from emorph.train.resources import size
from emorph.train.tasks import read_task
from emorph.train.tasks.expression import ExpressionConfig

PRESETS = Path(train.__file__).parent / "presets"
STEPS = ("affectnet-step1.toml", "affectnet-step2.toml")
N_FACES = 2


def try_presets(n_steps: int) -> None:
    """Take steps of both presets with two faces each, and say how long they took and what was lost.

    Neither AffectNet nor any file of weights is needed: the networks have their sizes, and random numbers.
    """
    for preset in STEPS:
        config = read_task(PRESETS / preset)
        assert isinstance(config, ExpressionConfig)
        torch.manual_seed(0)
        loss, made = config.trial(N_FACES)
        x = torch.rand_like(made.x) * 2 - 1
        faces = made._replace(x=x, start=x, noise=torch.randn_like(x))
        learning = [p for p in loss.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=config.optim.lr, fused=True)
        for step in range(1, n_steps + 1):
            before = time.perf_counter()
            parts = loss(*faces)
            parts["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            told = ", ".join(f"{name} {value.item():.3g}" for name, value in parts.items())
            print(f"{preset} step {step}: {time.perf_counter() - before:.0f} s; {told}", flush=True)
        most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{preset}: {sum(p.numel() for p in learning):,} numbers learn; at most {size(most)} of memory")
