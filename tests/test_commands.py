"""Every command that a message suggests can be pasted into a shell, whatever the files are called."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from emorph.cli.main import app
from emorph.core import commands
from emorph.core.commands import command, install

PACKAGE = Path(__file__).parents[1] / "src" / "emorph"
CLI = typer.main.get_command(app)
AWKWARD = [
    "my face.pkl",
    'it\'s "mine".pkl',
    "-o.pkl",
    "顔 & $HOME `x`.pkl",
    "a;b|c>d*[e]?.pkl",
    "!~#.pkl",
    "line\nbreak.pkl",
]
VERBS = "|".join(sorted(getattr(CLI, "commands", {})))  # type: ignore[attr-defined]


def trees(having: str = "") -> Iterator[tuple[str, ast.Module]]:
    """The files of the package, by name; having: only those in whose text this stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if having in (text := path.read_text(encoding="utf-8")):
            yield path.relative_to(PACKAGE).as_posix(), ast.parse(text)


def is_command(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"


def is_suggested(node: ast.AST) -> bool:
    """Of emorph's verbs, or of pip."""
    return is_command(node) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "install"
    )


SUGGESTED = [(name, node) for name, tree in trees("command(") for node in ast.walk(tree) if is_command(node)]


def filled(call: ast.Call, value: str) -> tuple[str | Path, ...]:
    """The call's words: constants as they are, what is known at run time alone as a path called ``value``."""
    return tuple(str(word.value) if isinstance(word, ast.Constant) else Path(value) for word in call.args)


@pytest.mark.parametrize("awkward", AWKWARD)
@pytest.mark.parametrize(("where", "call"), SUGGESTED, ids=[f"{name}:{call.lineno}" for name, call in SUGGESTED])
def test_a_suggested_command_reads_back_as_it_was_meant(where: str, call: ast.Call, awkward: str) -> None:
    words = filled(call, awkward)
    name, *rest = shlex.split(command(*words))
    assert name == "emorph"
    meant = [f"./{word}" if isinstance(word, Path) and str(word)[0] == "-" else str(word) for word in words]
    assert rest == meant
    parsed(rest)


def commands_of(here: Any) -> dict[str, Any]:
    """The commands of a group; of what is none, an empty table."""
    return getattr(here, "commands", {})


def parsed(words: list[str]) -> dict[str, Any]:
    """What the program takes the words for; nothing is run. Raises its usage error for what it does not know."""
    here: Any = CLI
    name = "emorph"
    while commands_of(here):
        name, *words = words
        assert name in commands_of(here), f"there is no emorph command {name}"
        here = commands_of(here)[name]
    return dict(here.make_context(name, list(words)).params)


def test_there_are_suggestions_and_a_wrong_one_is_seen() -> None:
    assert len(SUGGESTED) >= 9
    with pytest.raises(AssertionError, match="no emorph command resumes"):
        parsed(["train", "resumes", "run"])
    with pytest.raises(Exception, match="No such option"):
        parsed(["train", "resume", "run", "--nonsense"])
    assert parsed(["models", "convert", "./-o.pkl", "-o", "a b"])["out"] == Path("a b")


def literal_parts(node: ast.JoinedStr) -> list[str | ast.expr]:
    return [str(v.value) if isinstance(v, ast.Constant) else v.value for v in node.values]  # type: ignore[attr-defined]


@cache
def texts() -> list[tuple[str, int, list[str | ast.expr]]]:
    """The parts of every text of the program, literal ones and those that are put in."""
    return list(_texts())


def _texts() -> Iterator[tuple[str, int, list[str | ast.expr]]]:
    for name, tree in trees():
        inner = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield name, node.lineno, literal_parts(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                yield name, node.lineno, [node.value]


def test_no_command_is_put_together_by_hand() -> None:
    by_hand = re.compile(rf"\bemorph (?:{VERBS})\b[^.,;`)]*$")
    found = [
        f"{name}:{line}"
        for name, line, parts in texts()
        for before, after in pairwise(parts)
        if isinstance(before, str) and not isinstance(after, str) and by_hand.search(before)
    ]
    assert found == [], "write {command('verb', path)} there"


def is_name(call: ast.expr) -> bool:
    """Whether a command's words are constants and names of emorph's own tables, which a shell takes as they are."""
    words = call.args if isinstance(call, ast.Call) else []
    return all(
        isinstance(word, ast.Constant) or ast.unparse(word).endswith((".name", "ASSET", "stem")) for word in words
    )


def test_nothing_sticks_to_a_suggested_command() -> None:
    found = [
        f"{name}:{line}: {after!r}"
        for name, line, parts in texts()
        for before, after in pairwise(parts)
        if isinstance(before, ast.expr) and is_suggested(before)
        if not (is_command(before) and is_name(before)) and not str(after).startswith(("`", "\n", " ("))
    ]
    assert found == []


def test_verbs_in_texts_exist() -> None:
    wrong = []
    for name, line, parts in texts():
        text = " ".join(part for part in parts if isinstance(part, str))
        for verb, second in re.findall(r"(?:: |`)emorph (?!does )([a-z]+)(?: ([a-z]+))?", text):
            group = commands_of(CLI).get(verb)
            if group is None or (commands_of(group) and second and second not in commands_of(group)):
                wrong.append(f"{name}:{line}: emorph {verb} {second}")
    assert wrong == []


def no_clone(monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> None:
    """As if emorph had been installed elsewhere, and pip had written this beside it."""
    monkeypatch.setattr(commands, "_clone", lambda: None)
    told = SimpleNamespace(read_text=lambda name: direct_url if name == "direct_url.json" else None)
    monkeypatch.setattr(metadata, "distribution", lambda name: told)


def test_an_extra_is_added_to_the_clone_that_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "_clone", lambda: tmp_path / "my clone")
    assert shlex.split(install("train")) == ["pip", "install", "-e", f"{tmp_path}/my clone[train]"]
    monkeypatch.undo()
    *_, requirement = shlex.split(install())
    assert (Path(requirement) / "pyproject.toml").samefile(PACKAGE.parents[1] / "pyproject.toml")


@pytest.mark.parametrize(
    ("direct_url", "meant"),
    [
        (None, "emorph[train]"),
        ("{", "emorph[train]"),
        ('{"url": "file:///gone/emorph-0.1.0.whl", "archive_info": {}}', "emorph[train]"),
        ('{"url": "https://x.org/emorph.whl", "archive_info": {}}', "emorph[train] @ https://x.org/emorph.whl"),
        ('{"url": "https://x.org/e.git", "vcs_info": {"vcs": "git"}}', "emorph[train] @ git+https://x.org/e.git"),
    ],
)
def test_an_extra_comes_from_where_emorph_came(
    monkeypatch: pytest.MonkeyPatch, direct_url: str | None, meant: str
) -> None:
    no_clone(monkeypatch, direct_url)
    assert shlex.split(install("train")) == ["pip", "install", meant]


def test_a_wheel_that_is_still_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "emorph 0.1.0.whl"
    wheel.touch()
    no_clone(monkeypatch, json.dumps({"url": wheel.as_uri(), "archive_info": {}}))
    assert shlex.split(install(again=True))[-1] == f"emorph @ {wheel.as_uri()}"


def test_no_hint_takes_emorph_from_an_index_by_its_name() -> None:
    by_name = re.compile(r"pip install\b[^`]*\bemorph\b")
    found = [f"{name}:{line}" for name, line, parts in texts() if by_name.search("".join(map(str, parts)))]
    assert [place for place in found if not place.startswith("core/commands.py")] == [], (
        "write {install('extra')} there"
    )
