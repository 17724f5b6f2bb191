"""Configurations: pydantic models that read and write TOML and name the key that is wrong."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from emorph.core.errors import ConfigError


class Config(BaseModel):
    """A frozen configuration in which an unknown key or a wrong type is an error, never a shrug."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any], source: str = "the configuration") -> Self:
        """Check ``values``. Raises ConfigError naming each key that is unknown or has the wrong type."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(cls, error)}") from None

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """Read a TOML file. Raises ConfigError if it is missing, is not TOML, or does not fit."""
        values = read_toml(Path(path))
        return cls.parse(values, str(path))

    def to_toml(self) -> str:
        """The configuration as TOML; ``from_toml`` of it gives the same configuration."""
        return "\n".join(_table("", self.model_dump(mode="json", exclude_none=True))).lstrip() + "\n"


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises ConfigError if it is missing or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{path}: there is no such configuration file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None


def _table(name: str, values: dict[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"] if name else []
    lines += [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}" if name else key, value)
    return lines


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return repr(value)


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    """Each problem as "key: what is wrong", with the nearest known key for an unknown one."""
    problems = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
            problems.append(f"key {where!r} is not known; {hint}")
        elif where:
            problems.append(f"{where}: {item['msg']} (found {item['input']!r})")
        else:
            problems.append(str(item["msg"]))
    return "; ".join(problems)


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
