"""Commands that messages suggest, so that they can be pasted into a shell whatever the paths are called."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(*words: str | Path) -> str:
    """``emorph`` with these words, quoted for a POSIX shell.

    A Path is a file's name, never an option: one that begins with a dash is written ./-name. Words in capitals, such
    as FOLDER, are for the reader to fill in.

    >>> command("face", Path("-my face.png"), "--face-model", Path("flame"))
    "emorph face './-my face.png' --face-model flame"
    """
    return " ".join(["emorph", *map(quoted, words)])


def quoted(word: str | Path) -> str:
    """One word of a command as a shell takes it; a Path as the name of a file, whatever it begins with."""
    text = str(word)
    return shlex.quote(f"./{text}" if isinstance(word, Path) and text.startswith("-") else text)
