"""Networks of others that look at a face and say who it is or what it shows, each from its own ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import Float32, Float64, UInt8
from emorph.evaluate.judges.cards import NOUNS, Kind, NetworkCard, network_card
from emorph.evaluate.judges.onnx_file import OnnxGraph, opening_operations


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

    def rows(self, emotions: Sequence[Emotion]) -> Float64:
        """The probabilities of these emotions, then valence and arousal if it tells them, (B, n)."""
        columns = [self.probabilities[:, emotion] for emotion in emotions]
        if self.valence is not None and self.arousal is not None:
            columns += [self.valence, self.arousal]
        found: Float64 = np.stack(columns, axis=1).astype(np.float64)
        return found


@dataclass(frozen=True)
class EmotionJudge:
    """A classifier of expressions with its card."""

    card: NetworkCard
    graph: OnnxGraph

    @classmethod
    def load(cls, name: str | NetworkCard, path: Path | str | None = None, *, threads: int = 0) -> EmotionJudge:
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

    card: NetworkCard
    graph: OnnxGraph
    is_raw: bool

    @classmethod
    def load(cls, name: str | NetworkCard, path: Path | str | None = None, *, threads: int = 0) -> Recogniser:
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


def _load(
    name: str | NetworkCard, path: Path | str | None, kind: Kind, threads: int
) -> tuple[NetworkCard, OnnxGraph, Path]:
    card = name if isinstance(name, NetworkCard) else network_card(name, kind)
    if card.kind != kind:
        raise CheckpointError(f"{card.name} is a {NOUNS[card.kind]}, not a {NOUNS[kind]}.")
    file = card.locate(path)
    graph = OnnxGraph.load(file, threads=threads)
    if graph.side_px not in (None, card.side_px):
        raise CheckpointError(
            f"{file.name} takes pictures of {graph.side_px} px, {card.name} those of {card.side_px} px."
        )
    return card, graph, file


def _input(crops: NDArray[Any], card: NetworkCard, *, is_raw: bool = False) -> Float32:
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
