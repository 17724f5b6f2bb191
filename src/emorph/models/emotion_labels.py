"""The emotions that a network tells apart, as its configuration names them."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from emorph.core.config import Config
from emorph.core.expressions import Emotion


class EmotionLabels(Config):
    """Of a network that names emotions.

    labels: the emotions it tells apart, in the order of its outputs.
    """

    labels: tuple[str, ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        for word in self.labels:
            Emotion.parse(word)
        return self

    @property
    def emotions(self) -> tuple[Emotion, ...]:
        """``labels`` as emotions."""
        return tuple(Emotion.parse(word) for word in self.labels)
