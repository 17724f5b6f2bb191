"""AffectNet's original release: lists of rows, one face each, beside a folder of photos (Mollahosseini et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorph.core.errors import DataError, MissingAssetError
from emorph.core.records import Box, FaceRecord
from emorph.core.types import Float32
from emorph.data.index import CODE_NAMES, FaceIndex, Problems, inside, is_picture, unit_pair

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
BLOCK_BYTES = 16 << 20
MANUAL_LISTS = {"val": "validation.csv", "train": "training.csv"}  # a face in both lists belongs to validation
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
    return _read(root, "affectnet", MANUAL_LISTS, "Manually_Annotated_Images", landmarks)


def read_automatic(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """automatically_annotated.csv, which has no validation list. As ``read_manual``."""
    return _read(root, "affectnet-automatic", AUTOMATIC_LISTS, "Automatically_Annotated_Images", landmarks)


def _find(root: Path, name: str) -> Path | None:
    """The first file or folder of this name in ``root`` or up to two folders below, never among the photos."""
    level = [root]
    for _ in range(3):
        for folder in level:
            if (folder / name).exists():
                return folder / name
        folders = (child for folder in level for child in sorted(folder.iterdir()) if child.is_dir())
        level = [folder for folder in folders if not folder.name.endswith("_Images")]
    return None


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
    """One line of a list: its cells as text, its number, and its points where they were asked for."""

    cells: tuple[str, ...]
    points: Float32 | None
    points_are_fine: bool


def _rows(path: Path, landmarks: bool, problems: Problems) -> Iterator[_Row]:
    """All rows, a block at a time, so that memory does not grow with the list."""
    pa, csv = _arrow()
    names = None if _has_header(path) else list(COLUMNS)

    def malformed(row: Any) -> str:
        problems.add("malformed row", f"{path.name}: {row.actual_columns} cells instead of {row.expected_columns}")
        return "skip"

    try:
        batches = csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES, column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(invalid_row_handler=malformed),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=COLUMNS, strings_can_be_null=False
            ),
        )
        for batch in batches:
            text = batch.column(COLUMNS.index("facial_landmarks"))
            fine = _check_points(text)
            points = _parse_points(text, fine) if landmarks else [None] * len(fine)
            cells = (batch.column(i).to_pylist() for i, name in enumerate(COLUMNS) if name != "facial_landmarks")
            for row, where, is_fine in zip(zip(*cells, strict=True), points, fine, strict=True):
                yield _Row(row, where, bool(is_fine))
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(f"{path} is not a list of AffectNet: {_reason(path, error)}") from None


def _has_header(path: Path) -> bool:
    """Copies of the lists are about whose first line is a face already."""
    with path.open("rb") as file:
        first = file.readline(65536).decode("utf-8-sig", errors="replace").split(",")[0].strip().strip('"')
    return not is_picture(first)


def _reason(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        header = file.readline(65536).decode("utf-8-sig", errors="replace").strip().split(",")
    missing = [name for name in COLUMNS if name not in header]
    if _has_header(path) and missing:
        return f"it has no column {missing[0]!r}; found {', '.join(header)[:200] or 'an empty file'}."
    return f"{str(error).splitlines()[0][:200]}."


def _check_points(text: Any) -> list[bool]:
    """Whether each cell is 136 numbers with ";" between them, as far as its characters tell."""
    import pyarrow.compute as pc

    fine = pc.and_(
        pc.equal(pc.count_substring(text, ";"), 135),
        pc.invert(pc.match_substring_regex(text, r"[^-+0-9.;eE]|;;|^;|;$")),
    )
    checked: list[bool] = fine.to_pylist()
    return checked


def _parse_points(text: Any, fine: list[bool]) -> list[Float32 | None]:
    """The points of the cells that are fine, float32 (68, 2) each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.list_flatten(pc.split_pattern(text.filter(pa.array(fine)), ";"))
    try:
        values = pc.cast(split, pa.float32()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = np.array([_number(cell) for cell in split.to_pylist()], np.float32)
    parsed = iter(values.reshape(-1, 68, 2))
    points = (next(parsed) if is_fine else None for is_fine in fine)
    return [p if p is not None and np.isfinite(p).all() else None for p in points]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _record(row: _Row, prefix: str, split: str, layout: str, index: FaceIndex) -> FaceRecord | None:
    """The record of a row; None, and a problem, if it cannot be one."""
    name, x, y, width, height, expression, valence, arousal = row.cells
    name = name.strip().replace("\\", "/")
    code = _number(expression)
    if code not in range(len(CODE_NAMES)):
        index.rows[split, None] += 1
        index.problems.add("unknown label", f"{name}: expression {expression!r}")
        return None
    label = int(code)
    index.rows[split, label] += 1
    if not inside(name):
        index.problems.add("path outside the data set", name)
        return None
    if label > 7:
        index.problems.add("no emotion (codes 8 to 10)", f"{name}: {CODE_NAMES[label]}")
    affect = unit_pair(_number(valence), _number(arousal), name, index.problems)
    box = _box(x, y, width, height, name, index.problems)
    if not row.points_are_fine:
        index.problems.add("bad landmarks", name)
    return FaceRecord(name, prefix + name, label, *affect, box, row.points, None, split, layout)


def _box(x: str, y: str, width: str, height: str, name: str, problems: Problems) -> Box | None:
    left, top, w, h = (_number(cell) for cell in (x, y, width, height))
    if w > 0 and h > 0 and max(abs(left), abs(top), w, h) < 1e6:
        return left, top, left + w, top + h
    problems.add("negative box", f"{name}: {x}, {y}, {width}, {height}")
    return None


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
        raise MissingAssetError("reading AffectNet's lists needs: pip install 'emorph[train]'.") from None
    return pa, csv
