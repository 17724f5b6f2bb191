"""The eight emotions of AffectNet: the one label table that every judge, data set and model maps onto by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from emorph.core.errors import UnknownNameError

UNLABELLED = "no label"  # what tables call faces of which no emotion is known


class Emotion(IntEnum):
    """One of the eight emotions, numbered as in AffectNet (its codes 8 to 10 are not emotions)."""

    NEUTRAL = 0
    HAPPY = 1
    SAD = 2
    SURPRISE = 3
    FEAR = 4
    DISGUST = 5
    ANGER = 6
    CONTEMPT = 7

    @property
    def word(self) -> str:
        """The label as files and commands write it: "happy".

        >>> Emotion.HAPPY.word
        'happy'
        """
        return self.name.lower()

    @property
    def title(self) -> str:
        """The label as people read it: "Happy"."""
        return self.name.capitalize()

    @property
    def japanese(self) -> str:
        """The label in Japanese."""
        return _FACTS[self].japanese

    @property
    def valence_arousal(self) -> tuple[float, float]:
        """A typical point on the circumplex, both in [-1, 1]."""
        return _FACTS[self].valence_arousal

    @classmethod
    def parse(cls, name: str | int | Emotion) -> Emotion:
        """The emotion called ``name``: its word, an alias of another label set, or AffectNet's code.

        Raises UnknownNameError, with the nearest word, for anything else.
        """
        if isinstance(name, int):
            if 0 <= name < len(cls):
                return cls(name)
            raise UnknownNameError("emotion code", str(name), [str(e.value) for e in cls])
        word = name.strip().lower()
        if word in _BY_WORD:
            return _BY_WORD[word]
        raise UnknownNameError("emotion", name, [e.word for e in cls])

    @classmethod
    def known(cls, name: str) -> Emotion | None:
        """As ``parse``, for words that may mean something else: None for one that is no emotion."""
        return _BY_WORD.get(name.strip().lower())


@dataclass(frozen=True)
class _Facts:
    japanese: str
    valence_arousal: tuple[float, float]
    aliases: tuple[str, ...]


# Valence and arousal: prototypes on Russell's circumplex (1980) as AffectNet's annotators used it
# (Mollahosseini et al. 2017, Fig. 1); for sorting and display, not a measurement.
_FACTS: dict[Emotion, _Facts] = {
    Emotion.NEUTRAL: _Facts("無表情", (0.0, 0.0), ("neutrality", "calm", "真顔", "中立")),
    Emotion.HAPPY: _Facts("喜び", (0.8, 0.3), ("happiness", "joy", "smile", "smiling", "幸せ", "幸福", "笑顔")),
    Emotion.SAD: _Facts("悲しみ", (-0.7, -0.3), ("sadness", "悲しい")),
    Emotion.SURPRISE: _Facts("驚き", (0.2, 0.8), ("surprised", "びっくり")),
    Emotion.FEAR: _Facts("恐れ", (-0.4, 0.8), ("fearful", "afraid", "恐怖", "怖い")),
    Emotion.DISGUST: _Facts("嫌悪", (-0.7, 0.4), ("disgusted", "嫌悪感")),
    Emotion.ANGER: _Facts("怒り", (-0.5, 0.7), ("angry",)),
    Emotion.CONTEMPT: _Facts("軽蔑", (-0.5, 0.3), ("contemptuous",)),
}

_BY_WORD: dict[str, Emotion] = {
    word: emotion for emotion, facts in _FACTS.items() for word in (emotion.word, *facts.aliases, facts.japanese)
}
