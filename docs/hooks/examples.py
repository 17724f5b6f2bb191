"""Examples in docstrings (``>>>``) become blocks of code, which Markdown would take for quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?! *\n) *\S.*)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Fences every example of every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change a docstring as it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """The docstring with each run of lines from ``>>>`` to an empty line in a fence of its own."""

    def fence(example: re.Match[str]) -> str:
        lines = [line.removeprefix(example["indent"]) for line in example[0].splitlines()]
        return "\n".join(["```pycon", *lines, "```"])

    return _EXAMPLE.sub(fence, docstring)
