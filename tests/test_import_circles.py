"""No file of a room leads back to itself by its imports: not by late ones, not for types, not by names in a table."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from test_layers import FILES, imports, module_name

ROOMS = ("core", "data", "diffusion", "models", "train")


def arrows(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Which of some modules each of them names, anywhere in its text. sources: text, and whether it is a package."""
    return {
        module: {
            home
            for _, name in imports(ast.parse(text), module, is_package=is_package)
            if (home := _home(name, sources)) and home != module
        }
        for module, (text, is_package) in sources.items()
    }


def _home(name: str, sources: dict[str, tuple[str, bool]]) -> str:
    """The module that a full name lies in; empty if it is none of these."""
    fitting = [module for module in sources if name == module or name.startswith(f"{module}.")]
    return max(fitting, key=len, default="")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph; empty if it has none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path: list[str] = error.args[1]
        return path[::-1]
    return []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_circle(room: str) -> None:
    sources = {
        module_name(path): (path.read_text(encoding="utf-8"), path.name == "__init__.py")
        for path in FILES
        if module_name(path).startswith(f"emorph.{room}.")
    }
    assert len(sources) > 3
    assert not circle(arrows(sources)), " -> ".join(circle(arrows(sources)))


@pytest.mark.parametrize(
    "line",
    [
        "from emorph.train.task import Task",
        "from . import task",
        "if TYPE_CHECKING:\n    from emorph.train.task import Task",
        "def late():\n    import emorph.train.task",
        'TABLE = {"task": "emorph.train.task:Task"}',
    ],
)
def test_a_circle_is_found_whatever_its_arrows_are(line: str) -> None:
    task = ("from emorph.train.sheets import Sheet", False)
    sources = {"emorph.train.task": task, "emorph.train.sheets": ("", False), "emorph.train.plan": (line, False)}
    assert not circle(arrows(sources))
    sources["emorph.train.sheets"] = (line, False)
    found = circle(arrows(sources))
    assert found[0] == found[-1]
    assert set(found) == {"emorph.train.task", "emorph.train.sheets"}
