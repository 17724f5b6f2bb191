"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write beside and rename, so that nobody ever reads half of it, after a power cut neither.

    Raises OSError, and then leaves nothing behind; an older file of that name is untouched.
    """
    draft = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")  # a name as long as may be has no room
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
