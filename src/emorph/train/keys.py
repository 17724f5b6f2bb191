"""Every key of a task's TOML file, read off the configuration's own models: type, unit, default, one sentence.

A key's sentence is its Field's description, or what the docstring of its class says of it ("key: sentence").
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from emorph.core.config import toml_value
from emorph.models.diffae import PRESETS, DiffAEConfig
from emorph.train.renamed import old_keys
from emorph.train.sections import BudgetConfig, OptimConfig
from emorph.train.tasks import config_class

_UNITS = {
    "image_size": "px",
    "crop": "",
    "shift": "sides",
    "zoom": "times",
    "window": "px",
    "dropout": "share of 1",
    "directions_within": "deviations",
}
_ENDINGS = {
    "_px": "px",
    "_deg": "degrees",
    "_steps": "steps",
    "_minutes": "minutes",
    "_share": "share of 1",
    "_units": "eye distances",
}
_WORDS = {str: "text", bool: "true or false", int: "whole number", float: "number"}
# keys that mean the same wherever they stand
_SHARED = {
    "label_smoothing": "What of a label is spread over all of them.",
    **{
        name: field.description
        for model in (OptimConfig, BudgetConfig)
        for name, field in model.model_fields.items()
        if field.description
    },
}
_PRESET_SENTENCE = (
    "The official sizes, in place of all that must be stated below; what is stated beside it comes instead of the "
    "preset's."
)
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True)
class Key:
    """One key. section: the table that it is in, "" at the top. default: as TOML; "" for none.

    required: whether a file must state it. kind: its type and limits, in words. unit: "" for a plain number or a word.
    apart: whether its table is something that is there only where it is stated.
    """

    section: str
    name: str
    kind: str
    unit: str
    default: str
    required: bool
    sentence: str
    apart: bool = False

    @property
    def path(self) -> str:
        """With its section: "optim.lr"."""
        return f"{self.section}.{self.name}" if self.section else self.name


def keys_of(task: str) -> list[Key]:
    """All keys of a task, in the order of a file: those of the top first. Raises UnknownNameError."""
    found = [key for key in _keys(config_class(task), "") if key.path not in old_keys(task)]
    sections = list(dict.fromkeys(key.section for key in found))
    return sorted(found, key=lambda key: sections.index(key.section))


def _keys(model: type[Any], section: str, *, apart: bool = False) -> Iterator[Key]:
    told = _told(model)
    below = []
    if issubclass(model, DiffAEConfig):
        yield Key(section, "preset", " | ".join(map(toml_value, PRESETS)), "", "", False, _PRESET_SENTENCE, apart)
    for name, field in _fields_of(model):
        inner = _table_in(field.annotation)
        if inner is not None:
            below.append((inner, f"{section}.{name}" if section else name, apart or field.default is None))
            continue
        yield Key(
            section,
            name,
            f"{_kind(field.annotation)}{_limits(field)}",
            _unit(name),
            _default(field),
            field.is_required(),
            _one_sentence(field.description or told.get(name) or _SHARED.get(name, "")),
            apart,
        )
    for inner, path, is_apart in below:
        yield from _keys(inner, path, apart=is_apart)


def _fields_of(model: type[Any]) -> list[tuple[str, FieldInfo]]:
    if issubclass(model, BaseModel):
        return list(model.model_fields.items())
    hints = inspect.get_annotations(model, eval_str=True)
    return [(f.name, FieldInfo(annotation=hints[f.name], default=f.default)) for f in fields(model)]


def _table_in(annotation: Any) -> type[Any] | None:
    """The model that a key is a table of, if it is one."""
    for part in _alternatives(annotation):
        if isinstance(part, type) and (issubclass(part, BaseModel) or is_dataclass(part)):
            return part
    return None


def _alternatives(annotation: Any) -> list[Any]:
    """The types that a value may have, without None."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for each in get_args(annotation) for part in _alternatives(each) if part is not type(None)]
    return [annotation]


def _kind(annotation: Any) -> str:
    return " or ".join(dict.fromkeys(_word(part) for part in _alternatives(annotation)))


def _word(part: Any) -> str:
    origin, inner = get_origin(part), get_args(part)
    if origin is Literal:
        return " | ".join(toml_value(value) for value in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_kind(inner[0])}"
        return f"list of {len(inner)}: {', '.join(_kind(each) for each in inner)}"
    if origin is list:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"table of {_kind(inner[1])} by word"
    return _WORDS.get(part, getattr(part, "__name__", str(part)))


def _limits(field: FieldInfo) -> str:
    said = [
        f"{word} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, word in _LIMITS.items()
        if getattr(limit, name, None) is not None
    ]
    return f", {' and '.join(said)}" if said else ""


def _unit(name: str) -> str:
    if name in _UNITS:
        return _UNITS[name]
    return next((unit for ending, unit in _ENDINGS.items() if name.endswith(ending)), "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return ""
    return toml_value(list(value) if isinstance(value, tuple) else value)


def _told(model: type[Any]) -> dict[str, str]:
    """What the docstrings of a model and those that it is made from say of its keys."""
    names = {name for name, _ in _fields_of(model)}
    told: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not owner.__module__.startswith("emorph."):
            continue
        text = inspect.cleandoc(owner.__doc__ or "")
        for paragraph in text.split("\n\n"):
            told |= _told_in(" ".join(paragraph.split()), names)
        own = owner.model_fields if issubclass(owner, BaseModel) else {}  # a subclass may change a default alone
        told |= {name: field.description for name, field in own.items() if field.description}
    return told


def _told_in(paragraph: str, names: set[str]) -> dict[str, str]:
    starts = [
        match
        for match in re.finditer(r"(?:^|(?<=[.:;)] ))((?:\w+, )*\w+): ", paragraph)
        if set(match[1].split(", ")) <= names
    ]
    ends = [*(match.start() for match in starts[1:]), len(paragraph)]
    return {
        name: paragraph[match.end() : end].strip()
        for match, end in zip(starts, ends, strict=False)  # without any key, one end is left over
        for name in match[1].split(", ")
    }


def _one_sentence(text: str) -> str:
    text = re.split(r"(?<=[a-z0-9)\]])\. (?=[A-Z])", " ".join(text.replace("``", "`").split()), maxsplit=1)[0]
    text = text.rstrip(".;, ") + "." if text else ""
    return text[:1].upper() + text[1:] if text[:1].islower() and text.split(maxsplit=1)[0].isalpha() else text
