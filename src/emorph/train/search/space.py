"""What a search tries: the settings that a TOML file gives as ranges or choices instead of values."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from emorph.core.config import Config, read_toml
from emorph.core.errors import ConfigError
from emorph.core.split_words import TESTS
from emorph.train.config import TaskConfig
from emorph.train.renamed import old_keys
from emorph.train.tasks import DEFAULT_TASK, config_class

Scalar = bool | int | float | str
Where = tuple[str | int, ...]
SECTION = "search"
# Settings that no loss is made of; what else a task states may be a weight of the very loss that is compared.
BESIDE_THE_LOSS = ("optim", "budget", "data", "model", "seed", "init", "head")
LOSS = "loss"


class Range(Config):
    """Numbers from low to high, both included; whole ones if both are written without a point.

    log: tried evenly over orders of magnitude. start: the value of the first trial; the task's own if left out.
    """

    low: int | float
    high: int | float
    log: bool = False
    start: int | float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low >= self.high:
            raise ValueError(f"low must be below high; found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs a low above 0; found {self.low:g}")
        if self.start is not None and not self.low <= self.start <= self.high:
            raise ValueError(f"start = {self.start:g} is outside of {self.low:g} to {self.high:g}")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: object) -> bool:
        """Whether the first trial can have this value."""
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def middle(self) -> Scalar:
        """A value for the first trial where the task has none."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else middle


class Choices(Config):
    """Some values, one of which is taken. start: that of the first trial; the task's own if left out."""

    choices: tuple[Scalar, ...] = Field(min_length=2)
    start: Scalar | None = None

    @model_validator(mode="after")
    def _knows_its_start(self) -> Self:
        if self.start is not None and self.start not in self.choices:
            raise ValueError(f"start = {self.start!r} is none of the choices")
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError("a choice is named twice")
        return self

    def holds(self, value: object) -> bool:
        """Whether the first trial can have this value."""
        return value in self.choices

    def middle(self) -> Scalar:
        """A value for the first trial where the task has none."""
        return self.choices[0]


class SearchConfig(Config):
    """The section [search]. measure: what is compared, on the task's validation faces. trials: how many settings."""

    measure: str
    trials: int = Field(40, gt=0)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class Space:
    """A search: the file's values without those that are searched, and what is tried in their place, by its name."""

    path: Path
    values: Mapping[str, Any]
    ranges: Mapping[str, Range | Choices]
    places: Mapping[str, Where]
    search: SearchConfig

    @classmethod
    def read(cls, path: Path) -> Space:
        """Read and check a TOML file: its ranges, and the settings with which it begins. Raises ConfigError."""
        values = read_toml(path)
        if SECTION not in values:
            raise ConfigError(f'{path} has no section [search]: add it, with measure = "...", what is compared.')
        search = SearchConfig.parse(values.pop(SECTION), f"{path}: [search]")
        found = dict(find_ranges(values))
        if not found:
            raise ConfigError(
                f"{path} gives no setting as a range, so there is nothing to search. Write one as "
                "{ low = 1e-4, high = 1e-2, log = true } or { choices = [...] }."
            )
        ranges: dict[str, Range | Choices] = {}
        for name, where in found.items():
            kind = Choices if "choices" in _at(values, where) else Range
            ranges[name] = kind.parse(_at(values, where), f"{path}: {name}")
        space = cls(path, values, ranges, found, search)
        space._check(space.config(space.start()))
        return space

    def config(self, chosen: Mapping[str, Scalar]) -> TaskConfig:
        """The task with these values in place of what is searched. Raises ConfigError."""
        values = copy.deepcopy(dict(self.values))
        for name, where in self.places.items():
            if name in chosen:
                _at(values, where[:-1])[where[-1]] = chosen[name]
            else:
                del _at(values, where[:-1])[where[-1]]
        task = config_class(str(values.get("task", DEFAULT_TASK)))
        return task.parse(values, str(self.path)).placed(self.path.resolve().parent)

    def start(self) -> dict[str, Scalar]:
        """The values of the first trial: as stated, else the task's own, else in the middle."""
        middle = {name: one.middle() for name, one in self.ranges.items()}
        start = {}
        for name, one in self.ranges.items():
            start[name] = middle[name]
            if one.start is not None:
                start[name] = one.start
                continue
            own = self._own(name, middle)
            if one.holds(own):
                start[name] = int(own) if isinstance(one, Range) and one.whole else own
        return start

    def _own(self, name: str, others: Mapping[str, Scalar]) -> Any:
        """What the task has for a setting that nobody states; None if it has nothing."""
        try:
            config = self.config({key: value for key, value in others.items() if key != name})
        except ConfigError:
            return None
        stored = {new: old for old, new in old_keys(config.task).items()}  # it may be kept under an old name
        for where in (self.places[name], tuple(stored.get(name, name).split("."))):
            try:
                found = _at(config.model_dump(), where)
            except (KeyError, IndexError, TypeError):
                continue
            if found is not None:
                return found
        return None

    def fingerprint(self) -> str:
        """What tells this search from others, however many trials it has."""
        told = [self.values, {name: one.model_dump() for name, one in self.ranges.items()}]
        told.append(self.search.model_dump(exclude={"trials"}))
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def _check(self, task: TaskConfig) -> None:
        measure, known = self.search.measure, task.measures
        if known and measure not in known:
            raise ConfigError(
                f"{self.path}: search.measure = {measure!r} is not known; a {task.task} has {', '.join(known)}."
            )
        if is_test(task.validation_split):
            raise ConfigError(
                f"{self.path}: the search would compare on the split {task.validation_split!r}. Choose by validation "
                "faces; a test set is for the one measurement in the end."
            )
        if not known:
            self._check_loss(measure)

    def _check_loss(self, measure: str) -> None:
        inside = [n for n in self.ranges if n.split(".")[0] not in BESIDE_THE_LOSS or n == "optim.loss_weight"]
        if inside and (measure == LOSS or "optim.loss_weight" in inside):
            raise ConfigError(
                f"{self.path}: {inside[0]} is a part of the loss, so losses with different values of it cannot be "
                f"compared. Take another search.measure: a part of the loss that {inside[0]} does not weigh."
            )


def is_test(split: str | None) -> bool:
    """Whether a split's name says that it is the final test set."""
    return split is not None and split.lower() in TESTS


def find_ranges(values: Any, where: Where = ()) -> Iterator[tuple[str, Where]]:
    """Name and place of each range in the values of a TOML file."""
    if isinstance(values, dict) and where and ({"low", "high"} <= values.keys() or "choices" in values):
        yield ".".join(map(str, where)), where
        return
    parts = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in parts:
        yield from find_ranges(value, (*where, key))


def _at(values: Any, where: Where) -> Any:
    for key in where:
        values = values[key]
    return values
