"""From the pictures of a study to its trials: every pair and every single picture that can be asked about."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emorph.core.errors import DataError
from emorph.study.records import ORIGINAL, Design, Trial

PICTURE_LIST = "pictures.jsonl"
DRAWN = "drawn"  # method of the two drawn faces that examples and attention checks fall back on


@dataclass(frozen=True, slots=True)
class StudyPicture:
    """One picture in a study's folder.

    file: its neutral name. method: who made it; ``ORIGINAL`` for the photo itself, "" for a real photo with a label,
    ``DRAWN`` for a drawn face. source: a neutral name of the photo. target, strength: of an edit; of a real photo, its
    label.
    """

    file: str
    method: str
    source: str
    target: str = ""
    strength: float = 0.0


Cell = tuple[str, str, float]  # source, target, strength


def read_pictures(study: Path) -> list[StudyPicture]:
    """The list of a study's pictures. Raises DataError naming a bad line."""
    path = study / PICTURE_LIST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); make the study again with emorph study new.") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(StudyPicture(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}, line {number} is no picture: {error}; make the study again.") from None
    return found


def make_trials(design: Design, pictures: Sequence[StudyPicture]) -> list[Trial]:
    """All trials of a design, in a fixed order. Raises DataError if a method lacks an edit that another one has."""
    edits: dict[Cell, dict[str, str]] = defaultdict(dict)
    originals: dict[str, str] = {}
    for picture in pictures:
        if picture.method == ORIGINAL:
            originals[picture.source] = picture.file
        elif picture.method not in ("", DRAWN):
            edits[picture.source, picture.target, picture.strength][picture.method] = picture.file
    cells = {cell: edits[cell] for cell in sorted(edits) if _is_asked(design, cell)}
    for cell, made in cells.items():
        for method in design.methods:
            if method not in made:
                raise DataError(
                    f"{method} has no edit of {cell[0]} to {cell[1]}, strength {cell[2]:g}, which others have; "
                    "take the same photos, targets and strengths from all methods."
                )
    if not cells:
        raise DataError("no picture has a target and strength that study.toml names; mend targets and strengths.")
    trials = [*_preferences(design, cells, originals), *_identifications(design, cells, originals)]
    if design.identification is not None:
        trials += [_real(picture) for picture in pictures if picture.method == ""]
    return [*trials, *_checks(design, [picture.file for picture in pictures if picture.method == DRAWN])]


def _is_asked(design: Design, cell: Cell) -> bool:
    return cell[1] in design.targets and cell[2] in design.strengths


def _preferences(design: Design, cells: dict[Cell, dict[str, str]], originals: dict[str, str]) -> Iterator[Trial]:
    if design.preference is None:
        return
    for number, ((source, target, strength), made) in enumerate(cells.items()):
        pairs = list(itertools.combinations(design.methods, 2))
        controls = []
        if design.preference.unedited:  # one a cell, from each method in turn
            controls = [(design.methods[number % len(design.methods)], ORIGINAL)]
        for a, b in [*pairs, *controls]:
            yield Trial(
                id=f"{source}-{target}-{strength:g}-{a}-{b}",
                task="preference",
                source=source,
                target=target,
                strength=strength,
                control="unedited" if b == ORIGINAL else "",
                method_a=a,
                method_b=b,
                pictures=(made[a], originals[source] if b == ORIGINAL else made[b]),
                # beside the photo itself, the photo above would give the answer away
                original=originals[source] if design.preference.show_original and b != ORIGINAL else "",
            )


def _identifications(design: Design, cells: dict[Cell, dict[str, str]], originals: dict[str, str]) -> Iterator[Trial]:
    if design.identification is None:
        return
    for (source, target, strength), made in cells.items():
        for method in design.methods:
            name = f"{source}-{target}-{strength:g}-{method}"
            yield Trial(name, "identification", source, target, strength, method=method, pictures=(made[method],))
    if design.identification.unedited:
        for source in dict.fromkeys(source for source, _, _ in cells):
            yield Trial(
                f"{source}-{ORIGINAL}",
                "identification",
                source,
                "",
                0.0,
                control="unedited",
                method=ORIGINAL,
                pictures=(originals[source],),
            )


def _real(picture: StudyPicture) -> Trial:
    return Trial(
        f"{picture.source}-real",
        "identification",
        picture.source,
        picture.target,
        0.0,
        control="real",
        pictures=(picture.file,),
    )


def _checks(design: Design, drawn: Sequence[str]) -> Iterator[Trial]:
    """What attention checks fall back on where a block has all photos."""
    for task in design.tasks if len(drawn) > 1 else ():
        pictures = tuple(drawn[:2] if task == "preference" else drawn[:1])
        yield Trial(f"check-{task}", task, DRAWN, "happy", 0.0, control="attention", pictures=pictures)
