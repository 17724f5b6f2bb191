"""Faces of a prepared data set as photos to edit, with the list that tells reports of which split they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from emorph.core.errors import DataError
from emorph.core.files import replace_file
from emorph.core.photo_list import ListedPhoto, write_list
from emorph.core.split_words import known_split
from emorph.core.types import OnStep
from emorph.data.index import inside
from emorph.data.tables import FaceTable, open_table, picture_bytes

PATH_COLUMNS = ("path", "source_file", "id")  # which photo a face is from, best first
_SUFFIXES = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"))
_UNUSUAL = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Taken:
    """What was written: how many photos, and those that are missing in the raw data set."""

    n: int
    missing: tuple[str, ...]


def splits_of_photos(path: Path) -> dict[str, str]:
    """The split (train, val, test) of every photo that a prepared set has a face of, by its path in the raw set.

    Raises DataError if the set does not tell from which photos its faces are, or of which splits.
    """
    table = open_table(path)
    column = _path_column(table, path)
    if "split" not in table.columns:
        raise DataError(f"{path} has no column 'split', so it cannot tell of which split a photo is.")
    splits = (known_split(str(word or "")) for word in table.column("split"))
    return {str(name): split for name, split in zip(table.column(column), splits, strict=True) if name}


def take_photos(
    path: Path,
    out: Path,
    *,
    split: str | None = "test",
    n: int | None = None,
    seed: int = 0,
    raw: Path | None = None,
    on_step: OnStep | None = None,
) -> Taken:
    """Write faces of a prepared set into ``out``, a picture each, and photos.csv, which tells their split and person.

    n: how many, drawn with ``seed``; None for all. raw: the data set that it was prepared from: whole photos in place
    of the prepared crops. The pictures' bytes are as they are. What is there already is written anew.
    Raises DataError if the set has no such split or ``out`` cannot be written.
    """
    table = open_table(path)
    column = _path_column(table, path)
    rows = _chosen(table, path, split, n, seed)
    named_by = "id" if "id" in table.columns else column
    wanted = (column, named_by, "split", "identity", "label")
    told = {name: table.column(name) for name in wanted if name in table.columns}
    pictures = table.rows.select_columns(["image"])
    listed: dict[str, ListedPhoto] = {}
    missing = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for done, row in enumerate(rows, 1):
            name = str(told[column][row])
            content = picture_bytes(pictures[row]["image"], row, table, path) if raw is None else _read(raw, name)
            if content is None:
                missing.append(name)
            else:
                file = _file_name(str(told[named_by][row] or name), content)
                replace_file(out / file, content)
                listed[file] = _listed(file, told, row, path)
            if on_step is not None:
                on_step(done, len(rows))
        if listed:
            write_list(out, listed.values())
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another -o.") from None
    if not listed:
        raise DataError(f"not one photo of {path} is in {raw}, such as {missing[0]}; name the raw data set with --of.")
    return Taken(len(listed), tuple(missing))


def _path_column(table: FaceTable, path: Path) -> str:
    found = next((name for name in PATH_COLUMNS if name in table.columns), None)
    if found is None:
        raise DataError(
            f"{path} does not tell from which photos its faces are (no column {' or '.join(PATH_COLUMNS)}); prepare it "
            "with emorph data prepare."
        )
    return found


def _chosen(table: FaceTable, path: Path, split: str | None, n: int | None, seed: int) -> Sequence[int]:
    """The rows of the split, or ``n`` of them, in the set's order."""
    words = [known_split(str(word or "")) for word in table.column("split")] if "split" in table.columns else []
    wanted = None if split is None else known_split(split)
    if wanted == "":
        raise DataError(f"split {split!r}: expected train, val or test.")
    rows = np.arange(len(table.rows)) if wanted is None else np.flatnonzero([word == wanted for word in words])
    if not len(rows):
        known = ", ".join(sorted(set(words) - {""})) or "none"
        hint = " Prepare it with --test 500 to have one." if wanted == "test" else ""
        raise DataError(f"{path} has no face of the split {wanted}; its splits: {known}.{hint}")
    drawn = np.random.default_rng(seed).permutation(len(rows))[:n]
    return [int(row) for row in np.sort(rows[drawn])]


def _listed(file: str, told: dict[str, list[Any]], row: int, path: Path) -> ListedPhoto:
    cells = {name: str(told[name][row] or "") for name in ("split", "identity", "label") if name in told}
    return replace(ListedPhoto(file, data=f"{path.name}, row {row}"), **cells)


def _read(raw: Path, name: str) -> bytes | None:
    """A photo of the raw data set; None if it is not there."""
    if not inside(name):
        raise DataError(f"{name!r} lies outside the data set; prepare it again.")
    try:
        return (raw / name).read_bytes()
    except OSError:
        return None


def _file_name(name: str, content: bytes) -> str:
    """ "103/ab c.jpg" is "103_ab_c.jpg": one folder holds them all. The suffix is the content's."""
    path = PurePosixPath(name)
    stem = _UNUSUAL.sub("_", path.with_suffix("").as_posix()).strip("._") or "photo"
    suffix = next((suffix for start, suffix in _SUFFIXES if content.startswith(start)), path.suffix or ".png")
    return f"{stem}{suffix}"
