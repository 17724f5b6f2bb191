"""What an edit did where it should have done nothing, and what a reconstruction lost: pictures and plain fidelity.

Fidelity counts every change as damage, so it is asked in two ways only. "outside": the edit with its source's own face
put back, against the source; plain differences leave the face out. "reconstruction": an edit of strength 0, against
the source. All in the window around the face that FFHQ's crop spans: how much more is in the photo does not count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emorph.core.images import to_tensor
from emorph.core.types import AlignedFace, Float32, Landmarks, Photo, UInt8
from emorph.evaluate.judges.asked import Compared
from emorph.evaluate.metrics.fidelity import MS_SSIM_LEAST_PX, WINDOW_PX, ms_ssim, psnr, ssim
from emorph.evaluate.metrics.geometry import mae_outside, psnr_outside
from emorph.faces.align import align
from emorph.faces.mask import face_mask

MASK_CROP_PX = 256
NETWORKS_PX = 256  # side of the pictures that networks compare
MOST_PX = 1024  # longer windows are scaled down for SSIM, so that one edit of a large photo costs no minute


@dataclass(frozen=True)
class Surroundings:
    """A source photo and its face, with the mask of what an edit may change."""

    photo: Photo
    landmarks: Landmarks

    def measured(self, edited: Photo, *, is_reconstruction: bool) -> dict[str, float]:
        """Numbers by metric; nothing of an edit of another size, and no PSNR where the pictures are equal."""
        if self.photo.pixels.shape != edited.pixels.shape:
            return {}
        found: dict[str, float] = {}
        if not bool((self._weights == 1).all()):
            source, edit = (to_tensor(pixels) for pixels in self._pair(edited, "reconstruction"))
            mask = torch.from_numpy(self._weights)[None, None]
            found["mae_outside"] = float(mae_outside(source, edit, mask, data_range=2))
            found["psnr_outside"] = float(psnr_outside(source, edit, mask, data_range=2))
            found["ssim_outside"] = self._ssim(*self._pair(edited, "outside"))
        if is_reconstruction:
            a, b = self._pair(edited, "reconstruction")
            found["psnr"] = float(psnr(to_tensor(a), to_tensor(b), data_range=2))
            found["ssim"] = self._ssim(a, b)
            if min(a.shape[:2]) >= MS_SSIM_LEAST_PX:
                found["ms_ssim"] = float(ms_ssim(to_tensor(_scaled(a)), to_tensor(_scaled(b)), data_range=2))
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def compared(self, edited: Photo, compared: Compared) -> tuple[UInt8, UInt8] | None:
        """Source and edit for the networks, uint8 (256, 256, 3) each; None for an edit of another size."""
        if self.photo.pixels.shape != edited.pixels.shape:
            return None
        a, b = (_resized(pixels) for pixels in self._pair(edited, compared))
        return a, b

    def _pair(self, edited: Photo, compared: Compared) -> tuple[UInt8, UInt8]:
        """The windows of both, the edit's as it is ("reconstruction") or with the source's face."""
        a, b = self.photo.pixels[self._window], edited.pixels[self._window]
        if compared == "reconstruction" or np.array_equal(a, b):
            return a, b
        weights = self._weights[..., None]
        back = np.rint(a * weights + b * (1 - weights)).astype(np.uint8)
        return a, back

    @staticmethod
    def _ssim(a: UInt8, b: UInt8) -> float:
        if np.array_equal(a, b):
            return 1.0
        if min(a.shape[:2]) < WINDOW_PX:
            return float("nan")
        return float(ssim(to_tensor(_scaled(a)), to_tensor(_scaled(b)), data_range=2))

    @functools.cached_property
    def _face(self) -> AlignedFace:
        return align(self.photo, self.landmarks, MASK_CROP_PX)

    @functools.cached_property
    def _weights(self) -> Float32:
        """(h, w) of the window, 1 where an edit may change the photo; the mask lies in the crop, so in the window."""
        mask = face_mask(self._face, self.photo.pixels.shape)
        rows, columns = self._window
        weights = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        top, left = mask.top - rows.start, mask.left - columns.start
        part = mask.weights[max(0, -top) : len(weights) - top, max(0, -left) : weights.shape[1] - left]
        top, left = max(0, top), max(0, left)
        weights[top : top + part.shape[0], left : left + part.shape[1]] = part
        return weights

    @functools.cached_property
    def _window(self) -> tuple[slice, slice]:
        """Rows and columns of the photo that the crop spans."""
        last = MASK_CROP_PX - 0.5
        corners = np.array([[-0.5, last, last, -0.5], [-0.5, -0.5, last, last], [1, 1, 1, 1]])
        x, y = (self._face.crop_to_photo @ corners)[:2]
        height, width = self.photo.pixels.shape[:2]
        left, right = np.clip([np.floor(x.min()), np.ceil(x.max()) + 1], 0, width).astype(int)
        top, bottom = np.clip([np.floor(y.min()), np.ceil(y.max()) + 1], 0, height).astype(int)
        return slice(int(top), int(bottom)), slice(int(left), int(right))


def _scaled(pixels: UInt8) -> UInt8:
    longest = max(pixels.shape[:2])
    if longest <= MOST_PX:
        return pixels
    height, width = (max(WINDOW_PX, round(side * MOST_PX / longest)) for side in pixels.shape[:2])
    scaled: UInt8 = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return scaled


def _resized(pixels: UInt8) -> UInt8:
    shrinks = min(pixels.shape[:2]) > NETWORKS_PX
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    found: UInt8 = cv2.resize(pixels, (NETWORKS_PX, NETWORKS_PX), interpolation=way)
    return found
