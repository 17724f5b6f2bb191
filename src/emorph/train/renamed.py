"""Old names of keys and values in configurations: still read, and said in a sentence that names the new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNITS = ("samples", "steps", "epochs")
# key -> old value -> new value
_VALUES: Mapping[str, Mapping[str, str]] = {"head.balance": {"sampling": "classes"}}
# task -> old key -> new key
_KEYS: Mapping[str, Mapping[str, str]] = {"classifier": {f"head.{unit}": f"budget.{unit}" for unit in UNITS}}


def renamed(key: str, value: object) -> object:
    """A value under its present name.

    >>> renamed("head.balance", "sampling")
    'classes'
    """
    return _VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value


def with_budget_in(section: str, values: Any) -> Any:
    """The values of a file with what its [budget] states moved to the section that works by it.

    Raises ValueError where both state one and do not agree.
    """
    if not isinstance(values, dict) or not isinstance(values.get("budget"), dict):
        return values
    budget, own = values["budget"], values.get(section) or {}
    if unknown := sorted(set(budget) - set(UNITS)):
        raise ValueError(f"budget.{unknown[0]} does nothing here; state one of samples, steps and epochs")
    if not isinstance(own, dict):
        return values  # read already
    for unit in UNITS:
        if own.get(unit) is not None and own[unit] != budget.get(unit):
            raise ValueError(
                f"{section}.{unit} and [budget] are two answers to one question; leave {section}.{unit} out"
            )
    return {**{key: value for key, value in values.items() if key != "budget"}, section: {**own, **budget}}


def with_budget_apart(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The way back of ``with_budget_in``: what a section states of its length stands in [budget], as files have it."""
    own = values[section]
    rest = {key: value for key, value in own.items() if key not in UNITS}
    return {**values, section: rest, "budget": {unit: own[unit] for unit in UNITS if unit in own}}


def old_keys(task: str) -> Mapping[str, str]:
    """Old key -> new key of a task, with their sections."""
    return _KEYS.get(task, {})


def old_names(task: str, values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each old name in the values of a file."""
    for path, value in _paths(values, ""):
        if new := old_keys(task).get(path):
            yield f"{path} is now called {new}; it is still read."
        if isinstance(value, str) and (now := _VALUES.get(path, {}).get(value)):
            yield f'{path} = "{value}" is now called "{now}"; it is still read.'


def _paths(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{above}.{key}" if above else key
        if isinstance(value, dict):
            yield from _paths(value, path)
        else:
            yield path, value
