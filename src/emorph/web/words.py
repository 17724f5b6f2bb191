"""What the page says, in English and Japanese."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from emorph.core.errors import EmorphError, ImageError, NoFaceError, TooLargeError
from emorph.study.texts import Words, read_texts
from emorph.web.sessions import Refused

LANGUAGES = ("en", "ja")  # what no browser's wish fits gets the first


@lru_cache
def words_of(code: str) -> Words:
    """The words of one of the LANGUAGES. Raises ConfigError for a file that is damaged."""
    return Words(code, read_texts(Path(str(files("emorph.web") / "languages" / f"{code}.toml"))))


def sentence(error: EmorphError | Refused, words: Words) -> str:
    """What went wrong, as somebody reads it who looks at a page and not at a terminal."""
    if isinstance(error, Refused):
        return words.say(f"refused.{error.reason}", **error.filled)
    if isinstance(error, NoFaceError):
        return words.say("trouble.no_face")
    if isinstance(error, TooLargeError):
        return words.say("trouble.large")
    if isinstance(error, ImageError):
        return words.say("trouble.picture")
    return words.say("trouble.other", reason=str(error))
