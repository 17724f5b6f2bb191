"""AffectNet's original release: lists of rows, one face each, beside a folder of photos (Mollahosseini et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorph.core.commands import install
from emorph.core.csv_rows import CsvForm, check_encoding, form_of
from emorph.core.errors import DataError, MissingAssetError
from emorph.core.records import Box, FaceRecord
from emorph.core.types import Float32
from emorph.data.index import CODE_NAMES, FaceIndex, Problems, inside, is_picture, subfolders, unit_pair

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
NUMBERS = tuple(name for name in COLUMNS if name not in ("subDirectory_filePath", "facial_landmarks"))
BLOCK_BYTES = 16 << 20
MANUAL_LISTS = {"val": "validation.csv", "train": "training.csv"}  # a face in both lists belongs to validation
FARTHEST_PX = 1e6  # no picture is as large
CODES = {float(code): code for code in range(len(CODE_NAMES))}
MANUAL_PHOTOS, AUTOMATIC_PHOTOS = "Manually_Annotated_Images", "Automatically_Annotated_Images"
AUTOMATIC_LISTS = {"train": "automatically_annotated.csv"}


def has_manual(root: Path) -> bool:
    """Whether the list of hand-labelled faces lies in ``root`` or up to two folders below."""
    return _find(root, MANUAL_LISTS["train"]) is not None


def has_automatic(root: Path) -> bool:
    """Whether the list of machine-labelled faces lies in ``root`` or up to two folders below."""
    return _find(root, AUTOMATIC_LISTS["train"]) is not None


def read_manual(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """training.csv and validation.csv. Raises DataError for a list without the columns that AffectNet has.

    landmarks: parse the 68 points as well as check them; for 420,299 rows about ten seconds and 250 MB more.
    """
    return _read(root, "affectnet", MANUAL_LISTS, MANUAL_PHOTOS, landmarks)


def read_automatic(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """automatically_annotated.csv, which has no validation list. As ``read_manual``."""
    return _read(root, "affectnet-automatic", AUTOMATIC_LISTS, AUTOMATIC_PHOTOS, landmarks)


def what_is_lacking(root: Path) -> str | None:
    """What to say of a folder that holds AffectNet's pictures, or its smaller list, without the list that is needed."""
    for lists, photos, archive in (
        (MANUAL_LISTS, MANUAL_PHOTOS, "Manually_Annotated_file_lists.zip"),
        (AUTOMATIC_LISTS, AUTOMATIC_PHOTOS, "Automatically_annotated_file_list.zip"),
    ):
        there = _find(root, photos) or next((path for name in lists.values() if (path := _find(root, name))), None)
        if there is not None and _find(root, lists["train"]) is None:
            return (
                f"{root} holds AffectNet's {there.relative_to(root).as_posix() or there.name}, but not "
                f"{lists['train']}: the list of its faces, a line each, with the columns {', '.join(COLUMNS)}. It "
                f"comes in {archive} beside the pictures; unpack it into {root}."
            )
    return None


def _find(root: Path, name: str) -> Path | None:
    """The first file or folder of this name in ``root`` or up to two folders below, never among the photos."""
    level = [root]
    for depth in range(3):
        for folder in level:
            if (folder / name).exists():
                return folder / name
        if depth < 2:
            level = [child for folder in level for child in subfolders(folder) if not holds_files_of_faces(child)]
    return None


def holds_files_of_faces(folder: Path) -> bool:
    """Whether a folder is one of hundreds of thousands of files, in which no list lies."""
    return folder.name.endswith("_Images") or folder.name in ("images", "annotations")


def _read(root: Path, layout: str, lists: dict[str, str], photos_name: str, landmarks: bool) -> FaceIndex:
    photos = _find(root, photos_name)
    prefix = f"{photos.relative_to(root).as_posix()}/" if photos else f"{photos_name}/"
    index = FaceIndex(root, layout)
    seen: dict[str, list[FaceRecord]] = {}
    for split, name in lists.items():
        path = _find(root, name)
        if path is None:
            continue
        for row in _rows(path, landmarks, index.problems):
            record = _record(row, prefix, split, layout, index)
            if record is not None and (kept := _told_apart(record, seen, index.problems)):
                index.records.append(kept)
    if not index.records:
        raise DataError(f"{root}: {', '.join(lists.values())} list no face that can be used; check the files.")
    return index


class _Row(NamedTuple):
    """One line of a list: path and expression as they stand there, its numbers, NaN where a cell is none, and its
    points where they were asked for."""

    path: str
    expression: str
    numbers: tuple[float, ...]  # as NUMBERS
    points: Float32 | None
    points_are_fine: bool


def _rows(path: Path, landmarks: bool, problems: Problems) -> Iterator[_Row]:
    """All rows, a block at a time, so that memory does not grow with the list."""
    pa, csv = _arrow()
    names = None if _has_header(path) else list(COLUMNS)
    form = _form(path)

    def malformed(row: Any) -> str:
        problems.add("malformed row", f"{path.name}: {row.actual_columns} cells instead of {row.expected_columns}")
        return "skip"

    check_encoding(path, form.encoding)
    try:
        batches = csv.open_csv(
            path,
            read_options=csv.ReadOptions(
                block_size=BLOCK_BYTES,
                column_names=names,
                encoding=form.encoding.removesuffix("-sig"),
                skip_rows=int(form.has_separator_line),
            ),
            parse_options=csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=malformed),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=COLUMNS, strings_can_be_null=False
            ),
        )
        for batch in batches:
            column = dict(zip(COLUMNS, batch.columns, strict=True))
            fine = _check_points(column["facial_landmarks"])
            points = _parse_points(column["facial_landmarks"], fine) if landmarks else [None] * len(fine)
            numbers = zip(*(_numbers(column[name]) for name in NUMBERS), strict=True)
            texts = (column[name].to_pylist() for name in ("subDirectory_filePath", "expression"))
            yield from map(_Row, *texts, numbers, points, fine)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a list of AffectNet: {_reason(path, error)}") from None


