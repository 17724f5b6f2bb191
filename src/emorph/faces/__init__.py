"""Faces in photos: find them, cut them out upright, and put an edited one back."""

from __future__ import annotations

from .align import align
from .bounds import in_order
from .detect import find_faces, select_faces
from .mask import PasteMask, face_mask
from .mouth import newly_open
from .paste import paste_change
from .warp import motion_between

__all__ = [
    "PasteMask",
    "align",
    "face_mask",
    "find_faces",
    "in_order",
    "motion_between",
    "newly_open",
    "paste_change",
    "select_faces",
]
