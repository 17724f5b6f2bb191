"""The reference of training files' keys, made from the models that read them while the site is built."""

from __future__ import annotations

from itertools import groupby

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from emorph.train.keys import Key, keys_of
from emorph.train.tasks import TASKS

PAGE = "keys.md"
START = """\
---
hide: [navigation]
---

# Keys of training files

What `emorph train keys TASK` prints, of every task. A file with all keys of a task, explained, is what
`emorph train new TASK` writes; `emorph train new --list` names the runs that come with the package.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=reference()))
    return files


def reference() -> str:
    """The whole page as Markdown: a table for each section of each task."""
    return "\n".join([START, *(_task(task) for task in TASKS)])


def _task(task: str) -> str:
    lines = [f"## {task}", ""]
    for section, keys in groupby(keys_of(task), key=lambda key: key.section):
        lines += [f"### {task}: {f'[{section}]' if section else 'at the top'}", ""]
        lines += ["| key | type | unit | default | what it does |", "| --- | --- | --- | --- | --- |"]
        lines += [*map(_row, keys), ""]
    return "\n".join(lines)


def _row(key: Key) -> str:
    default = "must be stated" if key.required else f"`{key.default}`" if key.default else ""
    cells = (f"`{key.name}`", key.kind, key.unit, default, key.sentence)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
