"""Configurations: pydantic models that read and write TOML and name the key that is wrong."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic_core import ErrorDetails

from emorph.core.errors import ConfigError


class Config(BaseModel):
    """A frozen configuration in which an unknown key or a wrong type is an error, never a shrug."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any], source: str = "the configuration") -> Self:
        """Check ``values``. Raises ConfigError naming each key that is unknown or has the wrong type."""
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(cls, error)}") from None
        if misread := list(_misread(values, found)):
            raise ConfigError(f"{source}: {'; '.join(misread)}")
        return found

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """Read a TOML file. Raises ConfigError if it is missing, is not TOML, or does not fit."""
        values = read_toml(Path(path))
        return cls.parse(values, str(path))

    def to_toml(self) -> str:
        """The configuration as TOML; ``from_toml`` of it gives the same configuration."""
        return "\n".join(_table("", self.stated())).lstrip() + "\n"

    def stated(self) -> dict[str, Any]:
        """What a file of it states, under the names that a file has today."""
        return self.model_dump(mode="json", exclude_none=True)


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises ConfigError if it is missing or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such configuration file.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; name the configuration file itself, which ends in .toml.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None
    except RecursionError:
        raise ConfigError(f"{path} nests lists or tables deeper than any configuration; check it.") from None


def _table(name: str, values: dict[str, Any]) -> list[str]:
    return [*(["", f"[{name}]"] if name else []), *_entries(name, values)]


def _entries(name: str, values: dict[str, Any]) -> list[str]:
    """The lines below a table's heading: its plain values first, then its tables and lists of tables."""
    tables = {key: value for key, value in values.items() if isinstance(value, dict) or _is_blocks(value)}
    lines = [f"{_key(key)} = {toml_value(value)}" for key, value in values.items() if key not in tables]
    for key, value in tables.items():
        below = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, dict):
            lines += _table(below, value)
        else:
            for block in value:
                lines += ["", f"[[{below}]]", *_entries(below, block)]
    return lines


def _is_blocks(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(block, dict) for block in value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value: object) -> str:
    """A value as TOML has it; what it has not, None, as Python writes it.

    >>> toml_value([1e-4, "face", True])
    '[0.0001, "face", true]'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's escapes are JSON's, and DEL
    if isinstance(value, list):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)} = {toml_value(v)}' for key, v in value.items())}}}"
    return repr(value)


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    """Each problem as "key: what is wrong", with the nearest known key for an unknown one."""
    problems = []
    for item in error.errors():
        location = tuple(part for part in item["loc"] if not str(part).startswith("<"))  # tags of a choice, no keys
        where = ".".join(str(part) for part in location)
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, location[:-1])
            near = difflib.get_close_matches(str(location[-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known)) or 'none'}"
            problems.append(f"key {where!r} is not known; {hint}")
        elif where:
            problems.append(f"{where}: {_said(item)} (found {item['input']!r})")
        else:
            problems.append(_said(item))
    return "; ".join(problems)


def _misread(given: object, found: object, where: str = "") -> Iterator[str]:
    """What pydantic takes for a number or a truth value though another kind was given, as "6" for 6.

    Its strict mode would not do: it takes no list for a tuple, and no 1e4 for a whole number.
    """
    found = found.root if isinstance(found, RootModel) else found
    if isinstance(given, dict):
        for key, value in given.items():
            inner = found.get(key) if isinstance(found, dict) else getattr(found, str(key), None)
            yield from _misread(value, inner, f"{where}.{key}" if where else str(key))
    elif isinstance(given, list | tuple) and isinstance(found, list | tuple):
        for i, (value, inner) in enumerate(zip(given, found, strict=False)):
            yield from _misread(value, inner, f"{where}.{i}")
    elif isinstance(found, bool):
        if not isinstance(given, bool):
            yield f"{where}: write true or false, without quotes (found {given!r})"
    elif isinstance(found, int | float) and isinstance(given, str | bool):
        yield f"{where}: write a number, without quotes (found {given!r})"


def _said(item: ErrorDetails) -> str:
    return str(item["msg"]).removeprefix("Value error, ")  # our validators say it all


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at a location, in which numbers are places in a list."""
    for part in location:
        if isinstance(part, str):
            field = model.model_fields.get(part)
            inner = next(_tables(field.annotation), None) if field else None
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _tables(annotation: object) -> Iterator[type[BaseModel]]:
    """The models in an annotation: itself, or one inside an optional, a list or the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _tables(part)
