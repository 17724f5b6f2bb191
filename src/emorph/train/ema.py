"""The exponential moving average of a model's weights, which is what one samples from."""

from __future__ import annotations

import torch
from torch import nn


class EMA:
    """Keeps ``average`` = decay · average + (1 - decay) · weights, of floating-point state; the rest is copied.

    Frozen weights are the average's own from the start, and are passed over.
    The decay is warmed up as min(decay, (1 + n) / (10 + n)), so that a short run is not an average of its start.
    """

    def __init__(self, average: nn.Module, decay: float) -> None:
        self.average = average.eval().requires_grad_(False)
        self.decay = decay
        self.n_updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards ``module``."""
        self.n_updates += 1
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        source = module.state_dict()
        passed = {name for name, weight in module.named_parameters() if not weight.requires_grad}
        own, new, seen = [], [], set()
        for key, value in self.average.state_dict().items():
            if key in passed or value.data_ptr() in seen:  # the latent net lists one tensor under two names
                continue
            seen.add(value.data_ptr())
            if value.is_floating_point():
                own.append(value)
                new.append(source[key].detach())
            else:
                value.copy_(source[key])
        torch._foreach_lerp_(own, new, 1 - decay)
