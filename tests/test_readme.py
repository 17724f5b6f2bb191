"""What the README and the guides tell a reader to type is run, line by line, in a folder of its own for each page.

README.md's first line and its first program are run from a cold start, the line by a shell; all others in processes
that are warm (warm.py), where they need no shell. Run are the ``emorph`` lines of ```bash blocks and whole ```python
blocks. A block that cannot run here (a GPU, a licensed file, hours) is marked in the page, directly before it:
``<!-- not run: reason -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from markdown_blocks import NOT_RUN, blocks, joined_lines
from warm import run_warm

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ja.md")
GUIDES = tuple(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("g*/*.md")))
PAGES = (*READMES, "docs/gallery.md", *GUIDES)
RUN_ELSEWHERE = ("docs/guides/thesis.md",)  # tests/test_docs_thesis.py, which has the data that it needs
LIMIT_S = 900


@dataclass(frozen=True)
class Command:
    """One thing to run: a line for the shell or a Python program, and where it stands."""

    language: str
    text: str
    where: str


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


def commands_of(page: str) -> list[Command]:
    """The commands of a page, without those that an earlier page has, too."""
    earlier = PAGES[: PAGES.index(page)]
    known = {_essence(command) for other in earlier for command in commands(_text(other), other)}
    return [command for command in commands(_text(page), page) if _essence(command) not in known]


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _essence(command: Command) -> str:
    """The command without its comments, which are what a translation changes."""
    if command.language == "bash":
        return shlex.join(shlex.split(command.text, comments=True))
    return "\n".join(re.sub(r"(^|\s)#.*", "", line).rstrip() for line in command.text.splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's folder: the examples, a photo, and a command named emorph."""
    path = tmp_path
    shutil.copytree(ROOT / "examples", path / "examples")
    with Image.open(ROOT / "examples" / "astronaut.png") as photo:
        photo.convert("RGB").save(path / "me.jpg", quality=95)
    command = path / "bin" / "emorph"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m emorph "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return path


def plain_words(line: str) -> list[str] | None:
    """A line's words without its comment; None if a shell would make something else of them."""
    needs_shell = re.search(r"[$`*?~\[{<>|&;()]", line.partition(" #")[0])
    return None if needs_shell else shlex.split(line, comments=True)


def run(command: Command, folder: Path, *, warm: bool = False) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }
    words = plain_words(command.text) if command.language == "bash" else None
    if warm and (words or command.language == "python"):
        return run_warm(words[1:] if words else command.text, folder, env, LIMIT_S)
    shell = ["bash", "-euo", "pipefail", "-c", command.text]
    argv = shell if command.language == "bash" else [sys.executable, "-c", command.text]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN_ELSEWHERE])
def test_what_a_page_says_works(page: str, folder: Path) -> None:
    found = commands_of(page)
    if not found:
        pytest.skip("all that it says is run for an earlier page, or is marked as not run")
    started: set[str] = set()
    for command in found:
        done = run(command, folder, warm=page != READMES[0] or command.language in started)
        started.add(command.language)
        assert done.returncode == 0, f"{command.where}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("document", READMES)
def test_readmes_have_commands(document: str) -> None:
    found = commands(_text(document), document)
    assert {command.language for command in found} == {"bash", "python"}


@pytest.mark.parametrize("document", PAGES)
def test_what_is_not_run_has_a_reason(document: str) -> None:
    markdown = _text(document)
    silent = [block.line for block in blocks(markdown) if block.not_run is not None and len(block.not_run) < 8]
    assert not silent, f"{document}: no reason is given at the blocks of lines {silent}"
    n_marks, n_marked = len(NOT_RUN.findall(markdown)), sum(b.not_run is not None for b in blocks(markdown))
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


def test_what_needs_a_shell() -> None:
    assert plain_words("emorph edit me.jpg --to 'happy' -o out  # a (comment) > x") == [
        "emorph", "edit", "me.jpg", "--to", "happy", "-o", "out",
    ]  # fmt: skip
    for line in ("emorph edit *.jpg", "emorph doctor | cat", "emorph edit ~/me.jpg", "emorph doctor > x", "emorph $X"):
        assert plain_words(line) is None


def test_a_failing_line_fails(folder: Path) -> None:
    assert run(Command("bash", "emorph edit nowhere.jpg --to happy", ""), folder, warm=True).returncode == 1
    done = run(Command("python", "import os\nprint(os.getcwd())\nraise KeyError", ""), folder, warm=True)
    assert (done.returncode, done.stdout, done.stderr[-9:]) == (1, f"{folder}\n", "KeyError\n")
    done = run(Command("bash", "emorph edit me.jpg --to gloomy", ""), folder, warm=True)
    assert (done.returncode, done.stdout, done.stderr.startswith("UnknownNameError: ")) == (2, "", True)
    assert run(Command("bash", "false | cat", ""), folder).returncode == 1
    assert run(Command("python", "raise SystemExit(3)", ""), folder).returncode == 3
    shown = run(Command("bash", "command -v emorph && ls examples/astronaut.png me.jpg", ""), folder)
    assert shown.stdout.split() == [str(folder / "bin" / "emorph"), "examples/astronaut.png", "me.jpg"]


def make_targets() -> set[str]:
    """The targets that the Makefile says are its own."""
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony is not None
    return set(phony[1].split())


def asked_of_make(text: str) -> set[str]:
    """The targets that a text asks make for: in code, in a workflow's matrix."""
    lines = re.findall(r"(?:^|`|run: |  )make ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    matrix = re.findall(r"^ +target: \[(.+)\]$", text, re.MULTILINE)
    return {word for line in lines for word in line.split()} | {word for row in matrix for word in row.split(", ")}


@pytest.mark.parametrize(
    "path",
    ["README.md", "README.ja.md", "CONTRIBUTING.md", ".github/workflows/ci.yml", ".github/workflows/release.yml"],
)
def test_make_targets_that_texts_name_exist(path: str) -> None:
    asked = asked_of_make((ROOT / path).read_text(encoding="utf-8"))
    assert asked, "no target is found"
    assert asked <= make_targets()


def test_make_targets_are_found_in_texts() -> None:
    text = "`make lint test` and\nmake demo  # so\n      - run: make wheel PYTHON=x\nto make sense"
    assert asked_of_make(text) == {"lint", "test", "demo", "wheel"}
    assert asked_of_make("        target: [demo, lint]\n") == {"demo", "lint"}
