"""Noise with one seed per image, so that no result depends on its batch (as in NVlabs/edm)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def seeded_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Standard normal noise (len(seeds), *shape): row i depends on seeds[i] alone, on every device.

    >>> together, alone = seeded_noise([3, 4], (2, 2)), seeded_noise([4], (2, 2))
    >>> bool((together[1] == alone[0]).all())
    True
    """
    rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)
