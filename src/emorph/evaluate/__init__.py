"""Is the face still the person, and is the expression the one that was asked for: measures, judges, statistics.

Rooms, each using only those before it: metrics (arrays in, numbers out, and their table), judges (networks that look at
faces), measure (from photos to records on disk), scores (from records to numbers with intervals), report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr
    from emorph.evaluate.metrics.dists import DISTS, dists
    from emorph.evaluate.metrics.fidelity import ms_ssim, psnr, ssim, ssim_map
    from emorph.evaluate.metrics.identity import csim
    from emorph.evaluate.metrics.lpips import LPIPS, lpips
    from emorph.evaluate.metrics.metric import Metric
    from emorph.evaluate.metrics.table import register
    from emorph.evaluate.metrics.takes import Takes

__all__ = [
    "DISTS",
    "LPIPS",
    "Metric",
    "Takes",
    "ccc",
    "csim",
    "dists",
    "lpips",
    "ms_ssim",
    "pcc",
    "psnr",
    "register",
    "rmse",
    "sagr",
    "ssim",
    "ssim_map",
]

_LAZY = {
    "affect": ("ccc", "pcc", "rmse", "sagr"),
    "dists": ("DISTS", "dists"),
    "fidelity": ("ms_ssim", "psnr", "ssim", "ssim_map"),
    "identity": ("csim",),
    "lpips": ("LPIPS", "lpips"),
    "metric": ("Metric",),
    "table": ("register",),
    "takes": ("Takes",),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import emorph.evaluate`` costs no torch."""
    import importlib

    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f"emorph.evaluate.metrics.{module}"), name)
    raise AttributeError(f"module 'emorph.evaluate' has no attribute {name!r}")
