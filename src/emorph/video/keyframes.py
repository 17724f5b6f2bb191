"""Strength and emotion over time, as keyframes: 0@0s,1@2s,1@5s,0@6s and happy@0s,sad@3s."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from emorph.core.errors import ConfigError, UnknownNameError

Easing = Literal["smooth", "linear"]
_KEY = re.compile(r"(.+)@([0-9.]+)s?")
_AFTER_TIME = re.compile(r"(@[^,@]*),")  # a comma that ends a keyframe; others are of a blend's weights
LEAST, MOST = -3.0, 3.0
DRAW_EVERY, MOST_APART = 4, 6  # frames, of which the network draws one: by default, and at most
T = TypeVar("T")


@dataclass(frozen=True)
class Keyframe(Generic[T]):
    """A value at a time in seconds."""

    value: T
    at_s: float


def as_easing(word: str) -> Easing:
    """The easing that is called so. Raises UnknownNameError."""
    known: dict[str, Easing] = {each: each for each in get_args(Easing)}
    if word not in known:
        raise UnknownNameError("easing", word, list(known))
    return known[word]


def parse_strengths(text: str) -> tuple[Keyframe[float], ...]:
    """Keyframes of strength; a number alone holds all the time. Raises ConfigError.

    >>> parse_strengths("0@0s,1@2s")
    (Keyframe(value=0.0, at_s=0.0), Keyframe(value=1.0, at_s=2.0))
    """
    keys = _keyframes(text, float, "--strength", "0@0s,1@2s,1@5s,0@6s, or a number")
    if not all(LEAST <= key.value <= MOST for key in keys):
        raise ConfigError(f"--strength {text!r}: strengths are numbers from {LEAST:g} to {MOST:g}.")
    return keys


def parse_words(text: str) -> tuple[Keyframe[str], ...]:
    """Keyframes of emotion or blends, by their words; a word alone holds all the time. Raises ConfigError.

    >>> [key.value for key in parse_words("happy@0s,sad@3s")], [key.value for key in parse_words("fear=0.5,sad=1@2s")]
    (['happy', 'sad'], ['fear=0.5,sad=1'])
    """
    return _keyframes(text, lambda word: word.strip(), "--to", "happy@0s,sad@3s, or an emotion")


def _keyframes(text: str, read: Callable[[str], T], option: str, such: str) -> tuple[Keyframe[T], ...]:
    wrong = ConfigError(f"{option} {text!r} is not read; give keyframes in the order of their times, as in {such}.")
    parts = [part.strip() for part in _AFTER_TIME.sub(r"\1\n", text).split("\n")]
    try:
        if len(parts) == 1 and "@" not in text:
            return (Keyframe(read(text), 0.0),)
        found = [_KEY.fullmatch(part) for part in parts]
        keys = tuple(Keyframe(read(match[1]), float(match[2])) for match in found if match is not None)
    except ValueError:
        raise wrong from None
    times = [key.at_s for key in keys]
    if len(keys) != len(parts) or any(b <= a for a, b in itertools.pairwise(times)):
        raise wrong
    return keys


def between(keys: Sequence[Keyframe[T]], at_s: float, easing: Easing) -> tuple[T, T, float]:
    """The values before and after a time, and how far it is from the one to the other, in [0, 1].

    Before the first keyframe its value holds, after the last that one's. "smooth" leaves and reaches keyframes with no
    speed (3 t^2 - 2 t^3).
    """
    before = next((key for key in reversed(keys) if key.at_s <= at_s), keys[0])
    after = next((key for key in keys if key.at_s > at_s), keys[-1])
    if after.at_s <= before.at_s or at_s <= before.at_s:
        return before.value, before.value, 0.0
    share = (at_s - before.at_s) / (after.at_s - before.at_s)
    return before.value, after.value, share * share * (3 - 2 * share) if easing == "smooth" else share


def strength_at(keys: Sequence[Keyframe[float]], at_s: float, easing: Easing = "smooth") -> float:
    """The strength at a time.

    >>> strength_at(parse_strengths("0@0s,1@2s"), 1.0), strength_at(parse_strengths("0@0s,1@2s"), 9.0)
    (0.5, 1.0)
    """
    before, after, share = between(keys, at_s, easing)
    return before + share * (after - before)
