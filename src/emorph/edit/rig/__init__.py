"""Editing through a 3D face: parts of one face on another, or action units set. Read editor.py first."""

from emorph.edit.rig.editor import DEFAULT_RIG, RigEditor
from emorph.edit.rig.parts import PARTS, Look, RigFace

__all__ = ["DEFAULT_RIG", "PARTS", "Look", "RigEditor", "RigFace"]
