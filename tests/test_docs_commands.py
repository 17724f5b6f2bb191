"""Every command line in the README, the guides and the examples is one that the program takes, run or not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from emorph.cli.main import app
from markdown_blocks import blocks, joined_lines
from test_commands import commands_of, parsed

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "gpu/*.md", "examples/**/*.md", "src/emorph/assets/*/*.md")
    for path in ROOT.glob(pattern)
)
FILES = sorted([*ROOT.glob("examples/**/*.toml"), *ROOT.glob("src/emorph/**/*.toml")])
CLI = typer.main.get_command(app)
_CODE = re.compile(r"`(emorph [^`]+)`")
_ELLIPSIS = re.compile(r"\.\.\.|…|\|")


def lines_of_page(path: Path) -> Iterator[tuple[str, str]]:
    """Where, and what a reader would type: lines of blocks, and code in the text that names more than a verb."""
    text = path.read_text(encoding="utf-8")
    for block in blocks(text):
        if block.language in {"bash", "text", "toml"}:
            for number, line in joined_lines(block):
                said = line.strip().removeprefix("#").strip()
                if said.startswith("emorph "):
                    yield f"{path.relative_to(ROOT)}:{number}", said
    for match in _CODE.finditer(" ".join(text.split())):
        yield f"{path.relative_to(ROOT)}: `{match[1]}`", match[1]


def lines_of_file(path: Path) -> Iterator[tuple[str, str]]:
    """The commands that a configuration's comments give."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        said, *_ = re.split(r" {3,}", line.strip().removeprefix("#").strip())  # a remark may stand behind it
        if line.lstrip().startswith("#") and said.startswith("emorph "):
            yield f"{path.relative_to(ROOT)}:{number}", said


TYPED = [found for path in PAGES for found in lines_of_page(path)]
TYPED += [found for path in FILES for found in lines_of_file(path)]
WHOLE = [(where, line) for where, line in TYPED if not _ELLIPSIS.search(line.partition(" #")[0])]


def wrong(line: str) -> str:
    """Why the program would not take a line, "" if it would. Of what is left out of a line nothing is said."""
    words = shlex.split(line, comments=True)[1:]
    here: Any = CLI
    while commands_of(here) and words and words[0] in commands_of(here):
        here = commands_of(here)[words.pop(0)]
    if commands_of(here) and not (words and words[0].startswith("-")):
        several = words[0].split("|") if words else []  # "scan|show" names both
        missing = [word for word in several if word not in commands_of(here) and word != "COMMAND"]
        return f"there is no command {', '.join(missing)}" if missing else ""
    known = {name for p in here.params for name in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    named = [word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)]
    unknown = [word for word in named if word not in known]
    return f"it has no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize(("where", "line"), TYPED, ids=[where for where, _ in TYPED])
def test_commands_and_options_in_texts_exist(where: str, line: str) -> None:
    assert wrong(line) == "", f"{where}: {line}"


def test_lines_of_blocks_are_taken_as_a_whole() -> None:
    """Their values too: numbers in range, words of a choice, nothing that must be there left out."""
    refused = []
    for where, line in WHOLE:
        if "`" in where:
            continue
        try:
            parsed(shlex.split(line, comments=True)[1:])
        except Exception as error:  # click has several kinds
            refused.append(f"{where}: {line}: {error or type(error).__name__}")
    assert refused == []


def test_there_are_many_and_a_wrong_one_is_seen() -> None:
    assert len(WHOLE) > 100
    assert wrong("emorph data prepare A B --sizes 3") == "it has no --sizes"
    assert wrong("emorph train resumes RUN") == "there is no command resumes"
    assert wrong("emorph --versions") == "it has no --versions"
    assert wrong("emorph --version") == wrong("emorph evaluate") == wrong("emorph edit --au AU12=0.5 -o=x") == ""


OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")
FOREIGN = {"--build-arg", "--nthreads"}  # of docker build, and of dask worker


def of_scripts() -> set[str]:
    """The options of the programs beside emorph, whose lines stand in texts, too."""
    scripts = [*ROOT.glob("bench/*.py"), *ROOT.glob("gpu/*.py"), *ROOT.glob("fuzz/*.py")]
    return {name for path in scripts for name in OPTION.findall(path.read_text(encoding="utf-8"))}


def all_options(command: Any = CLI) -> Iterator[str]:
    for p in command.params:
        yield from p.opts
        yield from p.secondary_opts
    for below in commands_of(command).values():
        yield from all_options(below)


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "README.ja.md", *sorted(ROOT.glob("docs/guides/*.md"))])
def test_options_that_guides_name_exist(path: Path) -> None:
    known = {*all_options(), "--help"}
    whole = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))  # lines that go on
    text = re.sub(r"(?:python|pip|make|docker|torchrun|srun|git|dask) [^`\n]*", "", whole)
    assert set(OPTION.findall(text)) - known - of_scripts() - FOREIGN == set()
