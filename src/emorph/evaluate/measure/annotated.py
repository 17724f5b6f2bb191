"""Photos with their annotations, in AffectNet's own columns: what judges are held against, without any edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emorph.core.csv_rows import form_of, read_rows
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import N_LANDMARKS
from emorph.core.split_words import known_split
from emorph.evaluate.measure.cells import Affect, finite
from emorph.evaluate.measure.inputs import Pair
from emorph.evaluate.measure.records import Identified, identify
from emorph.evaluate.metrics.affect import NOT_ANNOTATED

PATH, POINTS = "subdirectory_filepath", "facial_landmarks"
NEEDED = (PATH, "expression", "valence", "arousal")
PHOTOS = ("", "Manually_Annotated_Images", "Automatically_Annotated_Images")
OTHER_CODES = (8, 9, 10)  # None, Uncertain and Non-Face: no emotion to compare with


@dataclass(frozen=True)
class Annotated:
    """Photos to ask judges about. left_out: rows without an emotion, by AffectNet's codes 8 to 10."""

    photos: tuple[Identified, ...]
    left_out: int


def is_annotated(path: Path) -> bool:
    """Whether a CSV has AffectNet's columns."""
    try:
        if path.suffix.lower() != ".csv" or not path.is_file():
            return False
        form = form_of(path)
        with path.open(encoding=form.encoding, errors="replace") as file:
            names = [name.strip().strip('"').lower() for name in file.readline().split(form.delimiter)]
    except OSError:
        return False
    return {PATH, "valence", "arousal"} <= set(names)


def read_annotated(path: Path, photos: Path | None = None) -> Annotated:
    """The photos of a list such as validation.csv, with emotion, valence, arousal (-2: not annotated) and landmarks.

    photos: their folder, by default Manually_Annotated_Images beside the list, or the list's own. Their split is what
    the list is called: training.csv or validation.csv.
    Raises DataError naming the line, or where no photo is found.
    """
    found, left_out = [], 0
    for row in read_rows(path, NEEDED):
        pair = _pair(row.cells, path, photos, f"{path}, line {row.line}")
        if pair is None:
            left_out += 1
        else:
            found.append(pair)
    if not found:
        raise DataError(f"{path} holds no photo with an emotion; there is nothing to evaluate.")
    if not any(pair.source.is_file() for pair in found):
        raise DataError(
            f"not one of {path}'s photos is there, such as {found[0].source}; name their folder: --sources."
        )
    return Annotated(tuple(_alone(item) for item in identify(found)), left_out)


def _alone(item: Identified) -> Identified:
    """A photo by itself: what judges say of its edit is not asked."""
    return Identified(item.pair, item.source_id, "", item.trouble)


def _pair(cells: dict[str, str], path: Path, photos: Path | None, where: str) -> Pair | None:
    code = finite(cells["expression"])
    if code is None or code not in range(OTHER_CODES[-1] + 1):
        raise DataError(f"{where}: expression must be a code from 0 to 10, found {cells['expression']!r}.")
    if code in OTHER_CODES:
        return None
    photo = _photo(cells[PATH], path.parent if photos is None else photos)
    return Pair(
        path.stem, photo, photo, Emotion(int(code)), affect=_affect(cells, where),
        points=_points(cells.get(POINTS, "")), split=known_split(path.stem),
    )  # fmt: skip


def _photo(name: str, folder: Path) -> Path:
    places = [folder / inner / name.replace("\\", "/") for inner in PHOTOS]
    return next((place for place in places if place.is_file()), places[1])


def _affect(cells: dict[str, str], where: str) -> Affect:
    valence, arousal = finite(cells["valence"]), finite(cells["arousal"])
    if valence is None or arousal is None or NOT_ANNOTATED in (valence, arousal):
        return None, None
    if max(abs(valence), abs(arousal)) > 1:
        raise DataError(f"{where}: valence and arousal must be from -1 to 1, or -2, found {valence:g} and {arousal:g}.")
    return valence, arousal


def _points(text: str) -> tuple[tuple[float, float], ...]:
    """68 points; () for any other text, so that the face is sought."""
    numbers = [number for number in map(finite, text.split(";")) if number is not None]
    if len(numbers) != 2 * N_LANDMARKS or text.count(";") != 2 * N_LANDMARKS - 1:
        return ()
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
