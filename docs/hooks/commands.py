"""The command reference, made from the ``emorph`` command itself while the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from emorph.cli.main import app

PAGE = "commands.md"
START = """\
---
hide: [navigation]
---

# Commands

What `emorph COMMAND --help` prints, on one page. Results go to stdout, progress and troubles to stderr. Exit status: 0
done, 1 some items failed (they are listed at the end), 2 the command could not start, 130 stopped with Ctrl-C; what was
finished is kept.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=reference()))
    return files


def reference() -> str:
    """The whole page as Markdown: every command with its arguments and options."""
    sections = (_section(command, name) for name, command in commands(typer.main.get_command(app), "emorph"))
    return "\n".join([START, *sections])


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, with its full name; a group's own after it."""
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from commands(below, f"{name} {word}")


def _section(command: Any, name: str) -> str:
    """A command's heading, help, usage, arguments and options."""
    context = typer.Context(command, info_name=name)
    records = [record for p in command.params if (record := p.get_help_record(context)) and p.name != "help"]
    usage = [name, "[OPTIONS]", *map(_place, command.params)]
    usage += ["COMMAND"] if getattr(command, "commands", None) else []
    lines = [
        f"{_level(name)} {name}",
        "",
        escaped(command.help or ""),
        "",
        "```text",
        " ".join(filter(None, usage)),
        "```",
        "",
    ]
    for record in records:
        lines += [*_entry(*record), ""]
    return "\n".join(lines)


def _place(param: Any) -> str:
    """Where an argument stands in the usage: PHOTO... may be several, [NAME] may be left out; "" for an option."""
    if param.param_type_name != "argument":
        return ""
    word = param.metavar if param.nargs == 1 or "..." in param.metavar else f"{param.metavar}..."
    return word if param.required else f"[{word}]"


def _level(name: str) -> str:
    return "#" * min(2 + name.count(" "), 3)


def _entry(term: str, text: str) -> list[str]:
    """An option or argument as an entry of a definition list: its names, its type, what it does, its default."""
    names, _, kind = term.partition(" <")
    text, _, facts = text.partition("  [")
    told = [f"`{names}`", *([f"<{kind}".strip("<>")] if kind else [])]
    notes = f" *{escaped(facts.rstrip(']'))}*" if facts else ""
    return [" ".join(told), f":   {escaped(text)}{notes}"]


def escaped(text: str) -> str:
    """Plain text as Markdown: characters that would be taken for marks stay characters; `code` stays code."""
    parts = re.split(r"(`[^`]*`)", text.strip())
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")
