"""Networks of others that look at a face and say who it is or what it shows, each from its own ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import CheckpointError, NoFaceError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import LEFT_EYE, MOUTH_CORNERS, NOSE_TIP, RIGHT_EYE
from emorph.core.types import Float32, Float64, Landmarks, Photo, UInt8
from emorph.evaluate.cards import ARCFACE_PX, JudgeCard, judge_card
from emorph.evaluate.onnx_file import OnnxGraph, opening_operations

# Eyes, tip of the nose, corners of the mouth, left to right in the picture, in pixels of a 112 px crop: the template
# published with InsightFace's ArcFace.
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


@dataclass(frozen=True)
class EmotionReading:
    """What a judge sees on B faces.

    probabilities: float32 (B, 8), in the order of ``Emotion``; 0 for what the judge has no class for. judged: those it
    has. valence, arousal: float32 (B,) in [-1, 1], or None if it does not tell.
    """

    probabilities: Float32
    judged: tuple[Emotion, ...]
    valence: Float32 | None
    arousal: Float32 | None


@dataclass(frozen=True)
class EmotionJudge:
    """A classifier of expressions with its card."""

    card: JudgeCard
    graph: OnnxGraph

    @classmethod
    def load(cls, name: str | JudgeCard, path: Path | str | None = None, *, threads: int = 0) -> EmotionJudge:
        """The judge with this card, or of this name, from ``path`` or from where its card looks.

        Raises UnknownNameError, MissingAssetError, CheckpointError.
        """
        card, graph, _ = _load(name, path, "emotion", threads)
        return cls(card, graph)

    def __call__(self, crops: UInt8) -> EmotionReading:
        """crops: uint8 (B, S, S, 3) RGB. Raises ShapeError."""
        logits = self.graph.run(_input(crops, self.card))
        n_classes = len(self.card.classes)
        expected = n_classes + 2 * self.card.has_va
        if logits.shape[1] != expected:
            raise ShapeError(
                f"{self.graph.name} gives {logits.shape[1]} numbers a face; {self.card.name} has {expected}."
            )
        shares = np.exp(logits[:, :n_classes] - logits[:, :n_classes].max(axis=1, keepdims=True))
        judged = tuple(Emotion.parse(word) for word in self.card.classes)
        probabilities = np.zeros((len(crops), len(Emotion)), dtype=np.float32)
        probabilities[:, list(judged)] = shares / shares.sum(axis=1, keepdims=True)
        if not self.card.has_va:
            return EmotionReading(probabilities, judged, None, None)
        valence, arousal = logits[:, n_classes:].clip(-1, 1).T
        return EmotionReading(probabilities, judged, valence, arousal)


@dataclass(frozen=True)
class Recogniser:
    """A network that turns a face into a direction; photos of one person point alike.

    is_raw: the graph scales its picture itself, so it gets levels 0..255.
    """

    card: JudgeCard
    graph: OnnxGraph
    is_raw: bool

    @classmethod
    def load(cls, name: str | JudgeCard, path: Path | str | None = None, *, threads: int = 0) -> Recogniser:
        """The recogniser with this card, or of this name, from ``path`` or from where its card looks.

        Raises UnknownNameError, MissingAssetError, CheckpointError.
        """
        card, graph, file = _load(name, path, "identity", threads)
        opening = set(opening_operations(file))
        return cls(card, graph, bool(opening & {"Sub", "Add"}) and bool(opening & {"Mul", "Div"}))

    def __call__(self, crops: UInt8) -> Float32:
        """Unit vectors (B, D) of uint8 (B, 112, 112, 3) RGB; their dot product is the cosine. Raises ShapeError."""
        found = self.graph.run(_input(crops, self.card, is_raw=self.is_raw))
        length = np.linalg.norm(found, axis=1, keepdims=True)
        if found.shape[1] < 2 or not (length > 0).all():
            raise ShapeError(f"{self.graph.name} gives {found.shape[1]} numbers a face, or zeros: no recogniser.")
        unit: Float32 = found / length
        return unit


def five_points(landmarks: Landmarks) -> Float64:
    """Eyes, tip of the nose and corners of the mouth from 68 points, (5, 2), in the order of ``ARCFACE_TEMPLATE``."""
    points = landmarks.points.astype(np.float64)
    eyes = [points[eye].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]])


def similarity(source: Float64, target: Float64) -> Float64:
    """The (2, 3) matrix that turns, scales and moves ``source`` (N, 2) nearest to ``target`` (Umeyama 1991).

    Raises ShapeError for points that span nothing.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - from_mean, target - to_mean
    spread = float((a**2).sum())
    if not np.isfinite(spread) or spread < 1e-9:
        raise ShapeError("expected finite landmarks that span a face; detect the face again.")
    # in complex numbers, scale and turn are one factor, and the mirrored solution cannot occur
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (to_mean - turn @ from_mean)[:, None]], axis=1)


def arcface_crop(photo: Photo, landmarks: Landmarks) -> UInt8:
    """The face with its five points on the published template, uint8 (112, 112, 3) RGB, black outside the photo.

    Bilinear without smoothing, as the recognisers were trained.
    """
    matrix = similarity(five_points(landmarks), np.array(ARCFACE_TEMPLATE))
    crop: UInt8 = cv2.warpAffine(photo.pixels, matrix, (ARCFACE_PX, ARCFACE_PX), flags=cv2.INTER_LINEAR)
    return crop


def box_crop(photo: Photo, landmarks: Landmarks, side_px: int) -> UInt8:
    """The part of the detector's box that lies in the photo, stretched to a square, uint8 (S, S, 3) RGB.

    Raises NoFaceError if none of it does.
    """
    height, width = photo.pixels.shape[:2]
    left, right = np.clip([landmarks.box[0], landmarks.box[2]], 0, width)
    top, bottom = np.clip([landmarks.box[1], landmarks.box[3]], 0, height)
    if left >= right or top >= bottom:
        raise NoFaceError(f"the face lies outside {photo.name} ({width}x{height} px); detect the face again.")
    crop: UInt8 = cv2.resize(photo.pixels[top:bottom, left:right], (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return crop


def _load(name: str | JudgeCard, path: Path | str | None, kind: str, threads: int) -> tuple[JudgeCard, OnnxGraph, Path]:
    card = name if isinstance(name, JudgeCard) else judge_card(name)
    if card.kind != kind:
        raise CheckpointError(f"{card.name} judges {card.kind}, not {kind}.")
    file = card.locate(path)
    graph = OnnxGraph.load(file, threads=threads)
    if graph.side_px not in (None, card.side_px):
        raise CheckpointError(
            f"{file.name} takes pictures of {graph.side_px} px, {card.name} those of {card.side_px} px."
        )
    return card, graph, file


def _input(crops: NDArray[Any], card: JudgeCard, *, is_raw: bool = False) -> Float32:
    """The network's input, float32 (B, 3, S, S), in the card's order of channels and range, or levels if ``is_raw``."""
    if (
        crops.dtype != np.uint8
        or crops.ndim != 4
        or crops.shape[1:] != (card.side_px, card.side_px, 3)
        or not len(crops)
    ):
        expected = f"uint8 (B, {card.side_px}, {card.side_px}, 3)"
        raise ShapeError(f"{card.name} takes {expected}, found {crops.dtype} {crops.shape}.")
    x: Float32 = (crops if card.channels == "RGB" else crops[..., ::-1]).astype(np.float32)
    if not is_raw:
        mean, std = (np.array(values, dtype=np.float32) for values in (card.mean, card.std))
        x = (x / np.float32(255) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
