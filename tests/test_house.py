"""What is shipped: dependencies, pins, the bundled model, and links that lead somewhere."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import conftest
import emorph

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "emorph"
ASSETS = PACKAGE / "assets"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

MIB = 2**20
LARGEST_FILE_BYTES = 16 * MIB
LARGEST_TOTAL_BYTES = 40 * MIB


def asset_files() -> list[Path]:
    files = sorted(path for path in ASSETS.rglob("*") if path.is_file() and path.suffix != ".pyc")
    if not any(path.suffix == ".safetensors" for path in files):
        pytest.skip("src/emorph/assets holds no model yet")
    return files


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt; every line but comments must be ``name==version``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Direct dependencies of the core and of every extra, without emorph's own extras."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [need for need in map(Requirement, lines) if need.name != "emorph"]


def test_version_is_one() -> None:
    assert PROJECT["version"] == emorph.__version__
    assert re.search(rf"\b{re.escape(emorph.__version__)}\b", _changelog())


def test_installed_version_is_the_same() -> None:
    try:
        installed = importlib.metadata.version("emorph")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("emorph is not installed here, only on the path")
    assert installed == emorph.__version__


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_dependency_without_a_cpu_build() -> None:
    names = {canonicalize_name(need.name) for need in requirements()} | set(pins())
    assert names.isdisjoint({"torchvision", "torchaudio", "timm", "lpips", "pyiqa", "facenet-pytorch", "triton"})
    assert not {name for name in names if name.startswith(("nvidia-", "cuda-"))}


@pytest.mark.parametrize("need", requirements(), ids=lambda need: need.name)
def test_every_dependency_is_pinned_within_its_range(need: Requirement) -> None:
    version = pins()[canonicalize_name(need.name)]
    assert need.specifier.contains(version), f"{need.name}=={version} is pinned, {need} is asked for"
    assert "+" not in version, "a local version (+cpu) cannot be had everywhere"


def test_bundled_model_is_small_enough() -> None:
    sizes = {path.relative_to(ASSETS).as_posix(): path.stat().st_size for path in asset_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE_BYTES} == {}
    assert sum(sizes.values()) < LARGEST_TOTAL_BYTES, sizes


def test_bundled_model_is_shipped() -> None:
    # hatchling leaves out of the wheel what git ignores
    command = ["git", "-C", str(ROOT), "check-ignore", *map(str, asset_files())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip(f"git cannot tell: {done.stderr.strip()}")
    assert done.stdout == ""


def test_no_test_is_shipped() -> None:
    shipped = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    assert [path for path in shipped if re.match(r"test_|conftest|golden", path.name) or "tests" in path.parts] == []
    assert (PACKAGE / "py.typed").exists()


def test_data_beside_the_repository_are_asked_for_by_their_fixture() -> None:
    """Else ``--only-shared``, which runs what a bare clone skips, would leave the test out."""
    tests = [path for path in (ROOT / "tests").glob("*.py") if path.name != "conftest.py"]
    own_ways = re.compile(r"""["']shared["']|SHARED_DATA|\.\./shared""")
    assert [path.name for path in tests if own_ways.search(path.read_text(encoding="utf-8"))] == [Path(__file__).name]


def documents() -> list[Path]:
    """Every Markdown file of the repository that is its own, not an environment's."""
    folders = ("docs", "examples", "bench", "gpu", "src", "tests")
    return sorted([*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*.md"))])


_LINK = re.compile(r"""!?\]\(\s*<?(?P<md>[^)\s>]+)>?[^)]*\)|(?:src|href)=["'](?P<html>[^"']+)["']""")
_CODE = re.compile(r"^ *(`{3,}).*?^ *\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def links(markdown: str) -> Iterator[str]:
    """Paths that the text links to, without what leads elsewhere (https:, mailto:) or into itself (#)."""
    for match in _LINK.finditer(_CODE.sub("", markdown)):
        target = (match["md"] or match["html"]).split("#")[0]
        if target and not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    targets = links(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_link_extraction() -> None:
    text = """[a](docs/a.md) ![b](b.png "title") [c](c.md#part) [d](#here) [e](https://e.org/x) <img src="f.png">
[![badge](g.svg)](LICENSE) `[no](code.md)`

```python
table[i](argument)
```
[h](<h.md>)
"""
    assert list(links(text)) == ["docs/a.md", "b.png", "c.md", "f.png", "g.svg", "LICENSE", "h.md"]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "guides").glob("*.md")), ids=lambda path: path.name)
def test_a_cell_of_a_guides_table_is_read_at_a_glance(path: Path) -> None:
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [re.sub(r"\]\([^)]*\)", "]", cell) for row in rows for cell in row.split("|")]
    assert [cell for cell in cells if len(cell) > 240] == []


@dataclass(eq=False)
class MadeTest:
    """As much of a pytest item as conftest.py looks at."""

    fixturenames: tuple[str, ...] = ()
    path: Path = Path("test_made.py")
    marks: list[pytest.Mark] = field(default_factory=list)

    def add_marker(self, marker: pytest.MarkDecorator) -> None:
        self.marks.append(marker.mark)

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [mark for mark in self.marks if mark.name == name]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next(iter(self.iter_markers(name)), None)


@pytest.mark.parametrize("only_shared", [False, True])
def test_which_tests_are_run_and_which_of_them_together(only_shared: bool) -> None:
    alone, of_data = MadeTest(("tmp_path",)), MadeTest(("ict", "ict_file", "shared_file"), Path("test_other.py"))
    long = MadeTest(("shared_file",), Path("test_readme.py"))
    killing = MadeTest(("shared_file",), marks=[pytest.mark.xdist_group("processes").mark])
    left_out: list[MadeTest] = []
    config = SimpleNamespace(
        getoption={"--only-shared": only_shared}.__getitem__,
        hook=SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items)),
    )
    items = [alone, of_data, long, killing]
    conftest.pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    assert items == ([killing, long, of_data] if only_shared else [killing, long, alone, of_data])
    assert left_out == ([alone] if only_shared else [])
    assert [item.marks[0].args for item in items if item is not killing] == [(item.path.stem,) for item in items[1:]]
