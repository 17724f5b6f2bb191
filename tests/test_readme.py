"""What README tells a reader to type is run, line by line, in one folder.

Run are the ``emorph`` lines of ```bash blocks and whole ```python blocks. A block that cannot run here (a GPU, a file
behind a licence, hours) is marked in the README, directly before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ja.md")
LIMIT_S = 900

_FENCE = re.compile(r"^(?P<indent>[ ]*)(?P<ticks>`{3,})[ ]*(?P<language>[\w+-]*)")
_NOT_RUN = re.compile(r"<!--\s*not run\b:?\s*(?P<reason>.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``not_run`` is None without a mark before it, else the reason, perhaps empty."""

    language: str
    text: str
    line: int  # of the block's first line, from 1
    not_run: str | None


@dataclass(frozen=True)
class Command:
    """One thing to run: a line for the shell or a Python program, and where it stands."""

    language: str
    text: str
    where: str


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
        marks = list(_NOT_RUN.finditer("\n".join(lines[before:i]).rstrip() + "\n"))
        marked = marks and not "\n".join(lines[before:i]).rstrip()[marks[-1].end() :]
        text = "\n".join(line.removeprefix(fence["indent"]) for line in lines[i + 1 : end])
        found.append(Block(fence["language"], text, i + 2, marks[-1]["reason"] if marked else None))
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


def commands(markdown: str, document: str) -> list[Command]:
    """What can be run of ``markdown``, in order."""
    found = []
    for block in blocks(markdown):
        if block.not_run is not None:
            continue
        if block.language == "python":
            found.append(Command("python", block.text, f"{document}:{block.line} python"))
        if block.language == "bash":
            lines = [(n, line) for n, line in joined_lines(block) if line.startswith("emorph ")]
            found += [Command("bash", line, f"{document}:{n} {line}") for n, line in lines]
    return found


def all_commands() -> list[Command]:
    """The commands of all READMEs; what stands in both is run once."""
    first: dict[str, Command] = {}
    for document in READMES:
        path = ROOT / document
        for command in commands(path.read_text(encoding="utf-8"), document) if path.exists() else []:
            first.setdefault(_essence(command), command)
    return list(first.values())


def _essence(command: Command) -> str:
    """The command without its comments, which are what a translation changes."""
    if command.language == "bash":
        return shlex.join(shlex.split(command.text, comments=True))
    return "\n".join(re.sub(r"(^|\s)#.*", "", line).rstrip() for line in command.text.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder: the examples, a photo, and a command named emorph."""
    path = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples", path / "examples")
    with Image.open(ROOT / "examples" / "astronaut.png") as photo:
        photo.convert("RGB").save(path / "me.jpg", quality=95)
    command = path / "bin" / "emorph"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m emorph "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return path


def run(command: Command, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }
    shell = ["bash", "-euo", "pipefail", "-c", command.text]
    argv = shell if command.language == "bash" else [sys.executable, "-c", command.text]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.where)
def test_what_readme_says_works(command: Command, folder: Path) -> None:
    done = run(command, folder)
    assert done.returncode == 0, f"{command.where}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("document", READMES)
def test_readme_has_commands_and_reasons(document: str) -> None:
    markdown = (ROOT / document).read_text(encoding="utf-8")
    assert {command.language for command in commands(markdown, document)} == {"bash", "python"}
    silent = [block.line for block in blocks(markdown) if block.not_run is not None and len(block.not_run) < 8]
    assert not silent, f"{document}: no reason is given at the blocks of lines {silent}"
    n_marks, n_marked = len(_NOT_RUN.findall(markdown)), sum(b.not_run is not None for b in blocks(markdown))
    assert n_marks == n_marked, f"{document}: a 'not run' mark does not stand directly before a block"
    hidden = [
        f"{document}:{number} {line}"
        for block in blocks(markdown)
        if block.language in {"", "sh", "shell", "console"}
        for number, line in joined_lines(block)
        if line.removeprefix("$ ").startswith("emorph ")
    ]
    assert not hidden, "these lie in a block that is not ```bash:\n" + "\n".join(hidden)


MADE_UP = """\
# Title

Type `emorph doctor`.

```bash
git clone somewhere && cd emorph
make demo
emorph edit me.jpg --to happy \\
    --strength 0.8 -o out   # a comment
emorph doctor
```

<!-- not run: needs eight GPUs -->
```bash
emorph train run big.toml
```

<!-- not run: a mark for the next block, not the one after -->

```python
train()
```

1. In a list:

   ```python
   import emorph
   if emorph:
       print("yes")
   ```

<!-- not run -->
```bash
emorph web
```

````markdown
```bash
emorph not-a-block
```
````

```text
emorph prints this
```
"""


def test_extraction() -> None:
    assert [(c.where, c.text) for c in commands(MADE_UP, "R")] == [
        (
            "R:8 emorph edit me.jpg --to happy --strength 0.8 -o out   # a comment",
            "emorph edit me.jpg --to happy --strength 0.8 -o out   # a comment",
        ),
        ("R:10 emorph doctor", "emorph doctor"),
        ("R:27 python", 'import emorph\nif emorph:\n    print("yes")'),
    ]
    reasons = [(block.line, block.not_run) for block in blocks(MADE_UP) if block.not_run is not None]
    assert reasons == [
        (15, "needs eight GPUs"),
        (21, "a mark for the next block, not the one after"),
        (34, ""),
    ]


def test_a_mark_covers_only_the_block_directly_after_it() -> None:
    apart = "<!-- not run: needs a GPU -->\n\nSome words.\n\n```bash\nemorph doctor\n```\n"
    assert [command.text for command in commands(apart, "R")] == ["emorph doctor"]


def test_a_translated_comment_is_the_same_command() -> None:
    english, japanese = Command("bash", "emorph doctor  # check", ""), Command("bash", "emorph doctor # 確認", "")
    assert _essence(english) == _essence(japanese) == "emorph doctor"
    english, japanese = (
        Command("python", f"import emorph\nx = 'a#b'  # {word}\n# {word}", "") for word in ("hi", "や")
    )
    assert _essence(english) == _essence(japanese) == "import emorph\nx = 'a#b'\n"


def test_a_failing_line_fails(folder: Path) -> None:
    assert run(Command("bash", "false | cat", ""), folder).returncode == 1
    assert run(Command("python", "raise SystemExit(3)", ""), folder).returncode == 3
    shown = run(Command("bash", "command -v emorph && ls examples/astronaut.png me.jpg", ""), folder)
    assert shown.stdout.split() == [str(folder / "bin" / "emorph"), "examples/astronaut.png", "me.jpg"]
