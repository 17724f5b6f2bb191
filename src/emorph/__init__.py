"""Edit the expression of a face in a photograph with diffusion models, and keep the person the same.

import emorph
editor = emorph.Editor.from_pretrained("emorph-base")
editor.edit("me.jpg", to="happy").image.save("happy.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Editor", "Emotion", "__version__"]

if TYPE_CHECKING:
    from emorph.core.expressions import Emotion
    from emorph.edit.pipeline import Editor

_LAZY = {"Editor": "emorph.edit.pipeline", "Emotion": "emorph.core.expressions"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import emorph`` costs no torch."""
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in ("core", "data", "diffusion", "edit", "evaluate", "face3d", "faces", "models", "train"):
        return importlib.import_module(f"emorph.{name}")
    raise AttributeError(f"module 'emorph' has no attribute {name!r}")
