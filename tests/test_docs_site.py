"""The parts of the documentation site that are made while it is built, and what its texts say of the project."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from emorph.cli.main import app

ROOT = Path(__file__).parents[1]
HOOKS = ROOT / "docs" / "hooks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytest.importorskip("mkdocs", reason="the documentation is built with the extra docs")
pytest.importorskip("griffe", reason="the documentation is built with the extra docs")


def hook(name: str) -> ModuleType:
    """A hook of the site, loaded as MkDocs loads it: from its file."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"docs_hook_{name}", HOOKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def verbs(command: typer.main.TyperGroup, name: str) -> Iterator[tuple[str, list[str]]]:
    """Every command and its options' names."""
    yield name, [option for p in command.params for option in p.opts if option.startswith("-")]
    for word, below in getattr(command, "commands", {}).items():
        yield from verbs(below, f"{name} {word}")


def test_every_command_and_option_is_in_the_reference() -> None:
    page = hook("commands").reference()
    sections = dict(re.findall(r"^#{2,3} (emorph.*?)\n(.*?)(?=^#{2,3} |\Z)", page, re.MULTILINE | re.DOTALL))
    told = {name: set(re.findall(r"(?<![\w-])-{1,2}[\w-]+", text)) for name, text in sections.items()}
    for name, options in verbs(typer.main.get_command(app), "emorph"):
        assert set(options) - {"--help", "-h"} <= told[name], name
    assert "default: edited" in sections["emorph edit"]
    assert "emorph edit [OPTIONS] PHOTO..." in sections["emorph edit"]


def test_every_key_of_every_task_has_a_row_in_the_reference() -> None:
    from emorph.train.keys import keys_of
    from emorph.train.tasks import TASKS

    page = hook("keys").reference()
    assert page.count("\n| `") == sum(len(keys_of(task)) for task in TASKS)
    assert all(row.replace("\\|", "").count("|") == 6 for row in page.splitlines() if row.startswith("| `"))
    assert "| `batch_size` | whole number, above 0 |  | `32` | Samples of one step, over all devices. |" in page
    assert "### rig: [optim]" in page


def test_help_texts_stay_as_they_are() -> None:
    escaped = hook("commands").escaped
    assert escaped("ict_face.npz <a> *b* [c] `x_T`") == r"ict\_face.npz &lt;a&gt; \*b\* \[c\] `x_T`"


def test_every_public_module_is_in_the_api_reference() -> None:
    api = hook("api")
    told = {
        line.removeprefix("::: ") for room in api.rooms() for line in api.room_page(room).splitlines() if ":::" in line
    }
    assert {"emorph.edit.pipeline", "emorph.models.diffae", "emorph.train.loop"} <= told
    assert not [name for name in told if name.startswith(("emorph.cli", "emorph.web"))]
    modules = {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in (ROOT / "src" / "emorph").rglob("*.py")
        if re.search(r"^(def|class) [A-Za-z]", path.read_text(encoding="utf-8"), re.MULTILINE)
        and not path.stem.startswith("_")
        and path.parent.name != "emorph"
    }
    assert {name for name in modules if not name.startswith(("emorph.cli.", "emorph.web."))} <= told


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("index.md", "docs/guides/edit.md#limits", "guides/edit.md#limits"),
        ("index.md", "docs/sheet.png", "sheet.png"),
        ("index.md", "src/emorph/assets/emorph-rig/README.md", "models/emorph-rig.md"),
        ("index.md", "LICENSE", "https://host/emorph/blob/main/LICENSE"),
        ("guides/train.md", "../../bench/RESULTS.md#quality", "../measurements.md#quality"),
        (
            "guides/train.md",
            "../../examples/emorph-rig/rig.toml",
            "https://host/emorph/blob/main/examples/emorph-rig/rig.toml",
        ),
        ("guides/train.md", "data.md#prepare", "data.md#prepare"),
        ("measurements.md", "fidelity.png", "assets/fidelity.png"),
        ("contributing.md", "docs/extend/task.md", "extend/task.md"),
        ("gallery.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_lead_to_the_site_where_they_can(page: str, link: str, there: str) -> None:
    relinked = hook("repository").relinked
    assert relinked(f"a [b]({link}) c", page, "https://host/emorph") == f"a [b]({there}) c"
    in_code = f"```python\nx = a[b]({link})\n```"
    assert relinked(in_code, page, "https://host/emorph") == in_code


def test_pages_of_the_repository_are_there() -> None:
    repository = hook("repository")
    assert [path for path in (*repository.PAGES, *repository.PICTURES) if not (ROOT / path).is_file()] == []


def test_lines_of_japanese_are_joined() -> None:
    relinked = hook("repository").relinked
    assert relinked("顔の\n表情を emorph\nで", "ja.md", "") == "顔の表情を emorph\nで"


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script defer src=//cdn.example/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img alt="a" src="http://example.org/badge.svg">',
        "@font-face { src: url(https://fonts.example/a.woff2) }",
        "body { background: url('//example.org/a.png') }",
        '<a href="https://github.com/a/b" class="md-source" data-md-component="source">a</a>',
    ],
)
def test_what_is_loaded_from_another_server_is_found(text: str) -> None:
    assert len(list(hook("offline").loaded_from_outside(text))) == 1


