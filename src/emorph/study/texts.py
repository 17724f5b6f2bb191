"""What the page says, in each language of a study, and the text that participants agree to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from emorph.core.config import read_toml
from emorph.core.errors import ConfigError
from emorph.study.records import Design

LANGUAGES_FOLDER = "languages"
BUNDLED = ("en", "ja")
_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_ACCEPTED = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})?")


@dataclass(frozen=True)
class ConsentPart:
    """A piece of the consent text: a heading, a paragraph, or the lines of a list."""

    kind: Literal["heading", "paragraph", "list"]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """The words of one language. texts: by "table.key". consent: what is agreed to."""

    code: str
    texts: Mapping[str, str]
    consent: tuple[ConsentPart, ...] = ()

    def say(self, key: str, **filled: object) -> str:
        """The text of a key with its places filled in; a missing key is a programming error (KeyError)."""
        return _PLACEHOLDER.sub(lambda match: str(filled.get(match[1], match[0])), self.texts[key])

    def table(self, name: str) -> dict[str, str]:
        """The texts of a table without its name."""
        return {key.removeprefix(f"{name}."): text for key, text in self.texts.items() if key.startswith(f"{name}.")}


def preferred(asked: str, accepted: str, known: Collection[str]) -> str:
    """The language that an address asks for, else the first that a browser accepts, else the first that is known.

    asked: a code or "". accepted: the header Accept-Language.

    >>> preferred("", "fr-FR,ja-JP;q=0.9,en;q=0.8", ["en", "ja"])
    'ja'
    """
    accepted_codes: list[str] = _ACCEPTED.findall(accepted[:200])
    for code in (asked, *accepted_codes):
        for name in (code, code.partition("-")[0].lower()):
            if name in known:
                return name
    return next(iter(known))


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a TOML file by "table.key". Raises ConfigError for what is no text."""
    return _flat(read_toml(path), path)


def read_words(design: Design, study: Path) -> dict[str, Words]:
    """The words of all languages of a design, in its order.

    A study's own languages/CODE.toml comes before the bundled one; consent.CODE.txt in its folder is agreed to.
    Raises ConfigError naming the file, and the key that is missing, unknown or has other places to fill in.
    """
    return {code: _read(code, study) for code in design.languages}


def write_consents(design: Design, folder: Path) -> None:
    """Put the bundled consent texts where the user can change them; other languages start from the English one."""
    for code in design.languages:
        known = code if code in BUNDLED else "en"
        text = _bundled(f"consent.{known}.txt").read_text(encoding="utf-8")
        (folder / f"consent.{code}.txt").write_text(text, encoding="utf-8")


def parse_consent(text: str) -> tuple[ConsentPart, ...]:
    """Blank lines part paragraphs; "# " starts a heading, "- " a line of a list."""
    parts: list[ConsentPart] = []
    for piece in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in piece.splitlines() if line.strip()]
        if lines and lines[0].startswith("# "):
            parts.append(ConsentPart("heading", (lines.pop(0)[2:].strip(),)))
        if lines and all(line.startswith("- ") for line in lines):
            parts.append(ConsentPart("list", tuple(line[2:] for line in lines)))
        elif lines:
            parts.append(ConsentPart("paragraph", (" ".join(lines),)))
    return tuple(parts)


def _read(code: str, study: Path) -> Words:
    if not _CODE.fullmatch(code):
        raise ConfigError(f"languages names {code!r}; write a code as en, ja or pt-BR.")
    own = study / LANGUAGES_FOLDER / f"{code}.toml"
    if own.is_file():
        texts = read_texts(own)
        _refuse_other_keys(texts, own)
    elif code in BUNDLED:
        texts = _reference(code)
    else:
        raise ConfigError(f"the language {code} has no file; copy and translate one to {own}, or take {code} out.")
    consent = study / f"consent.{code}.txt"
    try:
        parts = parse_consent(consent.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{consent}, which participants agree to, cannot be read: {error}.") from None
    if not parts:
        raise ConfigError(f"{consent} is empty; write what participants agree to.")
    return Words(code, texts, parts)


@lru_cache
def _reference(code: str) -> dict[str, str]:
    return read_texts(_bundled(f"{code}.toml"))


def _bundled(name: str) -> Path:
    return Path(str(files("emorph.study") / LANGUAGES_FOLDER / name))


def _flat(values: Mapping[str, object], path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            texts |= {f"{key}.{inner}": text for inner, text in _flat(value, path).items()}
        elif isinstance(value, str):
            texts[key] = value
        else:
            raise ConfigError(f"{path}: {key} must be text, found {value!r}.")
    return texts


def _refuse_other_keys(texts: Mapping[str, str], path: Path) -> None:
    reference = _reference("en")
    if absent := [key for key in reference if key not in texts]:
        raise ConfigError(f"{path} lacks {absent[0]} ({len(absent)} in all); translate it: {reference[absent[0]]!r}.")
    if unknown := [key for key in texts if key not in reference]:
        raise ConfigError(f"{path} has {unknown[0]}, which no page uses; take it out.")
    for key, text in texts.items():
        wanted, found = (sorted(_PLACEHOLDER.findall(words)) for words in (reference[key], text))
        if wanted != found:
            raise ConfigError(f"{path}: {key} must have the places {wanted}, found {found}.")
