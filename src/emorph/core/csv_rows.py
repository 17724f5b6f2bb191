"""CSV files as people have them: saved by Excel or by hand, with commas, semicolons or tabs, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emorph.core.errors import DataError

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DELIMITERS = (",", ";", "\t")
_HEAD_BYTES = 65536
_BLOCK_BYTES = 1 << 20
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)  # Excel's own first line
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


@dataclass(frozen=True)
class CsvForm:
    """How a file is written. encoding: as Python names it. delimiter: between cells. has_separator_line: its first line
    is Excel's ``sep=;``."""

    encoding: str
    delimiter: str
    has_separator_line: bool = False


@dataclass(frozen=True)
class CsvRow:
    """line: where it ends in the file, from 1. cells: stripped, by column; "" where the row is short."""

    line: int
    cells: dict[str, str]


def form_of(path: Path, n_cells: int | None = None) -> CsvForm:
    """Encoding and delimiter, read off the first line. n_cells: how many it has, if that is known. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
    if encoding == "utf-8" and head[1:2] == b"\0":  # UTF-16 without its mark
        encoding = "utf-16-le"
    elif encoding == "utf-8" and head[:1] == b"\0":
        encoding = "utf-16-be"
    first = head.decode(encoding, errors="replace").partition("\n")[0].strip()
    said = _SEPARATOR_LINE.fullmatch(first)
    if said:
        return CsvForm(encoding, said[1], has_separator_line=True)
    counts = {mark: first.count(mark) for mark in _DELIMITERS}
    fitting = [mark for mark, count in counts.items() if n_cells is not None and count == n_cells - 1]
    return CsvForm(encoding, fitting[0] if fitting else max(counts, key=lambda mark: counts[mark]))


def check_encoding(path: Path, encoding: str) -> None:
    """Raises DataError, naming the line, if the file is no text in this encoding."""
    line = 1
    try:
        with path.open("rb") as file:
            decoder = codecs.getincrementaldecoder(encoding)()
            while block := file.read(_BLOCK_BYTES):
                line += decoder.decode(block).count("\n")
            decoder.decode(b"", final=True)
    except UnicodeError as error:
        part = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
        line += part.decode(encoding, errors="ignore").count("\n")
        raise DataError(f"{path}, line {line}: not text in {encoding.upper()}; save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[CsvRow]:
    """The rows of a CSV file with a header, blank lines left out; names of columns in small letters.

    Numbers with a decimal comma, as in 0,5, have a point where a comma is not the delimiter. needed: columns that must
    be there. Raises DataError for a file that cannot be read, is no text or no CSV, or lacks a column.
    """
    reader = _opened(path)
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        absent = [name for name in needed if name not in columns]
        if absent:
            found = ", ".join(columns) or "an empty file"
            raise DataError(f"{path} has no column {absent[0]!r}; found {found[:200]}. Needed: {', '.join(needed)}.")
        reader.fieldnames = columns
        for cells in reader:
            row = {name: _cell(cells.get(name), reader.reader.dialect.delimiter) for name in columns}
            yield CsvRow(reader.line_num, row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} is not CSV: {error}.") from None


def _opened(path: Path) -> csv.DictReader[str]:
    try:
        form = form_of(path)
        text = path.read_bytes().decode(form.encoding).removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is neither UTF-8 nor UTF-16 text; save it as UTF-8 (in Excel: CSV UTF-8, not plain CSV)."
        ) from None
    lines = io.StringIO(text, newline="")  # the reader alone knows which ends of lines belong to a cell
    if form.has_separator_line:
        lines.readline()
    return csv.DictReader(lines, delimiter=form.delimiter, skipinitialspace=True)


def _cell(value: object, delimiter: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text.replace(",", ".") if delimiter != "," and _DECIMAL_COMMA.fullmatch(text) else text
