"""The pages of the API reference: one for each room of the package, made from the docstrings of its modules."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import emorph

PACKAGE = Path(__file__).parents[2] / "src" / "emorph"
NAV_TITLE = "API"
NOT_FOR_CALLERS = {"cli", "web", "assets"}  # the command reference tells of them
# Searches find guides first: the theme weighs a word of a title, such as a function's name, 1,000 times one of a text.
BEHIND_GUIDES = "---\nsearch:\n  boost: 0.001\n---\n"
START = """\
# API

What most programs need is offered at the top, as `emorph.NAME`; `import emorph` itself loads no torch.

| name | what it is |
| --- | --- |
{rows}

The pages beside this one go through the package room by room; [the architecture](../architecture.md) says how the rooms
stand to each other. Pictures outside are uint8 RGB, (H, W, 3); inside they are float in [-1, 1], (B, 3, S, S).
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the navigation, where mkdocs.yml has an empty section for them."""
    pages = ["api/index.md", *({f"emorph.{room}": _page(room)} for room in rooms())]
    config.nav = [{NAV_TITLE: pages} if NAV_TITLE in entry else entry for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, "api/index.md", content=START.format(rows="\n".join(_top_names()))))
    for room in rooms():
        files.append(File.generated(config, _page(room), content=room_page(room)))
    return files


def rooms() -> list[str]:
    """Every folder of the package that holds modules for callers, as in "edit" or "train.tasks"."""
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE})
    names = [folder.relative_to(PACKAGE).parts for folder in folders]
    return [".".join(parts) for parts in names if parts[0] not in NOT_FOR_CALLERS]


def room_page(room: str) -> str:
    """A room's page: what its ``__init__`` says, then each module that has anything public."""
    folder = PACKAGE.joinpath(*room.split("."))
    start = _docstring(folder / "__init__.py")
    modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_") and _offers(path)]
    entries = [f"::: emorph.{room}.{module}\n" for module in modules]
    return "\n".join([BEHIND_GUIDES, f"# emorph.{room}\n", f"{start}\n", *entries])


def _page(room: str) -> str:
    return f"api/{room.replace('.', '/')}/index.md" if _has_rooms(room) else f"api/{room.replace('.', '/')}.md"


def _has_rooms(room: str) -> bool:
    return any(other.startswith(f"{room}.") for other in rooms())


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") if path.is_file() else ""


def _offers(path: Path) -> bool:
    """Whether a module defines a public function, class or constant."""
    names = (name for node in ast.parse(path.read_text(encoding="utf-8")).body for name in _defined(node))
    return any(not name.startswith("_") for name in names)


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _top_names() -> Iterator[str]:
    for name in sorted(name for name in emorph.__all__ if not name.startswith("_")):
        thing = getattr(emorph, name)
        if inspect.ismodule(thing):
            yield f"| `emorph.{name}` | {_first_sentence(thing)} |"
        else:
            path = f"{thing.__module__}.{thing.__qualname__}"
            yield f"| [`emorph.{name}`][{path}] | {_first_sentence(thing)} |"


def _first_sentence(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
