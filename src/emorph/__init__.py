"""Edit the expression of a face in a photograph with diffusion models, and keep the person the same.

    import emorph

    editor = emorph.Editor.from_pretrained("emorph-base")
    editor.edit_folder("me.jpg", "happy.png", to="happy")

``Editor`` edits photos, ``RigEditor`` edits them through a 3D face, ``Emotion`` and ``Target`` name what a face should
show, ``load`` reads the weights of an autoencoder, and ``evaluate`` holds what measures edits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Editor", "Emotion", "RigEditor", "Target", "__version__", "evaluate", "load"]

if TYPE_CHECKING:
    from emorph import evaluate
    from emorph.core.expressions import Emotion
    from emorph.core.types import Target
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor
    from emorph.models.port import load

_WHERE = {
    "Editor": "emorph.edit.pipeline",
    "Emotion": "emorph.core.expressions",
    "RigEditor": "emorph.edit.rig.editor",
    "Target": "emorph.core.types",
    "load": "emorph.models",
}
_ROOMS = ("core", "data", "diffusion", "edit", "evaluate", "face3d", "faces", "models", "train")


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: ``import emorph`` costs no torch."""
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"emorph.{name}")
    raise AttributeError(f"module 'emorph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_ROOMS})
