"""What commands write beside pictures: pages from templates, texts, and their folder; what goes wrong is a sentence."""

from __future__ import annotations

from pathlib import Path

from emorph.core.errors import DataError
from emorph.core.files import replace_file


def rendered(template: Path, **values: object) -> str:
    """A page: a Jinja2 template with these values, escaped as HTML. A name that they lack is an error."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page: str = environment.from_string(template.read_text(encoding="utf-8")).render(values)
    return page


def write_text(path: Path, text: str, *, option: str = "-o") -> None:
    """Write a file in UTF-8; it appears complete or not at all. option: of the command, which named it.

    Raises DataError. What UTF-8 cannot hold, as a file name may, becomes a question mark.
    """
    try:
        replace_file(path, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); choose another {option}.") from None


def make_folder(folder: Path) -> None:
    """Make the folder of a command's output, and those above it, where they are not there yet. Raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}); choose another -o.") from None
