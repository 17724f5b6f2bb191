"""What a face should show: an emotion, a blend of several, valence and arousal, action units."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real

from emorph.core.action_units import unit_code
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_AFFECT_WORD = re.compile(rf"valence_({_NUMBER})(?:_arousal_({_NUMBER}))?|arousal_({_NUMBER})")
_MIXED = re.compile(r"[=,+:]")  # of a blend, also where it is written as blends are not
MOST_FILE_WORD = 100  # characters of a name that what was asked for may take
MOST_STRENGTH = 3.0
MOST_WEIGHT = MOST_STRENGTH  # of an emotion in a blend

Mixture = Mapping[str, float] | Mapping[Emotion, float]
Expression = str | Emotion | Mixture
"""What a caller may ask a face to show: an emotion, its word, or a blend, as "happy=0.6,surprise=0.4" or a mapping."""


@dataclass(frozen=True, init=False)
class Target:
    """What a face should show: an emotion, a blend of several, valence and arousal, action units.

    strength: 0 is unchanged, 1 the emotion as its class shows it on average, or what is asked for. It scales all.
    blend: emotions with their weights, each of which is as a strength: their steps add up. valence, arousal: in
    [-1, 1]; of the two, one that is None stays as it is. units: names and values 0..1; those that are not named stay as
    they are. They may go with an emotion or a blend: their step is added.
    """

    emotion: Emotion | None
    strength: float
    valence: float | None
    arousal: float | None
    units: tuple[tuple[str, float], ...]
    blend: tuple[tuple[Emotion, float], ...]

    def __init__(
        self,
        emotion: Emotion | Mixture | None = None,
        strength: float = 1.0,
        valence: float | None = None,
        arousal: float | None = None,
        units: Sequence[tuple[str, float]] = (),
        blend: Sequence[tuple[Emotion, float]] = (),
    ) -> None:
        """emotion: one, or a mapping of emotions' words, and FACS's units such as "AU4", to their weights.

        Raises ConfigError for kinds that do not go together, none, or weights that are none; UnknownNameError.

        >>> Target({"happy": 0.6, "surprise": 0.4}, 0.5).word
        'happy=0.6,surprise=0.4'
        """
        if isinstance(emotion, Mapping):
            parts, more = _mixture(emotion)
            emotion, blend, units = None, (*blend, *parts), (*more, *units)
        if len(blend) == 1 and blend[0][1] == 1 and emotion is None:  # a blend of one emotion alone is that emotion
            emotion, blend = blend[0][0], ()
        affect = [value for value in (valence, arousal) if value is not None]
        expressive = emotion is not None or bool(blend)
        if (emotion is not None and bool(blend)) or [expressive or bool(units), bool(affect)].count(True) != 1:
            raise ConfigError(
                "a target is an emotion or a blend of emotions, perhaps with action units, or it is valence or arousal "
                "or both; give one kind."
            )
        if not all(-1 <= value <= 1 for value in affect):
            raise ConfigError(f"valence and arousal are numbers from -1 to 1; found {', '.join(map(str, affect))}.")
        values = (emotion, strength, valence, arousal, tuple(units), tuple(blend))
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)
        if not all(0 <= value <= 1 for _, value in self.units):
            raise ConfigError(f"action units are numbers from 0 to 1; found {self.word}.")

    @classmethod
    def asked(
        cls,
        to: Expression | None = None,
        valence: float | None = None,
        arousal: float | None = None,
        units: Mapping[str, float] | None = None,
    ) -> Target:
        """What a caller asks for by the several arguments that an edit takes. Raises UnknownNameError, ConfigError."""
        more = tuple((units or {}).items())
        if to is None or isinstance(to, Emotion | Mapping):
            return cls(to, 1.0, valence, arousal, more)
        if not isinstance(to, str):
            raise ConfigError(f"what a face should show is an emotion's word or a blend, found {to!r:.60}.")
        parsed = cls.parse(to) if _MIXED.search(to) else cls(Emotion.parse(to))
        return cls(parsed.emotion, 1.0, valence, arousal, (*parsed.units, *more), parsed.blend)

    @classmethod
    def parse(cls, word: str, strength: float = 1.0) -> Target:
        """The target that is called so, see ``word``. Raises UnknownNameError, ConfigError.

        >>> Target.parse("happy", 0.5).emotion, Target.parse("happy=0.6+surprise=0.4").word
        (<Emotion.HAPPY: 1>, 'happy=0.6,surprise=0.4')
        """
        numbers = _AFFECT_WORD.fullmatch(word)
        if numbers:
            texts = (numbers[1], numbers[2] or numbers[3])
            valence, arousal = (None if text is None else float(text) for text in texts)
            return cls(None, strength, valence, arousal)
        if _MIXED.search(word):
            return cls(_weights(word), strength)
        return cls(Emotion.parse(word), strength)

    @property
    def parts(self) -> tuple[Target, ...]:
        """Targets of one kind each, whose steps add up to this one's.

        >>> [(part.word, part.strength) for part in Target({"happy": 0.5, "AU4": 0.8}, 2.0).parts]
        [('happy', 1.0), ('AU4=0.8', 2.0)]
        """
        found = [Target(emotion, self.strength * weight) for emotion, weight in self.blend]
        if self.units and (self.blend or self.emotion is not None):
            found += [] if self.emotion is None else [Target(self.emotion, self.strength)]
            found += [Target(None, self.strength, units=self.units)]
        return tuple(found) or (self,)

    @property
    def weights(self) -> tuple[tuple[Emotion, float], ...]:
        """The emotions that it asks for, with their weights; of one alone that is 1."""
        return self.blend if self.emotion is None else ((self.emotion, 1.0),)

    @property
    def word(self) -> str:
        """How records call it: "happy", "happy=0.6,surprise=0.4", "valence_0.5_arousal_-0.2", "AU12=0.6".

        >>> Target(valence=0.5, arousal=-0.2).word
        'valence_0.5_arousal_-0.2'
        """
        if self.emotion is not None and not self.units:
            return self.emotion.word
        named = [(emotion.word, weight) for emotion, weight in self.weights] + list(self.units)
        return ",".join(f"{name}={value:g}" for name, value in named) or "_".join(
            f"{name}_{value:g}" for name, value in self._affect()
        )

    @property
    def file_word(self) -> str:
        """The same in names of files, without a comma, and not too long: "happy=0.6+surprise=0.4", "AU12=0.9"."""
        return short_word(self.word.replace(",", "+"))

    @property
    def title(self) -> str:
        """How people read it: "Happy", "Happy 0.6 + surprise 0.4", "Valence +0.5, arousal -0.2".

        >>> Target(valence=0.5, arousal=-0.2).title, Target({"happy": 0.6, "surprise": 0.4}).title
        ('Valence +0.5, arousal -0.2', 'Happy 0.6 + surprise 0.4')
        """
        if self.emotion is not None and not self.units:
            return self.emotion.title
        if self.weights:
            named = [(emotion.word, weight) for emotion, weight in self.weights] + list(self.units)
            words = " + ".join(f"{name} {value:g}" for name, value in named)
            return words[0].upper() + words[1:]
        if self.units:
            return ", ".join(f"{name} {value:g}" for name, value in self.units)
        return ", ".join(f"{name} {value:+g}" for name, value in self._affect()).capitalize()

    def _affect(self) -> list[tuple[str, float]]:
        named = (("valence", self.valence), ("arousal", self.arousal))
        return [(name, value) for name, value in named if value is not None]


def checked_strengths(strength: object) -> list[float]:
    """One strength or several, as a list. Raises ConfigError for none, and for what is no number of the range.

    >>> checked_strengths(0.5), checked_strengths([0, 1.5])
    ([0.5], [0.0, 1.5])
    """
    is_one = isinstance(strength, str) or getattr(strength, "ndim", 1) == 0  # an array without axes has no members
    found = list(strength) if isinstance(strength, Iterable) and not is_one else [strength]
    if not found:
        raise ConfigError("strength is an empty list; give a number, or several as in [0.5, 1.0].")
    for each in found:
        if not isinstance(each, Real) or not abs(float(each)) <= MOST_STRENGTH:  # which nan is not either
            raise ConfigError(f"strength {each!r:.60} is not a number from -{MOST_STRENGTH:g} to {MOST_STRENGTH:g}.")
    return [float(each) for each in found if isinstance(each, Real)]


def short_word(word: str) -> str:
    """A word for names of files; of a long one its beginning, and a digest that tells it from all others.

    >>> short_word("AU12=0.9+AU6=0.5"), len(short_word("+".join(f"AU{n}=0.25" for n in range(40))))
    ('AU12=0.9+AU6=0.5', 98)
    """
    if len(word) <= MOST_FILE_WORD:
        return word
    digest = hashlib.sha256(word.encode()).hexdigest()[:8]
    begins = re.sub(r"[+_][^+_]*$", "", word[: MOST_FILE_WORD - len(digest)])
    return f"{begins}+{digest}"


def strength_word(word: str, strengths: Sequence[float]) -> str:
    """The same with the strength that it is asked for, unless that is 1; several strengths have a file each.

    >>> strength_word("happy", [1.0]), strength_word("happy", [0.5]), strength_word("happy", [0.5, 1.0])
    ('happy', 'happy_0.5', 'happy')
    """
    return f"{word}_{strengths[0]:g}" if len(strengths) == 1 and strengths[0] != 1 else word


def _weights(word: str) -> dict[str, float]:
    """The names and weights of "happy=0.6,surprise=0.4". Raises ConfigError."""
    found: dict[str, float] = {}
    for part in re.split(r"[,+](?!\d)", word):
        name, _, text = (piece.strip() for piece in part.partition("="))
        try:
            weight = float(text)
        except ValueError:
            raise ConfigError(
                f"{part.strip()!r} in {word!r} has no number as its weight; a blend is written happy=0.6,surprise=0.4."
            ) from None
        if name in found:
            raise ConfigError(f"{word!r} names {name} twice; give each emotion one weight.")
        found[name] = weight
    return found


def _mixture(mixed: Mixture) -> tuple[list[tuple[Emotion, float]], list[tuple[str, float]]]:
    """Emotions with weights, and units of FACS with values, of a mapping. Raises ConfigError, UnknownNameError."""
    blend: dict[Emotion, float] = {}
    units: list[tuple[str, float]] = []
    for name, weight in mixed.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ConfigError(f"the weight of {name} in a blend must be a number, found {weight!r}.")
        if not isinstance(name, Emotion) and unit_code(name) is not None:
            units.append((name, float(weight)))
            continue
        emotion = Emotion.parse(name)
        if abs(weight) > MOST_WEIGHT:
            raise ConfigError(
                f"the weight of {emotion.word} in a blend must be from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}, "
                f"found {weight:g}."
            )
        if emotion in blend:
            raise ConfigError(f"a blend names {emotion.word} twice; give each emotion one weight.")
        blend[emotion] = float(weight)
    parts = [(emotion, weight) for emotion, weight in blend.items() if weight]
    if not parts and not units:
        raise ConfigError(
            "a blend needs an emotion whose weight is not 0, as in happy=0.6,surprise=0.4; strength 0 changes nothing."
        )
    return parts, units
