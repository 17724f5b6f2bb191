"""The recipes of docs/extend work as they are printed: their files are made, their hunks applied, their programs run.

Of each page, in order: ```python title="src/emorph/..." is a new file; ```diff title="path" is a hunk, whose lines that
start with a space stand in the file once, one after the other, and whose lines with a plus are put between them (with a
minus: taken out); ```python without a title is a program, run on a copy of src/ with all of that done, in a
folder that also has examples/astronaut.png.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from markdown_blocks import Block, blocks
from warm import run_warm

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "extend").glob("*.md"))
LIMIT_S = 300


class RecipeError(AssertionError):
    """A recipe that does not work, in a sentence."""


def follow(page: str, markdown: str, house: Path) -> int:
    """Do what a recipe says in ``house``, a folder with a copy of src/; the number of programs that ran."""
    n_programs = 0
    for block in blocks(markdown):
        where = f"{page}:{block.line}"
        if block.language == "python" and block.title:
            create(house, block, where)
        elif block.language == "diff":
            apply(house, block, where)
        elif block.language == "python":
            run(house, block, where)
            n_programs += 1
    return n_programs


def create(house: Path, block: Block, where: str) -> None:
    """Make the new file of a block."""
    path = inside(house, block.title, where)
    if path.exists():
        raise RecipeError(f"{where}: {block.title} is there already; a new file needs a new name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text + "\n", encoding="utf-8")


def apply(house: Path, block: Block, where: str) -> None:
    """Put the hunk of a block into the file that its title names."""
    path = inside(house, block.title, where)
    if not path.is_file():
        raise RecipeError(f"{where}: there is no {block.title} to put the hunk into.")
    lines = path.read_text(encoding="utf-8").split("\n")
    strange = [line for line in block.text.split("\n") if line and line[0] not in " +-"]
    if strange:
        raise RecipeError(f"{where}: a line of a hunk starts with a space, + or -, but {strange[0]!r} does not.")
    hunk = [(line[:1] or " ", line[1:]) for line in block.text.split("\n")]
    old = [text for mark, text in hunk if mark != "+"]
    new = [text for mark, text in hunk if mark != "-"]
    starts = [i for i in range(len(lines) - len(old) + 1) if lines[i : i + len(old)] == old]
    if not old or len(starts) != 1:
        raise RecipeError(
            f"{where}: the hunk's context stands {len(starts)} times in {block.title}; it must stand there once:\n"
            + "\n".join(old)
        )
    lines[starts[0] : starts[0] + len(old)] = new
    path.write_text("\n".join(lines), encoding="utf-8")


def run(house: Path, block: Block, where: str) -> None:
    """Run the program of a block."""
    env = {**os.environ, "PYTHONPATH": str(house / "src"), "EMORPH_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    done = run_warm(block.text, house, env, LIMIT_S, source=house / "src")
    if done.returncode:
        raise RecipeError(
            f"{where}: the program ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


def inside(house: Path, title: str, where: str) -> Path:
    """The file below ``house`` that a title names."""
    path = (house / title).resolve()
    if not title or not path.is_relative_to((house / "src").resolve()):
        raise RecipeError(f'{where}: title="{title}" does not name a file below src/.')
    return path


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with copies of src/, compiled files and all, and of the example photo, as at the repository's root."""
    shutil.copytree(ROOT / "src", tmp_path / "src")
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "astronaut.png", tmp_path / "examples")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recipe_works(page: Path, house: Path) -> None:
    markdown = page.read_text(encoding="utf-8")
    n_programs = follow(page.relative_to(ROOT).as_posix(), markdown, house)
    assert n_programs, f"{page.name}: a recipe ends with a program that uses what was added"
    assert any(block.title for block in blocks(markdown)), f"{page.name}: a recipe adds something"


def test_the_five_recipes_are_there() -> None:
    assert {page.stem for page in PAGES} >= {"metric", "judge", "model-kind", "task", "data-reader"}


MADE_UP = '''\
# Add a greeting

```python title="src/emorph/core/greeting.py"
"""A made room."""

GREETINGS = {
    "en": "hello",
}
```

A line in the table:

```diff title="src/emorph/core/greeting.py"
 GREETINGS = {
     "en": "hello",
+    "ja": "こんにちは",
 }
```

```python
from emorph.core.greeting import GREETINGS

assert GREETINGS == {"en": "hello", "ja": "こんにちは"}
```
'''


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A house with one empty room, enough for made pages."""
    (tmp_path / "src" / "emorph" / "core").mkdir(parents=True)
    for room in ("emorph", "emorph/core"):
        (tmp_path / "src" / room / "__init__.py").touch()
    (tmp_path / "src" / "emorph" / "core" / "words.py").write_text("A = 1\nB = 2\nA = 1\n", encoding="utf-8")
    return tmp_path


def test_a_made_recipe_works(small_house: Path) -> None:
    assert follow("p.md", MADE_UP, small_house) == 1


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            '     "en": "hello",\n+',
            '     "fr": "salut",\n+',
            r"p\.md:14: the hunk's context stands 0 times in src/emorph",
        ),
        (
            ' GREETINGS = {\n     "en"',
            'GREETINGS = {\n     "en"',
            r"p\.md:14: a line of a hunk starts with a space, \+ or -",
        ),
        ("core/greeting.py", "core/words.py", r"p\.md:4: src/emorph/core/words\.py is there already"),
        ('diff title="src/emorph/core/greeting.py"', 'diff title="src/no.py"', r"p\.md:14: there is no src/no\.py"),
        (
            "src/emorph/core/greeting.py",
            "../greeting.py",
            r'p\.md:4: title="\.\./greeting\.py" does not name a file below',
        ),
        (
            'assert GREETINGS == {"en"',
            'assert GREETINGS == {"fr"',
            r"p\.md:21: the program ended with 1:\n(.|\n)*AssertionError",
        ),
    ],
)
def test_a_recipe_that_does_not_work_says_so(small_house: Path, old: str, new: str, sentence: str) -> None:
    assert old in MADE_UP
    with pytest.raises(RecipeError, match=sentence):
        follow("p.md", MADE_UP.replace(old, new), small_house)


def test_context_that_stands_twice_is_refused(small_house: Path) -> None:
    twice = '```diff title="src/emorph/core/words.py"\n A = 1\n+C = 3\n```\n'
    with pytest.raises(RecipeError, match="the hunk's context stands 2 times"):
        follow("p.md", twice, small_house)
    follow("p.md", twice.replace(" A = 1\n", " B = 2\n-A = 1\n"), small_house)
    assert (small_house / "src" / "emorph" / "core" / "words.py").read_text(encoding="utf-8") == "A = 1\nB = 2\nC = 3\n"
