"""Photos and faces that are far too dark, brought to usual levels before detectors, judges and recognisers look.

What those networks say of a face depends on its exposure (``bench/exposure.py`` measures how much). Within the usual
range nothing is changed, not by a bit, so that official networks give their official numbers. What is too bright stays:
levels that were cut off at 255 do not come back.
"""

from __future__ import annotations

import numpy as np

from emorph.core.types import UInt8

DARK_PHOTO, LIT_PHOTO = 128, 230  # 99th percentile of a photo's strongest channel: below which, and brought to which
DARK_FACE, LIT_FACE = 80, 180  # the same of a face's box, 95th percentile; dark skin in usual light lies above
DARK_SHADE, LIT_SHADE = 40, 100  # the same of the darker part of a photo, 25th percentile, where no face is seen else
MOST_GAIN = 40.0  # more would show nothing but rounding
SAMPLED_SIDE_PX = 500  # of a large photo every so many pixels count


def photo_gain(pixels: UInt8) -> float:
    """By what the levels of a dark photo, uint8 (H, W, 3), are to be multiplied; 1 for all others."""
    return _gain(pixels, 99, DARK_PHOTO, LIT_PHOTO)


def face_gain(pixels: UInt8, box: tuple[int, int, int, int]) -> float:
    """The same of a face in its box (left, top, right, bottom), of which the part in the photo counts."""
    left, top, right, bottom = (max(edge, 0) for edge in box)
    return _gain(pixels[top:bottom, left:right], 95, DARK_FACE, LIT_FACE)


def shade_gain(pixels: UInt8) -> float:
    """The same of a photo whose faces may stand in the dark before something bright, such as a window."""
    return _gain(pixels, 25, DARK_SHADE, LIT_SHADE)


def even_gain(gray: UInt8) -> float:
    """By what the levels of a face, uint8 (H, W), are to be multiplied to be as bright as those of any other face.

    For measures that must not tell an exposure; nothing is looked at so.
    """
    return min(LIT_FACE / max(_percentile(gray, 95), 1.0), MOST_GAIN)


def brightened(pixels: UInt8, gain: float) -> UInt8:
    """Levels times ``gain``, rounded and cut off at 255; of a gain of 1 the very array."""
    if gain == 1:
        return pixels
    levels: UInt8 = np.rint(np.arange(256) * gain).clip(0, 255).astype(np.uint8)
    found: UInt8 = levels[pixels]
    return found


def _gain(pixels: UInt8, percentile: int, dark: int, lit: int) -> float:
    step = max(1, max(pixels.shape[:2]) // SAMPLED_SIDE_PX)
    seen = pixels[::step, ::step]
    if seen.size == 0:
        return 1.0
    strongest = np.maximum(np.maximum(seen[..., 0], seen[..., 1]), seen[..., 2])
    level = _percentile(strongest, percentile)
    return min(lit / max(level, 1.0), MOST_GAIN) if level < dark else 1.0


def _percentile(levels: UInt8, percentile: int) -> float:
    """As ``np.percentile`` of whole levels, by counting them instead of sorting."""
    up_to = np.cumsum(np.bincount(levels.ravel(), minlength=256))
    rank = percentile / 100 * (levels.size - 1)
    below, above = np.searchsorted(up_to, [np.floor(rank), np.ceil(rank)], side="right")
    return float(below + (above - below) * (rank % 1))
