"""What an edit did where it should have done nothing, and what a reconstruction lost: pictures and plain fidelity.

Fidelity counts every change as damage, so it is asked in two ways only: around the face (the edit with its source's own
face put back, or plain differences that leave the face out), and of reconstructions (edits of strength 0). All in the
window around the face that FFHQ's crop spans: how much more is in the photo does not count.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch

from emorph.core.errors import ConfigError, EmorphError
from emorph.core.images import to_tensor
from emorph.core.types import AlignedFace, Float32, Landmarks, Photo, UInt8
from emorph.evaluate.judges.asked import COMPARED_PX
from emorph.evaluate.measure.cells import Mask
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.takes import Takes
from emorph.faces.align import align
from emorph.faces.mask import face_mask

MASK_CROP_PX = 256

Plane = TypeVar("Plane", UInt8, Float32)


@dataclass(frozen=True)
class Surroundings:
    """A source photo and its face, with the mask of what an edit may change."""

    photo: Photo
    landmarks: Landmarks

    def measured(
        self, edited: Photo, metrics: Sequence[Metric], landmarks: Landmarks | None = None, mask: Mask = ()
    ) -> dict[str, float]:
        """A number by the name of each metric; NaN where it has none: another size, too small, nothing around the face.

        landmarks: of the edited face; by default where the source's are. mask: the editor's own, as in ``Pair``.
        Of equal pictures some numbers are infinite.
        Raises ConfigError for a metric that fails: no fault of the photo's.
        """
        if self.photo.pixels.shape != edited.pixels.shape:
            return {row.name: math.nan for row in metrics}
        by_mask = [row for row in metrics if row.takes == Takes.OWN_MASK]
        rest = [row for row in metrics if row.takes != Takes.OWN_MASK]
        pairs = {takes: self._pair(edited, takes) for takes in {row.takes for row in rest}}
        found = {row.name: self._value(row, *pairs[row.takes], landmarks or self.landmarks) for row in rest}
        return found | {row.name: self._outside(row, edited, mask) for row in by_mask}

    def pictures(self, edited: Photo, takes: Takes) -> tuple[UInt8, UInt8] | None:
        """Source and edit for the networks, uint8 (256, 256, 3) each; None for an edit of another size."""
        if self.photo.pixels.shape != edited.pixels.shape:
            return None
        a, b = (resized(pixels) for pixels in self._pair(edited, takes))
        return a, b

    def _outside(self, row: Metric, edited: Photo, polygons: Mask) -> float:
        """A metric of the whole photo outside the editor's own mask; NaN where nothing is outside."""
        a, b = self.photo.pixels, edited.pixels
        inside = np.zeros(a.shape[:2], np.uint8)
        for polygon in polygons:
            cv2.fillConvexPoly(inside, np.array(polygon, np.int32).reshape(-1, 2), 1)
        if inside.all() or not polygons:
            return math.nan
        if row.of_itself is not None and not ((a != b).any(axis=2) & (inside == 0)).any():
            return row.of_itself
        return _computed(row, [to_tensor(a), to_tensor(b), torch.from_numpy(inside.astype(np.float32))[None, None]])

    def _value(self, row: Metric, a: UInt8, b: UInt8, landmarks: Landmarks) -> float:
        if row.takes in (Takes.SURROUNDINGS, Takes.MASKED) and not self._has_outside:
            return math.nan
        if row.of_itself is not None and np.array_equal(a, b):
            return row.of_itself
        if min(a.shape[:2]) < row.least_px:
            return math.nan
        tensors = [to_tensor(_scaled(pixels, row)) for pixels in (a, b)]
        if row.takes == Takes.MASKED:
            tensors.append(torch.from_numpy(_scaled(self._weights, row))[None, None])
        if row.takes == Takes.INSIDE:
            scale = tensors[0].shape[-1] / a.shape[1]
            tensors += [self._points(face, scale) for face in (self.landmarks, landmarks)]
        return _computed(row, tensors)

    def _pair(self, edited: Photo, takes: Takes) -> tuple[UInt8, UInt8]:
        """The windows of both, the edit's as it is or with the source's face."""
        a, b = self.photo.pixels[self._window], edited.pixels[self._window]
        if takes != Takes.SURROUNDINGS or np.array_equal(a, b):
            return a, b
        weights = self._weights[..., None]
        back = np.rint(a * weights + b * (1 - weights)).astype(np.uint8)
        return a, back

    def _points(self, face: Landmarks, scale: float) -> torch.Tensor:
        """Landmarks (1, 68, 2) in pixels of the window, scaled."""
        rows, columns = self._window
        points = (face.points - np.array([columns.start, rows.start]) + 0.5) * scale - 0.5
        return torch.from_numpy(points.astype(np.float32))[None]

    @functools.cached_property
    def _has_outside(self) -> bool:
        return not bool((self._weights == 1).all())

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


def _computed(row: Metric, tensors: Sequence[torch.Tensor]) -> float:
    """Raises ConfigError for a metric that fails."""
    try:
        value = row.load()(*tensors, data_range=2)
    except EmorphError as error:
        raise ConfigError(f"the metric {row.name!r} ({row.function}) failed: {error}") from error
    if getattr(value, "numel", lambda: 1)() != 1:
        raise ConfigError(
            f"the metric {row.name!r} ({row.function}) must give one number a picture, found {tuple(value.shape)}."
        )
    return float(value)


def _scaled(pixels: Plane, row: Metric) -> Plane:
    """Pictures that are longer than a metric's ``most_px`` scaled down to it."""
    longest = max(pixels.shape[:2])
    if row.most_px is None or longest <= row.most_px:
        return pixels
    height, width = (max(row.least_px, round(side * row.most_px / longest)) for side in pixels.shape[:2])
    scaled: Plane = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return scaled


def resized(pixels: UInt8) -> UInt8:
    """A picture (h, w, 3) as the networks that compare take it, 256 px a side."""
    shrinks = min(pixels.shape[:2]) > COMPARED_PX
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    found: UInt8 = cv2.resize(pixels, (COMPARED_PX, COMPARED_PX), interpolation=way)
    return found
