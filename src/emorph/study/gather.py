"""From sets of edits on disk to what a study needs: the same photos, targets and strengths from every method."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emorph.core.csv_rows import read_rows
from emorph.core.errors import ConfigError, DataError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import READABLE_SUFFIXES
from emorph.evaluate.measure.inputs import Pair, method_name, read_pairs
from emorph.study.records import ORIGINAL


@dataclass(frozen=True)
class Edit:
    """One edit that takes part. source: the photo's content, as a digest. photo, edited: files."""

    method: str
    source: str
    target: str
    strength: float
    photo: Path
    edited: Path

    @property
    def cell(self) -> tuple[str, str, float]:
        """What must be there from every method."""
        return self.source, self.target, self.strength


@dataclass(frozen=True)
class RealPhoto:
    """A photo of a real expression, with what it is labelled with."""

    path: Path
    emotion: Emotion


def read_edits(sets: Sequence[str], sources: Path | None = None) -> list[Edit]:
    """The edits of all methods.

    sets: "A=folder", "folder", each as ``emorph evaluate`` reads it; or one CSV with a column "method" besides its
    source, edited and target. sources: where the photos are, for folders of pictures.
    Raises DataError or ConfigError where a set cannot be read, one name stands twice, or the sets are not equal.
    """
    pairs = [pair for entry in sets for pair in _pairs_of(entry, sources)]
    methods = list(dict.fromkeys(pair.method for pair in pairs))
    if len(sets) > len(methods):
        raise ConfigError(f"two sets of edits have the same name ({', '.join(methods)}); write NAME=FOLDER for each.")
    digests = {path: digest(path) for path in {pair.source for pair in pairs}}
    edits = [_edit(pair, digests[pair.source]) for pair in pairs]
    _refuse_unequal(edits, methods)
    return edits


def read_real(folder: Path) -> list[RealPhoto]:
    """Labelled photos of a folder: EMOTION/NAME.png or NAME_EMOTION.png. Raises DataError if there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of real photos; check the path.")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in READABLE_SUFFIXES:
            label = _emotion(path.parent.name) if path.parent != folder else None
            label = _emotion(path.stem.rpartition("_")[2]) if label is None else label
            if label is not None:
                found.append(RealPhoto(path, label))
    if not found:
        raise DataError(f"no photo in {folder} tells its emotion; name them EMOTION/NAME.png or NAME_EMOTION.png.")
    return found


def _pairs_of(entry: str, sources: Path | None) -> list[Pair]:
    name, equals, path = entry.partition("=")
    if not equals:
        name, path = "", entry
    edits = Path(path)
    if name == "" and edits.suffix.lower() == ".csv" and (column := _method_column(edits)):
        pairs = read_pairs(edits, sources=sources)
        return [dataclasses.replace(pair, method=method) for pair, method in zip(pairs, column, strict=True)]
    return read_pairs(edits, sources=sources, method=name.strip() or method_name(edits))


def _method_column(path: Path) -> list[str]:
    """The methods of a CSV's rows; [] if it has no such column. Raises DataError if a row leaves it empty."""
    cells = [row.cells for row in read_rows(path, ())]
    if not cells or "method" not in cells[0]:
        return []
    rows = [row["method"] for row in cells]
    if "" in rows:
        raise DataError(f"{path}, row {rows.index('') + 1} names no method; fill the column in, or take it out.")
    return rows


def _edit(pair: Pair, source: str) -> Edit:
    if pair.target is None:
        raise DataError(f"{pair.edited} was asked for {pair.word}; people can be asked about the eight emotions only.")
    if pair.method in (ORIGINAL, ""):
        raise ConfigError(f"a method may not be called {pair.method!r}; give its set another name: NAME=FOLDER.")
    if not pair.edited.is_file():
        raise DataError(f"{pair.edited}, an edit by {pair.method}, is not there; check the path in its table.")
    return Edit(pair.method, source, pair.target.word, pair.strength, pair.source, pair.edited)


def digest(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises DataError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path in its table.") from None


def _refuse_unequal(edits: Sequence[Edit], methods: Sequence[str]) -> None:
    cells = {method: {edit.cell: edit for edit in edits if edit.method == method} for method in methods}
    for method in methods:
        if extra := sum(edit.method == method for edit in edits) - len(cells[method]):
            raise DataError(f"{method} has {extra} edits of a photo that it has edited so already; take them out.")
    every = {edit.cell: edit for edit in edits}
    for method in methods:
        absent = [edit for cell, edit in every.items() if cell not in cells[method]]
        if absent:
            first = absent[0]
            others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(
                f"{method} has no edit of {first.photo.name} to {first.target}, strength {first.strength:g}{others}, "
                f"which {first.method} has; take the same photos (file for file), targets and strengths from all."
            )


def _emotion(word: str) -> Emotion | None:
    try:
        return Emotion.parse(word)
    except UnknownNameError:
        return None
