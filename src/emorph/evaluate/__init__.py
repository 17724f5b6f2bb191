"""Is the face still the person, and is the expression the one that was asked for: measures, judges, statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ccc", "csim", "dists", "lpips", "pcc", "psnr", "rmse", "sagr", "ssim"]

if TYPE_CHECKING:
    from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr
    from emorph.evaluate.metrics.dists import dists
    from emorph.evaluate.metrics.fidelity import psnr, ssim
    from emorph.evaluate.metrics.identity import csim
    from emorph.evaluate.metrics.lpips import lpips

_LAZY = {
    "ccc": "emorph.evaluate.affect",
    "csim": "emorph.evaluate.identity",
    "dists": "emorph.evaluate.texture",
    "lpips": "emorph.evaluate.perceptual",
    "pcc": "emorph.evaluate.affect",
    "psnr": "emorph.evaluate.fidelity",
    "rmse": "emorph.evaluate.affect",
    "sagr": "emorph.evaluate.affect",
    "ssim": "emorph.evaluate.fidelity",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import emorph.evaluate`` costs no torch."""
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'emorph.evaluate' has no attribute {name!r}")
