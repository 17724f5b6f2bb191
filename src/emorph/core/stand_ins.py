"""What lies in place of a file when a download or a clone did not bring it: a Git LFS pointer, or a web page."""

from __future__ import annotations

from pathlib import Path

from emorph.core.errors import CheckpointError, EmorphError

_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<script", b"<body")
_HEAD_BYTES = 512


def stand_in(head: bytes) -> str | None:
    """What the first bytes of a file show it to be in place of a binary file, and the way out; None for none of it."""
    text = head[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_LFS):
        return (
            "is a Git LFS pointer, not the file itself: in the clone run git lfs pull, or download the file from its "
            "page"
        )
    if text.lower().startswith(_PAGE):
        return "is a web page, not the file itself: the download gave a page instead; open its link in a browser"
    return None


def refuse_stand_in(path: Path, error: type[EmorphError] = CheckpointError) -> None:
    """Raises ``error`` naming the file if something else lies in its place; a file that cannot be read is left to its
    reader."""
    try:
        with path.open("rb") as file:
            found = stand_in(file.read(_HEAD_BYTES))
    except (OSError, ValueError):
        return
    if found:
        raise error(f"{path.name} {found}.")
