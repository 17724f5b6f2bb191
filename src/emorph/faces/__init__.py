"""Faces in photos: find them, cut them out upright, and put an edited one back."""

from __future__ import annotations

from .align import align
from .detect import find_faces, select_faces
from .paste import PasteMask, face_mask, paste_change

__all__ = ["PasteMask", "align", "face_mask", "find_faces", "paste_change", "select_faces"]
