"""How much a film flickers: what is left of the difference of two frames once their motion is taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from emorph.core.types import Float32, Float64, UInt8

WINDOW_PX = 192  # side of the square around the face in which it is measured
AROUND = 1.35  # of that square over the larger side of the landmarks' box: the forehead, too
CONSISTENT_PX = 1.0  # how far flow there and flow back may miss; beyond, something is hidden in one of the frames


@dataclass(frozen=True)
class Window:
    """A square of a film's frames. corner: left, top in px; side: px, which become WINDOW_PX."""

    corner: tuple[float, float]
    side: float

    @classmethod
    def around(cls, points: Float64) -> Window:
        """The square around landmarks (n, 2)."""
        low, high = points.min(axis=0), points.max(axis=0)
        side = AROUND * float((high - low).max())
        left, top = (low + high) / 2 - side / 2
        return cls((float(left), float(top)), side)

    def cut(self, pixels: UInt8) -> UInt8:
        """Gray levels of the square, (WINDOW_PX, WINDOW_PX), of a frame (H, W, 3)."""
        scale = self.side / WINDOW_PX
        matrix = np.array([[scale, 0, self.corner[0]], [0, scale, self.corner[1]]])
        flags = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        square = cv2.warpAffine(
            pixels, matrix, (WINDOW_PX, WINDOW_PX), flags=flags | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        gray: UInt8 = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
        return gray

    def inside(self, points: Float64) -> np.ndarray:
        """bool (WINDOW_PX, WINDOW_PX), where the hull of landmarks (n, 2) in px of the frame lies."""
        mask = np.zeros((WINDOW_PX, WINDOW_PX), np.uint8)
        places = (points - np.array(self.corner)) * (WINDOW_PX / self.side)
        cv2.fillConvexPoly(mask, cv2.convexHull(places.round().astype(np.int32)), 1)
        return mask > 0


class Warper:
    """Optical flow between gray squares (Kroeger et al. 2016, DIS), and what it leaves of their difference."""

    def __init__(self) -> None:
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grid = np.mgrid[:WINDOW_PX, :WINDOW_PX].astype(np.float32)
        self._grid: Float32 = np.stack([grid[1], grid[0]], axis=2)

    def error(self, before: UInt8, now: UInt8, where: np.ndarray) -> float:
        """Mean |now - before, moved to where it is now| in levels, over ``where`` without what is hidden in a frame.

        before, now: gray (WINDOW_PX, WINDOW_PX); where: bool, alike. NaN where nothing is left. As the warping error of
        Lai et al. 2018, by the film's own flow.
        """
        back: Float32 = self._flow.calc(now, before, None)
        forth: Float32 = self._flow.calc(before, now, None)
        places = self._grid + back
        returned = back + cv2.remap(forth, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = where & (np.linalg.norm(returned, axis=2) < CONSISTENT_PX)
        if not seen.any():
            return float("nan")
        moved = cv2.remap(before.astype(np.float32), places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return float(np.abs(now.astype(np.float32) - moved)[seen].mean())


def unsteadiness(points: Float64) -> Float64:
    """How much landmarks (n, 68, 2) tremble: of each inner frame the mean second difference in eye distances, (n,).

    0 for what stands or moves steadily; NaN for the first and last frame.
    """
    found = np.full(len(points), np.nan)
    if len(points) > 2:
        eyes = np.linalg.norm(points[:, 36:42].mean(axis=1) - points[:, 42:48].mean(axis=1), axis=1)
        second = points[:-2] - 2 * points[1:-1] + points[2:]
        found[1:-1] = np.linalg.norm(second, axis=2).mean(axis=1) / np.maximum(eyes[1:-1], 1e-6)
    return found
