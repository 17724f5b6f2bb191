"""A first TOML file for a run: of a task, with all its keys, or of a whole run to start from, a preset."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from emorph.core.commands import command
from emorph.core.config import toml_value
from emorph.core.errors import ConfigError, UnknownNameError
from emorph.core.files import replace_file
from emorph.train.keys import Key, keys_of
from emorph.train.tasks import DEFAULT_TASK, TASKS, config_class

SUFFIX = ".toml"
_EIGHT = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"]
# what a new file states, beside its task, its folder and its data: what must be stated, and what most will change
_STARTS: Mapping[str, Mapping[str, Any]] = {
    "autoencoder": {"model": {"preset": "ffhq128"}, "budget": {"epochs": 10}},
    "latent": {"autoencoder": "ffhq256-autoenc", "budget": {"epochs": 1000}},
    "judge": {"model": {"labels": _EIGHT}, "budget": {"epochs": 10}},
    "rig": {"model": {"image_size": 256}, "budget": {"epochs": 10}},
    "painter": {"budget": {"epochs": 10}},
    "expression": {"init": "emorph-base", "budget": {"epochs": 2}},
    "classifier": {"model": "emorph-base", "budget": {"epochs": 40}},
}


@dataclass(frozen=True)
class Preset:
    """A run that comes with the package. about: what it trains, in a sentence. text: the file."""

    name: str
    task: str
    about: str
    text: str


def presets() -> dict[str, Preset]:
    """All of them, by name."""
    found = {}
    for entry in sorted(files("emorph.train").joinpath("presets").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(SUFFIX):
            name, text = entry.name.removesuffix(SUFFIX), entry.read_text(encoding="utf-8")
            found[name] = Preset(name, tomllib.loads(text).get("task", DEFAULT_TASK), _about(text), text)
    return found


def write_new(name: str, path: Path) -> None:
    """Write the file of a task or a preset. Raises UnknownNameError; ConfigError if it is there already."""
    text = new_text(name)
    if path.exists():
        raise ConfigError(f"{path} is there already; choose another -o.")
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another -o.") from None


def new_text(name: str) -> str:
    """The file of a preset, or of a task with all its keys: those that need not be stated as comments."""
    known = presets()
    if name in known:
        return known[name].text
    if name not in TASKS:
        raise UnknownNameError("task or preset", name, [*TASKS, *known])
    start = _start(name)
    config = config_class(name).parse(start).model_dump(mode="json")
    lines = [
        f'# A run of the task "{name}". What stands behind a "#" is what holds where nothing is stated.',
        f"# What it will do: emorph train plan FILE. All keys as a list: {command('train', 'keys', name)}",
    ]
    section = ""
    for key in keys_of(name):
        if key.section != section:
            section = key.section
            is_there = not key.apart or _at(start, section) is not None
            lines += ["", f"{'' if is_there else '# '}[{section}]"]
        lines += ["", *_lines(key, _at(start, key.path), _at(config, key.path))]
    return "\n".join(lines) + "\n"


def _start(task: str) -> dict[str, Any]:
    data = {"path": "faces.parquet", "split": "train"}
    return {"task": task, "out": f"runs/{task}", "data": data, **_STARTS.get(task, {"budget": {"epochs": 10}})}


def _lines(key: Key, stated: Any, holds: Any) -> list[str]:
    """A key's sentence, and the key with its value: stated, or as a comment."""
    unit = f"; {key.unit}" if key.unit else ""
    about = f"# {key.sentence} ({key.kind}{unit})"
    if stated is not None:
        return [about, f"{key.name} = {toml_value(stated)}"]
    shown = key.default if key.apart or holds is None else toml_value(holds)
    return [about, f"# {key.name} = {shown}".rstrip()]


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _about(text: str) -> str:
    """The sentence that a file's comments begin with."""
    words = []
    for line in text.splitlines():
        if not line.startswith("# ") or line.startswith("#   "):
            break
        words.append(line.removeprefix("# "))
    return " ".join(words)
