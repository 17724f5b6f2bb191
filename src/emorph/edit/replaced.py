"""Files whose place results take: never refused, and always said where they held something else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from emorph.core.files import file_digest, is_file


class Earlier:
    """The files that lie where results will, by what they hold."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._digests = {path: _digest(path) for path in paths if is_file(path)}

    def said(self, results: Iterable[Path]) -> str:
        """A sentence on those whose place ``results`` took; "" without any, or where these came out the same."""
        taken = [path for path in results if path in self._digests and _digest(path) != self._digests[path]]
        return said_of_replaced([path.name for path in taken])


def said_of_replaced(names: Sequence[str], how: str = "") -> str:
    """A sentence on files whose place results have taken; "" without any. how: they were made, after a comma.

    >>> said_of_replaced(["x.png"])
    'x.png was there already and was replaced; to keep both, name another -o.'
    """
    if not names:
        return ""
    were = "was" if len(names) == 1 else "were"
    return f"{', '.join(names)} {were} there already{how} and {were} replaced; to keep both, name another -o."


def _digest(path: Path) -> str:
    """Of a file's content; "" where it cannot be read."""
    try:
        return file_digest(path)
    except OSError:
        return ""
