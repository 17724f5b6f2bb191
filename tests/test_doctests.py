"""The examples in docstrings are run, and there are enough of them to learn from."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
AT_LEAST = 25  # public docstrings with an example


def module_names() -> list[str]:
    """Modules whose source holds an example."""
    paths = [path for path in sorted((SRC / "emorph").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    parts = (path.relative_to(SRC).with_suffix("").parts for path in paths)
    return [".".join(names[:-1] if names[-1] == "__init__" else names) for names in parts]


def examples(module_name: str) -> list[doctest.DocTest]:
    """A test for each docstring of the module that has examples."""
    module = importlib.import_module(module_name)
    return [test for test in doctest.DocTestFinder().find(module, module_name) if test.examples]


def is_public(test: doctest.DocTest) -> bool:
    return not any(part.startswith("_") for part in test.name.split("."))


@pytest.mark.parametrize("module_name", module_names())
def test_the_examples_of_a_module_do_as_they_say(module_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where examples/astronaut.png is
    tests = examples(module_name)
    assert tests, f"{module_name} shows '>>> ' outside of its docstrings"
    report: list[str] = []
    failed = sum(doctest.DocTestRunner(verbose=False).run(test, out=report.append).failed for test in tests)
    assert not failed, "\n".join(report)


def test_there_are_enough_examples() -> None:
    public = {test.name for name in module_names() for test in examples(name) if is_public(test)}
    assert len(public) >= AT_LEAST, sorted(public)


def test_a_wrong_example_would_be_found() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
