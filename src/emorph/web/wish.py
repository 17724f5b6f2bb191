"""What somebody wishes a face to show, as the page's controls stand, and the same as a command and as Python."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from emorph.core.commands import command
from emorph.core.config import Config
from emorph.core.expressions import Emotion
from emorph.core.types import Target

MOST_STRENGTH = 1.5
_DECIMALS = 3


class Wish(Config):
    """One state of the page's controls.

    number: counts the wishes of a page; of two, the later one counts. face: from 1, from left to right.
    kind: which of the three ways below is meant. emotions: words and their shares 0..1. valence, arousal: in [-1, 1].
    units: names and values 0..1. strength: scales all. sketch: a picture that is there at once will do.
    """

    number: int = Field(ge=0, le=2**31)
    face: int = Field(ge=1, le=1000)
    kind: Literal["emotion", "affect", "units"]
    emotions: dict[str, float] = Field(default_factory=dict, max_length=len(Emotion))
    valence: float = Field(0.0, ge=-1, le=1)
    arousal: float = Field(0.0, ge=-1, le=1)
    units: dict[str, float] = Field(default_factory=dict, max_length=100)
    strength: float = Field(ge=-MOST_STRENGTH, le=MOST_STRENGTH)
    sketch: bool = False

    @field_validator("emotions", "units")
    @classmethod
    def _shares(cls, values: dict[str, float]) -> dict[str, float]:
        """Those above 0, rounded as a command shows them. Raises ValueError."""
        if not all(len(name) <= 40 and 0 <= value <= 1 for name, value in values.items()):
            raise ValueError("names of at most 40 characters, with numbers from 0 to 1")
        return {name: round(value, _DECIMALS) for name, value in values.items() if round(value, _DECIMALS)}

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the photo stays as it is."""
        return not self.strength or not {"emotion": self.emotions, "affect": True, "units": self.units}[self.kind]

    def target(self) -> Target:
        """What the face should show. Raises UnknownNameError, ConfigError."""
        if self.asks_for_nothing:
            return Target(Emotion.NEUTRAL, 0.0)
        if self.kind == "affect":
            return Target(None, self._strength, round(self.valence, _DECIMALS), round(self.arousal, _DECIMALS))
        if self.kind == "units":
            return Target(None, self._strength, units=tuple(self.units.items()))
        return Target.parse(self._emotion_word, self._strength)

    def as_command(self, photo: str, n_faces: int, model: str) -> str:
        """The edit as a line for a shell. photo: its file's name. model: of ``--model``; "" for the default."""
        words: list[str | Path] = ["edit", Path(photo)]
        if self.asks_for_nothing:
            words += ["--to", Emotion.NEUTRAL.word]
        elif self.kind == "emotion":
            words += ["--to", self._emotion_word]
        elif self.kind == "affect":
            words += ["--valence", f"{self.valence:.3g}", "--arousal", f"{self.arousal:.3g}"]
        else:
            words += ["--au", ",".join(f"{name}={value:g}" for name, value in self.units.items())]
        words += ["--strength", f"{0.0 if self.asks_for_nothing else self._strength:g}"]
        words += ["--face", str(self.face)] if n_faces > 1 else []
        words += ["--model", model] if model else []
        return command(*words, "-o", "edited")

    def as_python(self, photo: str, n_faces: int, model: str) -> str:
        """The edit as a program. Arguments as for ``as_command``."""
        if self.asks_for_nothing:
            goal = f"to={Emotion.NEUTRAL.word!r}"
        elif self.kind == "emotion":
            goal = f"to={self._emotion_word!r}"
        elif self.kind == "affect":
            goal = f"valence={self.valence:.3g}, arousal={self.arousal:.3g}"
        else:
            goal = f"units={self.units!r}"
        face = f", face={self.face}" if n_faces > 1 else ""
        strength = 0.0 if self.asks_for_nothing else self._strength
        return (
            "import emorph\n\n"
            f"editor = emorph.Editor.from_pretrained({repr(model) if model else ''})\n"
            f"edit = editor.edit({photo!r}, {goal}, strength={strength:g}{face})\n"
            f'edit.image.save("edited.png")\n'
        )

    @property
    def _strength(self) -> float:
        """The share of a single emotion goes into its strength."""
        share = next(iter(self.emotions.values())) if self.kind == "emotion" and len(self.emotions) == 1 else 1.0
        return round(self.strength * share, _DECIMALS)

    @property
    def _emotion_word(self) -> str:
        """ "happy", or "happy=0.6,surprise=0.4" of several."""
        if len(self.emotions) == 1:
            return next(iter(self.emotions))
        return ",".join(f"{word}={share:g}" for word, share in self.emotions.items())
