"""The sheets of several steps, and of several runs, side by side: one HTML file, a row a face, a column a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emorph.core.encode import jpeg_url
from emorph.core.errors import DataError, ImageError
from emorph.core.files import names_apart
from emorph.core.images import read_metadata, read_photo
from emorph.core.outputs import rendered, write_text
from emorph.core.types import UInt8
from emorph.edit.sheet import GAP_PX, LABEL_PX
from emorph.train.samples import FOLDER, LAYOUT_KEY

TEMPLATE = Path(__file__).with_name("samples.html.j2")
QUALITY = 92  # of JPEGs on the page
SHOWN_PX = 144  # side of a tile on the page, at most


@dataclass(frozen=True)
class StepSheet:
    """A sheet read back. tiles: uint8 (n_rows, n_columns, side, side, 3); the first n_fixed columns are the same at
    every step."""

    run: str
    step: int
    titles: tuple[str, ...]
    n_fixed: int
    tiles: UInt8


@dataclass(frozen=True)
class Comparison:
    """Sheets of the same faces. fixed, drawn: titles of their columns; rows: of each face its fixed tiles, and of each
    sheet its drawn ones, as data URLs."""

    sheets: tuple[StepSheet, ...]
    fixed: tuple[str, ...]
    drawn: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], ...]


def write_page(path: Path, runs: Sequence[Path], steps: Sequence[int] | None = None) -> list[StepSheet]:
    """Write the page of some runs; it appears complete or not at all. Returns the sheets that it shows.

    steps: which, in this order; by default all that there are. Raises DataError if there are none, ImageError.
    """
    runs = [run.resolve() for run in runs]
    names = names_apart(runs)
    sheets = [replace(sheet, run=names[run]) for run in runs for sheet in read_sheets(run, steps)]
    text = rendered(
        TEMPLATE,
        runs=[names[run] for run in runs],
        comparisons=[_comparison(group) for group in alike(sheets)],
        tile_px=min(SHOWN_PX, max(sheet.tiles.shape[2] for sheet in sheets)),
    )
    write_text(path, text)
    return sheets


def read_sheets(run: Path, steps: Sequence[int] | None = None) -> list[StepSheet]:
    """The sheets of a run, by step, or those of some steps. Raises DataError naming what there is, ImageError."""
    files = {int(path.stem.removeprefix("step_")): path for path in sorted((run / FOLDER).glob("step_*.png"))}
    if not files:
        raise DataError(
            f"{run} holds no sheets in {FOLDER}/; a run writes them at its checkpoints unless [samples] n is 0."
        )
    for step in steps or ():
        if step not in files:
            raise DataError(f"{run} has no sheet of step {step}; it has {', '.join(map(str, files))}.")
    return [read_sheet(files[step], run.resolve().name) for step in steps or files]


def read_sheet(path: Path, run: str) -> StepSheet:
    """A sheet that a run wrote. run: its name. Raises ImageError."""
    try:
        layout = json.loads(read_metadata(path)[LAYOUT_KEY])
        titles, side, n_rows = tuple(layout["titles"]), int(layout["tile_px"]), int(layout["n_rows"])
        step, n_fixed = int(layout["step"]), int(layout["n_fixed"])
    except (KeyError, ValueError, TypeError):
        raise ImageError(f"{path} does not say where its tiles are; it is not a sheet that a run wrote.") from None
    pixels = read_photo(path).pixels
    pitch = side + GAP_PX
    expected = (LABEL_PX + n_rows * pitch - GAP_PX, len(titles) * pitch - GAP_PX)
    above = pixels.shape[0] - expected[0]  # of titles in several lines
    if above < 0 or pixels.shape[1] != expected[1]:
        raise ImageError(
            f"{path} has {pixels.shape[1]}x{pixels.shape[0]} px, but {expected[1]}x{expected[0]} is stated."
        )
    tops = [above + LABEL_PX + row * pitch for row in range(n_rows)]
    tiles = np.stack(
        [[pixels[top : top + side, pitch * k : pitch * k + side] for k in range(len(titles))] for top in tops]
    )
    return StepSheet(run, step, titles, n_fixed, tiles)


def alike(sheets: Sequence[StepSheet]) -> list[list[StepSheet]]:
    """The sheets in groups of the same columns and the same faces, in order."""
    groups: list[list[StepSheet]] = []
    for sheet in sheets:
        for group in groups:
            first = group[0]
            same = (first.titles, first.n_fixed, first.tiles.shape) == (sheet.titles, sheet.n_fixed, sheet.tiles.shape)
            n = first.n_fixed
            if same and np.array_equal(first.tiles[:, :n], sheet.tiles[:, :n]):
                group.append(sheet)
                break
        else:
            groups.append([sheet])
    return groups


def _comparison(sheets: Sequence[StepSheet]) -> Comparison:
    first, n = sheets[0], sheets[0].n_fixed
    rows = []
    for i in range(len(first.tiles)):
        fixed = tuple(jpeg_url(tile, QUALITY) for tile in first.tiles[i, :n])
        rows.append((fixed, tuple(tuple(jpeg_url(tile, QUALITY) for tile in sheet.tiles[i, n:]) for sheet in sheets)))
    return Comparison(tuple(sheets), first.titles[:n], first.titles[n:], tuple(rows))
