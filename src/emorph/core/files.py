"""Files that appear complete or not at all, and digests that tell them apart."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emorph.core.types import Photo

# What numpy and zipfile raise for an .npz file that is damaged, of another kind, encrypted, or larger than memory.
NPZ_ERRORS = (
    *(OSError, ValueError, EOFError, KeyError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError, OverflowError, MemoryError),
)


@contextlib.contextmanager
def written_beside(path: Path, *, draft: Path | None = None) -> Iterator[Path]:
    """A place beside ``path`` to write to, which takes its name when the block ends, and is removed if it fails.

    draft: the place; by default a new hidden name that ends in ".part". An older file at ``path`` stays until then.
    Raises OSError if it cannot be renamed.
    """
    # a name as long as may be has no room
    draft = draft or path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        yield draft
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write beside and rename, so that nobody ever reads half of it, not even after a power cut.

    Raises OSError, and then leaves nothing behind; an older file of that name is untouched.
    """
    with written_beside(path) as draft, draft.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def is_folder(path: Path) -> bool:
    """As ``path.is_dir()``; a name that cannot be looked up counts as no folder, and reading or writing it says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """As ``path.is_file()``; a name that cannot be looked up, as one that is too long, counts as none."""
    try:
        return path.is_file()
    except OSError:
        return False


def names_apart(paths: Iterable[Path]) -> dict[Path, str]:
    """Each path's file name, after as many of its folders as tell it from the others.

    >>> list(names_apart([Path("old/a/me.jpg"), Path("old/b/me.jpg"), Path("old/b/you.jpg")]).values())
    ['a/me.jpg', 'b/me.jpg', 'you.jpg']
    """
    ends = {path: [path.parts[start:] for start in reversed(range(len(path.parts)))] for path in paths}
    shared = Counter(end for of_path in ends.values() for end in of_path)
    shortest = {path: next((end for end in of_path if shared[end] == 1), path.parts) for path, of_path in ends.items()}
    return {path: Path(*end).as_posix() for path, end in shortest.items()}


def photo_names(photos: Iterable[Photo]) -> list[str]:
    """What tells photos apart, as ``names_apart`` does; all that have no file are "the photo"."""
    paths = [photo.path or Path(photo.name) for photo in photos]
    names = names_apart(paths)
    return [names[path] for path in paths]


def said_of(name: str, sentence: str) -> str:
    """A sentence on a file under the name by which it is told from others, which it says once.

    name: the file's own, or with folders before it, as ``names_apart`` gives.

    >>> said_of("a/me.jpg", "me.jpg is empty."), said_of("a/me.jpg", "no face found in me.jpg (9x9 px).")
    ('a/me.jpg is empty.', 'no face found in a/me.jpg (9x9 px).')
    >>> said_of("b/me.jpg", "its source: me.jpg is empty.")  # another file of that name
    'b/me.jpg: its source: me.jpg is empty.'
    """
    if name in sentence:
        return sentence
    own = rf"(^|\bin ){re.escape(Path(name).name)}(?=[\s,;:.]|$)"
    told, n = re.subn(own, lambda found: found[1] + name, sentence, count=1)
    return told if n else f"{name}: {sentence}"


def check_room(folder: Path) -> None:
    """Whether files can be written into a folder or, where it is not there yet, it can be made. Nothing is left there.

    Raises OSError.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    for name in folder.relative_to(there).parts:
        (there / name).exists()  # raises where a name is too long
    with tempfile.TemporaryFile(dir=there):
        pass


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
