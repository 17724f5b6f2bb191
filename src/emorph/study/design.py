"""A new study: a folder with its design, its pictures, and the text that people agree to."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emorph.core.errors import ConfigError, DataError
from emorph.core.expressions import Emotion
from emorph.core.types import Photo
from emorph.study.allocation import Allocation
from emorph.study.gather import Edit, RealPhoto, digest, read_edits, read_real
from emorph.study.opening import check_study
from emorph.study.origins import Origin, write_origins
from emorph.study.pictures import check_shape, drawn_face, face_window, prepared, read_named, write_all
from emorph.study.records import (
    DESIGN_FILE,
    ORIGINAL,
    PICTURES_FOLDER,
    Blocks,
    Design,
    Identification,
    Preference,
    Task,
)
from emorph.study.texts import write_consents
from emorph.study.trials import DRAWN, PICTURE_LIST, StudyPicture, make_trials

SOURCES_FILE = "sources.csv"
REPEATED = 2  # trials of each task
HEAD = """\
# What was decided before anybody answered. Change it before the first participant; emorph study serve checks it,
# and docs/guides/study.md explains every key. The text that people agree to is consent.LANGUAGE.txt beside this file.

"""


@dataclass(frozen=True)
class Wishes:
    """What ``emorph study new`` was asked for; all else is written in ``study.toml`` with its default.

    sources: folder of the photos, for sets that are folders of pictures. real: folder of labelled photos.
    size_px: side of the pictures. crop: cut out the largest face of each photo, and the same from its edits.
    """

    title: str = "Faces"
    tasks: tuple[Task, ...] = ("preference", "identification")
    sources: Path | None = None
    real: Path | None = None
    participants: int = 0
    trials: int = 30
    same_source: bool = False
    size_px: int = 512
    crop: bool = False
    seed: int = 0


@dataclass(frozen=True)
class NewStudy:
    """What was made: its design and the blocks that follow from it."""

    design: Design
    allocation: Allocation
    n_pictures: int


def new_study(study: Path, sets: Sequence[str], wishes: Wishes) -> NewStudy:
    """Make the folder of a study from sets of edits; it appears complete or not at all.

    sets: as ``gather.read_edits`` takes them. Raises DataError or ConfigError in one sentence: pictures that are
    missing or of another cut, sets that are not equal, one method only, a folder that is there already.
    """
    if study.exists() and (not study.is_dir() or any(study.iterdir())):
        raise ConfigError(f"{study} is there already; name a new folder for the study.")
    edits = read_edits(sets, wishes.sources)
    real = read_real(wishes.real) if wishes.real else []
    design = _design(edits, wishes)
    draft = study.with_name(f".{study.name}.{secrets.token_hex(4)}.part")
    try:
        (draft / PICTURES_FOLDER).mkdir(parents=True)
        write_consents(design, draft)
        pictures = _copy(draft, edits, real, wishes)
        design = _with_repeats(design, pictures)
        (draft / DESIGN_FILE).write_text(HEAD + design.to_toml(), encoding="utf-8")
        check_study(draft)
        if study.exists():
            study.rmdir()
        draft.replace(study)
    except OSError as error:
        raise DataError(f"{study} cannot be written ({error.strerror}); check permissions and free space.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return NewStudy(design, check_study(study), len(pictures))


def _design(edits: Sequence[Edit], wishes: Wishes) -> Design:
    methods = list(dict.fromkeys(edit.method for edit in edits))
    if len(methods) < 2 and "preference" in wishes.tasks:
        raise ConfigError(
            f"there is one method only ({methods[0]}), and a preference needs two; name a second set, "
            "or ask for --task identification."
        )
    words = {edit.target for edit in edits}
    return Design.parse(
        {
            "title": wishes.title,
            "methods": methods,
            "targets": [emotion.word for emotion in Emotion if emotion.word in words],
            "strengths": sorted({edit.strength for edit in edits}),
            "participants": wishes.participants,
            "seed": wishes.seed,
            "preference": Preference() if "preference" in wishes.tasks else None,
            "identification": Identification() if "identification" in wishes.tasks else None,
            "blocks": Blocks(trials=wishes.trials, same_source=wishes.same_source, repeated=0),
        },
        DESIGN_FILE,
    )


def _with_repeats(design: Design, pictures: Sequence[StudyPicture]) -> Design:
    """The design with some trials repeated, where blocks are long enough for a second showing to be far off."""
    allocation = Allocation(design, make_trials(design, pictures))
    shortest = min(len(allocation.trials(task)) // allocation.n_blocks[task] for task in design.tasks)
    n_repeated = REPEATED if shortest >= 2 * REPEATED else 0
    return design.model_copy(update={"blocks": design.blocks.model_copy(update={"repeated": n_repeated})})


def _copy(folder: Path, edits: Sequence[Edit], real: Sequence[RealPhoto], wishes: Wishes) -> list[StudyPicture]:
    """Write the pictures and the lists of them: what they are, and what they were before."""
    photos = {edit.source: edit.photo for edit in edits}
    order = np.random.default_rng(wishes.seed).permutation(len(photos))
    names = {sorted(photos)[i]: f"s{place + 1:03d}" for place, i in enumerate(order)}
    labelled = {f"r{number + 1:03d}": item for number, item in enumerate(real)}
    images = itertools.chain(
        *(_of_photo(names[source], [e for e in edits if e.source == source], wishes) for source in photos),
        *(_of_real(name, item, wishes) for name, item in labelled.items()),
        ((StudyPicture("", DRAWN, DRAWN), drawn_face(wishes.size_px, is_happy=is_happy)) for is_happy in (True, False)),
    )
    pictures = write_all(folder / PICTURES_FOLDER, images)
    lines = [json.dumps(dataclasses.asdict(picture)) + "\n" for picture in pictures]
    (folder / PICTURE_LIST).write_text("".join(lines), encoding="utf-8")
    write_origins(folder, (_origin(names[edit.source], edit) for edit in edits))
    known = [*((names[source], path) for source, path in photos.items()), *((n, r.path) for n, r in labelled.items())]
    with (folder / SOURCES_FILE).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("source", "photo"), *sorted(known)])
    return pictures


def _origin(source: str, edit: Edit) -> Origin:
    files = str(edit.photo.resolve()), str(edit.edited.resolve())
    return Origin(source, edit.method, edit.target, edit.strength, *files, edit.source, digest(edit.edited))


def _of_photo(name: str, edits: Sequence[Edit], wishes: Wishes) -> Iterator[tuple[StudyPicture, Image.Image]]:
    """The photo and its edits, cut out alike."""
    path = edits[0].photo
    photo = read_named(path)
    window = face_window(photo, str(path)) if wishes.crop else None
    yield StudyPicture("", ORIGINAL, name), prepared(photo, wishes.size_px, window)
    for edit in edits:
        edited = read_named(edit.edited)
        check_shape(edited, photo, str(edit.edited), path.name, same_size=wishes.crop)
        picture = StudyPicture("", edit.method, name, edit.target, edit.strength)
        yield picture, prepared(edited, wishes.size_px, window)


def _of_real(name: str, real: RealPhoto, wishes: Wishes) -> Iterator[tuple[StudyPicture, Image.Image]]:
    photo: Photo = read_named(real.path)
    window = face_window(photo, str(real.path)) if wishes.crop else None
    yield StudyPicture("", "", name, real.emotion.word), prepared(photo, wishes.size_px, window)
