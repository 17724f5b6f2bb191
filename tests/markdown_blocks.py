"""The fenced blocks of a Markdown page, which tests of the documentation run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^(?P<indent>[ ]*)(?P<ticks>`{3,})[ ]*(?P<language>[\w+-]*)(?P<more>.*)$")
_TITLE = re.compile(r'\btitle="(?P<title>[^"]*)"')
NOT_RUN = re.compile(r"<!--\s*not run\b:?\s*(?P<reason>.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. not_run: None without such a mark directly before it, else the reason, perhaps empty."""

    language: str
    text: str
    line: int  # of the block's first line, from 1
    not_run: str | None
    title: str = ""


def blocks(markdown: str) -> list[Block]:
    """All fenced blocks in order, without their own indentation."""
    lines = markdown.splitlines()
    found, before, i = [], 0, 0
    while i < len(lines):
        fence = _FENCE.match(lines[i])
        if not fence:
            i += 1
            continue
        end = i + 1
        while end < len(lines) and not re.fullmatch(rf"\s*`{{{len(fence['ticks'])},}}\s*", lines[end]):
            end += 1
        marks = list(NOT_RUN.finditer("\n".join(lines[before:i]).rstrip() + "\n"))
        marked = marks and not "\n".join(lines[before:i]).rstrip()[marks[-1].end() :]
        title = _TITLE.search(fence["more"])
        found.append(
            Block(
                fence["language"],
                "\n".join(line.removeprefix(fence["indent"]) for line in lines[i + 1 : end]),
                i + 2,
                marks[-1]["reason"] if marked else None,
                title["title"] if title else "",
            )
        )
        before = i = end + 1
    return found


def joined_lines(block: Block) -> Iterator[tuple[int, str]]:
    """Lines of the block with their number; one that ends in a backslash goes on in the next."""
    number, so_far = block.line, ""
    for offset, line in enumerate(block.text.splitlines()):
        if not so_far:
            number = block.line + offset
        so_far += line.strip()
        if so_far.endswith("\\"):
            so_far = so_far[:-1].rstrip() + " "
            continue
        yield number, so_far
        so_far = ""