def test_the_link_to_the_repository_asks_nobody() -> None:
    page = '<a href="https://github.com/a/b" class="md-source" data-md-component="source">a</a>'
    assert hook("offline").on_post_page(page, page=None) == '<a href="https://github.com/a/b" class="md-source">a</a>'


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://example.org">there</a>',
        '<link rel="canonical" href="https://example.org/">',
        '<img src="../sheet.png">',
        '<a href="https://github.com/a/b" class="md-source" data-md-component="sidebar">a</a>',
        '<script src="assets/a.js"></script>',
        "body { background: url(data:image/png;base64,AA) }",
    ],
)
def test_mere_links_are_not(text: str) -> None:
    assert not list(hook("offline").loaded_from_outside(text))


def test_examples_in_docstrings_become_code() -> None:
    fenced = hook("examples").fenced
    assert fenced("Adds.\n\n>>> add(1, 2)\n3\n\nThen more.") == "Adds.\n\n```pycon\n>>> add(1, 2)\n3\n```\n\nThen more."
    assert (
        fenced("Loops.\n\n    >>> for x in y:\n    ...     x\n    1")
        == "Loops.\n\n```pycon\n>>> for x in y:\n...     x\n1\n```"
    )
    assert fenced("No example > here.") == "No example > here."


def test_the_project_says_one_thing_of_itself() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    assert f"\nrepository-code: {PROJECT['urls']['Repository']}\n" in citation


def test_the_first_screen_of_the_readmes() -> None:
    for name in ("README.md", "README.ja.md"):
        screen = (ROOT / name).read_text(encoding="utf-8").partition("\n## ")[0]
        assert len(screen.splitlines()) <= 30, f"{name}: the first screen is too long"
        assert screen.count("```bash") == 1, f"{name}: one command"
        assert len(re.findall(r"!\[", screen)) == 1, f"{name}: one picture"
        assert len(re.findall(r"\*\*\d+ %\*\*", screen)) == 1, f"{name}: one number"


@pytest.mark.parametrize("name", ["README.md", "README.ja.md", "docs/guides/edit.md"])
def test_shares_with_intervals_are_those_that_were_measured(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    measured = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    first = re.findall(r"\*\*(\d+) %\*\*[^(（]*[(（]95 % (?:interval|区間) (\d+)–(\d+)", text)
    told = [*first, *re.findall(r"(\d+) %[ a-z]*\((\d+)–(\d+)\)", text)]
    assert told, "no share with an interval is found"
    missing = [f"{share} % ({low}-{high})" for share, low, high in told if f"{share} % ({low}-{high})" not in measured]
    assert not missing, f"{name} tells of shares that bench/RESULTS.md does not have: {missing}"
