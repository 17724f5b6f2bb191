"""The cells of a table or a record of edits: text to checked numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from emorph.core.errors import DataError
from emorph.core.landmarks import N_LANDMARKS
from emorph.evaluate.metrics.affect import NOT_ANNOTATED

MOST_PX = 10**6  # of a photo's side

Mask = tuple[tuple[int, ...], ...]
Affect = tuple[float | None, float | None]


def affect_of(fields: Mapping[str, object], where: str) -> Affect:
    """Valence and arousal of their columns; neither where one is empty, or -2 as AffectNet has it. Raises DataError."""
    texts = [fields.get(name) for name in ("valence", "arousal")]
    if any(text in (None, "") for text in texts):
        return None, None
    numbers = [finite(text) for text in texts]
    if NOT_ANNOTATED in numbers:
        return None, None
    if numbers[0] is None or numbers[1] is None or max(abs(numbers[0]), abs(numbers[1])) > 1:
        raise DataError(f"{where}: valence and arousal must be numbers from -1 to 1, found {texts}.")
    return numbers[0], numbers[1]


def points_of(value: object, where: str) -> tuple[tuple[float, float], ...]:
    """68 points of "x;y;x;y;..."; () where nothing is given. Raises DataError."""
    if value is None or value == "":
        return ()
    numbers = [finite(text) for text in str(value).split(";")]
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers) or len(known) != 2 * N_LANDMARKS:
        raise DataError(
            f"{where}: landmarks must be {2 * N_LANDMARKS} finite numbers x;y;x;y;..., found {len(known)} of them "
            f"among {len(numbers)}; leave the column empty to have the face found."
        )
    return tuple(zip(known[::2], known[1::2], strict=True))


def checked_mask(polygons: Mask, where: str) -> Mask:
    """Raises DataError naming ``where`` for what are no polygons."""
    for polygon in polygons:
        if len(polygon) % 2 or len(polygon) < 2 or any(type(n) is not int or abs(n) > MOST_PX for n in polygon):
            raise DataError(f"{where}: mask must be polygons of whole numbers x, y, x, y, ..., found {polygon!r:.60}.")
    return polygons


def finite(value: object) -> float | None:
    """None for what is no finite number."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
