"""Commands that messages suggest, so that they can be pasted into a shell whatever the paths are called."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname


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


def install(extra: str = "", *, again: bool = False) -> str:
    """The command that adds an extra to the emorph that runs, from where it came: a clone, a wheel or an index.

    By its name alone pip would take whatever an index holds under it. again: what is there is replaced.
    """
    pip = "pip install --force-reinstall --no-deps" if again else "pip install"
    wanted = f"[{extra}]" if extra else ""
    clone = _clone()
    if clone is not None:
        return f"{pip} -e {shlex.quote(f'{clone}{wanted}')}"
    origin = _origin()
    at = f" @ {origin}" if origin else ""
    return f"{pip} {shlex.quote(f'emorph{wanted}{at}')}"


def _clone() -> Path | None:
    """The folder of the repository, if that is where this code runs from."""
    root = Path(__file__).parents[3]
    return root if (root / "pyproject.toml").is_file() and (root / "src" / "emorph").is_dir() else None


def _origin() -> str:
    """What pip was given instead of a name, as a requirement names it (PEP 440); "" for an index."""
    try:
        text = metadata.distribution("emorph").read_text("direct_url.json")
        found = json.loads(text) if text else {}
        url = str(found.get("url", ""))
        if "vcs_info" in found:
            return f"{found['vcs_info']['vcs']}+{url}"
    except (metadata.PackageNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    parts = urlparse(url)
    is_gone = parts.scheme == "file" and not Path(url2pathname(parts.path)).exists()
    return "" if is_gone else url