def _form(path: Path) -> CsvForm:
    """As the list is published, or as Excel saved it anew. Raises DataError."""
    try:
        return form_of(path, len(COLUMNS))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None


def _first_line(path: Path) -> list[str]:
    """The cells of the line that tells the columns, if there are any."""
    form = _form(path)
    with path.open("rb") as file:
        lines = file.read(65536).decode(form.encoding, errors="replace").lstrip("\ufeff").splitlines()
    first = lines[form.has_separator_line :][:1]
    return [cell.strip().strip('"') for cell in (first[0] if first else "").split(form.delimiter)]


def _has_header(path: Path) -> bool:
    """Copies of the lists are about whose first line is a face already."""
    return not is_picture(_first_line(path)[0])


def _reason(path: Path, error: Exception) -> str:
    cells = _first_line(path)
    first = ", ".join(cells)
    missing = [name for name in COLUMNS if name not in cells]
    if _has_header(path) and missing:
        found = first[:200] if first.isprintable() and "\ufffd" not in first else "no text"
        return f"it has no column {missing[0]!r}; found {found or 'an empty file'}."
    return f"{str(error).splitlines()[0][:200]}."


def _check_points(text: Any) -> list[bool]:
    """Whether each cell is 136 numbers with ";" between them, as far as its characters tell."""
    import pyarrow.compute as pc

    checked: list[bool] = pc.match_substring_regex(text, r"^(?:[-+0-9.eE]+;){135}[-+0-9.eE]+$").to_pylist()
    return checked


def _parse_points(text: Any, fine: list[bool]) -> list[Float32 | None]:
    """The points of the cells that are fine, float32 (68, 2) each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.list_flatten(pc.split_pattern(text.filter(pa.array(fine)), ";"))
    parsed = iter(np.array(_numbers(split), np.float32).reshape(-1, 68, 2))
    points = (next(parsed) if is_fine else None for is_fine in fine)
    return [p if p is not None and np.isfinite(p).all() else None for p in points]


def _numbers(text: Any) -> list[float]:
    """A column of text as numbers, NaN where a cell is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:  # all at once, which is ten times faster
        values: list[float] = pc.cast(text, pa.float64()).to_pylist()
    except pa.ArrowInvalid:
        values = [_number(cell) for cell in text.to_pylist()]
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _record(row: _Row, prefix: str, split: str, layout: str, index: FaceIndex) -> FaceRecord | None:
    """The record of a row; None, and a problem, if it cannot be one."""
    x, y, width, height, code, valence, arousal = row.numbers
    name = row.path.strip().replace("\\", "/")
    label = CODES.get(code)
    index.rows[split, label] += 1
    if label is None:
        index.problems.add("unknown label", f"{name}: expression {row.expression!r}")
        return None
    if not inside(name):
        index.problems.add("path outside the data set", name)
        return None
    if label > 7:
        index.problems.add("no emotion (codes 8 to 10)", f"{name}: {CODE_NAMES[label]}")
    affect = unit_pair(valence, arousal, name, index.problems)
    box = _box(x, y, width, height)
    if box is None:
        index.problems.add("negative box", f"{name}: {x:g}, {y:g}, {width:g}, {height:g}")
    if not row.points_are_fine:
        index.problems.add("bad landmarks", name)
    return FaceRecord(
        name,
        prefix + name,
        label=label,
        valence=affect[0],
        arousal=affect[1],
        box=box,
        landmarks=row.points,
        split=split,
        source=layout,
    )


def _box(left: float, top: float, width: float, height: float) -> Box | None:
    """The sides of a box in picture px; None if it has no extent, or is out of this world."""
    sound = 0 < width < FARTHEST_PX and 0 < height < FARTHEST_PX and -FARTHEST_PX < left < FARTHEST_PX
    return (left, top, left + width, top + height) if sound and -FARTHEST_PX < top < FARTHEST_PX else None


def _told_apart(record: FaceRecord, seen: dict[str, list[FaceRecord]], problems: Problems) -> FaceRecord | None:
    """The record, with an id of its own if its file holds other faces too; None if this face was listed before."""
    others = seen.setdefault(record.path, [])
    if others and others[0].split != record.split:
        problems.add("in both lists", record.id)
        return None
    for other in others:
        if other.box == record.box:
            alike = (other.label, other.valence, other.arousal) == (record.label, record.valence, record.arousal)
            problems.add("duplicate row" if alike else "contradicting row", record.id)
            return None
    if len(others) == 1:
        problems.add("several faces in one file", record.id)
    others.append(record)
    return record if len(others) == 1 else replace(record, id=f"{record.id}#{len(others)}")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        raise MissingAssetError(f"reading AffectNet's lists needs: `{install('train')}`.") from None
    return pa, csv
