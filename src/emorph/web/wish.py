"""What somebody wishes a face to show, as the page's controls stand, and the same as a command and as Python."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from emorph.core.commands import command
from emorph.core.config import Config
from emorph.core.expressions import Emotion
from emorph.core.landmarks import SURE_SCORE
from emorph.core.types import Target
from emorph.edit.pipeline import DEFAULT_MODEL

MOST_STRENGTH = 1.5
DEFAULT_SOLVER = "dpm"
_DECIMALS = 3
_OPTIONS = {
    "to": "--to", "valence": "--valence", "arousal": "--arousal", "units": "--au", "strength": "--strength",
}  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """What the page's editor was made with: the options of ``emorph web`` that ``emorph edit`` has, too."""

    model: str = DEFAULT_MODEL
    directions: Path | None = None
    steps: int | None = None
    solver: str = DEFAULT_SOLVER
    anyway: bool = False
    detector: str = "auto"
    min_score: float = SURE_SCORE

    def as_options(self) -> list[str]:
        """For a command, without what is the default."""
        words: list[str] = []
        for name, value in self._chosen().items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return words

    def as_arguments(self) -> str:
        """For ``Editor.from_pretrained``, likewise."""
        chosen = {name: str(value) if isinstance(value, Path) else value for name, value in self._chosen().items()}
        chosen.pop("model", None)
        names = {"solver": "solver_name"}
        told = [f"{names.get(name, name)}={value!r}" for name, value in chosen.items()]
        return ", ".join([repr(self.model), *told])

    def _chosen(self) -> dict[str, object]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(type(self), name)}


class Wish(Config):
    """One state of the page's controls.

    number: counts the wishes of a page; of two, the later one counts. face: from 1, from left to right.
    kind: whether the emotions and units below are meant, or valence and arousal. emotions: words and their shares 0..1.
    units: names and values 0..1. valence, arousal: in [-1, 1]. strength: scales all. sketch: a picture that is there at
    once will do.
    """

    number: int = Field(ge=0, le=2**31)
    face: int = Field(ge=1, le=1000)
    kind: Literal["expression", "affect"]
    emotions: dict[str, float] = Field(default_factory=dict, max_length=len(Emotion))
    units: dict[str, float] = Field(default_factory=dict, max_length=100)
    valence: float = Field(0.0, ge=-1, le=1)
    arousal: float = Field(0.0, ge=-1, le=1)
    strength: float = Field(ge=-MOST_STRENGTH, le=MOST_STRENGTH)
    sketch: bool = False

    @field_validator("emotions", "units")
    @classmethod
    def _shares(cls, values: dict[str, float]) -> dict[str, float]:
        """Those above 0, rounded as a command shows them. Raises ValueError."""
        if not all(len(name) <= 40 and 0 <= value <= 1 for name, value in values.items()):
            raise ValueError("names of at most 40 characters, with numbers from 0 to 1")
        return {name: round(value, _DECIMALS) for name, value in values.items() if round(value, _DECIMALS)}

    @field_validator("valence", "arousal", "strength")
    @classmethod
    def _rounded(cls, value: float) -> float:
        return round(value, _DECIMALS)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the photo stays as it is."""
        return not self.strength or (self.kind == "expression" and not self.emotions and not self.units)

    def target(self) -> Target:
        """What the face should show. Raises UnknownNameError, ConfigError."""
        if self.asks_for_nothing:
            return Target(Emotion.NEUTRAL, 0.0)
        if self.kind == "affect":
            return Target(None, self.strength, self.valence, self.arousal)
        asked = Target.asked(self._to, units=self.units)
        return replace(asked, strength=self.strength)

    def as_command(self, photo: str, n_faces: int, setup: Setup, *, has_frames: bool = False) -> str:
        """The edit as a line for a shell. photo: its file's name. has_frames: several, of which the first is meant."""
        words: list[str] = []
        for option, value in self._options().items():
            told = ",".join(f"{k}={v:g}" for k, v in value.items()) if isinstance(value, dict) else f"{value}"
            words += [_OPTIONS[option], told]
        words += ["--face", str(self.face)] if n_faces > 1 else []
        words += ["--frame", "1"] if has_frames else []
        words += setup.as_options()
        return command("edit", Path(photo), *words, "-o", "edited")

    def as_python(self, photo: str, n_faces: int, setup: Setup, *, has_frames: bool = False) -> str:
        """The edit as a program that writes what the page saves, metadata too. Arguments as for ``as_command``."""
        options = self._options() | ({"face": self.face} if n_faces > 1 else {}) | ({"frame": 1} if has_frames else {})
        told = "".join(f", {option}={value!r}" for option, value in options.items())
        out = "again.png" if photo == "edited.png" else "edited.png"
        return (
            "import emorph\n\n"
            f"editor = emorph.Editor.from_pretrained({setup.as_arguments()})\n"
            f"editor.edit_folder({photo!r}, {out!r}{told})\n"
        )

    @property
    def _to(self) -> str | None:
        """ "happy", or "happy=0.6,surprise=0.4"; None without emotions."""
        if list(self.emotions.values()) == [1]:
            return next(iter(self.emotions))
        return ",".join(f"{word}={share:g}" for word, share in self.emotions.items()) or None

    def _options(self) -> dict[str, str | float | dict[str, float]]:
        """The arguments of ``Editor.edit_folder`` that say what is wished."""
        if self.asks_for_nothing:
            return {"to": Emotion.NEUTRAL.word, "strength": 0.0}
        if self.kind == "affect":
            return {"valence": self.valence, "arousal": self.arousal, "strength": self.strength}
        asked = {"to": self._to, "units": self.units}
        return {name: value for name, value in asked.items() if value} | {"strength": self.strength}
