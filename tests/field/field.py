"""What the cases of tests/field are made of: a case, and the folder and command that it is given."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emorph.cli.main import main
from emorph.core.images import read_photo

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from tiny import tiny_directions, tiny_model  # noqa: E402

EXAMPLE = ROOT / "examples" / "astronaut.png"  # NASA's, public domain
HEAD = (slice(0, 280), slice(80, 360))  # of the example: the face, and what is around it


@dataclass(frozen=True)
class Ended:
    """How a command ended: status 99 is a traceback."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All of it, on one line."""
        return " ".join(f"{self.out} {self.err}".split())


class Field:
    """A fresh folder that is the working folder, with the example's face and a small model with random weights."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.pixels = np.ascontiguousarray(read_photo(EXAMPLE).pixels[HEAD])

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    def run(self, *words: object, encoding: str = "utf-8") -> Ended:
        """``emorph`` with these words, in this process. encoding: of the terminal."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        before, sys.argv = sys.argv, ["emorph", *map(str, words)]
        status = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as ended:
                    status = int(ended.code or 0)
                except BaseException:
                    status = 99
                    traceback.print_exc()
        except UnicodeError:
            status = 99
        finally:
            sys.argv = before
        texts = []
        for stream in (out, err):
            with contextlib.suppress(UnicodeError):
                stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding, errors="replace"))  # type: ignore[attr-defined]
        return Ended(status, *texts)

    def edit(self, *words: object, encoding: str = "utf-8") -> Ended:
        """``emorph edit --to happy`` with the small model."""
        return self.run("edit", *words, "--model", self.model, "--to", "happy", "--steps", 2, encoding=encoding)

    def scan(self, root: object) -> Ended:
        """``emorph data scan``."""
        return self.run("data", "scan", root)


Check = Callable[[Field], str]


@dataclass(frozen=True)
class Case:
    """One situation. item: of which kind. before: what emorph did. check: tries it, says what happens, and raises
    AssertionError where that is wrong."""

    item: str
    tried: str
    before: str
    check: Check


def gather(cases: list[Case]) -> Callable[[str, str, str], Callable[[Check], Check]]:
    """A decorator that puts checks into a list of cases."""

    def case(item: str, tried: str, before: str) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            cases.append(Case(item, tried, before, check))
            return check

        return add

    return case


@contextlib.contextmanager
def in_folder(folder: Path, model: Path) -> Iterator[Field]:
    """A field in this folder, which is the working folder meanwhile."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield Field(folder, model)
    finally:
        os.chdir(before)


def write_model(folder: Path) -> Path:
    """The small model: what it draws means nothing."""
    tiny_model(3).save_pretrained(folder)
    tiny_directions().save_pretrained(folder / "directions")
    return folder


def done(ended: Ended) -> str:
    """The command did all it was asked for."""
    assert ended.status == 0, ended.said
    return "done"


def refused(ended: Ended, *words: str) -> str:
    """It was refused with a sentence that holds these words; returns that sentence."""
    assert ended.status in (1, 2), ended.said
    assert "Traceback" not in ended.err, ended.said
    for word in words:
        assert word in ended.said, ended.said
    return ended.said
