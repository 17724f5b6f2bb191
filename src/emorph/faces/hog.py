"""Find frontal faces with dlib's HOG detector (King 2009)."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from emorph.core.landmarks import SURE_SCORE
from emorph.core.types import Float64, UInt8

DETECT_SIDE_PX = 1280  # longest side of the copy on which faces are sought
MAX_DETECT_PX = 8_000_000  # size limit of enlarged copies: about 1 s of one core
HOG_FACE_PX = 80  # the smallest face that the detector sees without enlarging
BORDER_SHARE = 0.25  # of the longest side; repeated edge pixels give a tightly cropped head its surroundings

Found = tuple[Float64, float]
"""A square box (left, top, right, bottom) in photo px, and its score: about 0 to 4, larger is surer."""


class Copy(NamedTuple):
    """A photo enlarged or made smaller, uint8 (H, W, 3): ``copy px = photo px * scale``."""

    pixels: UInt8
    scale: float


def seen_by_hog(photo: UInt8, copy: Copy, min_face_px: int, enlarge_to_px: int) -> list[Found]:
    """The faces of the first look with a sure one; where no look has any, the best of the others.

    photo: uint8 (H, W, 3) RGB. copy: of it, by ``shrunk``. min_face_px: the smallest box. A picture that shows no face
    at normal size is searched again with a border, then enlarged as far as faces of enlarge_to_px need (and
    MAX_DETECT_PX allows). Once faces are seen, smaller ones that only an enlarged copy would show are not sought.
    """
    best_weak: list[Found] = []
    for look, border_px in _looks(photo, copy, enlarge_to_px):
        seen = [f for f in _detect(look, border_px) if f[0][2] - f[0][0] >= min_face_px]
        sure = [f for f in seen if f[1] >= SURE_SCORE]
        if sure:
            return sure
        best_weak = sorted(seen + best_weak, key=lambda f: f[1], reverse=True)[:1]
    return best_weak


def shrunk(photo: UInt8) -> Copy:
    """A copy of at most DETECT_SIDE_PX."""
    return _copied(photo, min(1.0, DETECT_SIDE_PX / max(photo.shape[:2])))


def _copied(photo: UInt8, scale: float) -> Copy:
    if scale == 1:
        return Copy(photo, scale)
    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return Copy(cv2.resize(photo, (width, height), interpolation=way), scale)


def _looks(photo: UInt8, copy: Copy, least_px: int) -> Iterator[tuple[Copy, int]]:
    """What to search, one after the other, and the border that it gets in px."""
    height, width = photo.shape[:2]
    scale = copy.scale
    yield copy, 0
    yield copy, round(BORDER_SHARE * max(height, width) * scale)
    while scale * least_px < HOG_FACE_PX:
        scale *= 2
        if height * width * scale**2 > MAX_DETECT_PX:
            return
        yield _copied(photo, scale), 0


def _detect(copy: Copy, border_px: int) -> Iterator[Found]:
    pixels = copy.pixels
    if border_px:
        pixels = cv2.copyMakeBorder(pixels, *(border_px,) * 4, cv2.BORDER_REPLICATE)
    boxes, scores, _ = _detector(threading.get_ident()).run(np.ascontiguousarray(pixels), 0, 0.0)
    for box, score in zip(boxes, scores, strict=True):
        corners = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1], dtype=np.float64)
        yield (corners - border_px) / copy.scale, float(score)


@functools.lru_cache(maxsize=16)
def _detector(thread: int) -> Any:
    """One detector a thread, because it keeps the picture it works on."""
    import dlib

    return dlib.get_frontal_face_detector()
